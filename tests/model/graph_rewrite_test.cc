#include "model/passes/graph_rewrite.h"

#include <gmock/gmock.h>

#include <numeric>

#include "tests/support/graph_checks.h"
#include "tests/support/random_model.h"
#include "tests/support/toy_models.h"

namespace pluto {
namespace {

using pluto::testing::op_names;
using pluto::testing::RandomModel;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<OpId> in_order(std::size_t ops) {
  std::vector<OpId> order;
  for (std::size_t i = 0; i < ops; ++i) order.emplace_back(i);
  return order;
}

TEST(GraphRewriteTest, EqualOrderGivesTheSameGraph) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto training = differentiate(RandomModel::make(seed), AdamAttrs{});
    ASSERT_TRUE(training.ok());
    const GraphRewrite rewrite(training->graph);
    const auto result = rewrite.build(in_order(rewrite.ops()));
    ASSERT_TRUE(result.ok()) << result.error().message;
    EXPECT_EQ(result->graph.fingerprint(), training->graph.fingerprint());
    for (std::size_t i = 0; i < result->tensors.size(); ++i) {
      EXPECT_EQ(result->tensors[i], TensorId(i));
    }
  }
}

TEST(GraphRewriteTest, ChangesAddsAndMoves) {
  const ModelGraph model = pluto::testing::two_layers();
  GraphRewrite rewrite(model.graph);
  const TensorId act = *model.graph.find_tensor("act1");
  rewrite.op(OpId(0)).name = "first";
  const OpId extra = rewrite.add_op("extra", OpKind::kTanh, OpPass::kForward, NoAttrs{}, {act},
                                    {model.graph.tensor(act).type});
  rewrite.op(OpId(2)).inputs[0] = rewrite.op(extra).outputs[0];
  const auto result = rewrite.build(std::vector{OpId(0), OpId(1), extra, OpId(2), OpId(3)});
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_THAT(op_names(result->graph), ElementsAre("first", "act1", "extra", "fc2", "loss"));
  EXPECT_EQ(result->ops[extra.index()], OpId(2));
  EXPECT_EQ(result->graph.op(OpId(3)).inputs[0], *result->graph.find_tensor("extra"));
  // The tensor keeps its name when only the node's changes.
  EXPECT_TRUE(result->graph.find_tensor("fc1").has_value());
}

TEST(GraphRewriteTest, DropsNodesWithTheirOutputs) {
  const ModelGraph model = pluto::testing::two_layers();
  const GraphRewrite rewrite(model.graph);
  const auto result = rewrite.build(std::vector{OpId(0), OpId(1), OpId(2)});
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(result->tensors[model.loss.index()].valid());
  EXPECT_FALSE(result->ops[3].valid());
  EXPECT_TRUE(result->tensors[model.labels.index()].valid());
}

TEST(GraphRewriteTest, RefusesAnOrderThatReadsTooEarly) {
  const ModelGraph model = pluto::testing::two_layers();
  const GraphRewrite rewrite(model.graph);
  const auto result = rewrite.build(std::vector{OpId(1), OpId(0), OpId(2), OpId(3)});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kInternal);
  EXPECT_THAT(result.error().message, HasSubstr("node act1 was moved before its operand fc1"));
}

TEST(GraphRewriteTest, PassesOnWhatTheBuilderRefuses) {
  const ModelGraph model = pluto::testing::two_layers();
  GraphRewrite rewrite(model.graph);
  rewrite.add_tensor("x", TensorRole::kBuffer, {});
  EXPECT_THAT(rewrite.build(in_order(4)).error().message, HasSubstr("x"));
}

}  // namespace
}  // namespace pluto
