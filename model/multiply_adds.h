#pragma once
// The work of a model as published tables count it.

#include "model/graph.h"

namespace pluto {

/// Multiply-adds of one sample's forward pass in convolutions, products, attention and recurrences;
/// biases, scales and everything element-wise are left out. Half the FLOPs of those ops.
/// Source: the convention of torchvision's model table and of Sze et al. 2017. Test:
/// tests/model/zoo_test.cc against published figures.
double multiply_adds(const Graph& forward);

}  // namespace pluto
