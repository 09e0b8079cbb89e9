#include "model/passes/fuse_attention.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>

#include "model/op_schema.h"
#include "model/passes/passes.h"
#include "tests/support/graph_checks.h"
#include "tests/support/recompute_models.h"

namespace pluto {
namespace {

using pluto::testing::finished;
using pluto::testing::op_named;
using pluto::testing::op_names;
using pluto::testing::small_gpt;
using pluto::testing::tensor_names;
using pluto::testing::wiring_faults;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::int64_t kTokens = 6, kHeads = 2, kWidth = 4;

/// How one attention is written.
struct Writing {
  MatMulAttrs scores{false, true, 0.5};  // 1 / sqrt(4)
  std::vector<std::int64_t> key_turn = {1, 0, 2};
  bool mask = false, drop = false, read_twice = false, weights_are_logits = false;
  bool shared = false;     ///< one split of heads for queries and keys
  bool four_axes = false;  ///< results leave as (1, T, h d)
  std::int64_t positions = kTokens;
};

ModelGraph attention(const Writing& how) {
  GraphBuilder b;
  ModelGraph model;
  model.name = "attention";
  model.inputs = {b.input("x", {{how.positions, kHeads * kWidth}})};
  const auto forward = [&](const std::string& name, OpKind kind, OpAttrs attrs,
                           std::vector<TensorId> inputs) {
    return b.forward(name, kind, std::move(attrs), std::move(inputs));
  };
  const auto linear = [&](const std::string& name, TensorId x) {
    return forward(name, OpKind::kLinear, LinearAttrs{kHeads * kWidth, false},
                   {x, b.parameter(name + ".w", {{kHeads * kWidth, kHeads * kWidth}}, {})});
  };
  const auto heads = [&](const std::string& name, TensorId x, std::vector<std::int64_t> turn) {
    const TensorId split = forward(name + ".split", OpKind::kReshape,
                                   ReshapeAttrs{{how.positions, kHeads, kWidth}}, {x});
    return forward(name + ".turn", OpKind::kTranspose, TransposeAttrs{std::move(turn)}, {split});
  };
  const TensorId q = heads("q", linear("wq", model.inputs[0]), {1, 0, 2});
  const TensorId k = how.shared ? q : heads("k", linear("wk", model.inputs[0]), how.key_turn);
  const TensorId v = heads("v", linear("wv", model.inputs[0]), {1, 0, 2});
  TensorId y = forward("scores", OpKind::kMatMul, how.scores, {q, k});
  if (how.mask) {
    const TensorId mask = b.input("mask", {{kHeads, how.positions, how.positions}});
    y = forward("masked", OpKind::kAdd, AddAttrs{}, {y, mask});
  }
  y = forward("softmax", OpKind::kSoftmax, NoAttrs{}, {y});
  const TensorId weights = y;
  if (how.drop) y = forward("drop", OpKind::kDropout, DropoutAttrs{0.1, 0}, {y});
  y = forward("context", OpKind::kMatMul, MatMulAttrs{}, {y, v});
  y = forward("back", OpKind::kTranspose, TransposeAttrs{{1, 0, 2}}, {y});
  const std::vector<std::int64_t> joined = {how.positions, kHeads * kWidth};
  const std::vector<std::int64_t> wide = {1, how.positions, kHeads * kWidth};
  y = forward("joined", OpKind::kReshape, ReshapeAttrs{how.four_axes ? wide : joined}, {y});
  model.logits = linear("wo", y);
  if (how.read_twice) {
    model.logits = forward("again", OpKind::kMatMul, MatMulAttrs{}, {weights, v});
  }
  if (how.weights_are_logits) model.logits = weights;
  return finished(std::move(b), std::move(model));
}

ModelGraph fused(const ModelGraph& model) {
  auto result = fuse_attention(model);
  EXPECT_TRUE(result.ok()) << result.error().message;
  return result.ok() ? std::move(*result) : ModelGraph{};
}

TEST(FuseAttentionTest, ReplacesAllBetweenTheProjections) {
  const ModelGraph model = fused(attention({}));
  EXPECT_THAT(op_names(model.graph), ElementsAre("wq", "wk", "wv", "context", "wo"));
  const Op& node = op_named(model.graph, "context");
  EXPECT_EQ(node.kind, OpKind::kAttention);
  EXPECT_EQ(node.attrs, OpAttrs(AttentionAttrs{kHeads, kHeads, false}));
  EXPECT_THAT(tensor_names(model.graph, node.inputs), ElementsAre("wq", "wk", "wv"));
  EXPECT_THAT(tensor_names(model.graph, node.outputs), ElementsAre("joined", "context:1"));
  EXPECT_EQ(model.graph.tensor(model.logits).name, "wo");
}

TEST(FuseAttentionTest, KeysMayBeTurnedByATransposeInsteadOfTheProduct) {
  Writing how;
  how.scores.transpose_b = false;
  how.key_turn = {1, 2, 0};
  EXPECT_EQ(fused(attention(how)).graph.ops().size(), 5U);
  // As long as heads are wide: the same sizes, but keys and width exchanged.
  how.positions = kWidth;
  how.key_turn = {1, 0, 2};
  EXPECT_EQ(fused(attention(how)).graph.fingerprint(), attention(how).graph.fingerprint());
}

TEST(FuseAttentionTest, HeadsSplitForTwoGoOnce) {
  Writing how;
  how.shared = true;
  const ModelGraph model = fused(attention(how));
  EXPECT_THAT(op_names(model.graph), ElementsAre("wq", "wv", "context", "wo"));
  EXPECT_THAT(tensor_names(model.graph, op_named(model.graph, "context").inputs),
              ElementsAre("wq", "wq", "wv"));
}

TEST(FuseAttentionTest, OtherShapesAreReached) {
  Writing how;
  how.four_axes = true;
  const ModelGraph model = fused(attention(how));
  EXPECT_THAT(op_names(model.graph),
              ElementsAre("wq", "wk", "wv", "context", "context.shape", "wo"));
  EXPECT_THAT(tensor_names(model.graph, op_named(model.graph, "context.shape").outputs),
              ElementsAre("joined"));
}

TEST(FuseAttentionTest, LeavesWhatIsNotExactlyAttention) {
  const std::vector<std::function<void(Writing&)>> changes = {
      [](Writing& how) { how.scores.scale = 1; },
      [](Writing& how) { how.scores.scale = 0.50001; },
      [](Writing& how) { how.mask = true; },
      [](Writing& how) { how.drop = true; },
      [](Writing& how) { how.read_twice = true; },
      [](Writing& how) { how.weights_are_logits = true; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Writing how;
    changes[i](how);
    const ModelGraph model = attention(how);
    EXPECT_EQ(fused(model).graph.fingerprint(), model.graph.fingerprint()) << i;
  }
}

TEST(FuseAttentionTest, IsPartOfFuseAndKeepsTheWiring) {
  const ModelGraph model = small_gpt(3, true, false);
  const auto result = fuse_attention(model);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(fuse_attention(*result)->graph.fingerprint(), result->graph.fingerprint());
  const auto training = differentiate(*result, SgdAttrs{});
  ASSERT_TRUE(training.ok()) << training.error().message;
  EXPECT_THAT(wiring_faults(*training), IsEmpty());
}

// What is priced: the scores never reach memory, and seven kernels are one. Nodes cost their bytes
// and a launch each (costmodel).
TEST(FuseAttentionTest, SavesTheTrafficOfTheScores) {
  const ModelGraph before = attention({}), after = fused(before);
  const auto traffic = [](const Graph& graph, const std::vector<std::string>& names) {
    std::int64_t sum = 0;
    for (const std::string& name : names) {
      const OpWork work = op_work(graph, op_named(graph, name), 1);
      sum += (work.read + work.written).value();
    }
    return sum;
  };
  const std::int64_t row = kTokens * kHeads * kWidth * 4, scores = kHeads * kTokens * kTokens * 4;
  // Two products, a softmax; q, k, v and the result turned. Views are not counted.
  EXPECT_EQ(
      traffic(before.graph, {"scores", "softmax", "context", "q.turn", "k.turn", "v.turn", "back"}),
      4 * row + 4 * scores + 8 * row);
  EXPECT_EQ(traffic(after.graph, {"context"}), 4 * row + kHeads * kTokens * 4);
}

}  // namespace
}  // namespace pluto
