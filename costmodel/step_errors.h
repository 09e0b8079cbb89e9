#pragma once
// How far predicted steps are off measured ones.

#include <span>
#include <vector>

namespace pluto {

/// One prediction beside what was measured, in seconds. Precondition: both positive.
struct ScoredStep {
  double predicted = 0, measured = 0;
  double spread = 0;  ///< relative, of the prediction
};

struct StepErrors {
  std::vector<double> relative;  ///< predicted / measured - 1, in the order of the steps
  double median = 0, p90 = 0;    ///< of their absolute values
  double bias = 0;               ///< geometric mean of predicted / measured, less 1
  double coverage = 0;           ///< share of steps measured between p10 and p90
};
/// All zero of no steps. p10 and p90 are those of a log-normal with the step's spread.
StepErrors summarize_errors(std::span<const ScoredStep> steps);

}  // namespace pluto
