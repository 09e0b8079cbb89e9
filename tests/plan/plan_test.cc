#include "plan/plan.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/fingerprint.h"
#include "plan/plan_rules.h"
#include "tests/support/sample_documents.h"

namespace pluto {
namespace {

using testing::sample_plan;

Plan single_rank() {
  Plan plan = sample_plan();
  plan.layout.data = 1;
  plan.global_batch = 64;
  plan.buckets.clear();
  plan.servers.clear();
  return plan;
}

TEST(PlanTest, LawfulPlansPass) {
  EXPECT_TRUE(validate(sample_plan()).ok()) << validate(sample_plan()).error().message;
  EXPECT_TRUE(validate(single_rank()).ok());
}

TEST(PlanTest, UnlawfulFieldIsNamed) {
  const auto verdict = [] {
    Plan plan = sample_plan();
    plan.micro_batch = 16;
    return validate(plan);
  }();
  ASSERT_FALSE(verdict.ok());
  EXPECT_EQ(verdict.error().code, ErrorCode::kInvalidInput);
  EXPECT_EQ(verdict.error().message,
            "global_batch: 256 is not data ranks x micro_batch x accumulation = 4 x 16 x 2");
}

TEST(PlanTest, EveryRuleNamesItsField) {
  const std::string node = "cluster.instance.node";
  const struct {
    std::string path;
    std::function<void(Plan&)> change;
  } cases[] = {
      {"model.source", [](Plan& plan) { plan.model.source.clear(); }},
      {"data.samples", [](Plan& plan) { plan.data.samples.reset(); }},
      {"dataset_samples", [](Plan& plan) { plan.dataset_samples = 0; }},
      {"cluster.nodes", [](Plan& plan) { plan.cluster.nodes = 0; }},
      {node + ".devices", [](Plan& plan) { plan.cluster.instance.node.devices = -8; }},
      {node + ".device.memory_bytes",
       [](Plan& plan) { plan.cluster.instance.node.device.memory = Bytes(-1); }},
      {node + ".device.peak_flops_per_s.f32",
       [](Plan& plan) { plan.cluster.instance.node.device.peak[DType::kF32] = FlopsPerSecond(0); }},
      {node + ".device.multiprocessors",
       [](Plan& plan) { plan.cluster.instance.node.device.multiprocessors = -1; }},
      {node + ".device.cache_bytes",
       [](Plan& plan) { plan.cluster.instance.node.device.cache = Bytes(-1); }},
      {node + ".device.f8_flops_per_s",
       [](Plan& plan) { plan.cluster.instance.node.device.f8_peak = FlopsPerSecond(0); }},
      {node + ".intra.alpha_s",
       [](Plan& plan) { plan.cluster.instance.node.intra.alpha = Seconds(-1); }},
      {node + ".network.bandwidth_bytes_per_s",
       [](Plan& plan) { plan.cluster.instance.node.network.bandwidth = BytesPerSecond(-1); }},
      {node + ".network.shared_by",
       [](Plan& plan) { plan.cluster.instance.node.network.shared_by = 0; }},
      {node + ".network.cpu_share",
       [](Plan& plan) { plan.cluster.instance.node.network.cpu_share = 1.5; }},
      {"cluster.instance.price_usd_per_hour",
       [](Plan& plan) { plan.cluster.instance.price = DollarsPerHour(-1); }},
      {"backend", [](Plan& plan) { plan.backend = "tpu"; }},
      {"threads_per_rank", [](Plan& plan) { plan.threads_per_rank = 0; }},
      {"layout.data", [](Plan& plan) { plan.layout.data = 0; }},
      {"layout.tensor", [](Plan& plan) { plan.layout.tensor = 0; }},
      {"layout", [](Plan& plan) { plan.layout.pipeline = 5; }},
      {"layout", [](Plan& plan) { plan.layout.tensor = plan.layout.pipeline = 1 << 16; }},
      {"micro_batch", [](Plan& plan) { plan.micro_batch = 0; }},
      {"accumulation", [](Plan& plan) { plan.accumulation = -2; }},
      {"global_batch", [](Plan& plan) { plan.global_batch = 255; }},
      {"steps", [](Plan& plan) { plan.steps = 0; }},
      {"optimizer.momentum",
       [](Plan& plan) {
         plan.optimizer = SgdAttrs{1, 0, false};
       }},
      {"learning_rate.peak", [](Plan& plan) { plan.learning_rate.peak = 0; }},
      {"buckets", [](Plan& plan) { plan.buckets.clear(); }},
      {"buckets", [](Plan& plan) { plan = single_rank(), plan.buckets = sample_plan().buckets; }},
      {"buckets[1].method", [](Plan& plan) { plan.buckets[1].method = SyncMethod::kNone; }},
      {"buckets[2].method", [](Plan& plan) { plan.servers.clear(); }},
      {"buckets[0].parameters", [](Plan& plan) { plan.buckets[0].parameters.clear(); }},
      {"buckets[1].parameters[0]",
       [](Plan& plan) { plan.buckets[1].parameters[0] = "fc2.weight"; }},
      {"servers[1]",
       [](Plan& plan) {
         plan.servers = {0, 4};
       }},
      {"servers[0]", [](Plan& plan) { plan.servers = {-1}; }},
      {"servers[1]",
       [](Plan& plan) {
         plan.servers = {3, 3};
       }},
      {"seed", [](Plan& plan) { plan.seed = ~0ULL; }},
      {"budget_usd", [](Plan& plan) { plan.budget = Dollars(0); }},
      {"deadline_s", [](Plan& plan) { plan.deadline = Seconds(-1); }},
      {"evaluation.samples", [](Plan& plan) { plan.evaluation.samples = -1; }},
      {"evaluation.samples",
       [](Plan& plan) {
         plan.evaluation = {0, 10};
       }},
      {"on_demand_after", [](Plan& plan) { plan.on_demand_after = 0.5; }},
      {"on_demand_after",
       [](Plan& plan) {
         plan.cluster.market = Market::kSpot;
         plan.on_demand_after = 1;
       }},
      {"on_demand_after",
       [](Plan& plan) {
         plan.cluster.market = Market::kSpot;
         plan.deadline.reset();
         plan.on_demand_after = 0.5;
       }},
      {"confidence", [](Plan& plan) { plan.confidence = 0; }},
  };
  for (const auto& bad : cases) {
    SCOPED_TRACE(bad.path);
    Plan plan = sample_plan();
    bad.change(plan);
    const Verdict verdict = check_plan(plan);
    ASSERT_TRUE(verdict.has_value());
    EXPECT_EQ(verdict->path, bad.path);
  }
}

TEST(PlanTest, FingerprintNamesTheContent) {
  const std::uint64_t name = fingerprint(sample_plan());
  EXPECT_EQ(name, fingerprint(sample_plan()));
  Plan other = sample_plan();
  other.steps += 1;
  EXPECT_NE(name, fingerprint(other));
}

// Databases and reports hold this number: when it changes, what they hold is lost.
TEST(PlanTest, FingerprintIsTheSameInEveryVersion) {
  Plan before = sample_plan();
  before.rate_basis.reset();  // what plans of earlier versions had not
  EXPECT_EQ(to_hex(fingerprint(before)), "98aaa766e9caf2c3");
  EXPECT_EQ(to_hex(fingerprint(sample_plan())), "1691038a8ab7d3a1");
}

TEST(PlanTest, FingerprintsReadBack) {
  for (const std::uint64_t value : {0ULL, 1ULL, 0xfedcba9876543210ULL, ~0ULL}) {
    EXPECT_EQ(*parse_fingerprint(to_hex(value)), value);
  }
  for (const char* text : {"", "12", "fedcba987654321g", "FEDCBA9876543210", "0fedcba9876543210"}) {
    EXPECT_FALSE(parse_fingerprint(text).ok()) << text;
  }
}

}  // namespace
}  // namespace pluto
