// The gradient rule of every schema, run on the reference kernels, against finite differences:
// rules and kernels agree on operands and their order.
#include <gtest/gtest.h>

#include "runtime/reference/kernels.h"
#include "runtime/reference/reference_device.h"
#include "tests/runtime/gradient_cases.h"
#include "tests/support/graph_runner.h"

namespace pluto::testing {
namespace {

class GradientRules : public ::testing::TestWithParam<GradientCase> {};

TEST_P(GradientRules, AppendNodesThatAgreeWithFiniteDifferences) {
  const GradientCase& test = GetParam();
  const auto device = make_reference_device();
  GraphBuilder forward;
  std::vector<TensorId> inputs, updates;
  for (const CaseOperand& operand : test.inputs) {
    inputs.push_back(operand.batch_multiple == 0
                         ? forward.parameter(operand.name, operand.shape, {})
                         : forward.input(operand.name, operand.shape, type_of(operand).dtype));
  }
  for (const CaseOperand& operand : test.updates) {
    updates.push_back(forward.tensor(operand.name, TensorRole::kBuffer, type_of(operand)));
  }
  const auto outputs = forward.op("op", test.kind, OpPass::kForward, test.attrs, inputs, updates);
  std::optional<TensorId> dy;
  if (!test.loss) dy = forward.tensor("dy", TensorRole::kActivation, forward.type(outputs[0]));
  auto base = std::move(forward).build();
  ASSERT_TRUE(base.ok()) << base.error().message;

  GraphBuilder builder(*base);
  std::vector<std::optional<TensorId>> arriving(base->ops()[0].outputs.size());
  arriving[0] = dy;
  std::vector<bool> wanted;
  for (const CaseOperand& operand : test.inputs) wanted.push_back(operand.differentiable());
  const auto gradients = schema_of(test.kind).gradient(base->ops()[0], arriving, wanted, builder);
  ASSERT_TRUE(gradients.ok()) << gradients.error().message;
  auto graph = std::move(builder).build();
  ASSERT_TRUE(graph.ok()) << graph.error().message;

  GraphRunner runner(*graph, *device, kCaseBatch);
  for (std::size_t i = 0; i < inputs.size(); ++i)
    runner.set(inputs[i], values_of(test, test.inputs[i]));
  for (std::size_t i = 0; i < updates.size(); ++i)
    runner.set(updates[i], values_of(test, test.updates[i]));
  if (dy) runner.set(*dy, cotangent_of(test));
  runner.run(case_scalars());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!wanted[i]) continue;
    ASSERT_TRUE((*gradients)[i].has_value()) << test.inputs[i].name;
    EXPECT_LT(worst_difference(runner.get(*(*gradients)[i]),
                               numeric_gradient(*device, test, test.inputs[i].name)),
              kGradientTolerance)
        << "gradient of " << test.inputs[i].name;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, GradientRules, ::testing::ValuesIn(gradient_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace pluto::testing
