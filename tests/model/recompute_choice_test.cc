// Which nodes run again, and where segments are cut.

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "model/passes/passes.h"
#include "model/passes/recompute.h"
#include "model/zoo.h"
#include "tests/support/toy_models.h"

namespace pluto {
namespace {

using pluto::testing::finished;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

/// Nodes of which backward reads a copy.
std::vector<std::string> repeated(const ModelGraph& model, Recompute how) {
  const auto training = differentiate(model, SgdAttrs{});
  EXPECT_TRUE(training.ok()) << training.error().message;
  const std::vector<bool> dropped = dropped_activations(*training, how);
  EXPECT_EQ(dropped.size(), training->graph.tensors().size());
  std::vector<std::string> names;
  for (const Op& op : training->graph.ops()) {
    const bool any = std::any_of(op.outputs.begin(), op.outputs.end(),
                                 [&](TensorId id) { return dropped[id.index()]; });
    if (any) names.push_back(op.name);
  }
  return names;
}

/// Linear layers "l0" .. of one width and a tanh ("t0" ..) after each, mean square error.
ModelGraph tower(int layers) {
  GraphBuilder b;
  ModelGraph model;
  model.inputs = {b.input("x", {{16}})};
  model.labels = b.input("target", {{16}});
  TensorId x = model.inputs[0];
  for (int i = 0; i < layers; ++i) {
    const std::string number = std::to_string(i);
    const TensorId w = b.parameter("w" + number, {{16, 16}}, {});
    x = b.forward("l" + number, OpKind::kLinear, LinearAttrs{16, false}, {x, w});
    x = b.forward("t" + number, OpKind::kTanh, NoAttrs{}, {x});
  }
  model.logits = x;
  model.loss = b.forward("loss", OpKind::kMse, NoAttrs{}, {x, model.labels});
  return finished(std::move(b), std::move(model));
}

/// One head of attention as importers see it: scores, mask, softmax, dropout, context.
ModelGraph eager_attention() {
  GraphBuilder b;
  ModelGraph model;
  model.inputs = {b.input("x", {{4, 8}})};
  model.labels = b.input("target", {{4, 8}});
  const auto linear = [&](const std::string& name, TensorId x) {
    return b.forward(name, OpKind::kLinear, LinearAttrs{8, false},
                     {x, b.parameter(name + ".w", {{8, 8}}, {})});
  };
  const TensorId q = linear("q", model.inputs[0]), k = linear("k", model.inputs[0]);
  const TensorId v = linear("v", model.inputs[0]);
  const TensorId scores =
      b.forward("scores", OpKind::kMatMul, MatMulAttrs{false, true, 0.5}, {q, k});
  const TensorId mask = b.input("mask", {{4, 4}});
  const TensorId masked = b.forward("masked", OpKind::kAdd, AddAttrs{}, {scores, mask});
  const TensorId weights = b.forward("softmax", OpKind::kSoftmax, NoAttrs{}, {masked});
  const TensorId dropped = b.forward("drop", OpKind::kDropout, DropoutAttrs{0.1, 0}, {weights});
  const TensorId context = b.forward("context", OpKind::kMatMul, MatMulAttrs{}, {dropped, v});
  model.logits = linear("out", b.forward("gelu", OpKind::kGelu, NoAttrs{}, {context}));
  model.loss = b.forward("loss", OpKind::kMse, NoAttrs{}, {model.logits, model.labels});
  return finished(std::move(b), std::move(model));
}

TEST(RecomputeChoiceTest, NoneRepeatsNothing) {
  EXPECT_THAT(repeated(tower(9), Recompute::kNone), IsEmpty());
}

TEST(RecomputeChoiceTest, CheapNodesOfKeptOperandsAreRepeated) {
  // conv (read by norm's backward) and sum's operands decide; out follows an addition whose
  // operands are repeated or not kept.
  EXPECT_THAT(repeated(pluto::testing::residual_block(), Recompute::kSelective),
              ElementsAre("norm", "act", "norm2", "pool"));
  // The operand of a relu after a product is not kept: keeping it instead of the result saves
  // nothing.
  EXPECT_THAT(repeated(pluto::testing::two_layers(), Recompute::kSelective), IsEmpty());
  // flatten is a view of pool2.
  EXPECT_THAT(repeated(*build_model("lenet"), Recompute::kSelective),
              ElementsAre("pool1", "pool2", "flatten"));
}

TEST(RecomputeChoiceTest, AttentionIsRepeatedAndNothingElse) {
  ZooOptions options;
  options.layers = 3;
  EXPECT_THAT(repeated(*build_model("gpt2", options), Recompute::kSelective),
              ElementsAre("h0.attention", "h1.attention", "h2.attention"));
  EXPECT_THAT(repeated(eager_attention(), Recompute::kSelective),
              ElementsAre("scores", "masked", "softmax", "drop"));
  EXPECT_THAT(repeated(*build_model("gru-seq2seq"), Recompute::kSelective),
              ElementsAre("scores", "attention"));
}

TEST(RecomputeChoiceTest, LayersOfATransformerKeepTheirInput) {
  ZooOptions options;
  options.layers = 2;
  const std::vector<std::string> layer = {".ln1",  ".qkv", ".split", ".attention", ".proj",
                                          ".add1", ".ln2", ".up",    ".gelu",      ".down"};
  std::vector<std::string> expected;
  for (const char* block : {"h0", "h1"}) {
    for (const std::string& op : layer) expected.push_back(block + op);
  }
  // position, h0.add2 and h1.add2 are the boundaries; the head stays.
  EXPECT_EQ(repeated(*build_model("gpt2", options), Recompute::kFull), expected);
  options.layers = 1;
  expected.resize(layer.size());
  EXPECT_EQ(repeated(*build_model("gpt2", options), Recompute::kFull), expected);
}

TEST(RecomputeChoiceTest, LayersThatEndInANormKeepItsOperand) {
  ZooOptions options;
  options.layers = 3;
  const auto names = repeated(*build_model("bert-base", options), Recompute::kFull);
  for (const char* boundary : {"layer0.add2", "layer1.add2", "layer2.add2", "head.transform"}) {
    EXPECT_THAT(names, Not(Contains(boundary)));
  }
  for (const char* inner : {"layer0.ln2", "layer1.ln1", "layer2.down"}) {
    EXPECT_THAT(names, Contains(inner));
  }
}

TEST(RecomputeChoiceTest, ATowerKeepsTheRootOfItsLayers) {
  for (const int layers : {1, 4, 9, 16, 25, 64}) {
    const auto names = repeated(tower(layers), Recompute::kFull);
    int kept = 0, last = 0, run = 0, longest = 0;
    for (int i = 0; i < layers; ++i) {
      const std::string name = "t" + std::to_string(i);
      const bool again = std::find(names.begin(), names.end(), name) != names.end();
      kept += again ? 0 : 1;
      last = again ? 0 : last + 1;
      run = again ? run + 1 : 0;
      longest = std::max(longest, run);
    }
    // Boundaries and the largest segment: the best of any chain is 2 sqrt(n) - 1 (Chen et al.
    // 2016). The boundary before the last segment is the first of the nodes that end kept.
    const int boundaries = names.empty() ? 0 : kept - last + 1;
    const int inside = names.empty() ? layers : last - 1;
    EXPECT_EQ(boundaries + std::max(longest, inside), 2 * std::sqrt(layers) - 1) << layers;
    EXPECT_THAT(names, Not(Contains("loss")));
  }
}

TEST(RecomputeChoiceTest, SegmentsEndWhereLittleCrosses) {
  // Between the branches of a block more crosses than at its end.
  const auto names = repeated(*build_model("resnet50"), Recompute::kFull);
  EXPECT_THAT(names, Contains("layer1.0.conv1"));
  EXPECT_THAT(names, Contains("layer3.1.conv2.bn"));
  int inside = 0, additions = 0;
  for (const std::string& name : names) {
    inside += name.find(".conv") != std::string::npos && name.ends_with(".relu") ? 1 : 0;
    additions += name.find(".add") != std::string::npos ? 1 : 0;
  }
  EXPECT_GT(inside, 10);
  EXPECT_LT(additions, 16);
}

}  // namespace
}  // namespace pluto
