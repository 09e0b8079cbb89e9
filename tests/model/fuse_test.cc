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

TEST(FuseTest, MergesSumAndReluIntoBatchNorm) {
  const ModelGraph model = fused(pluto::testing::residual_block());
  EXPECT_THAT(op_names(model.graph),
              ElementsAre("conv", "norm", "conv2", "norm2", "pool", "head", "loss"));
  const Op& norm = op_named(model.graph, "norm");
  EXPECT_TRUE(std::get<BatchNormAttrs>(norm.attrs).relu);
  EXPECT_THAT(tensor_names(model.graph, norm.outputs), ElementsAre("act", "norm:1", "norm:2"));
  EXPECT_THAT(tensor_names(model.graph, norm.updates),
              ElementsAre("norm.running_mean", "norm.running_var"));
  EXPECT_FALSE(std::get<BatchNormAttrs>(norm.attrs).add);
  const Op& sum = op_named(model.graph, "norm2");
  EXPECT_EQ(sum.attrs, OpAttrs(BatchNormAttrs{1e-5, 0.1, true, true}));
  EXPECT_THAT(tensor_names(model.graph, sum.inputs),
              ElementsAre("conv2", "norm2.gamma", "norm2.beta", "act"));
  EXPECT_THAT(tensor_names(model.graph, sum.outputs), ElementsAre("out", "norm2:1", "norm2:2"));
  EXPECT_THAT(tensor_names(model.graph, op_named(model.graph, "pool").inputs), ElementsAre("out"));
}

TEST(FuseTest, MergesFunctionsIntoTheProductsBeforeThem) {
  const ModelGraph model = fused(pluto::testing::every_epilogue());
  EXPECT_THAT(op_names(model.graph),
              ElementsAre("conv_relu", "left", "norm_left", "right", "norm_right", "conv_silu",
                          "pool", "fc_gelu", "fc_tanh", "fc_sigmoid", "head", "loss"));
  const auto activation = [&](const char* name) {
    const OpAttrs& attrs = op_named(model.graph, name).attrs;
    const auto* conv = std::get_if<ConvAttrs>(&attrs);
    return conv != nullptr ? conv->activation : std::get<LinearAttrs>(attrs).activation;
  };
  EXPECT_EQ(activation("conv_relu"), Activation::kRelu);
  EXPECT_EQ(activation("conv_silu"), Activation::kSilu);
  EXPECT_EQ(activation("fc_gelu"), Activation::kGelu);
  EXPECT_EQ(activation("fc_tanh"), Activation::kTanh);
  EXPECT_EQ(activation("fc_sigmoid"), Activation::kSigmoid);
  // Statistics come first.
  EXPECT_EQ(activation("left"), Activation::kNone);
  EXPECT_EQ(activation("head"), Activation::kNone);
  EXPECT_THAT(tensor_names(model.graph, op_named(model.graph, "fc_tanh").outputs),
              ElementsAre("fc_tanh.y"));
  EXPECT_THAT(tensor_names(model.graph, op_named(model.graph, "fc_gelu").outputs),
              ElementsAre("fc_gelu.y", "fc_gelu"));
}

TEST(FuseTest, OfTwoNormsTheLaterTakesTheSum) {
  const ModelGraph model = fused(pluto::testing::every_epilogue());
  EXPECT_EQ(op_named(model.graph, "norm_left").attrs, OpAttrs(BatchNormAttrs{}));
  const Op& later = op_named(model.graph, "norm_right");
  EXPECT_EQ(later.attrs, OpAttrs(BatchNormAttrs{1e-5, 0.1, true, true}));
  EXPECT_EQ(model.graph.tensor(later.inputs.back()).name, "norm_left");
}

TEST(FuseTest, BackwardOfAFunctionBehindAProductReadsWhatItNeeds) {
  const auto training = differentiate(fused(pluto::testing::every_epilogue()), SgdAttrs{});
  ASSERT_TRUE(training.ok()) << training.error().message;
  EXPECT_THAT(wiring_faults(*training), IsEmpty());
  const Graph& graph = training->graph;
  const auto read = [&](const char* name) {
    return graph.tensor(op_named(graph, name).inputs.back()).name;
  };
  EXPECT_EQ(op_named(graph, "fc_gelu.backward").kind, OpKind::kGelu);
  EXPECT_EQ(read("fc_gelu.backward"), "fc_gelu");
  EXPECT_EQ(read("conv_silu.backward"), "conv_silu");
  EXPECT_EQ(op_named(graph, "fc_tanh.backward").kind, OpKind::kTanh);
  EXPECT_EQ(read("fc_tanh.backward"), "fc_tanh.y");
  EXPECT_EQ(read("conv_relu.backward"), "conv_relu.y");
  // The products are those of a layer without function: measurements of it are of use.
  EXPECT_EQ(op_named(graph, "fc_gelu.backward_weight").attrs, OpAttrs(LinearAttrs{3, true}));
  EXPECT_THAT(tensor_names(graph, op_named(graph, "fc_gelu.backward_weight").inputs),
              ElementsAre("fc_gelu.backward", "pool"));
  EXPECT_EQ(op_named(graph, "norm_right.backward").outputs.size(), 4u);
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
  const ModelGraph model = pluto::testing::tied_layers();
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
