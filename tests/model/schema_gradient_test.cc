// What holds for the gradient rule of every kind.
#include "model/schema_gradient.h"

#include <gmock/gmock.h>

#include "tests/model/op_cases.h"

namespace pluto {
namespace {

std::string label(const OpCase& op_case) {
  return std::string(to_text(op_case.kind)) + " " + to_text(op_case.attrs);
}

std::vector<OpCase> differentiable_cases() {
  std::vector<OpCase> cases;
  for (OpCase& op_case : op_cases()) {
    if (schema_of(op_case.kind).gradient != nullptr) cases.push_back(std::move(op_case));
  }
  return cases;
}

TEST(GradientRuleTest, EveryFloatingOperandGetsAGradientOfItsOwnType) {
  for (const OpCase& op_case : differentiable_cases()) {
    SCOPED_TRACE(label(op_case));
    const auto result = differentiate_case(op_case);
    ASSERT_TRUE(result.ok()) << result.error().message;
    const std::vector<bool> wanted = differentiable_inputs(op_case);
    ASSERT_EQ(result->gradients.size(), op_case.inputs.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      ASSERT_EQ(result->gradients[i].has_value(), wanted[i]) << "operand " << i;
      if (!wanted[i]) continue;
      EXPECT_EQ(result->graph.tensor(*result->gradients[i]).type, op_case.inputs[i])
          << "operand " << i;
    }
  }
}

TEST(GradientRuleTest, ParameterGradientsHaveNameAndRole) {
  for (const OpCase& op_case : differentiable_cases()) {
    if (op_case.kind == OpKind::kGroupFirst) continue;  // hands on the gradient that arrives
    SCOPED_TRACE(label(op_case));
    const auto result = differentiate_case(op_case);
    ASSERT_TRUE(result.ok());
    for (std::size_t i = 0; i < op_case.inputs.size(); ++i) {
      if (!result->gradients[i]) continue;
      const Tensor& gradient = result->graph.tensor(*result->gradients[i]);
      const bool parameter = op_case.inputs[i].batch_multiple == 0;
      EXPECT_EQ(gradient.role, parameter ? TensorRole::kGradient : TensorRole::kActivation);
      if (parameter) {
        EXPECT_EQ(gradient.name, "p" + std::to_string(i) + ".grad");
      }
    }
  }
}

TEST(GradientRuleTest, NothingIsAppendedWhereNothingIsWanted) {
  for (const OpCase& op_case : differentiable_cases()) {
    SCOPED_TRACE(label(op_case));
    const auto result = differentiate_case(op_case, std::vector<bool>(op_case.inputs.size()),
                                           differentiable_outputs(op_case));
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->graph.ops().size(), 1u);
    for (const auto& gradient : result->gradients) EXPECT_FALSE(gradient.has_value());
  }
}

TEST(GradientRuleTest, NothingIsAppendedWhereNoGradientArrives) {
  for (const OpCase& op_case : differentiable_cases()) {
    SCOPED_TRACE(label(op_case));
    const std::vector<bool> arriving = differentiable_outputs(op_case);
    if (!arriving[0]) continue;  // losses start the chain
    const auto result = differentiate_case(op_case, differentiable_inputs(op_case),
                                           std::vector<bool>(arriving.size()));
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->graph.ops().size(), 1u);
  }
}

TEST(GradientRuleTest, UnwantedGradientsAreNotReturned) {
  for (const OpCase& op_case : differentiable_cases()) {
    SCOPED_TRACE(label(op_case));
    const std::vector<bool> all = differentiable_inputs(op_case);
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (!all[i]) continue;
      std::vector<bool> only(all.size());
      only[i] = true;
      const auto result = differentiate_case(op_case, only, differentiable_outputs(op_case));
      ASSERT_TRUE(result.ok()) << result.error().message;
      for (std::size_t k = 0; k < all.size(); ++k) {
        EXPECT_EQ(result->gradients[k].has_value(), k == i);
        // An unwanted gradient may be computed, but is no persistent tensor.
        const auto name = "p" + std::to_string(k) + ".grad";
        if (k != i) {
          EXPECT_FALSE(result->graph.find_tensor(name).has_value());
        }
      }
    }
  }
}

TEST(GradientRuleTest, NodesAreNamedAfterTheirOp) {
  for (const OpCase& op_case : differentiable_cases()) {
    SCOPED_TRACE(label(op_case));
    const auto result = differentiate_case(op_case);
    for (std::size_t i = 1; i < result->graph.ops().size(); ++i) {
      EXPECT_THAT(result->graph.ops()[i].name, testing::StartsWith("node.backward"));
    }
  }
}

TEST(GradientRuleTest, TiedWeightsYieldPartialGradients) {
  GraphBuilder builder;
  const TensorId ids = builder.input("ids", {{6}}, DType::kI32);
  const TensorId table = builder.parameter("table", {{11, 5}}, {});
  const TensorId hidden =
      builder.forward("embed", OpKind::kEmbedding, EmbeddingAttrs{11, 5}, {ids, table});
  const TensorId logits =
      builder.forward("head", OpKind::kLinear, LinearAttrs{11, false}, {hidden, table});
  const auto forward = std::move(builder).build();
  ASSERT_TRUE(forward.ok()) << forward.error().message;

  GraphBuilder training(*forward);
  const TensorId dy = training.tensor("dy", TensorRole::kActivation, training.type(logits));
  const auto rule = [&](std::size_t op, TensorId incoming) {
    const std::vector<std::optional<TensorId>> gradients = {incoming};
    return schema_of(forward->ops()[op].kind)
        .gradient(forward->ops()[op], gradients, {op == 1, true}, training);
  };
  const auto head = rule(1, dy);
  ASSERT_TRUE(head.ok());
  const auto embed = rule(0, *(*head)[0]);
  ASSERT_TRUE(embed.ok());
  const auto graph = std::move(training).build();
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  for (const auto& [gradient, name] : {std::pair((*head)[1], "head.backward_weight"),
                                       std::pair((*embed)[1], "embed.backward_weight")}) {
    EXPECT_EQ(graph->tensor(*gradient).name, name);
    EXPECT_EQ(graph->tensor(*gradient).role, TensorRole::kActivation);
    EXPECT_EQ(graph->tensor(*gradient).type, fixed({11, 5}));
  }
}

}  // namespace
}  // namespace pluto
