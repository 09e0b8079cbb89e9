#include <gmock/gmock.h>

#include <map>
#include <random>

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
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TrainingGraph derived(const ModelGraph& model, int accumulation = 1) {
  auto training = differentiate(model, SgdAttrs{});
  EXPECT_TRUE(training.ok()) << training.error().message;
  auto accumulated = accumulate_gradients(*training, accumulation);
  EXPECT_TRUE(accumulated.ok()) << accumulated.error().message;
  return std::move(*accumulated);
}

Bucket bucket(const TrainingGraph& training, SyncMethod method,
              const std::vector<std::string>& names) {
  Bucket result{method, {}};
  for (const auto& name : names) result.parameters.push_back(*training.graph.find_tensor(name));
  return result;
}

Bucket everything(const TrainingGraph& training, SyncMethod method) {
  Bucket result{method, {}};
  for (const auto& trained : training.trained) result.parameters.push_back(trained.parameter);
  return result;
}

TrainingGraph synchronised(const TrainingGraph& training, const std::vector<Bucket>& buckets,
                           int ranks = 4) {
  auto result = insert_sync(training, buckets, ranks);
  EXPECT_TRUE(result.ok()) << result.error().message;
  if (!result.ok()) return {};
  EXPECT_THAT(wiring_faults(*result), IsEmpty());
  return std::move(*result);
}

std::string error_of(const TrainingGraph& training, const std::vector<Bucket>& buckets,
                     int ranks = 4) {
  const auto result = insert_sync(training, buckets, ranks);
  if (result.ok()) return "no error";
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidInput);
  return result.error().message;
}

TEST(InsertSyncTest, AllReduceFollowsTheLastGradientOfItsBucket) {
  const TrainingGraph training = derived(pluto::testing::two_layers());
  const TrainingGraph result = synchronised(
      training, {bucket(training, SyncMethod::kAllReduce, {"fc2.weight", "fc2.bias"}),
                 bucket(training, SyncMethod::kAllReduce, {"fc1.weight", "fc1.bias"})});
  EXPECT_THAT(op_names(result.graph),
              ElementsAre("fc1", "act1", "fc2", "loss", "loss.backward", "fc2.backward_weight",
                          "bucket0.all_reduce", "fc2.backward_data", "act1.backward",
                          "fc1.backward_weight", "bucket1.all_reduce", "fc2.weight.update",
                          "fc2.bias.update", "fc1.weight.update", "fc1.bias.update"));
  const Op& all_reduce = op_named(result.graph, "bucket1.all_reduce");
  EXPECT_THAT(tensor_names(result.graph, all_reduce.updates),
              ElementsAre("fc1.weight.grad", "fc1.bias.grad"));
  EXPECT_EQ(all_reduce.attrs, OpAttrs(CommAttrs{1, 4}));
  EXPECT_EQ(result.phase[all_reduce.id.index()], OpPhase::kSync);
}

TEST(InsertSyncTest, ServersPushUpdatePull) {
  const TrainingGraph training = derived(pluto::testing::two_layers());
  const TrainingGraph result =
      synchronised(training, {everything(training, SyncMethod::kParameterServer)});
  EXPECT_THAT(op_names(result.graph),
              ElementsAre("fc1", "act1", "fc2", "loss", "loss.backward", "fc2.backward_weight",
                          "fc2.backward_data", "act1.backward", "fc1.backward_weight",
                          "bucket0.push", "fc2.weight.update", "fc2.bias.update",
                          "fc1.weight.update", "fc1.bias.update", "bucket0.pull"));
  const std::vector<std::string> parameters = {"fc2.weight", "fc2.bias", "fc1.weight", "fc1.bias"};
  EXPECT_EQ(tensor_names(result.graph, op_named(result.graph, "bucket0.pull").updates), parameters);
  EXPECT_THAT(tensor_names(result.graph, op_named(result.graph, "bucket0.push").updates),
              ElementsAre("fc2.weight.grad", "fc2.bias.grad", "fc1.weight.grad", "fc1.bias.grad"));
}

TEST(InsertSyncTest, FactorsAreGatheredThenMultipliedLate) {
  const TrainingGraph training = derived(pluto::testing::two_layers());
  const TrainingGraph result =
      synchronised(training, {everything(training, SyncMethod::kSufficientFactor)}, 8);
  EXPECT_THAT(
      op_names(result.graph),
      ElementsAre("fc1", "act1", "fc2", "loss", "loss.backward", "loss.backward.gathered",
                  "act1.gathered", "fc2.backward_data", "act1.backward", "act1.backward.gathered",
                  "x.gathered", "fc2.backward_weight", "fc1.backward_weight", "fc2.weight.update",
                  "fc2.bias.update", "fc1.weight.update", "fc1.bias.update"));
  const Op& multiply = op_named(result.graph, "fc1.backward_weight");
  EXPECT_THAT(tensor_names(result.graph, multiply.inputs),
              ElementsAre("act1.backward.gathered", "x.gathered"));
  for (TensorId factor : multiply.inputs) {
    EXPECT_EQ(result.graph.tensor(factor).type.batch_multiple, 8);
  }
  EXPECT_EQ(result.phase[op_named(result.graph, "x.gathered").id.index()], OpPhase::kBackward);
  EXPECT_EQ(result.phase[multiply.id.index()], OpPhase::kBackward);
}

TEST(InsertSyncTest, ASharedFactorIsGatheredOnce) {
  GraphBuilder b;
  ModelGraph model;
  model.inputs = {b.input("x", {{4}})};
  model.labels = b.input("labels", {}, DType::kI32);
  const LinearAttrs square{4, false};
  const TensorId u = b.parameter("u", {{4, 4}}, {}), v = b.parameter("v", {{4, 4}}, {});
  const TensorId left = b.forward("left", OpKind::kLinear, square, {model.inputs[0], u});
  const TensorId right = b.forward("right", OpKind::kLinear, square, {model.inputs[0], v});
  model.logits = b.forward("sum", OpKind::kAdd, AddAttrs{}, {left, right});
  model.loss =
      b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {model.logits, model.labels});
  const TrainingGraph training = derived(pluto::testing::finished(std::move(b), std::move(model)));
  const TrainingGraph result =
      synchronised(training, {everything(training, SyncMethod::kSufficientFactor)});
  int gathers = 0;
  for (const Op& op : result.graph.ops()) gathers += op.kind == OpKind::kFactorGather;
  EXPECT_EQ(gathers, 2);  // x, and the gradient that both layers share
  EXPECT_EQ(op_named(result.graph, "left.backward_weight").inputs,
            op_named(result.graph, "right.backward_weight").inputs);
}

TEST(InsertSyncTest, AccumulationKeepsTheFactorsPerMicroBatch) {
  const TrainingGraph training = derived(pluto::testing::two_layers(), 4);
  const TrainingGraph result = synchronised(
      training, {bucket(training, SyncMethod::kSufficientFactor, {"fc2.weight", "fc2.bias"}),
                 bucket(training, SyncMethod::kAllReduce, {"fc1.weight", "fc1.bias"})});
  EXPECT_THAT(
      op_names(result.graph),
      ElementsAre("fc1", "act1", "fc2", "loss", "loss.backward", "loss.backward.gathered",
                  "act1.gathered", "fc2.backward_data", "act1.backward", "fc1.backward_weight",
                  "fc1.weight.accumulate", "fc1.bias.accumulate", "bucket1.all_reduce",
                  "fc2.backward_weight", "fc2.weight.accumulate", "fc2.bias.accumulate",
                  "fc2.weight.update", "fc2.bias.update", "fc1.weight.update", "fc1.bias.update"));
  EXPECT_EQ(result.phase[op_named(result.graph, "fc2.bias.accumulate").id.index()],
            OpPhase::kBackward);
}

TEST(InsertSyncTest, TrainedParametersFollowTheBuckets) {
  // Not neighbours in gradient order, but one slice all the same.
  const TrainingGraph training = derived(pluto::testing::two_layers());
  const TrainingGraph result = synchronised(
      training, {bucket(training, SyncMethod::kAllReduce, {"fc2.bias", "fc1.bias"}),
                 bucket(training, SyncMethod::kAllReduce, {"fc2.weight", "fc1.weight"})});
  std::vector<std::string> names;
  for (const auto& trained : result.trained) {
    names.push_back(result.graph.tensor(trained.parameter).name);
  }
  EXPECT_THAT(names, ElementsAre("fc2.bias", "fc1.bias", "fc2.weight", "fc1.weight"));
}

TEST(InsertSyncTest, OneRankNeedsNoCommunication) {
  const TrainingGraph training = derived(pluto::testing::two_layers());
  for (const auto& buckets :
       {std::vector<Bucket>{}, std::vector{everything(training, SyncMethod::kNone)},
        std::vector{everything(training, SyncMethod::kSufficientFactor)}}) {
    EXPECT_EQ(synchronised(training, buckets, 1).graph.fingerprint(), training.graph.fingerprint());
  }
}

TEST(InsertSyncTest, RefusesBucketsThatAreNoPartition) {
  const TrainingGraph training = derived(pluto::testing::two_layers());
  const auto all = everything(training, SyncMethod::kAllReduce);
  EXPECT_THAT(error_of(training, {}), HasSubstr("fc2.weight is in no bucket"));
  EXPECT_THAT(error_of(training, {all, bucket(training, SyncMethod::kAllReduce, {"fc1.bias"})}),
              HasSubstr("bucket 1: fc1.bias is in bucket 0 too"));
  EXPECT_THAT(error_of(training, {all, Bucket{SyncMethod::kAllReduce, {}}}),
              HasSubstr("bucket 1: it has no parameters"));
  EXPECT_THAT(error_of(training, {bucket(training, SyncMethod::kAllReduce, {"x"})}),
              HasSubstr("bucket 0: x is no trained parameter"));
  EXPECT_THAT(
      error_of(training, {bucket(training, SyncMethod::kAllReduce, {"fc1.weight", "fc2.bias"})}),
      HasSubstr("fc2.bias comes after fc1.weight, but its gradient is ready before"));
  EXPECT_THAT(error_of(training, {everything(training, SyncMethod::kNone)}),
              HasSubstr("method none leaves 4 ranks apart"));
  EXPECT_THAT(error_of(training, {all}, 0), HasSubstr("0 ranks"));
}

TEST(InsertSyncTest, RefusesFactorsOfWhatIsNoLinearLayer) {
  const TrainingGraph convolution = derived(pluto::testing::residual_block());
  EXPECT_THAT(error_of(convolution, {everything(convolution, SyncMethod::kSufficientFactor)}),
              HasSubstr("bucket 0: norm2.gamma is not the weight or bias of exactly one linear"));
  const TrainingGraph tied = derived(pluto::testing::tied_layers());
  EXPECT_THAT(error_of(tied, {everything(tied, SyncMethod::kSufficientFactor)}),
              HasSubstr("shared is not the weight or bias of exactly one linear layer"));
}

TEST(InsertSyncTest, RefusesToPartAWeightFromItsBias) {
  const TrainingGraph training = derived(pluto::testing::two_layers());
  EXPECT_THAT(
      error_of(training,
               {bucket(training, SyncMethod::kSufficientFactor, {"fc2.weight"}),
                bucket(training, SyncMethod::kAllReduce, {"fc2.bias", "fc1.weight", "fc1.bias"})}),
      HasSubstr("fc2.weight shares the factors of fc2.bias, which is synchronised by all_reduce"));
}

TEST(InsertSyncTest, RefusesASecondTime) {
  const TrainingGraph training = derived(pluto::testing::two_layers());
  const std::vector buckets = {everything(training, SyncMethod::kAllReduce)};
  const TrainingGraph once = synchronised(training, buckets);
  EXPECT_THAT(error_of(once, {everything(once, SyncMethod::kAllReduce)}),
              HasSubstr("bucket0.all_reduce: the graph is synchronised already"));
}

TEST(InsertSyncTest, OnlyLinearLayersHaveSufficientFactors) {
  for (int accumulation : {1, 2}) {
    const TrainingGraph training = derived(pluto::testing::residual_block(), accumulation);
    std::vector<std::string> with;
    for (const auto& trained : training.trained) {
      if (has_sufficient_factors(training, trained.parameter)) {
        with.push_back(training.graph.tensor(trained.parameter).name);
      }
    }
    EXPECT_THAT(with, ElementsAre("head.weight", "head.bias"));
  }
}

TEST(InsertSyncTest, ASharedBiasSpoilsTheFactorsOfItsWeights) {
  GraphBuilder b;
  ModelGraph model;
  model.inputs = {b.input("x", {{4}})};
  model.labels = b.input("labels", {}, DType::kI32);
  const LinearAttrs square{4, true};
  const TensorId u = b.parameter("u", {{4, 4}}, {}), v = b.parameter("v", {{4, 4}}, {});
  const TensorId bias = b.parameter("bias", {{4}}, {});
  const TensorId left = b.forward("left", OpKind::kLinear, square, {model.inputs[0], u, bias});
  model.logits = b.forward("right", OpKind::kLinear, square, {left, v, bias});
  model.loss =
      b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {model.logits, model.labels});
  const TrainingGraph training = derived(pluto::testing::finished(std::move(b), std::move(model)));
  for (const auto& trained : training.trained) {
    EXPECT_FALSE(has_sufficient_factors(training, trained.parameter))
        << training.graph.tensor(trained.parameter).name;
  }
}

TEST(InsertSyncTest, FactorsGoToTheServerAndTheMatrixComesBack) {
  const TrainingGraph training = derived(pluto::testing::two_layers());
  const TrainingGraph result = synchronised(
      training, {bucket(training, SyncMethod::kFactorServer, {"fc2.weight", "fc2.bias"}),
                 bucket(training, SyncMethod::kAllReduce, {"fc1.weight", "fc1.bias"})});
  EXPECT_THAT(
      op_names(result.graph),
      ElementsAre("fc1", "act1", "fc2", "loss", "loss.backward", "loss.backward.bucket0.pushed",
                  "act1.bucket0.pushed", "fc2.backward_data", "act1.backward",
                  "fc1.backward_weight", "bucket1.all_reduce", "fc2.backward_weight",
                  "fc2.weight.update", "fc2.bias.update", "bucket0.pull", "fc1.weight.update",
                  "fc1.bias.update"));
  EXPECT_EQ(op_named(result.graph, "act1.bucket0.pushed").kind, OpKind::kFactorPush);
  EXPECT_THAT(
      error_of(training, {bucket(training, SyncMethod::kFactorServer, {"fc2.weight"}),
                          bucket(training, SyncMethod::kFactorServer, {"fc2.bias"}),
                          bucket(training, SyncMethod::kAllReduce, {"fc1.weight", "fc1.bias"})}),
      HasSubstr("fc2.weight shares the factors of fc2.bias, which is in bucket 1"));
}

TEST(InsertSyncTest, SixteenBitsArePackedAndUnpackedAroundTheCollective) {
  const TrainingGraph training = derived(pluto::testing::two_layers());
  Bucket all = everything(training, SyncMethod::kParameterServer);
  all.wire = DType::kF16;
  const TrainingGraph result = synchronised(training, {all});
  EXPECT_THAT(op_names(result.graph),
              ElementsAre("fc1", "act1", "fc2", "loss", "loss.backward", "fc2.backward_weight",
                          "fc2.backward_data", "act1.backward", "fc1.backward_weight",
                          "bucket0.pack", "bucket0.push", "bucket0.unpack", "fc2.weight.update",
                          "fc2.bias.update", "fc1.weight.update", "fc1.bias.update",
                          "bucket0.pack_parameters", "bucket0.pull", "bucket0.unpack_parameters"));
  const Op& pack = op_named(result.graph, "bucket0.pack");
  EXPECT_EQ(pack.attrs, OpAttrs(WireAttrs{0, "f16", kWireScale}));
  EXPECT_EQ(result.graph.tensor(pack.outputs[0]).type, (TensorType{{{51}}, DType::kF16, 0}));
  // Parameters are what they are.
  EXPECT_EQ(op_named(result.graph, "bucket0.pack_parameters").attrs,
            OpAttrs(WireAttrs{0, "f16", 1}));
  Bucket factors = everything(training, SyncMethod::kSufficientFactor);
  factors.wire = DType::kBF16;
  const TrainingGraph gathered = synchronised(training, {factors});
  const Op& unpacked = op_named(gathered.graph, "x.bf16.unpacked");
  EXPECT_EQ(gathered.graph.tensor(unpacked.inputs[0]).type, (TensorType{{{4}}, DType::kBF16, 4}));
  EXPECT_EQ(op_named(gathered.graph, "fc1.backward_weight").inputs[1], unpacked.outputs[0]);
}

TEST(InsertSyncTest, ShardsOfGradientsAreScatteredInEveryMicroBatch) {
  for (const int accumulation : {1, 4}) {
    const TrainingGraph training = derived(pluto::testing::two_layers(), accumulation);
    const auto result =
        insert_sync(training, std::vector{everything(training, SyncMethod::kShard)}, 4, 2);
    ASSERT_TRUE(result.ok()) << result.error().message;
    EXPECT_THAT(op_names(result->graph),
                ElementsAre("fc1", "act1", "fc2", "loss", "loss.backward", "fc2.backward_weight",
                            "fc2.backward_data", "act1.backward", "fc1.backward_weight",
                            "bucket0.reduce_scatter", "fc2.weight.update", "fc2.bias.update",
                            "fc1.weight.update", "fc1.bias.update", "bucket0.all_gather"));
    const Op& scatter = op_named(result->graph, "bucket0.reduce_scatter");
    EXPECT_EQ(result->phase[scatter.id.index()], OpPhase::kBackward);
    for (std::size_t i = 0; i < scatter.inputs.size(); ++i) {
      EXPECT_EQ(result->graph.tensor(scatter.inputs[i]).role, TensorRole::kActivation);
      EXPECT_EQ(result->trained[i].gradient, scatter.updates[i]);
      EXPECT_EQ(result->graph.op(result->trained[i].update).inputs[0], scatter.updates[i]);
    }
  }
}

TEST(InsertSyncTest, SixteenBitsOfScatteredShardsAreRefused) {
  const TrainingGraph training = derived(pluto::testing::two_layers());
  Bucket all = everything(training, SyncMethod::kShard);
  all.wire = DType::kF16;
  const auto result = insert_sync(training, std::vector{all}, 4, 2);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(result.error().message, HasSubstr("f16 on the wire of shard 2"));
}

TEST(InsertSyncTest, RandomModelsAndBucketsStayValid) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const TrainingGraph training = derived(RandomModel::make(seed), 1 + static_cast<int>(seed % 2));
    std::mt19937_64 random(seed);
    std::vector<Bucket> buckets;
    for (const auto& trained : training.trained) {
      auto method = random() % 2 == 0 ? SyncMethod::kAllReduce : SyncMethod::kParameterServer;
      if (has_sufficient_factors(training, trained.parameter))
        method = SyncMethod::kSufficientFactor;
      if (buckets.empty() || buckets.back().method != method || random() % 3 == 0) {
        buckets.push_back({method, {}});
      }
      buckets.back().parameters.push_back(trained.parameter);
    }
    const TrainingGraph result = synchronised(training, buckets, 3);
    std::map<OpKind, std::size_t> count;
    for (const Op& op : result.graph.ops()) ++count[op.kind];
    std::map<SyncMethod, std::size_t> asked;
    for (const Bucket& entry : buckets) ++asked[entry.method];
    EXPECT_EQ(count[OpKind::kAllReduce], asked[SyncMethod::kAllReduce]) << seed;
    EXPECT_EQ(count[OpKind::kServerPush], asked[SyncMethod::kParameterServer]) << seed;
    EXPECT_EQ(count[OpKind::kServerPull], asked[SyncMethod::kParameterServer]) << seed;
  }
}

}  // namespace
}  // namespace pluto
