#include "planner/transformer_fit.h"

#include <gtest/gtest.h>

#include "costmodel/transformer_graph.h"
#include "model/zoo.h"
#include "plan/catalog.h"
#include "planner/strategy_plan.h"

namespace pluto {
namespace {

class TransformerFitTest : public ::testing::Test {
 protected:
  TransformerFitTest() {
    const std::string data = PLUTO_SOURCE_DIR "/data";
    const auto catalog = Catalog::load(data + "/catalog").value();
    place_ = {catalog.instance("aws:p4d.24xlarge").value(), 1, 1, "cuda"};
    const auto table = TransformerCostTable::load(data + "/transformer.json").value();
    evidence_ = transformer_evidence({}, place_.instance.node.device, table).value();
    ZooOptions options;
    options.layers = 32;
    options.width_model = 4096;
    options.heads = 32;
    options.sequence = 2048;
    model_ = build_model("gpt2", options).value();
    shape_ = transformer_shape(model_).value();
    job_.model.source = "gpt2";
    job_.optimizer = AdamAttrs{};
    job_.target_steps = 10;
    job_.global_batch = 64;
    job_.precision = TrainPrecision::kBf16;
    job_.strategy.nodes = 1;
  }
  std::vector<Plan> plans(const TrainingJob& job) const {
    return plans_with_strategy(job, model_, 1024, place_).value();
  }
  TrainingJob job_;
  ModelGraph model_;
  TransformerShape shape_;
  Candidate place_;
  TransformerEvidence evidence_;
};

TEST_F(TransformerFitTest, TheFastestMicroBatchThatFitsIsChosen) {
  job_.strategy.tensor = 8;
  const auto all = plans(job_);
  const auto chosen = choose_micro_batch(shape_, all, evidence_);
  ASSERT_TRUE(chosen.ok()) << chosen.error().message;
  ASSERT_TRUE(chosen->predicted.fits);
  for (const Plan& plan : all) {
    const auto one = predict_transformer_plan(shape_, plan, evidence_);
    ASSERT_TRUE(one.ok());
    if (!one->fits) continue;
    EXPECT_GE(one->prediction.step_time.p50, chosen->predicted.prediction.step_time.p50);
  }
}

TEST_F(TransformerFitTest, WhereNoneFitsTheLightestStands) {
  const auto chosen = choose_micro_batch(shape_, plans(job_), evidence_);
  ASSERT_TRUE(chosen.ok());
  EXPECT_FALSE(chosen->predicted.fits);
  EXPECT_EQ(chosen->plan.micro_batch, 1);
}

TEST_F(TransformerFitTest, TheNearestChangeFitsAndChangesLittle) {
  const auto chosen = choose_micro_batch(shape_, plans(job_), evidence_);
  ASSERT_FALSE(chosen->predicted.fits);
  const auto nearest = nearest_fit(job_, shape_, model_, 1024, place_, chosen->plan, evidence_);
  ASSERT_TRUE(nearest.has_value());
  EXPECT_TRUE(nearest->priced.predicted.fits);
  EXPECT_EQ(nearest->priced.plan.layout.ranks(), 8);
  EXPECT_LE(nearest->settings.size(), 2U);
  EXPECT_GE(nearest->settings.size(), 1U);
}

TEST_F(TransformerFitTest, WhatNoNeighbourHoldsIsSaidToBeNone) {
  place_.instance.node.device.memory = Bytes(3'000'000'000);
  const auto chosen = choose_micro_batch(shape_, plans(job_), evidence_);
  ASSERT_FALSE(chosen->predicted.fits);
  EXPECT_FALSE(
      nearest_fit(job_, shape_, model_, 1024, place_, chosen->plan, evidence_).has_value());
}

}  // namespace
}  // namespace pluto
