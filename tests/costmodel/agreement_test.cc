// Two models of one step: the lowered plan simulated task by task on operator surfaces and the
// model of NCCL, and the closed form with constants fitted to measured steps. They share no
// constant, so where they agree both gain.

#include <gtest/gtest.h>

#include <cmath>

#include "costmodel/pipeline_simulator.h"
#include "costmodel/predictor.h"
#include "costmodel/sources.h"
#include "costmodel/transformer.h"
#include "model/zoo.h"
#include "plan/catalog.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

const std::string kData = std::string(PLUTO_SOURCE_DIR) + "/data";
// The tensor ranks divide the vocabulary: both split the output layer.
constexpr int kLayers = 8, kHidden = 4096, kHeads = 32, kSequence = 2048, kVocabulary = 2048;

ModelGraph gpt() {
  ZooOptions options;
  options.layers = kLayers;
  options.width_model = kHidden;
  options.heads = kHeads;
  options.sequence = kSequence;
  options.vocabulary = kVocabulary;
  return build_model("gpt2", options).value();
}

struct Spread {
  int data, tensor, pipeline;
  std::int64_t accumulation;
  Recompute recompute;
};

class Agreement : public ::testing::TestWithParam<Spread> {};

TEST_P(Agreement, SimulatedAndClosedStepsAreNear) {
  const Spread& spread = GetParam();
  const ModelGraph model = gpt();
  const auto catalog = Catalog::load(kData + "/catalog");
  ASSERT_TRUE(catalog.ok());
  Plan plan = testing::plan_for(model, 1, 1, spread.accumulation);
  plan.optimizer = AdamAttrs{};
  plan.layout = {spread.data, spread.tensor, spread.pipeline};
  plan.sequence_parallel = spread.tensor > 1;
  plan.precision = TrainPrecision::kBf16;
  plan.recompute = spread.recompute;
  plan.global_batch = spread.data * spread.accumulation;
  const InstanceType instance = catalog->instance("aws:p4d.24xlarge").value();
  plan.cluster = {instance, (plan.layout.ranks() + 7) / 8};
  if (spread.data > 1) {
    BucketPlan bucket;
    const auto gradients = gradient_order(model, plan).value();
    for (const GradientInfo& gradient : gradients) {
      bucket.parameters.push_back(gradient.name);
      if (bucket.parameters.size() < 12) continue;
      plan.buckets.push_back(std::exchange(bucket, {}));
    }
    if (!bucket.parameters.empty()) plan.buckets.push_back(bucket);
  }
  const auto source =
      make_roofline_source(kData + "/efficiency.json", {kData + "/op_surfaces.json"});
  ASSERT_TRUE(source.ok());
  const auto predicted = predict(model, plan, **source);
  ASSERT_TRUE(predicted.ok()) << predicted.error().message;

  TransformerPlan closed;
  closed.data = spread.data;
  closed.tensor = spread.tensor;
  closed.pipeline = spread.pipeline;
  closed.sequence_parallel = plan.sequence_parallel;
  closed.global_batch = static_cast<int>(plan.global_batch);
  closed.recompute = spread.recompute;
  closed.attention = AttentionKernel::kFlash;
  closed.gradient_bytes = 4;
  closed.overlap_data = true;
  const auto table = TransformerCostTable::load(kData + "/transformer.json");
  ASSERT_TRUE(table.ok());
  const auto step =
      predict_transformer(TransformerShape::gpt(kLayers, kHidden, kHeads, kSequence, kVocabulary),
                          closed, plan.cluster, table->costs_for(instance.node.device));
  ASSERT_TRUE(step.ok()) << step.error().message;
  const double ratio = predicted->prediction.step_time.p50 / step->step();
  RecordProperty("ratio", std::to_string(ratio));
  std::printf("simulated / closed %.3f\n", ratio);
  // Seen: 0.74 (tensor 8, where collectives are small and many) to 0.93; GPT-3 on 64 to 4,096
  // devices 0.96 to 1.07 (bench/prediction_speed).
  EXPECT_LT(std::abs(std::log(ratio)), std::log(1.4));
}

INSTANTIATE_TEST_SUITE_P(
    Plans, Agreement,
    ::testing::Values(Spread{1, 1, 1, 4, Recompute::kNone}, Spread{1, 8, 1, 4, Recompute::kNone},
                      Spread{1, 4, 2, 8, Recompute::kNone}, Spread{2, 4, 1, 4, Recompute::kFull},
                      Spread{4, 2, 4, 16, Recompute::kNone}, Spread{4, 8, 2, 8, Recompute::kFull}));

}  // namespace
}  // namespace pluto
