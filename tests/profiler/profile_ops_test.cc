#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "profiler/profile.h"
#include "runtime/backends.h"
#include "tests/support/recording_sink.h"

namespace pluto {
namespace {

ModelGraph small_model() {
  GraphBuilder b;
  ModelGraph model;
  model.name = "small";
  const TensorId x = b.input("x", Shape{{6}});
  model.labels = b.input("labels", Shape{}, DType::kI32);
  const TensorId w1 = b.parameter("w1", Shape{{8, 6}}, {Init::Kind::kNormal, 0.1});
  const TensorId b1 = b.parameter("b1", Shape{{8}}, {});
  const TensorId h = b.forward("fc1", OpKind::kLinear, LinearAttrs{8, true}, {x, w1, b1});
  const TensorId a = b.forward("relu1", OpKind::kRelu, NoAttrs{}, {h});
  const TensorId w2 = b.parameter("w2", Shape{{3, 8}}, {Init::Kind::kNormal, 0.1});
  const TensorId b2 = b.parameter("b2", Shape{{3}}, {});
  model.logits = b.forward("fc2", OpKind::kLinear, LinearAttrs{3, true}, {a, w2, b2});
  model.loss = b.op("loss", OpKind::kSoftmaxCrossEntropy, OpPass::kForward, NoAttrs{},
                    {model.logits, model.labels})
                   .front();
  model.inputs = {x};
  auto graph = std::move(b).build();
  EXPECT_TRUE(graph.ok()) << graph.error().message;
  model.graph = std::move(graph).value();
  return model;
}

LoweredPlan lowered_for(const ModelGraph& model, int ranks, SyncMethod method) {
  Plan plan;
  plan.model.source = "small";
  plan.data.samples = 64;
  plan.dataset_samples = 64;
  plan.model_fingerprint = model.graph.fingerprint();
  plan.layout.data = ranks;
  plan.micro_batch = 4;
  plan.global_batch = 4 * ranks;
  plan.cluster.instance.node.devices = ranks;
  if (ranks > 1) {
    auto order = gradient_order(model, plan);
    EXPECT_TRUE(order.ok());
    BucketPlan bucket{method, {}};
    for (const GradientInfo& gradient : *order) bucket.parameters.push_back(gradient.name);
    plan.buckets.push_back(bucket);
  }
  auto lowered = lower(model, plan);
  EXPECT_TRUE(lowered.ok()) << lowered.error().message;
  return std::move(lowered).value();
}

ProfileLimits quick() {
  ProfileLimits limits;
  limits.min_repeats = 3;
  limits.max_repeats = 4;
  return limits;
}

TEST(ProfileOpsTest, EveryComputeOpOfTheStepIsRecordedOnceBySignature) {
  const ModelGraph model = small_model();
  const LoweredPlan lowered = lowered_for(model, 1, SyncMethod::kNone);
  auto device = open_device("reference", 1);
  ASSERT_TRUE(device.ok());
  testing::RecordingSink sink;
  std::vector<double> shares;
  auto outcome = profile_ops(**device, lowered, {}, RunContext{}, quick(), nullptr, sink,
                             [&](double done, const std::string&) { shares.push_back(done); });
  ASSERT_TRUE(outcome.ok()) << outcome.error().message;
  std::set<std::string> expected, recorded;
  for (const Op& op : lowered.training.graph.ops())
    expected.insert(to_text(signature_of(lowered.training.graph, op, 4)));
  for (const OpMeasurement& row : sink.all<OpMeasurement>()) {
    EXPECT_TRUE(recorded.insert(to_text(row.signature)).second)
        << "twice: " << to_text(row.signature);
    EXPECT_GT(row.time.median.value(), 0);
    EXPECT_EQ(row.implementation, "reference");
  }
  EXPECT_EQ(recorded, expected);
  EXPECT_EQ(outcome->measured, static_cast<int>(expected.size()));
  EXPECT_FALSE(shares.empty());
}

TEST(ProfileOpsTest, WhatIsKnownIsLeftOutAndAllKnownRunsNothing) {
  const ModelGraph model = small_model();
  const LoweredPlan lowered = lowered_for(model, 1, SyncMethod::kNone);
  auto device = open_device("reference", 1);
  ASSERT_TRUE(device.ok());
  std::vector<std::string> known;
  for (const Op& op : lowered.training.graph.ops())
    known.push_back(to_text(signature_of(lowered.training.graph, op, 4)));
  testing::RecordingSink sink;
  auto none = profile_ops(**device, lowered, known, RunContext{}, quick(), nullptr, sink,
                          [](double, const std::string&) { FAIL() << "something ran"; });
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->measured, 0);
  EXPECT_TRUE(sink.measurements.empty());
  const std::string left_out = known.front();
  known.erase(known.begin());
  auto one = profile_ops(**device, lowered, known, RunContext{}, quick(), nullptr, sink, {});
  ASSERT_TRUE(one.ok());
  ASSERT_EQ(sink.all<OpMeasurement>().size(), 1U);
  EXPECT_EQ(to_text(sink.all<OpMeasurement>().front().signature), left_out);
}

TEST(ProfileOpsTest, RanksMeasureTogetherAndTheFirstRecords) {
  const ModelGraph model = small_model();
  const LoweredPlan lowered = lowered_for(model, 2, SyncMethod::kSufficientFactor);
  auto ranks = make_in_process_communicators(2);
  std::vector<testing::RecordingSink> sinks(2);
  {
    std::vector<std::jthread> threads;
    for (std::size_t r = 0; r < 2; ++r) {
      threads.emplace_back([&, r] {
        auto device = open_device("reference", 1);
        ASSERT_TRUE(device.ok());
        RunContext context;
        context.busy_ranks = 2;
        auto outcome =
            profile_ops(**device, lowered, {}, context, quick(), ranks[r].get(), sinks[r], {});
        EXPECT_TRUE(outcome.ok()) << outcome.error().message;
      });
    }
  }
  EXPECT_TRUE(sinks[1].measurements.empty());
  bool rebuilt = false;
  for (const Measurement& row : sinks[0].measurements) {
    EXPECT_EQ(row.context.busy_ranks, 2);
    const auto& op = std::get<OpMeasurement>(row.what);
    EXPECT_NE(op.signature.kind, OpKind::kFactorGather)
        << "communication is not an op of the device";
    for (const TensorType& input : op.signature.inputs)
      rebuilt = rebuilt || input.batch_multiple == 2;
  }
  EXPECT_TRUE(rebuilt) << "the late multiplication over both ranks' factors was not measured";
}

TEST(ProfileOpsTest, AFailingSinkEndsIt) {
  const ModelGraph model = small_model();
  auto device = open_device("reference", 1);
  ASSERT_TRUE(device.ok());
  testing::FailingSink sink;
  auto outcome = profile_ops(**device, lowered_for(model, 1, SyncMethod::kNone), {}, RunContext{},
                             quick(), nullptr, sink, {});
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace pluto
