#pragma once
// Groups of ONNX nodes that are one computation here: exporters write layer norms, gelu and biases
// as chains of small nodes.

#include <map>
#include <string>
#include <vector>

#include "model/onnx_constant.h"
#include "model/onnx_file.h"

namespace pluto {

using OnnxConstants = std::map<std::string, OnnxConstant, std::less<>>;

/// Initializers, and the outputs of nodes that follow from constants alone.
OnnxConstants constants_of(const OnnxFile& file);

/// Rewrites the last node of each group in place; the nodes before it are left for the caller to
/// drop when nothing else reads them. The groups, and what they become:
/// - mean, difference, square, mean, root, quotient, scale, shift: LayerNormalization
/// - x/2 (1 + erf(x / sqrt 2)), and its tanh form: Gelu;  x sigmoid(x): Silu
/// - batch norm, then scale and shift per channel (Caffe): BatchNormalization with these
/// - a product with a weight, then a bias: MatMul with three inputs
/// - a product of activations, then a scalar factor: MatMul with attribute "scale"
/// - zeros around an image, then Conv or an average: that node with these pads
/// `warnings` receives what changes more than the notation.
void fold_patterns(OnnxFile& file, const OnnxConstants& constants,
                   std::vector<std::string>& warnings);

}  // namespace pluto
