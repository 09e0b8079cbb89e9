#pragma once
// Accuracy on held-out samples: the forward part of the step, without training.

#include <optional>

#include "executor/data_source.h"
#include "executor/step_code.h"

namespace pluto {

/// Collective: rank r of P takes the samples [n r / P, n (r+1) / P). Buffers (running statistics)
/// are rank 0's on every rank afterwards, so that the answer does not depend on which rank saw
/// which sample. Softmax losses: share of positions whose largest logit (the first of equals) is
/// the label, positions with label -1 left out. Binary losses: share of logits on the target's side
/// of 0. Regression: nullopt, and nothing is run. `scalars.training` is set to false. Overwrites
/// activations and input set 0.
Result<std::optional<double>> evaluate(const StepCode& code, Device& device,
                                       Communicator& communicator, const DataSource& test,
                                       StepScalars scalars);

/// Answers that are right, of those that count. `logits` holds the same number of values per label.
struct Hits {
  std::int64_t correct = 0, counted = 0;
};
Hits count_largest(std::span<const float> logits, std::span<const std::int32_t> labels);
Hits count_signs(std::span<const float> logits, std::span<const float> targets);

}  // namespace pluto
