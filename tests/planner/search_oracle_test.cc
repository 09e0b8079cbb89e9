// A search against every plan of its space, on random small jobs.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "model/zoo.h"
#include "planner/ranking.h"
#include "tests/planner/exhaustive_plans.h"
#include "tests/support/planner_cases.h"

namespace pluto {
namespace {

using testing::candidate;
using testing::ExhaustivePlans;
using testing::perceptron;
using testing::random_costs;
using testing::small_convnet;
using testing::small_job;
using testing::TableCosts;

SearchResult searched(const TrainingJob& job, const ModelGraph& model,
                      const std::vector<Candidate>& places, const CostSource& costs) {
  auto result = search(job, model, *job.data.samples, places, costs, {});
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  return *result;
}

/// Best first, as the ranking is defined: by score, or by the overrun where nothing meets the
/// limits.
void rank(const TrainingJob& job, std::vector<RankedPlan>& plans) {
  const bool any = std::ranges::any_of(plans, &RankedPlan::meets_limits);
  if (any) std::erase_if(plans, [](const RankedPlan& one) { return !one.meets_limits; });
  std::ranges::sort(plans, [&](const auto& a, const auto& b) {
    const double first = overrun(job, a.prediction), second = overrun(job, b.prediction);
    return !any && first != second ? first < second : better(job, a, b);
  });
}

struct Draw {
  std::mt19937 random;
  int below(int limit) {
    return static_cast<int>(random() % static_cast<std::mt19937::result_type>(limit));
  }
  double between(double low, double high) { return low + (high - low) * below(1'000'000) / 1e6; }
  template <class T>
  T one_of(std::initializer_list<T> values) {
    return *(values.begin() + below(static_cast<int>(values.size())));
  }
};

struct Case {
  ModelGraph model;
  TrainingJob job;
  std::vector<Candidate> places;
  TableCosts costs;
};

void draw_limits(Draw& draw, double typical_seconds, TrainingJob& job) {
  if (draw.below(2) == 0) job.deadline = Seconds(typical_seconds * draw.between(0.1, 2));
  if (draw.below(2) == 0) job.budget = Dollars(typical_seconds / 3600 * draw.between(0.1, 2));
  job.confidence = draw.between(0.5, 0.99);
  job.minimize = draw.one_of({Objective::kCost, Objective::kTime, Objective::kRisk});
}

void draw_methods(Draw& draw, TrainingJob& job) {
  if (draw.below(2) == 0) job.allowed_sync.erase(job.allowed_sync.begin() + draw.below(3));
  if (job.allowed_sync.front() == SyncMethod::kSufficientFactor) {
    job.allowed_sync.push_back(SyncMethod::kAllReduce);
  }
}

/// On processors: op times by chance, without any law.
Case draw_case(Draw& draw) {
  Case one{draw.below(3) == 0 ? small_convnet(4, 3)
                              : perceptron(draw.one_of<std::vector<std::int64_t>>(
                                    {{8, 6, 4}, {6, 6, 6}, {5, 4, 4, 4}})),
           small_job(draw.one_of<std::int64_t>({2, 4, 6})),
           {candidate("a", 1 + draw.below(3), 1.0, 1 + draw.below(2))},
           random_costs(draw.random(), 1e-4, draw.below(100))};
  if (draw.below(4) == 0) {
    one.job.global_batch.reset();
    one.job.max_global_batch = 4;
    one.job.convergence.critical_batch = 1 + draw.below(8);
  }
  draw_methods(draw, one.job);
  if (draw.below(2) == 0) {
    one.places.push_back(candidate("b", 2, draw.between(0.5, 2.5), 2, 1e-5, 1e8));
  }
  one.costs.cpu_share = draw.below(5) / 5.0;
  one.costs.input_seconds = draw.below(5) == 0 ? 1e-4 : 0;
  if (draw.below(3) == 0) {
    for (Candidate& place : one.places) {
      place.instance.node.device.memory = Bytes(3000 + draw.below(4000));
    }
  }
  draw_limits(draw, 2.0 * 10'000 / 4 * 1e-3, one.job);
  return one;
}

/// Where the two were compared, and what came of it.
struct Tally {
  int feasible = 0, infeasible = 0, short_of_memory = 0;
};

void expect_equal(const Case& one, std::vector<RankedPlan> expected, Tally& tally) {
  const SearchResult result = searched(one.job, one.model, one.places, one.costs);
  const bool any = std::ranges::any_of(expected, &RankedPlan::meets_limits);
  EXPECT_EQ(result.gap, 0);
  ASSERT_EQ(result.termination, any ? Termination::kFeasible : Termination::kInfeasible);
  if (expected.empty()) {
    ++tally.short_of_memory;
    ASSERT_EQ(result.ranked.size(), 1U);
    EXPECT_FALSE(result.ranked.front().meets_limits);
    return;
  }
  ++(any ? tally.feasible : tally.infeasible);
  if (!any) {
    const auto misses = nearest_misses(one.job, expected);
    EXPECT_EQ(misses.by_budget.has_value(), result.nearest_by_budget.has_value());
    EXPECT_EQ(misses.by_deadline.has_value(), result.nearest_by_deadline.has_value());
    ASSERT_TRUE(result.nearest_by_confidence.has_value());
    EXPECT_NEAR(probability_of(misses.by_confidence->prediction),
                probability_of(result.nearest_by_confidence->prediction), 1e-9);
    if (misses.by_budget && result.nearest_by_budget) {
      EXPECT_NEAR(misses.by_budget->prediction.price.p50.value(),
                  result.nearest_by_budget->prediction.price.p50.value(), 1e-9);
    }
  }
  rank(one.job, expected);
  ASSERT_EQ(result.ranked.size(), std::min<std::size_t>(10, expected.size()));
  for (std::size_t i = 0; i < result.ranked.size(); ++i) {
    const Prediction& mine = result.ranked[i].prediction;
    const Prediction& theirs = expected[i].prediction;
    // The first may be plain data parallelism instead of something hardly faster.
    const double most = 1 + (i == 0 ? kNegligibleGain : 0) + 1e-6;
    const double time = mine.time_to_target.p50 / theirs.time_to_target.p50;
    const double price = mine.price.p50 / theirs.price.p50;
    EXPECT_GT(time, 1 - 1e-6) << "place " << i;
    EXPECT_LT(time, most) << "place " << i;
    EXPECT_GT(price, 1 - 1e-6) << "place " << i;
    EXPECT_LT(price, most) << "place " << i;
    EXPECT_EQ(result.ranked[i].meets_limits, expected[i].meets_limits);
  }
}

/// Hundreds of jobs, in parts that run beside each other.
class SearchOracle : public ::testing::TestWithParam<int> {};

constexpr int kRounds = 75;

TEST_P(SearchOracle, EqualsEveryPlanTried) {
  Draw draw{std::mt19937(static_cast<std::uint32_t>(GetParam()))};
  Tally tally;
  for (int round = 0; round < kRounds && !HasFatalFailure(); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const Case one = draw_case(draw);
    expect_equal(one, ExhaustivePlans(one.job, one.model, one.places, one.costs).best_plans(),
                 tally);
  }
  // The cases must have all outcomes.
  EXPECT_GT(tally.feasible, kRounds / 4);
  EXPECT_GT(tally.infeasible, kRounds / 10);
  EXPECT_GT(tally.short_of_memory, 0);
}

INSTANTIATE_TEST_SUITE_P(Jobs, SearchOracle, ::testing::Values(1, 2, 3, 4));

/// On GPUs: op times by work and overhead, so that parts of a layer take parts of its time.
Case draw_gpu_case(Draw& draw) {
  Case one{perceptron(draw.one_of<std::vector<std::int64_t>>(
               {{1024, 1024, 8}, {64, 2048, 512}, {64, 64, 32}, {1024, 1024}})),
           small_job(draw.one_of<std::int64_t>({4, 6, 8})),
           {candidate("a", 1 + draw.below(4), 1.0, 1 + draw.below(4), 1e-5 * draw.between(0.1, 2),
                      1e9 * draw.between(0.5, 20))},
           {}};
  if (draw.below(3) == 0) {
    one.places.push_back(candidate("b", 2, draw.between(0.5, 2.5), 2, 1e-5, 1e9));
  }
  for (Candidate& place : one.places) place.backend = "cuda";
  one.job.precision =
      draw.one_of({TrainPrecision::kF32, TrainPrecision::kFp16, TrainPrecision::kBf16});
  if (draw.below(2) == 0) one.job.optimizer = AdamAttrs{};
  draw_methods(draw, one.job);
  const double flops = 1e11 * draw.between(0.2, 20), bytes = 1e10 * draw.between(0.5, 5);
  one.costs.op_seconds = [=](const OpSignature& op) {
    const OpWork work = op_work(op);
    return 1e-6 + std::max(work.flops.value() / flops,
                           static_cast<double>((work.read + work.written).value()) / bytes);
  };
  one.costs.collective_seconds = [](const CollectiveCall& call, const ClusterSpec& cluster) {
    return collective_time(call, cluster).total().value();
  };
  if (draw.below(2) == 0) {
    for (Candidate& place : one.places) {
      const double mebibytes = draw.between(1, 40);
      place.instance.node.device.memory = Bytes(static_cast<std::int64_t>(mebibytes * (1 << 20)));
    }
  }
  draw_limits(draw, 2.0 * 10'000 / 4 * 1e-3, one.job);
  one.job.minimize = draw.one_of({Objective::kCost, Objective::kTime});
  return one;
}

class GpuOracle : public ::testing::TestWithParam<int> {};

/// What the first of the ranked is worth, less is better: the objective, or by how much the limits
/// are missed.
double value_of(const TrainingJob& job, const RankedPlan& first) {
  if (!first.meets_limits) return std::exp(overrun(job, first.prediction));
  return job.minimize == Objective::kCost ? first.prediction.price.p50.value()
                                          : first.prediction.time_to_target.p50.value();
}

bool only_allowed(const TrainingJob& job, const Plan& plan) {
  return std::ranges::all_of(plan.buckets, [&](const BucketPlan& bucket) {
    return plan.shard > 0 || std::ranges::count(job.allowed_sync, bucket.method) > 0;
  });
}

/// The variants of a GPU plan are not searched jointly: those that share or narrow gradients are
/// tried in plain buckets, and of micro-batches that do not fit as they are only the smallest of a
/// cell. How much that loses to all of them together.
TEST_P(GpuOracle, LosesLittleToEveryPlanTried) {
  Draw draw{std::mt19937(static_cast<std::uint32_t>(GetParam()))};
  constexpr int kGpuRounds = 50;
  int equal = 0, missed = 0, forbidden = 0, better_than_all = 0;
  double lost = 0, worst = 0;
  for (int round = 0; round < kGpuRounds; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const Case one = draw_gpu_case(draw);
    auto expected = ExhaustivePlans(one.job, one.model, one.places, one.costs).best_plans();
    const SearchResult result = searched(one.job, one.model, one.places, one.costs);
    if (expected.empty()) {
      EXPECT_EQ(result.termination, Termination::kInfeasible);
      ++equal;
      continue;
    }
    rank(one.job, expected);
    ASSERT_FALSE(result.ranked.empty());
    const RankedPlan& mine = result.ranked.front();
    forbidden += !only_allowed(one.job, mine.plan);
    if (mine.meets_limits != expected.front().meets_limits ||
        !fits_memory(mine.plan, mine.prediction)) {
      EXPECT_FALSE(mine.meets_limits);
      ++missed;
      continue;
    }
    const double loss = value_of(one.job, mine) / value_of(one.job, expected.front()) - 1;
    better_than_all += loss < -1e-6 && only_allowed(one.job, mine.plan);
    equal += loss <= kNegligibleGain;
    lost += std::max(0.0, loss) / kGpuRounds;
    worst = std::max(worst, loss);
  }
  RecordProperty("within_1_percent", equal);
  RecordProperty("said_infeasible_but_is_not", missed);
  RecordProperty("method_not_allowed", forbidden);
  RecordProperty("lost_on_average", std::to_string(lost));
  RecordProperty("lost_at_most", std::to_string(worst));
  EXPECT_EQ(better_than_all, 0);
  // What the search does not promise, kept from growing: it tries the variants one after another.
  EXPECT_GE(equal, kGpuRounds * 9 / 10);
  EXPECT_LE(missed, 1);
  EXPECT_EQ(forbidden, 0);
  EXPECT_LT(lost, 0.05);
}

INSTANTIATE_TEST_SUITE_P(Jobs, GpuOracle, ::testing::Values(1, 2));

}  // namespace
}  // namespace pluto
