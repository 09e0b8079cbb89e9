#include "model/graph.h"

#include <gmock/gmock.h>

#include <functional>
#include <set>

#include "model/op_schema.h"

namespace pluto {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string error_of(GraphBuilder builder) {
  auto graph = std::move(builder).build();
  return graph ? std::string("no error") : graph.error().message;
}

// x(4) -> linear fc(3) -> relu; the loss of a class.
GraphBuilder small_model() {
  GraphBuilder builder;
  const TensorId x = builder.input("x", {{4}});
  const TensorId w = builder.parameter("w", {{3, 4}}, {Init::Kind::kNormal, 0.5});
  const TensorId labels = builder.input("labels", {}, DType::kI32);
  const TensorId fc = builder.forward("fc", OpKind::kLinear, LinearAttrs{3, false}, {x, w});
  const TensorId act = builder.forward("act", OpKind::kRelu, NoAttrs{}, {fc});
  builder.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {act, labels});
  return builder;
}

TEST(GraphTest, HoldsTensorsAndOpsInOrder) {
  const auto graph = small_model().build();
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  ASSERT_EQ(graph->ops().size(), 3u);
  ASSERT_EQ(graph->tensors().size(), 7u);  // x w labels fc act loss loss:1
  const Op& fc = graph->ops()[0];
  EXPECT_EQ(fc.name, "fc");
  EXPECT_EQ(graph->tensor(fc.outputs[0]).name, "fc");
  EXPECT_EQ(graph->tensor(fc.outputs[0]).producer, fc.id);
  EXPECT_EQ(graph->tensor(fc.outputs[0]).type, (TensorType{{{3}}, DType::kF32, 1}));
  EXPECT_EQ(graph->tensor(graph->ops()[2].outputs[1]).name, "loss:1");
  EXPECT_EQ(graph->op(OpId(1)).name, "act");
}

TEST(GraphTest, FindsByNameRoleAndConsumer) {
  const auto graph = small_model().build();
  const auto fc = graph->find_tensor("fc");
  ASSERT_TRUE(fc.has_value());
  EXPECT_FALSE(graph->find_tensor("fc2").has_value());
  EXPECT_THAT(graph->consumers(*fc), ElementsAre(OpId(1)));
  EXPECT_TRUE(graph->consumers(*graph->find_tensor("loss")).empty());
  EXPECT_THAT(graph->with_role(TensorRole::kParameter), ElementsAre(*graph->find_tensor("w")));
  EXPECT_EQ(graph->with_role(TensorRole::kInput).size(), 2u);
  EXPECT_EQ(parameter_count(*graph), 12);
}

TEST(GraphTest, AnOpThatReadsATensorTwiceIsOneConsumer) {
  GraphBuilder builder;
  const TensorId x = builder.input("x", {{4}});
  builder.forward("double", OpKind::kAdd, AddAttrs{}, {x, x});
  const auto graph = std::move(builder).build();
  ASSERT_TRUE(graph.ok());
  EXPECT_THAT(graph->consumers(x), ElementsAre(OpId(0)));
}

TEST(GraphTest, RolesHaveTextAndPersistence) {
  EXPECT_STREQ(to_text(TensorRole::kOptimizerState), "optimizer_state");
  EXPECT_STREQ(to_text(TensorRole::kInput), "input");
  EXPECT_TRUE(is_persistent(TensorRole::kGradient));
  EXPECT_TRUE(is_persistent(TensorRole::kBuffer));
  EXPECT_FALSE(is_persistent(TensorRole::kActivation));
  EXPECT_FALSE(is_persistent(TensorRole::kInput));
}

TEST(GraphBuilderTest, AnEmptyGraphIsLawful) {
  const auto graph = GraphBuilder().build();
  ASSERT_TRUE(graph.ok());
  EXPECT_TRUE(graph->ops().empty());
}

TEST(GraphBuilderTest, ShapeErrorNamesTheNode) {
  GraphBuilder builder;
  const TensorId x = builder.input("x", {{4}});
  const TensorId w = builder.parameter("w", {{3, 5}}, {});
  builder.forward("fc", OpKind::kLinear, LinearAttrs{3, false}, {x, w});
  EXPECT_EQ(error_of(std::move(builder)),
            "node fc (linear): operand 1 (w) is 3x5, expected 3x4 (out_features, in_features)");
}

TEST(GraphBuilderTest, FirstErrorWinsAndLaterCallsAreHarmless) {
  GraphBuilder builder;
  const TensorId x = builder.input("x", {{4}});
  const TensorId bad = builder.forward("first", OpKind::kTranspose, TransposeAttrs{{1}}, {x});
  EXPECT_TRUE(builder.failed());
  EXPECT_FALSE(bad.valid());
  const TensorId worse = builder.forward("second", OpKind::kTranspose, TransposeAttrs{{2}}, {bad});
  EXPECT_FALSE(builder.input("y", {{4}}).valid());
  EXPECT_EQ(builder.type(worse), (TensorType{}));
  EXPECT_EQ(builder.tensor_at(worse).name, "");
  EXPECT_EQ(builder.op("pool", OpKind::kMaxPool, OpPass::kForward, PoolAttrs{}, {x}).size(), 8u);
  const SplitAttrs nine{0, std::vector<std::int64_t>(9, 1)};
  EXPECT_EQ(builder.op("split", OpKind::kSplit, OpPass::kForward, nine, {bad}).size(), 9u);
  builder.fail(invalid_input("third"));
  EXPECT_THAT(error_of(std::move(builder)), HasSubstr("node first (transpose): permutation 1"));
}

TEST(GraphBuilderTest, FailuresOfModelCodeAreKept) {
  GraphBuilder builder;
  builder.fail(unsupported("input 16x16 is too small"));
  EXPECT_EQ(error_of(std::move(builder)), "input 16x16 is too small");
}

TEST(GraphBuilderTest, NamesAreUnique) {
  GraphBuilder tensors;
  tensors.input("x", {{4}});
  tensors.input("x", {{5}});
  EXPECT_EQ(error_of(std::move(tensors)), "tensor x: the name is taken by an earlier tensor");

  GraphBuilder nodes;
  const TensorId x = nodes.input("x", {{4}});
  nodes.forward("act", OpKind::kRelu, NoAttrs{}, {x});
  nodes.forward("act", OpKind::kTanh, NoAttrs{}, {x});
  EXPECT_EQ(error_of(std::move(nodes)), "node act (tanh): the name is taken by an earlier node");

  GraphBuilder output;
  const TensorId y = output.input("y", {{4}});
  output.forward("y", OpKind::kRelu, NoAttrs{}, {y});
  EXPECT_EQ(error_of(std::move(output)),
            "node y (relu): tensor y: the name is taken by an earlier tensor");

  GraphBuilder nameless;
  nameless.forward("", OpKind::kRelu, NoAttrs{}, {nameless.input("z", {{4}})});
  EXPECT_EQ(error_of(std::move(nameless)), "node  (relu): the node has no name");
}

TEST(GraphBuilderTest, ShapesOfTensorsAreChecked) {
  GraphBuilder builder;
  builder.input("x", {{4, 0}});
  EXPECT_EQ(error_of(std::move(builder)),
            "tensor x: shape 4x0 has dimension 0, expected at least 1");
}

TEST(GraphBuilderTest, OutputsTooLargeForOneSampleAreRefused) {
  GraphBuilder builder;
  const TensorId x = builder.input("x", {{1 << 22, 1}});
  const TensorId w = builder.parameter("w", {{1 << 29, 1}}, {});
  builder.forward("fc", OpKind::kLinear, LinearAttrs{1 << 29, false}, {x, w});
  EXPECT_THAT(error_of(std::move(builder)),
              HasSubstr("node fc (linear): tensor fc: shape 4194304x536870912 has more"));
}

TEST(GraphBuilderTest, OperandsMustBelongToTheGraph) {
  GraphBuilder builder;
  builder.forward("act", OpKind::kRelu, NoAttrs{}, {TensorId(7)});
  EXPECT_EQ(error_of(std::move(builder)), "node act (relu): operand 0 is no tensor of this graph");

  GraphBuilder placeholder;
  placeholder.forward("act", OpKind::kRelu, NoAttrs{}, {TensorId()});
  EXPECT_EQ(error_of(std::move(placeholder)),
            "node act (relu): operand 0 is no tensor of this graph");
}

TEST(GraphBuilderTest, AttributesMustBeThoseOfTheKind) {
  GraphBuilder builder;
  builder.forward("act", OpKind::kRelu, AddAttrs{}, {builder.input("x", {{4}})});
  EXPECT_EQ(error_of(std::move(builder)),
            "node act (relu): the attributes are those of another kind");
}

TEST(GraphBuilderTest, BackwardNodesNeedTypes) {
  GraphBuilder builder;
  const TensorId x = builder.input("x", {{4}});
  builder.op("act.backward", OpKind::kRelu, OpPass::kBackward, NoAttrs{}, {x, x});
  EXPECT_EQ(error_of(std::move(builder)),
            "node act.backward (relu backward): backward nodes need op_with_types");
}

TEST(GraphBuilderTest, OpWithTypesTakesTypesRolesAndNames) {
  GraphBuilder builder;
  const TensorId x = builder.input("x", {{4}});
  const TensorId dy = builder.tensor("dy", TensorRole::kActivation, {{{3}}, DType::kF32, 1});
  const auto outputs = builder.op_with_types(
      "fc.backward_weight", OpKind::kLinear, OpPass::kBackwardWeight, LinearAttrs{3, true}, {dy, x},
      {{{{3, 4}}, DType::kF32, 0}, {{{3}}, DType::kF32, 0}},
      {TensorRole::kGradient, TensorRole::kActivation}, {}, {"w.grad", ""});
  const auto graph = std::move(builder).build();
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  EXPECT_EQ(graph->tensor(outputs[0]).name, "w.grad");
  EXPECT_EQ(graph->tensor(outputs[0]).role, TensorRole::kGradient);
  EXPECT_EQ(graph->tensor(outputs[1]).name, "fc.backward_weight:1");
  EXPECT_EQ(graph->ops()[0].pass, OpPass::kBackwardWeight);
}

TEST(GraphBuilderTest, OpWithTypesHoldsForwardNodesToTheShapeRule) {
  GraphBuilder builder;
  const TensorId x = builder.input("x", {{4}});
  builder.op_with_types("act", OpKind::kRelu, OpPass::kForward, NoAttrs{}, {x},
                        {{{{5}}, DType::kF32, 1}}, {TensorRole::kActivation});
  EXPECT_EQ(error_of(std::move(builder)),
            "node act (relu): the output types are not those of the shape rule");

  GraphBuilder roles;
  const TensorId y = roles.input("x", {{4}});
  roles.op_with_types("act", OpKind::kRelu, OpPass::kForward, NoAttrs{}, {y},
                      {{{{4}}, DType::kF32, 1}}, {});
  EXPECT_EQ(error_of(std::move(roles)),
            "node act (relu): the output roles are not as many as the output types");
}

TEST(GraphBuilderTest, UpdatesMustBePersistentAndFit) {
  const auto sgd = [](TensorRole role, Shape shape, std::size_t count) {
    GraphBuilder builder;
    const TensorId g = builder.tensor("g", TensorRole::kGradient, {{{4}}, DType::kF32, 0});
    const TensorId w = builder.tensor("w", role, {std::move(shape), DType::kF32, 0});
    builder.op("update", OpKind::kSgd, OpPass::kForward, SgdAttrs{}, {g},
               std::vector<TensorId>(count, w));
    return error_of(std::move(builder));
  };
  EXPECT_EQ(sgd(TensorRole::kParameter, {{4}}, 1), "no error");
  EXPECT_EQ(sgd(TensorRole::kActivation, {{4}}, 1),
            "node update (sgd): update 0 (w) has role activation, expected a persistent tensor");
  EXPECT_EQ(
      sgd(TensorRole::kParameter, {{5}}, 1),
      "node update (sgd): update 0 is 5:f32:b0, expected 4 without a batch axis, as operand 0 (g)");
  EXPECT_EQ(sgd(TensorRole::kParameter, {{4}}, 2), "node update (sgd): 2 updates, expected 1 (w)");
}

TEST(GraphBuilderTest, ContinuesFromABaseGraph) {
  const auto base = small_model().build();
  GraphBuilder builder(*base);
  const TensorId act = *base->find_tensor("act");
  EXPECT_EQ(builder.tensor_at(act).name, "act");
  EXPECT_EQ(builder.base_uses(*base->find_tensor("fc")), 1u);
  EXPECT_EQ(builder.base_uses(*base->find_tensor("loss")), 0u);
  const TensorId extra = builder.forward("extra", OpKind::kTanh, NoAttrs{}, {act});
  EXPECT_EQ(builder.base_uses(act), 1u);  // the base graph's, not the builder's
  EXPECT_EQ(builder.base_uses(extra), 0u);
  EXPECT_EQ(builder.base_uses(TensorId()), 0u);
  const auto graph = std::move(builder).build();
  ASSERT_TRUE(graph.ok());
  EXPECT_EQ(graph->ops().size(), 4u);
  EXPECT_EQ(graph->consumers(act).size(), 2u);
  EXPECT_EQ(base->consumers(act).size(), 1u);

  GraphBuilder clash(*base);
  clash.forward("fc", OpKind::kTanh, NoAttrs{}, {act});
  EXPECT_EQ(error_of(std::move(clash)), "node fc (tanh): the name is taken by an earlier node");
}

TEST(FingerprintTest, SameModelSameNumber) {
  const auto first = small_model().build(), second = small_model().build();
  EXPECT_EQ(first->fingerprint(), second->fingerprint());
  EXPECT_EQ(GraphBuilder(*first).build()->fingerprint(), first->fingerprint());
}

TEST(FingerprintTest, IsTheSameInEveryVersion) {
  // A golden number: databases and plans keep it.
  EXPECT_EQ(small_model().build()->fingerprint(), 15281987855534014259u);
}

// What one graph may differ in; the defaults build the base.
struct Variant {
  std::string x = "x", w = "w", fc = "fc";
  std::int64_t width = 4;
  DType dtype = DType::kF32;
  TensorRole role = TensorRole::kParameter;
  Init init{Init::Kind::kNormal, 0.5};
  OpKind act = OpKind::kRelu;
  double scale = 1;
  bool swap = false, extra_tensor = false, add_self = false;
};

std::uint64_t fingerprint_of(const Variant& v) {
  GraphBuilder builder;
  const TensorId x = builder.input(v.x, {{v.width, v.width}}, v.dtype);
  const TensorId w = builder.tensor(v.w, v.role, {{{3, v.width}}, v.dtype, 0}, v.init);
  const TensorId fc = builder.forward(v.fc, OpKind::kLinear, LinearAttrs{3, false}, {x, w});
  const TensorId act = builder.forward("act", v.act, NoAttrs{}, {fc});
  builder.forward("product", OpKind::kMatMul, MatMulAttrs{false, true, v.scale},
                  v.swap ? std::vector{act, fc} : std::vector{fc, act});
  builder.forward("sum", OpKind::kAdd, AddAttrs{}, {act, v.add_self ? act : fc});
  if (v.extra_tensor) builder.input("unused", {{1}});
  auto graph = std::move(builder).build();
  EXPECT_TRUE(graph.ok()) << graph.error().message;
  return graph ? graph->fingerprint() : 0;
}

TEST(FingerprintTest, ChangesWithEveryPart) {
  const std::vector<std::function<void(Variant&)>> changes = {
      [](Variant&) {},
      [](Variant& v) { v.x = "x2"; },
      [](Variant& v) { v.w = "w2"; },
      [](Variant& v) { v.fc = "fc2"; },
      [](Variant& v) { v.width = 5; },
      [](Variant& v) { v.dtype = DType::kF16; },
      [](Variant& v) { v.role = TensorRole::kBuffer; },
      [](Variant& v) { v.init.kind = Init::Kind::kOnes; },
      [](Variant& v) { v.init.stddev = 0.25; },
      [](Variant& v) { v.act = OpKind::kTanh; },
      [](Variant& v) { v.scale = 1.0000000000000002; },
      [](Variant& v) { v.swap = true; },
      [](Variant& v) { v.add_self = true; },
      [](Variant& v) { v.extra_tensor = true; },
  };
  std::set<std::uint64_t> prints;
  for (const auto& change : changes) {
    Variant variant;
    change(variant);
    prints.insert(fingerprint_of(variant));
  }
  EXPECT_EQ(prints.size(), changes.size());
}

TEST(FingerprintTest, ChangesWithPassAndUpdates) {
  const auto print = [](OpPass pass, bool other_weight) {
    GraphBuilder builder;
    const TensorId g = builder.tensor("g", TensorRole::kGradient, {{{4}}, DType::kF32, 0});
    const TensorId w = builder.tensor("w", TensorRole::kParameter, {{{4}}, DType::kF32, 0});
    const TensorId u = builder.tensor("u", TensorRole::kParameter, {{{4}}, DType::kF32, 0});
    builder.op("update", OpKind::kSgd, OpPass::kForward, SgdAttrs{}, {g}, {other_weight ? u : w});
    builder.op_with_types("act", OpKind::kDropout, pass, DropoutAttrs{}, {g},
                          {{{{4}}, DType::kF32, 0}}, {TensorRole::kActivation});
    auto graph = std::move(builder).build();
    EXPECT_TRUE(graph.ok());
    return graph->fingerprint();
  };
  EXPECT_NE(print(OpPass::kForward, false), print(OpPass::kBackward, false));
  EXPECT_NE(print(OpPass::kForward, false), print(OpPass::kForward, true));
}

}  // namespace
}  // namespace pluto
