#include "planner/transformer_space.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "costmodel/transformer_graph.h"
#include "costmodel/transformer_predictor.h"
#include "model/zoo.h"
#include "plan/catalog.h"
#include "planner/ranking.h"

namespace pluto {
namespace {

class TransformerSearch : public ::testing::Test {
 protected:
  TransformerSearch() {
    const std::string data = std::string(PLUTO_SOURCE_DIR) + "/data";
    catalog_.emplace(*Catalog::load(data + "/catalog"));
    table_.emplace(*TransformerCostTable::load(data + "/transformer.json"));
    job.precision = TrainPrecision::kBf16;
    job.spot = SpotUse::kNever;  // the oracle prices on demand
    job.model.source = "gpt2";
    job.data.samples = kSamples;
    job.optimizer = AdamAttrs{};
    job.epochs = 1;
  }
  TransformerPlace place(const std::string& instance, int max_ranks) const {
    TransformerPlace one;
    one.candidate = {*catalog_->instance(instance), max_ranks, 1, "cuda"};
    one.evidence = *transformer_evidence({}, one.candidate.instance.node.device, *table_);
    return one;
  }
  void choose_model(int layers, int hidden, int sequence) {
    ZooOptions options;
    options.layers = layers;
    options.width_model = hidden;
    options.heads = hidden / 64;
    options.sequence = sequence;
    model.emplace(*build_model("gpt2", options));
    shape = *transformer_shape(*model);
  }
  SearchResult searched(const std::vector<TransformerPlace>& places, bool front = false) const {
    const auto result = search(job, *model, shape, kSamples, places, {front, {}});
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
    return *result;
  }

  static constexpr std::int64_t kSamples = 100'000;
  std::optional<Catalog> catalog_;
  std::optional<TransformerCostTable> table_;
  TrainingJob job;
  std::optional<ModelGraph> model;
  TransformerShape shape;
};

/// What the limits of the job make of these plans.
std::vector<RankedPlan> judged(const TrainingJob& job, const TransformerShape& shape,
                               const std::vector<TransformerPlace>& places,
                               std::vector<RankedPlan> plans) {
  for (RankedPlan& one : plans) {
    one.plan.deadline = job.deadline;
    one.plan.budget = job.budget;
    const auto at = std::ranges::find_if(places, [&](const TransformerPlace& place) {
      return place.candidate.instance.name == one.plan.cluster.instance.name;
    });
    one.prediction = predict_transformer_plan(shape, one.plan, at->evidence)->prediction;
    one.meets_limits = meets_deadline(job, one.prediction) && meets_budget(job, one.prediction);
  }
  return plans;
}

/// The oracle: every plan by its own loops, each priced as `predict` does; the fastest of each cell
/// is so under every limit.
std::vector<RankedPlan> best_of_every_cell(const TrainingJob& job, const TransformerShape& shape,
                                           const std::vector<TransformerPlace>& places,
                                           std::int64_t samples) {
  std::vector<RankedPlan> all;
  const auto batch = *job.global_batch;
  for (const auto& at : places) {
    const int devices = at.candidate.instance.node.devices;
    for (int ranks = 1; ranks <= at.candidate.max_ranks; ++ranks) {
      const bool whole = ranks % devices == 0;
      if (!whole && (ranks > devices || devices % ranks != 0)) continue;
      std::optional<RankedPlan> best;
      for (int t = 1; t <= ranks; ++t) {
        for (int p = 1; t * p <= ranks; ++p) {
          for (int c = 1; t * p * c <= ranks && c <= 16; c *= 2) {
            if (ranks % (t * p * c) != 0 || shape.heads % t != 0) continue;
            if (shape.sequence % c != 0 || p > shape.layers) continue;
            const int d = ranks / (t * p * c);
            if (batch % d != 0) continue;
            for (std::int64_t micro = 1; micro <= batch / d; ++micro) {
              if (batch / d % micro != 0) continue;
              for (int flags = 0; flags < 24 * 16; ++flags) {
                Plan plan;
                plan.shard = flags % 4;
                plan.recompute = static_cast<Recompute>(flags / 4 % 3);
                plan.sequence_parallel = flags / 12 % 2 == 1;
                plan.pipeline.interleave = flags / 24 + 1;
                const int v = plan.pipeline.interleave;
                const std::int64_t m = batch / d / micro;
                if (p * v > shape.layers) break;
                if (v > 1 && (p == 1 || m % p != 0 || shape.layers % (p * v) != 0)) continue;
                if (plan.sequence_parallel && t == 1) continue;
                if (plan.shard > 1 && p > 1) continue;
                if (plan.shard > 0 && d * c == 1) continue;
                plan.cluster = {at.candidate.instance, (ranks + devices - 1) / devices};
                plan.layout = {d, t, p, c};
                plan.global_batch = batch;
                plan.micro_batch = micro;
                plan.accumulation = m;
                plan.precision = job.precision;
                plan.attention = job.attention;
                plan.optimizer = job.optimizer;
                plan.steps = (samples + batch - 1) / batch;
                const auto predicted = predict_transformer_plan(shape, plan, at.evidence);
                if (!predicted.ok() || !predicted->fits) continue;
                if (best && best->prediction.step_time.p50 <= predicted->prediction.step_time.p50) {
                  continue;
                }
                best = RankedPlan{plan, predicted->prediction, false};
              }
            }
          }
        }
      }
      if (best) all.push_back(std::move(*best));
    }
  }
  return all;
}

/// In parts that run beside each other.
class TransformerOracle : public TransformerSearch, public ::testing::WithParamInterface<int> {};

TEST_P(TransformerOracle, EqualsExhaustiveSearch) {
  std::mt19937 random(static_cast<std::uint32_t>(GetParam()));
  int feasible = 0, infeasible = 0;
  constexpr int kRounds = 52;
  for (int round = 0; round < kRounds; ++round) {
    choose_model(4 + 2 * static_cast<int>(random() % 3), 256 << random() % 4, 256 << random() % 3);
    job.global_batch = std::array{8, 12, 16, 24}[random() % 4];
    job.minimize = std::array{Objective::kCost, Objective::kTime, Objective::kRisk}[random() % 3];
    const int most = random() % 16 == 0 ? 16 : 8;
    std::vector<TransformerPlace> places = {place("aws:p4d.24xlarge", most)};
    if (random() % 2 == 0) places.push_back(place("aws:g6.12xlarge", 8));
    // Little memory makes sharding, recomputing and stages worth something.
    for (auto& one : places) {
      one.candidate.instance.node.device.memory = Bytes((2LL << 30) + (random() % 4 << 28));
    }
    job.deadline.reset();
    job.budget.reset();
    auto expected = best_of_every_cell(job, shape, places, kSamples);
    if (expected.empty()) continue;
    if (random() % 3 > 0) {
      const auto& some = expected[random() % expected.size()].prediction;
      job.deadline = some.time_to_target.p50 * (0.5 + 0.1 * static_cast<double>(random() % 10));
      if (random() % 2 == 0) job.budget = some.price.p50 * 1.3;
    }
    expected = judged(job, shape, places, std::move(expected));
    const bool any = std::ranges::any_of(expected, &RankedPlan::meets_limits);
    ++(any ? feasible : infeasible);
    if (any) std::erase_if(expected, [](const RankedPlan& one) { return !one.meets_limits; });
    std::ranges::sort(expected, [&](const auto& a, const auto& b) {
      const double first = overrun(job, a.prediction), second = overrun(job, b.prediction);
      return !any && first != second ? first < second : better(job, a, b);
    });
    const auto result = searched(places);
    ASSERT_EQ(result.termination, any ? Termination::kFeasible : Termination::kInfeasible);
    ASSERT_EQ(result.ranked.size(), std::min<std::size_t>(10, expected.size())) << round;
    for (std::size_t i = 0; i < result.ranked.size(); ++i) {
      const double ratio = result.ranked[i].prediction.time_to_target.p50 /
                           expected[i].prediction.time_to_target.p50;
      // The first may be a simpler plan than the fastest of its cell, whose checkpoints may be
      // written faster.
      const double slack = (i == 0 ? kNegligibleGain : 0) + 1e-9;
      EXPECT_LT(ratio, 1 + slack) << round << " place " << i;
      EXPECT_GT(ratio, 1 - slack) << round << " place " << i;
      const auto valid = validate(result.ranked[i].plan);
      EXPECT_TRUE(valid.ok()) << valid.error().message;
    }
  }
  EXPECT_GT(feasible, kRounds / 3);
  EXPECT_GT(infeasible, kRounds / 10);
}

INSTANTIATE_TEST_SUITE_P(Jobs, TransformerOracle, ::testing::Values(7, 8));

TEST_F(TransformerSearch, WhatTheJobFixesStaysFixed) {
  choose_model(8, 1024, 1024);
  job.global_batch = 64;
  job.strategy.tensor = 4;
  job.strategy.recompute = Recompute::kFull;
  job.micro_batch = 2;
  const auto result = searched({place("aws:p4d.24xlarge", 32)});
  ASSERT_FALSE(result.ranked.empty());
  for (const auto& one : result.ranked) {
    EXPECT_EQ(one.plan.layout.tensor, 4);
    EXPECT_EQ(one.plan.recompute, Recompute::kFull);
    EXPECT_EQ(one.plan.micro_batch, 2);
  }
  job.strategy.data = 3;
  EXPECT_EQ(searched({place("aws:p4d.24xlarge", 32)}).cells, 0);
}

TEST_F(TransformerSearch, FrontHoldsWhatNothingBeatsInTimeAndPrice) {
  choose_model(8, 1024, 1024);
  job.global_batch = 64;
  const std::vector<TransformerPlace> places = {place("aws:p4d.24xlarge", 32),
                                                place("aws:g6.12xlarge", 32)};
  const auto front = searched(places, true).front;
  ASSERT_GT(front.size(), 1u);
  for (std::size_t i = 1; i < front.size(); ++i) {
    EXPECT_GT(front[i].prediction.time_to_target.p50, front[i - 1].prediction.time_to_target.p50);
    EXPECT_LT(front[i].prediction.price.p50, front[i - 1].prediction.price.p50);
  }
  // No plan of any cell lies below it.
  for (const auto& one : best_of_every_cell(job, shape, places, kSamples)) {
    EXPECT_TRUE(std::ranges::any_of(front,
                                    [&](const RankedPlan& at) {
                                      return at.prediction.time_to_target.p50 <=
                                                 one.prediction.time_to_target.p50 * (1 + 1e-9) &&
                                             at.prediction.price.p50 <=
                                                 one.prediction.price.p50 * (1 + 1e-9);
                                    }))
        << one.plan.cluster.instance.name << " " << one.plan.layout.ranks();
  }
}

TEST_F(TransformerSearch, PlacesWithTheSameNodesDifferInPriceAlone) {
  choose_model(8, 1024, 1024);
  job.global_batch = 64;
  const auto one = place("aws:p4d.24xlarge", 32);
  auto dearer = one;
  dearer.candidate.instance.name = "dearer";
  dearer.candidate.instance.price = one.candidate.instance.price * 2;
  auto slower = one;
  slower.candidate.instance.name = "slower";
  slower.candidate.instance.node.device.memory_bandwidth = BytesPerSecond(1e12);
  for (const auto& other : {dearer, slower}) {
    const auto both = searched({one, other});
    const auto alone = searched({other});
    const auto found = std::ranges::find_if(both.ranked, [&](const RankedPlan& plan) {
      return plan.plan.cluster.instance.name == other.candidate.instance.name;
    });
    ASSERT_NE(found, both.ranked.end());
    const auto same = std::ranges::find_if(alone.ranked, [&](const RankedPlan& plan) {
      return plan.plan.layout.ranks() == found->plan.layout.ranks();
    });
    ASSERT_NE(same, alone.ranked.end());
    // The first of a search may give way to what is hardly slower.
    EXPECT_NEAR(found->prediction.step_time.p50 / same->prediction.step_time.p50, 1,
                kNegligibleGain);
    EXPECT_NEAR(found->prediction.price.p50 / same->prediction.price.p50, 1, kNegligibleGain);
  }
}

TEST_F(TransformerSearch, WhatFitsNowhereIsShownWithTheMemoryItNeeds) {
  choose_model(8, 4096, 1024);
  job.global_batch = 8;
  auto only = place("aws:g6.12xlarge", 1);
  only.candidate.instance.node.devices = 1;
  only.candidate.instance.node.device.memory = Bytes(4LL << 30);
  const auto result = searched({only});
  EXPECT_EQ(result.termination, Termination::kInfeasible);
  ASSERT_EQ(result.ranked.size(), 1u);
  EXPECT_FALSE(fits_memory(result.ranked.front().plan, result.ranked.front().prediction));
  EXPECT_GT(result.rejections.memory, 0);
}

TEST_F(TransformerSearch, APrecisionNoPlaceHasIsAnError) {
  choose_model(4, 256, 256);
  job.global_batch = 8;
  auto only = place("aws:p4d.24xlarge", 8);
  only.candidate.instance.node.device.peak.clear();
  const auto result = search(job, *model, shape, kSamples, {only}, {});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kUnsupported);
}

// Narayanan et al. 2021, section 5: tensor parallelism within a node, pipeline across nodes.
TEST_F(TransformerSearch, Gpt3On1024A100SplitsLayersInsideNodesAndStagesAcross) {
  choose_model(96, 12288, 2048);
  shape.heads = shape.kv_heads = 96;
  job.global_batch = 1536;
  job.ranks = 1024;
  auto dgx = place("aws:p4d.24xlarge", 1024);
  dgx.candidate.instance.node.device = *catalog_->device("A100 SXM 80GB");
  const auto plan = searched({dgx}).ranked.front().plan;
  EXPECT_EQ(plan.layout.tensor, 8);
  EXPECT_GT(plan.layout.pipeline, 1);
}

}  // namespace
}  // namespace pluto
