#pragma once
// Deterministic noise in the shapes of any model: for speed and memory, not for accuracy.

#include "executor/data_source.h"

namespace pluto {

/// `choice.samples` samples. f32 inputs: standard normal values, windows of one table of 65,536
/// drawn once (drawing each anew would cost more than a small model's step). i32 inputs: ids
/// uniform below the rows of the smallest table they look up, directly or through reshape, slice,
/// split, transpose and concat. Labels: the next ids when an input of the same sequence shape can
/// be predicted by the logits (language models), else uniform below the classes; of bce_with_logits
/// 0 or 1; of mse normal. There is no test set. Errors: kInvalidInput naming the input or label it
/// cannot make.
Result<DataSet> open_synthetic(const DataChoice& choice, const ModelGraph& model,
                               std::uint64_t seed);

}  // namespace pluto
