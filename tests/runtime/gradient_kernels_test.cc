// Every backward kernel against finite differences of its forward kernel.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "runtime/reference/kernels.h"
#include "runtime/reference/reference_device.h"
#include "tests/runtime/gradient_cases.h"

namespace pluto::testing {
namespace {

class GradientKernels : public ::testing::TestWithParam<GradientCase> {};

TEST_P(GradientKernels, AgreeWithFiniteDifferencesOfTheForwardKernel) {
  const GradientCase& test = GetParam();
  const auto device = make_reference_device();

  const KernelRequest request = request_of(test);
  std::map<std::string, std::pair<TensorType, Values>> known;
  std::vector<Values> inputs, updates;
  for (const CaseOperand& operand : test.inputs) {
    inputs.push_back(values_of(test, operand));
    known[operand.name] = {type_of(operand), inputs.back()};
    known["d" + operand.name].first = type_of(operand);
  }
  for (const CaseOperand& operand : test.updates) updates.push_back(values_of(test, operand));
  const KernelOutcome forward = run_kernel(*device, request, inputs, updates, case_scalars());
  ASSERT_EQ(forward.outputs.size(), test.outputs.size());
  for (std::size_t i = 0; i < test.outputs.size(); ++i) {
    known[test.outputs[i]] = {request.signature.outputs[i], forward.outputs[i]};
  }
  known["dy"] = {request.signature.outputs[0], cotangent_of(test)};

  for (const CaseNode& node : test.backward) {
    KernelRequest backward{{node.kind, node.pass, node.attrs, {}, {}, kCaseBatch}, {}};
    std::vector<Values> operands;
    for (const std::string& name : node.inputs) {
      backward.signature.inputs.push_back(known.at(name).first);
      operands.push_back(known.at(name).second);
    }
    for (const std::string& name : node.outputs)
      backward.signature.outputs.push_back(known.at(name).first);
    const KernelOutcome outcome = run_kernel(*device, backward, operands, {}, case_scalars());
    ASSERT_EQ(outcome.outputs.size(), node.outputs.size());
    for (std::size_t i = 0; i < node.outputs.size(); ++i)
      known[node.outputs[i]].second = outcome.outputs[i];
  }
  for (const CaseOperand& operand : test.inputs) {
    if (!operand.differentiable()) continue;
    EXPECT_LT(worst_difference(known.at("d" + operand.name).second,
                               numeric_gradient(*device, test, operand.name)),
              kGradientTolerance)
        << "gradient of " << operand.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, GradientKernels, ::testing::ValuesIn(gradient_cases()),
                         [](const auto& info) { return info.param.name; });

TEST(GradientCases, EveryKindWithAGradientHasOne) {
  std::set<OpKind> covered;
  for (const GradientCase& test : gradient_cases()) covered.insert(test.kind);
  for (std::size_t i = 0; i < kOpKindCount; ++i) {
    const OpKind kind = static_cast<OpKind>(i);
    // Gradients of group nodes are those of tests/model/schema_group_test.cc. That of a loss over
    // ranks is of what all of them read: tests/runtime/reference_vocabulary_test.cc.
    if (kind == OpKind::kSplitCrossEntropy) continue;
    if (schema_of(kind).gradient != nullptr && kind < OpKind::kAllReduce) {
      EXPECT_TRUE(covered.contains(kind)) << to_text(kind);
    }
  }
}

TEST(GradientCases, EveryBackwardKernelHasOne) {
  std::set<std::pair<OpKind, OpPass>> covered;
  for (const GradientCase& test : gradient_cases()) {
    for (const CaseNode& node : test.backward) covered.insert({node.kind, node.pass});
  }
  const KernelTable table = make_reference_kernels();
  for (std::size_t i = 0; i < kOpKindCount; ++i) {
    for (const OpPass pass : {OpPass::kBackward, OpPass::kBackwardData, OpPass::kBackwardWeight}) {
      const OpKind kind = static_cast<OpKind>(i);
      if (kind == OpKind::kSplitCrossEntropy) continue;
      if (table.has(kind, pass)) {
        EXPECT_TRUE(covered.contains({kind, pass})) << to_text(kind) << " " << to_text(pass);
      }
    }
  }
}

TEST(GradientCases, EveryKindButCommunicationHasAForwardKernel) {
  const KernelTable table = make_reference_kernels();
  for (std::size_t i = 0; i < kOpKindCount; ++i) {
    const OpKind kind = static_cast<OpKind>(i);
    EXPECT_EQ(table.has(kind, OpPass::kForward), kind < OpKind::kAllReduce) << to_text(kind);
  }
}

// The comparison itself must be able to fail.
TEST(GradientCases, AWrongGradientIsFarOutsideTheTolerance) {
  EXPECT_GT(worst_difference({1.0F, 1.01F}, {1, 1}), kGradientTolerance);
  EXPECT_GT(worst_difference({NAN}, {0}), kGradientTolerance);
  EXPECT_GT(worst_difference({}, {0}), kGradientTolerance);
}

}  // namespace
}  // namespace pluto::testing
