#include "costmodel/transformer_predictor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "plan/catalog.h"

namespace pluto {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

const std::string kData = PLUTO_SOURCE_DIR "/data";

TransformerShape gpt3() { return TransformerShape::gpt(96, 12288, 96, 2048, 51200); }

/// GPT-3 175B on 4,096 devices: tensor 8, pipeline 16, data 32.
Plan gpt3_plan() {
  Plan plan;
  const auto catalog = Catalog::load(kData + "/catalog").value();
  plan.cluster = {catalog.instance("aws:p4d.24xlarge").value(), 512};
  plan.layout.data = 32;
  plan.layout.tensor = 8;
  plan.layout.pipeline = 16;
  plan.sequence_parallel = true;
  plan.recompute = Recompute::kSelective;
  plan.precision = TrainPrecision::kBf16;
  plan.global_batch = 3072;
  plan.micro_batch = 1;
  plan.accumulation = 96;
  plan.steps = 1000;
  plan.optimizer = AdamAttrs{};
  return plan;
}

TransformerEvidence evidence(const Plan& plan) {
  const auto table = TransformerCostTable::load(kData + "/transformer.json").value();
  return transformer_evidence({}, plan.cluster.instance.node.device, table).value();
}

PredictedTransformer predicted(const Plan& plan) {
  const auto result = predict_transformer_plan(gpt3(), plan, evidence(plan));
  EXPECT_TRUE(result.ok()) << result.error().message;
  return result.ok() ? *result : PredictedTransformer{};
}

TEST(TransformerPredictor, TermsAreThoseOfTheClosedForm) {
  const Plan plan = gpt3_plan();
  const auto result = predicted(plan);
  const auto step =
      predict_transformer(gpt3(), *transformer_plan(plan), plan.cluster, evidence(plan).costs);
  ASSERT_TRUE(step.ok());
  const Prediction& p = result.prediction;
  ASSERT_EQ(p.terms.size(), 7U);
  EXPECT_EQ(p.terms[0].name, "compute");
  EXPECT_EQ(p.terms[0].time, step->compute);
  EXPECT_EQ(p.terms[4].name, "bubble");
  EXPECT_EQ(p.terms[4].time, step->bubble);
  double sum = 0;
  for (const Term& term : p.terms) sum += term.time.value();
  EXPECT_NEAR(sum, p.step_time.p50.value(), 1e-9 * sum);
  EXPECT_EQ(p.step_time.p50, step->step());
  EXPECT_LT(p.step_time.p10, p.step_time.p50);
  EXPECT_LT(p.step_time.p50, p.step_time.p90);
  EXPECT_EQ(p.terms[0].evidence, Evidence::kCalibrated);
}

TEST(TransformerPredictor, PriceIsLinearInTime) {
  Plan plan = gpt3_plan();
  plan.cluster.instance.rental.reset();  // without start-up and rounding
  const auto once = predicted(plan).prediction;
  plan.steps *= 7;
  const auto seven = predicted(plan).prediction;
  EXPECT_NEAR(seven.price.p50 / once.price.p50, 7, 1e-9);
  EXPECT_NEAR(seven.time_to_target.p90 / once.time_to_target.p90, 7, 1e-9);
  const Dollars hourly = plan.cluster.price() * seven.time_to_target.p50;
  EXPECT_NEAR(hourly / seven.price.p50, 1, 1e-12);
}

TEST(TransformerPredictor, MfuOfGpt3IsWhatSuchSystemsReach) {
  const auto result = predicted(gpt3_plan());
  EXPECT_GT(result.mfu, 0.30);
  EXPECT_LT(result.mfu, 0.60);
  const double seconds = result.prediction.step_time.p50.value();
  EXPECT_NEAR(result.mfu, model_flops(gpt3(), 3072) / (seconds * 4096 * 312e12), 1e-6);
}

TEST(TransformerPredictor, MemoryOfTheFullestRankDecidesWhetherItFits) {
  Plan plan = gpt3_plan();
  const auto split = predicted(plan);
  EXPECT_EQ(split.allocated, split.prediction.memory.total());
  EXPECT_EQ(split.reserved, split.allocated + split.prediction.process_overhead);
  plan.layout.pipeline = 1;
  plan.layout.data = 512;
  plan.accumulation = 6;
  EXPECT_FALSE(predicted(plan).fits);
  plan.layout.pipeline = 16;
  plan.layout.data = 32;
  plan.accumulation = 96;
  plan.optimizer = SgdAttrs{};
  EXPECT_LT(predicted(plan).prediction.memory.optimizer_state,
            split.prediction.memory.optimizer_state);
}

TEST(TransformerPredictor, OneRankHasNoCommunication) {
  Plan plan = gpt3_plan();
  plan.layout = {};
  plan.sequence_parallel = false;
  plan.global_batch = plan.accumulation = 4;
  for (const Term& term : predicted(plan).prediction.terms) {
    if (term.name.ends_with("_comm") || term.name == "bubble") {
      EXPECT_EQ(term.time, Seconds(0)) << term.name;
    }
  }
}

TEST(TransformerPredictor, LimitsBecomeProbabilities) {
  Plan plan = gpt3_plan();
  const auto free = predicted(plan).prediction;
  EXPECT_FALSE(free.p_deadline.has_value());
  plan.deadline = free.time_to_target.p50;
  plan.budget = free.price.p90;
  const auto bound = predicted(plan).prediction;
  EXPECT_NEAR(*bound.p_deadline, 0.5, 1e-6);
  EXPECT_NEAR(*bound.p_budget, 0.9, 1e-4) << "but for whole seconds";
  EXPECT_NEAR(*bound.p_both, 0.5, 1e-6);
}

TEST(TransformerPredictor, SaysWhatItRestsOnAndWhatItCannotPrice) {
  Plan plan = gpt3_plan();
  EXPECT_THAT(predicted(plan).prediction.assumptions, Contains(HasSubstr("fitted to published")));
  plan.expert = 4;
  EXPECT_THAT(transformer_plan(plan).error().message, HasSubstr("expert parallelism"));
  plan = gpt3_plan();
  plan.cluster.more = {{plan.cluster.instance, 1}};
  EXPECT_THAT(transformer_plan(plan).error().message, HasSubstr("nodes of one type"));
  plan = gpt3_plan();
  plan.precision = TrainPrecision::kF32;
  plan.cluster.instance.node.device.peak.clear();
  EXPECT_FALSE(predict_transformer_plan(gpt3(), plan, evidence(plan)).ok());
}

}  // namespace
}  // namespace pluto
