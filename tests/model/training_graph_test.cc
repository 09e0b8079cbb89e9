#include "model/training_graph.h"

#include <gmock/gmock.h>

#include <map>

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
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TrainingGraph derived(const ModelGraph& model, const OptimizerAttrs& optimizer = SgdAttrs{}) {
  auto training = differentiate(model, optimizer);
  EXPECT_TRUE(training.ok()) << training.error().message;
  return training.ok() ? std::move(*training) : TrainingGraph{};
}

std::string error_of(const ModelGraph& model) {
  const auto training = differentiate(model, SgdAttrs{});
  return training.ok() ? "no error" : training.error().message;
}

/// A model whose nodes `build` appends to x(4) and labels; it returns {logits, loss}.
template <class Build>
ModelGraph model_of(Build build) {
  GraphBuilder b;
  ModelGraph model;
  model.name = "test-model";
  model.inputs = {b.input("x", {{4}})};
  model.labels = b.input("labels", {}, DType::kI32);
  std::tie(model.logits, model.loss) = build(b, model.inputs[0], model.labels);
  return pluto::testing::finished(std::move(b), std::move(model));
}

TEST(TrainingGraphTest, BackwardIsTheReverseOfForward) {
  const TrainingGraph training = derived(pluto::testing::two_layers());
  EXPECT_THAT(
      op_names(training.graph),
      ElementsAre("fc1", "act1", "fc2", "loss", "loss.backward", "fc2.backward_weight",
                  "fc2.backward_data", "act1.backward", "fc1.backward_weight", "fc2.weight.update",
                  "fc2.bias.update", "fc1.weight.update", "fc1.bias.update"));
  EXPECT_THAT(wiring_faults(training), IsEmpty());
  std::map<OpPhase, int> count;
  for (OpPhase phase : training.phase) ++count[phase];
  EXPECT_EQ(count[OpPhase::kForward], 4);
  EXPECT_EQ(count[OpPhase::kBackward], 5);
  EXPECT_EQ(count[OpPhase::kUpdate], 4);
  EXPECT_EQ(count[OpPhase::kSync], 0);
}

TEST(TrainingGraphTest, EveryNodeKnowsTheForwardNodeItBelongsTo) {
  const TrainingGraph training = derived(pluto::testing::two_layers());
  ASSERT_EQ(training.origin.size(), training.graph.ops().size());
  std::map<std::string, std::string> origin;
  for (const Op& op : training.graph.ops()) {
    origin[op.name] = training.graph.op(training.origin[op.id.index()]).name;
  }
  EXPECT_EQ(origin.at("fc1"), "fc1");
  EXPECT_EQ(origin.at("loss.backward"), "loss");
  EXPECT_EQ(origin.at("fc2.backward_weight"), "fc2");
  EXPECT_EQ(origin.at("fc2.backward_data"), "fc2");
  EXPECT_EQ(origin.at("act1.backward"), "act1");
  EXPECT_EQ(origin.at("fc1.weight.update"), "fc1");
}

TEST(TrainingGraphTest, ParametersAreTrainedInTheOrderOfTheirGradients) {
  const TrainingGraph training = derived(pluto::testing::two_layers());
  std::vector<std::string> names;
  for (const auto& trained : training.trained) {
    names.push_back(training.graph.tensor(trained.parameter).name);
    EXPECT_EQ(training.graph.tensor(trained.gradient).name, names.back() + ".grad");
  }
  EXPECT_THAT(names, ElementsAre("fc2.weight", "fc2.bias", "fc1.weight", "fc1.bias"));
}

TEST(TrainingGraphTest, InputsGetNoGradient) {
  const TrainingGraph training = derived(pluto::testing::two_layers());
  // Nothing before fc1 is trained, so its data gradient is not computed.
  for (const Op& op : training.graph.ops()) EXPECT_NE(op.name, "fc1.backward_data");
}

TEST(TrainingGraphTest, TiedWeightsGetTheSumOfTheirGradients) {
  const TrainingGraph training = derived(pluto::testing::tied_layers());
  EXPECT_THAT(wiring_faults(training), IsEmpty());
  const Op& sum = op_named(training.graph, "shared.grad_sum");
  EXPECT_EQ(sum.kind, OpKind::kAdd);
  EXPECT_THAT(tensor_names(training.graph, sum.inputs),
              ElementsAre("fc2.backward_weight", "fc1.backward_weight"));
  EXPECT_THAT(tensor_names(training.graph, sum.outputs), ElementsAre("shared.grad"));
  EXPECT_EQ(training.trained.back().gradient, sum.outputs.front());
  for (TensorId part : sum.inputs) {
    EXPECT_EQ(training.graph.tensor(part).role, TensorRole::kActivation);
  }
}

TEST(TrainingGraphTest, FanOutBecomesAdditions) {
  // h is read three times: two additions sum its gradient.
  const ModelGraph model = model_of([](GraphBuilder& b, TensorId x, TensorId labels) {
    const TensorId w = b.parameter("w", {{4, 4}}, {Init::Kind::kNormal, 1});
    const TensorId h = b.forward("h", OpKind::kLinear, LinearAttrs{4, false}, {x, w});
    const TensorId a = b.forward("a", OpKind::kRelu, NoAttrs{}, {h});
    const TensorId t = b.forward("t", OpKind::kTanh, NoAttrs{}, {h});
    const TensorId m = b.forward("m", OpKind::kMul, NoAttrs{}, {a, t});
    const TensorId y = b.forward("y", OpKind::kAdd, AddAttrs{}, {m, h});
    return std::pair(y, b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {y, labels}));
  });
  const TrainingGraph training = derived(model);
  EXPECT_THAT(
      op_names(training.graph),
      ElementsAre("h", "a", "t", "m", "y", "loss", "loss.backward", "m.backward", "t.backward",
                  "h.grad_sum", "a.backward", "h.grad_sum_2", "h.backward_weight", "w.update"));
  EXPECT_THAT(wiring_faults(training), IsEmpty());
}

TEST(TrainingGraphTest, AnOperandReadTwiceByOneNodeCountsTwice) {
  const ModelGraph model = model_of([](GraphBuilder& b, TensorId x, TensorId labels) {
    const TensorId w = b.parameter("w", {{4, 4}}, {Init::Kind::kNormal, 1});
    const TensorId h = b.forward("h", OpKind::kLinear, LinearAttrs{4, false}, {x, w});
    const TensorId y = b.forward("y", OpKind::kAdd, AddAttrs{}, {h, h});
    return std::pair(y, b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {y, labels}));
  });
  const TrainingGraph training = derived(model);
  const Op& sum = op_named(training.graph, "h.grad_sum");
  EXPECT_THAT(tensor_names(training.graph, sum.inputs),
              ElementsAre("loss.backward", "loss.backward"));
}

TEST(TrainingGraphTest, AGradientWithOtherReadersIsCopied) {
  // The gradient of both addends is the gradient of the sum: one tensor cannot be synchronised as
  // two.
  const ModelGraph model = model_of([](GraphBuilder& b, TensorId x, TensorId labels) {
    const TensorId u = b.parameter("u", {{4, 4}}, {Init::Kind::kNormal, 1});
    const TensorId v = b.parameter("v", {{4, 4}}, {Init::Kind::kNormal, 1});
    const TensorId w = b.forward("w", OpKind::kAdd, AddAttrs{}, {u, v});
    const TensorId y = b.forward("y", OpKind::kLinear, LinearAttrs{4, false}, {x, w});
    return std::pair(y, b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {y, labels}));
  });
  const TrainingGraph training = derived(model);
  EXPECT_THAT(wiring_faults(training), IsEmpty());
  ASSERT_EQ(training.trained.size(), 2U);
  EXPECT_NE(training.trained[0].gradient, training.trained[1].gradient);
  EXPECT_EQ(op_named(training.graph, "v.grad_copy").kind, OpKind::kCast);
}

TEST(TrainingGraphTest, MomentumAndAdamKeepTheirState) {
  const auto states = [](const OptimizerAttrs& optimizer) {
    const TrainingGraph training = derived(pluto::testing::tied_layers(), optimizer);
    EXPECT_THAT(wiring_faults(training), IsEmpty());
    const TrainedParameter& head = training.trained.front();
    for (TensorId state : head.state) {
      EXPECT_EQ(training.graph.tensor(state).role, TensorRole::kOptimizerState);
      EXPECT_EQ(training.graph.tensor(state).type, training.graph.tensor(head.parameter).type);
      EXPECT_EQ(training.graph.tensor(state).init, Init{});
    }
    return tensor_names(training.graph, training.graph.op(head.update).updates);
  };
  EXPECT_THAT(states(SgdAttrs{}), ElementsAre("head.weight"));
  EXPECT_THAT(states(SgdAttrs{0.9, 0, true}), ElementsAre("head.weight", "head.weight.momentum"));
  EXPECT_THAT(states(AdamAttrs{}),
              ElementsAre("head.weight", "head.weight.adam_m", "head.weight.adam_v"));
}

TEST(TrainingGraphTest, UpdateNodesCarryTheOptimizer) {
  const AdamAttrs adam{0.8, 0.99, 1e-6, 0.01, true};
  const TrainingGraph training = derived(pluto::testing::two_layers(), adam);
  for (const auto& trained : training.trained) {
    EXPECT_EQ(training.graph.op(trained.update).kind, OpKind::kAdam);
    EXPECT_EQ(training.graph.op(trained.update).attrs, OpAttrs(adam));
  }
}

TEST(TrainingGraphTest, TheLossMayBeASumOfLosses) {
  const ModelGraph model = model_of([](GraphBuilder& b, TensorId x, TensorId labels) {
    const Init normal{Init::Kind::kNormal, 1};
    const TensorId u = b.parameter("u", {{4, 4}}, normal), v = b.parameter("v", {{3, 4}}, normal);
    const TensorId y = b.forward("y", OpKind::kLinear, LinearAttrs{4, false}, {x, u});
    const TensorId z = b.forward("z", OpKind::kLinear, LinearAttrs{3, false}, {x, v});
    const TensorId first = b.forward("first", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {y, labels});
    const TensorId second =
        b.forward("second", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {z, labels});
    return std::pair(y, b.forward("total", OpKind::kAdd, AddAttrs{}, {first, second}));
  });
  const TrainingGraph training = derived(model);
  EXPECT_THAT(wiring_faults(training), IsEmpty());
  EXPECT_EQ(op_named(training.graph, "first.backward").pass, OpPass::kBackward);
  EXPECT_EQ(op_named(training.graph, "second.backward").pass, OpPass::kBackward);
}

TEST(TrainingGraphTest, RefusesAModelWithoutLoss) {
  ModelGraph model = pluto::testing::two_layers();
  model.loss = {};
  const auto training = differentiate(model, SgdAttrs{});
  ASSERT_FALSE(training.ok());
  EXPECT_EQ(training.error().code, ErrorCode::kInvalidInput);
  EXPECT_THAT(training.error().message, HasSubstr("two-layers has no loss"));
}

TEST(TrainingGraphTest, RefusesALossThatIsNone) {
  ModelGraph model = pluto::testing::two_layers();
  model.loss = *model.graph.find_tensor("act1");
  EXPECT_THAT(error_of(model), HasSubstr("node act1 (relu) makes the loss, but is none"));
  model.loss = model.inputs[0];
  EXPECT_THAT(error_of(model), HasSubstr("the loss x is made by no node"));
}

TEST(TrainingGraphTest, NamesParametersTheLossDoesNotSee) {
  const ModelGraph model = model_of([](GraphBuilder& b, TensorId x, TensorId labels) {
    const Init normal{Init::Kind::kNormal, 1};
    const TensorId u = b.parameter("u", {{4, 4}}, normal),
                   v = b.parameter("dead", {{3, 4}}, normal);
    const TensorId y = b.forward("y", OpKind::kLinear, LinearAttrs{4, false}, {x, u});
    b.forward("unused", OpKind::kLinear, LinearAttrs{3, false}, {x, v});
    return std::pair(y, b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {y, labels}));
  });
  EXPECT_THAT(error_of(model), HasSubstr("the loss does not depend on 1 parameter(s): dead"));
}

TEST(TrainingGraphTest, NamesTheNodeThatHasNoGradient) {
  const ModelGraph model = model_of([](GraphBuilder& b, TensorId x, TensorId labels) {
    const TensorId w = b.parameter("w", {{4, 4}}, {Init::Kind::kNormal, 1});
    const TensorId h = b.forward("h", OpKind::kLinear, LinearAttrs{4, false}, {x, w});
    const TensorId far = b.forward("far", OpKind::kFactorGather, CommAttrs{0, 1}, {h});
    return std::pair(far,
                     b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {far, labels}));
  });
  EXPECT_THAT(error_of(model), HasSubstr("node far (factor_gather) has no gradient"));
}

TEST(TrainingGraphTest, KeepsTheForwardGraphUnderItsNamesAndIds) {
  const ModelGraph model = RandomModel::make(7);
  const TrainingGraph training = derived(model);
  ASSERT_GE(training.graph.ops().size(), model.graph.ops().size());
  for (const Op& op : model.graph.ops()) EXPECT_EQ(training.graph.op(op.id).name, op.name);
  for (const Tensor& tensor : model.graph.tensors()) {
    EXPECT_EQ(training.graph.tensor(tensor.id).name, tensor.name);
  }
  EXPECT_EQ(training.model.graph.fingerprint(), model.graph.fingerprint());
  EXPECT_EQ(training.loss, model.loss);
  EXPECT_EQ(training.labels, model.labels);
}

TEST(TrainingGraphTest, RandomModelsGiveValidGraphs) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    const auto training = differentiate(model, AdamAttrs{});
    ASSERT_TRUE(training.ok()) << seed << ": " << training.error().message;
    EXPECT_THAT(wiring_faults(*training), IsEmpty()) << seed;
    // Gradients complete in the order of `trained`.
    OpId last(0);
    for (const auto& trained : training->trained) {
      const OpId producer = *training->graph.tensor(trained.gradient).producer;
      EXPECT_LE(last, producer) << seed;
      last = producer;
    }
  }
}

TEST(TrainingGraphTest, SameModelSameGraph) {
  EXPECT_EQ(derived(RandomModel::make(3)).graph.fingerprint(),
            derived(RandomModel::make(3)).graph.fingerprint());
}

}  // namespace
}  // namespace pluto
