#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/plan.h"
#include "tests/support/sample_documents.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;
using testing::sample_plan;
using ::testing::StartsWith;

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

TEST(PlanDocumentTest, ReadsBackAsTheSamePlan) {
  const Plan plan = sample_plan();
  const auto read = plan_from_json(to_json(plan), "plan.json");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(*read, plan);
  EXPECT_EQ(to_json(*read), to_json(plan));
}

TEST(PlanDocumentTest, UnsetFieldsStayUnset) {
  Plan plan = sample_plan();
  plan.model.options = {};
  plan.data = {"fashion-mnist", std::nullopt, std::nullopt, 1};
  plan.cluster.instance.spot_price.reset();
  plan.layout.data = 1;
  plan.global_batch = 64;
  plan.buckets.clear();
  plan.servers.clear();
  plan.optimizer = AdamAttrs{0.9, 0.999, 1e-8, 0.01, true};
  plan.learning_rate = {1.0 / 3.0, ScheduleKind::kLinear, 0, {}, {}};
  plan.budget.reset();
  plan.deadline.reset();
  const auto read = plan_from_json(to_json(plan), "plan.json");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(*read, plan);
}

TEST(PlanDocumentTest, ConvergenceReadsBackAndIsLeftOutOfStatedLengths) {
  Plan plan = sample_plan();
  EXPECT_EQ(to_json(plan).find("convergence"), std::string::npos);
  plan.convergence = {0.25, Evidence::kAssumed, "noise scale at batch 64"};
  const auto read = plan_from_json(to_json(plan), "plan.json");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(*read, plan);
  plan.convergence.spread = -1;
  EXPECT_FALSE(plan_from_json(to_json(plan), "plan.json").ok());
}

TEST(PlanDocumentTest, WhatRentingBringsReadsBackAndIsLeftOutOfOwnMachines) {
  Plan plan = sample_plan();
  for (const char* key : {"rental", "evaluation", "on_demand_after"}) {
    EXPECT_EQ(to_json(plan).find(key), std::string::npos) << key;
  }
  plan.cluster.instance.rental = testing::sample_rental();
  plan.cluster.market = Market::kSpot;
  plan.on_demand_after = 0.75;
  plan.evaluation = {10000, 100};
  const auto read = plan_from_json(to_json(plan), "plan.json");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(*read, plan);
}

TEST(PlanDocumentTest, EveryOptimizerReadsBack) {
  Plan plan = sample_plan();
  for (const OptimizerAttrs& optimizer :
       {OptimizerAttrs(SgdAttrs{}), OptimizerAttrs(SgdAttrs{0.9, 1e-4, false}),
        OptimizerAttrs(AdamAttrs{}), OptimizerAttrs(AdamAttrs{0.5, 0.6, 1e-3, 0.1, true})}) {
    plan.optimizer = optimizer;
    const auto read = plan_from_json(to_json(plan), "plan.json");
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(read->optimizer, optimizer);
  }
}

TEST(PlanDocumentTest, MalformedPlansAreRefusedWithTheirPlace) {
  const std::string good = to_json(sample_plan());
  const struct {
    const char* from;
    const char* to;
    const char* place;  ///< of the field, without the line
    const char* message;
  } cases[] = {
      {R"("schema": 1)", R"("schema": 0)", "schema", "there is no schema 0"},
      {R"("schema": 1,)", "", "schema", "missing"},
      {R"("job": "fashion")", R"("job": 3)", "job", "expected a string"},
      {R"("model_fingerprint": "fedcba9876543210")", R"("model_fingerprint": "fed")",
       "model_fingerprint", "expected 16 digits"},
      {R"("readers": 2)", R"("readers": 2.5)", "data.readers", "expected a whole number"},
      {R"("classes": 10)", R"("clases": 10)", "model.clases", "unknown key"},
      {R"("method": "all_reduce")", R"("method": "all_reduc")", "buckets[0].method", "all_reduc"},
      {R"("method": "sufficient_factor")", R"("method": 3)", "buckets[1].method",
       "expected a string"},
      {R"(["fc1.weight"])", R"([1])", "buckets[1].parameters", "expected a list of names"},
      {R"("servers": [0, 2])", R"("servers": [0, "a"])", "servers", "expected a list of ranks"},
      {R"("servers": [0, 2])", R"("servers": [0, 99999999999])", "servers", "list of ranks"},
      {R"("servers": [0, 2])", R"("servers": [0, 9])", "servers[1]", "9 is none of 4 ranks"},
      {R"("name": "sgd")", R"("name": "lion")", "optimizer.name", "unknown optimizer \"lion\""},
      {R"("nesterov": true)", R"("nesterov": 1)", "optimizer.nesterov", "expected true or false"},
      {R"("schedule": "step")", R"("schedule": "steps")", "learning_rate.schedule",
       "unknown schedule \"steps\""},
      {R"("boundaries": [60000, 120000])", R"("boundaries": [60000, 1.5])",
       "learning_rate.boundaries", "list of whole numbers"},
      {R"("boundaries": [60000, 120000])", R"("boundaries": [60000, 60000])",
       "learning_rate.boundaries[1]", "must be above 60000"},
      {R"("seed": 7)", R"("seed": -7)", "seed", "must not be negative"},
      {R"("fuse": true)", R"("fuse": null)", "fuse", "expected true or false"},
      {R"("global_batch": 256)", R"("global_batch": 255)", "global_batch", "255 is not data ranks"},
      {R"("confidence": 0.95)", R"("confidence": 0.95, "colour": 1)", "colour", "unknown key"},
      {R"("nodes": 2)", R"("nodes": 2.0, "zone": "a")", "cluster.zone", "unknown key"},
  };
  for (const auto& bad : cases) {
    SCOPED_TRACE(bad.to);
    const std::string text = replaced(good, bad.from, bad.to);
    const auto plan = plan_from_json(text, "plan.json");
    ASSERT_FALSE(plan.ok());
    EXPECT_EQ(plan.error().code, ErrorCode::kInvalidInput);
    EXPECT_THAT(plan.error().message, StartsWith("plan.json:"));
    EXPECT_THAT(plan.error().message, HasSubstr(std::string(": ") + bad.place + ": "));
    EXPECT_THAT(plan.error().message, HasSubstr(bad.message));
  }
}

TEST(PlanDocumentTest, ErrorHasTheLineOfTheField) {
  const std::string good = to_json(sample_plan());
  const std::string text = replaced(good, R"("steps": 703)", R"("steps": 0)");
  const std::string before = text.substr(0, text.find("\"steps\""));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  EXPECT_EQ(plan_from_json(text, "plan.json").error().message,
            "plan.json:" + std::to_string(line) + ": steps: must be at least 1, is 0");
}

TEST(PlanDocumentTest, TruncatedPlansAreRefusedAtEveryLength) {
  const std::string good = to_json(sample_plan());
  for (std::size_t size = 0; size + 2 < good.size(); size += 7) {
    const auto plan = plan_from_json(good.substr(0, size), "plan.json");
    ASSERT_FALSE(plan.ok()) << size;
    EXPECT_EQ(plan.error().code, ErrorCode::kInvalidInput);
  }
}

TEST(PlanDocumentTest, NewerSchemaSaysSoBeforeAnythingElse) {
  const auto plan = plan_from_json(R"({"schema": 9, "shape": "of things to come"})", "plan.json");
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(plan.error().message,
            "plan.json:1: schema: 9: a newer Pluto wrote this plan; this one reads schema 1");
  EXPECT_FALSE(plan.error().help.empty());
}

}  // namespace
}  // namespace pluto
