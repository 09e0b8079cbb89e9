#pragma once
// One small instance of every op kind that has a gradient, and what its gradient should be by
// finite differences.

#include <ostream>
#include <string>
#include <vector>

#include "model/op.h"
#include "tests/support/run_kernel.h"

namespace pluto::testing {

/// How an operand is filled. Kinks of the function (0 of relu, ties of a maximum) must lie further
/// away than the differences reach.
enum class Fill {
  kPlain,      ///< uniform in [-1, 1)
  kAwayFrom0,  ///< of size 0.5 to 1, either sign
  kPositive,   ///< 0.5 to 1.5
  kSpread,     ///< a shuffled grid with steps of 0.25: no two are near
  kSmall,      ///< uniform in [-0.2, 0.2)
  kIds,        ///< whole numbers from `low` to `high`, both included
};

struct CaseOperand {
  std::string name;
  Shape shape;
  int batch_multiple = 1;
  Fill fill = Fill::kPlain;
  int low = 0, high = 0;
  bool differentiable() const { return fill != Fill::kIds && name != "target"; }
};

/// One node of the backward pass; "dx" is the gradient of operand "x", "dy" that of the first
/// output.
struct CaseNode {
  OpPass pass;
  std::vector<std::string> inputs, outputs;
  OpKind kind;
  OpAttrs attrs;
};

struct GradientCase {
  std::string name;
  OpKind kind;
  OpAttrs attrs;
  std::vector<CaseOperand> inputs;
  std::vector<std::string> outputs;  ///< names of the outputs, in order
  std::vector<CaseNode> backward;
  std::vector<CaseOperand> updates;  ///< persistent tensors of the forward pass
  bool loss = false;                 ///< output 0 is a loss: it starts the chain
  int salt = 0;                      ///< of the values: where Fill alone does not keep kinks away
};
inline void PrintTo(const GradientCase& test, std::ostream* stream) { *stream << test.name; }

const std::vector<GradientCase>& gradient_cases();

/// Two samples, so that parameter gradients are sums over samples.
constexpr std::int64_t kCaseBatch = 2;
StepScalars case_scalars();

TensorType type_of(const CaseOperand& operand);
Values values_of(const GradientCase& test, const CaseOperand& operand);
/// The request of the forward pass.
KernelRequest request_of(const GradientCase& test);
/// The gradient that arrives at output 0.
Values cotangent_of(const GradientCase& test);

/// d/d(operand) of sum(dy * output 0); of a loss, of its sum over samples times loss_scale. Central
/// differences of fourth order in double over f32 outputs, step 1/32: error near 1e-5 at values
/// near 1.
std::vector<double> numeric_gradient(Device& device, const GradientCase& test,
                                     const std::string& operand);

/// The largest |a - n| / (1 + |n|) over the elements.
double worst_difference(const Values& analytic, const std::vector<double>& numeric);
constexpr double kGradientTolerance = 3e-5;

}  // namespace pluto::testing
