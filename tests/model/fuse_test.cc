#include <gmock/gmock.h>

#include <algorithm>

#include "model/passes/passes.h"
#include "tests/support/graph_checks.h"
#include "tests/support/random_model.h"
#include "tests/support/toy_models.h"

namespace pluto {
namespace {

using pluto::testing::op_named;
using pluto::testing::op_names;
using pluto::testing::RandomModel;
using pluto::testing::tensor_names;
using pluto::testing::wiring_faults;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

ModelGraph fused(const ModelGraph& model) {
  auto result = fuse(model);
  EXPECT_TRUE(result.ok()) << result.error().message;
  return result.ok() ? std::move(*result) : ModelGraph{};
}

TEST(FuseTest, MergesReluIntoBatchNormAndAdd) {
  const ModelGraph model = fused(pluto::testing::residual_block());
  EXPECT_THAT(op_names(model.graph),
              ElementsAre("conv", "norm", "conv2", "norm2", "sum", "pool", "head", "loss"));
  const Op& norm = op_named(model.graph, "norm");
  EXPECT_TRUE(std::get<BatchNormAttrs>(norm.attrs).relu);
  EXPECT_THAT(tensor_names(model.graph, norm.outputs), ElementsAre("act", "norm:1", "norm:2"));
  EXPECT_THAT(tensor_names(model.graph, norm.updates),
              ElementsAre("norm.running_mean", "norm.running_var"));
  EXPECT_TRUE(std::get<AddAttrs>(op_named(model.graph, "sum").attrs).relu);
  EXPECT_THAT(tensor_names(model.graph, op_named(model.graph, "pool").inputs), ElementsAre("out"));
  // norm2 has no relu behind it.
  EXPECT_FALSE(std::get<BatchNormAttrs>(op_named(model.graph, "norm2").attrs).relu);
}

TEST(FuseTest, BackwardOfAFusedNormReadsItsResult) {
  const auto training = differentiate(fused(pluto::testing::residual_block()), SgdAttrs{});
  ASSERT_TRUE(training.ok()) << training.error().message;
  EXPECT_THAT(wiring_faults(*training), IsEmpty());
  EXPECT_EQ(training->graph.tensor(op_named(training->graph, "norm.backward").inputs.back()).name,
            "act");
}

/// x(4) -> sum = fc + fc2 -> out (relu); `also` may read sum or name it as the logits.
template <class Also>
ModelGraph sum_model(Also also) {
  GraphBuilder b;
  ModelGraph model;
  model.inputs = {b.input("x", {{4}})};
  model.labels = b.input("labels", {}, DType::kI32);
  const TensorId u = b.parameter("u", {{4, 4}}, {}), v = b.parameter("v", {{4, 4}}, {});
  const LinearAttrs square{4, false};
  const TensorId left = b.forward("left", OpKind::kLinear, square, {model.inputs[0], u});
  const TensorId right = b.forward("right", OpKind::kLinear, square, {model.inputs[0], v});
  const TensorId sum = b.forward("sum", OpKind::kAdd, AddAttrs{}, {left, right});
  const TensorId out = b.forward("out", OpKind::kRelu, NoAttrs{}, {sum});
  model.logits = also(b, sum, out);
  model.loss =
      b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {model.logits, model.labels});
  return pluto::testing::finished(std::move(b), std::move(model));
}

bool sum_is_fused(const ModelGraph& model) {
  return std::get<AddAttrs>(op_named(model.graph, "sum").attrs).relu;
}

TEST(FuseTest, FusesWhatOnlyTheReluReads) {
  const ModelGraph model = fused(sum_model([](auto&, TensorId, TensorId out) { return out; }));
  EXPECT_TRUE(sum_is_fused(model));
  EXPECT_EQ(model.graph.tensor(model.logits).name, "out");
}

TEST(FuseTest, LeavesWhatOthersReadToo) {
  const ModelGraph model = fused(sum_model([](GraphBuilder& b, TensorId sum, TensorId out) {
    return b.forward("again", OpKind::kMul, NoAttrs{}, {sum, out});
  }));
  EXPECT_FALSE(sum_is_fused(model));
}

TEST(FuseTest, LeavesTheLogits) {
  EXPECT_FALSE(sum_is_fused(fused(sum_model([](auto&, TensorId sum, TensorId) { return sum; }))));
}

TEST(FuseTest, FusesOnce) {
  const ModelGraph once = fused(pluto::testing::residual_block());
  EXPECT_EQ(fused(once).graph.fingerprint(), once.graph.fingerprint());
}

TEST(FuseTest, LeavesAModelWithoutPairsAsItIs) {
  const ModelGraph model = pluto::testing::two_layers();
  EXPECT_EQ(fused(model).graph.fingerprint(), model.graph.fingerprint());
}

TEST(FuseTest, RandomModelsKeepTheirInterface) {
  int merged = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    const ModelGraph result = fused(model);
    merged += static_cast<int>(model.graph.ops().size() - result.graph.ops().size());
    EXPECT_EQ(result.graph.tensor(result.loss).name, model.graph.tensor(model.loss).name);
    EXPECT_EQ(result.graph.tensor(result.logits).name, model.graph.tensor(model.logits).name);
    EXPECT_EQ(parameter_count(result.graph), parameter_count(model.graph));
    const auto training = differentiate(result, SgdAttrs{});
    ASSERT_TRUE(training.ok()) << seed << ": " << training.error().message;
    EXPECT_THAT(wiring_faults(*training), IsEmpty()) << seed;
  }
  EXPECT_GT(merged, 20);
}

}  // namespace
}  // namespace pluto
