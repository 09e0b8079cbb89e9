#include "planner/planner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "planner/ranking.h"
#include "planner/space.h"
#include "tests/support/planner_cases.h"

namespace pluto {
namespace {

using testing::candidate;
using testing::perceptron;
using testing::random_costs;
using testing::small_convnet;
using testing::small_job;
using testing::TableCosts;

const auto kNever = [] { return false; };

SearchResult searched(const TrainingJob& job, const ModelGraph& model,
                      const std::vector<Candidate>& places, const CostSource& costs) {
  auto result = search(job, model, *job.data.samples, places, costs, {false, kNever});
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  return *result;
}

/// The oracle: every configuration, every method of every layer, every run of equal methods cut in
/// every way the planner knows (one bucket or one per parameter; the parameters of these models are
/// far below 1 MiB). Written apart from the planner's own code.
class Exhaustive {
 public:
  Exhaustive(const TrainingJob& job, const ModelGraph& model, const std::vector<Candidate>& places,
             const CostSource& costs)
      : job_(job), model_(model), places_(places), costs_(costs) {}

  /// The fastest plan of every (instance, ranks, batch) that has one which fits.
  std::vector<RankedPlan> best_plans() {
    std::vector<RankedPlan> all;
    const auto space = enumerate(job_, *job_.data.samples, places_);
    EXPECT_TRUE(space.ok());
    for (const auto& placement : space->placements) {
      std::optional<RankedPlan> best;
      const std::int64_t share = placement.global_batch / placement.ranks;
      for (std::int64_t micro = share; micro >= 1; --micro) {
        const bool power = (micro & (micro - 1)) == 0;
        if (share % micro != 0 || !(power || micro == share)) continue;
        const auto plan = plan_of(job_, model_, *job_.data.samples, places_[placement.candidate],
                                  placement, micro);
        for (const auto& [buckets, served] : bucketings(plan)) try_one(plan, buckets, served, best);
      }
      if (best) all.push_back(*best);
    }
    return all;
  }

 private:
  struct Layer {
    std::vector<std::string> parameters;  // in gradient order
    bool linear = false;
  };
  using Choice = std::pair<std::vector<BucketPlan>, bool>;

  std::vector<Layer> layers(const Plan& plan) const {
    std::vector<Layer> all;
    const auto order = gradient_order(model_, plan);
    for (const auto& one : *order) {
      const auto name = one.name.substr(0, one.name.find('.'));
      if (all.empty() || !all.back().parameters.front().starts_with(name + "."))
        all.push_back({{}, one.sufficient_factors});
      all.back().parameters.push_back(one.name);
    }
    return all;
  }

  std::vector<Choice> bucketings(const Plan& plan) const {
    if (plan.layout.data == 1) return {{{}, false}};
    const auto order = layers(plan);
    std::vector<Choice> choices;
    std::size_t assignments = 1;
    for (std::size_t i = 0; i < order.size(); ++i) assignments *= 3;
    for (std::size_t code = 0; code < assignments; ++code) {
      std::vector<SyncMethod> methods;
      bool lawful = true;
      for (std::size_t i = 0, rest = code; i < order.size(); ++i, rest /= 3) {
        const auto method = std::array{SyncMethod::kAllReduce, SyncMethod::kParameterServer,
                                       SyncMethod::kSufficientFactor}[rest % 3];
        methods.push_back(method);
        lawful = lawful && std::ranges::count(job_.allowed_sync, method) > 0 &&
                 (order[i].linear || method != SyncMethod::kSufficientFactor);
      }
      if (!lawful) continue;
      for (const bool whole : {true, false}) choices.push_back(cut(order, methods, whole));
    }
    return choices;
  }

  static Choice cut(const std::vector<Layer>& order, const std::vector<SyncMethod>& methods,
                    bool whole) {
    struct Placed {
      BucketPlan bucket;
      std::size_t last;
    };
    std::vector<Placed> placed;
    std::map<SyncMethod, std::size_t> open;
    bool served = false;
    std::size_t index = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
      served = served || methods[i] == SyncMethod::kParameterServer;
      const bool factors = methods[i] == SyncMethod::kSufficientFactor;
      for (std::size_t j = 0; j < order[i].parameters.size(); ++j, ++index) {
        const bool join = factors ? j > 0 : whole && open.contains(methods[i]);
        if (!join) {
          open[methods[i]] = placed.size();
          placed.push_back({{methods[i], {}}, 0});
        }
        auto& one = placed[open[methods[i]]];
        one.bucket.parameters.push_back(order[i].parameters[j]);
        one.last = index;
      }
    }
    std::ranges::sort(placed, {}, &Placed::last);
    std::vector<BucketPlan> buckets;
    for (auto& one : placed) buckets.push_back(one.bucket);
    return {buckets, served};
  }

  void try_one(Plan plan, const std::vector<BucketPlan>& buckets, bool served,
               std::optional<RankedPlan>& best) {
    plan.buckets = buckets;
    for (int rank = 0; served && rank < plan.layout.data; ++rank) plan.servers.push_back(rank);
    const auto predicted = predict(model_, plan, costs_);
    EXPECT_TRUE(predicted.ok()) << (predicted.ok() ? "" : predicted.error().message);
    RankedPlan one{plan, predicted->prediction, false};
    if (!fits_memory(one.plan, one.prediction)) return;
    one.meets_limits = meets_deadline(job_, one.prediction) && meets_budget(job_, one.prediction);
    if (!best || one.prediction.step_time.p50 < best->prediction.step_time.p50) best = one;
  }

  const TrainingJob& job_;
  const ModelGraph& model_;
  const std::vector<Candidate>& places_;
  const CostSource& costs_;
};

TEST(Search, EqualsExhaustiveSearchOnRandomSmallJobs) {
  std::mt19937 random(20);
  int feasible = 0, infeasible = 0, short_of_memory = 0;
  for (int round = 0; round < 200; ++round) {
    const auto model = random() % 3 == 0 ? small_convnet(4, 3) : perceptron({8, 6, 4});
    TrainingJob job = small_job(static_cast<std::int64_t>(std::array{2, 4, 6}[random() % 3]));
    if (random() % 4 == 0) {
      job.global_batch.reset();
      job.max_global_batch = 4;
      job.convergence.critical_batch = 1 + static_cast<double>(random() % 8);
    }
    job.minimize = std::array{Objective::kCost, Objective::kTime, Objective::kRisk}[random() % 3];
    if (random() % 2 == 0)
      job.allowed_sync.erase(job.allowed_sync.begin() + static_cast<std::ptrdiff_t>(random() % 3));
    std::vector<Candidate> places{candidate("a", 1 + static_cast<int>(random() % 3), 1.0,
                                            1 + static_cast<int>(random() % 2))};
    if (random() % 2 == 0)
      places.push_back(candidate("b", 2, 0.5 + static_cast<double>(random() % 3), 2, 1e-5, 1e8));
    if (job.allowed_sync.front() == SyncMethod::kSufficientFactor)
      job.allowed_sync.push_back(SyncMethod::kAllReduce);
    auto costs = random_costs(random(), 1e-4, static_cast<double>(random() % 100));
    costs.cpu_share = static_cast<double>(random() % 5) / 5;
    costs.input_seconds = random() % 5 == 0 ? 1e-4 : 0;
    if (random() % 3 == 0) {
      for (auto& place : places)
        place.instance.node.device.memory =
            Bytes(4000 + static_cast<std::int64_t>(random() % 3000));
    }
    // Limits around what plans take.
    const double typical = 2.0 * 10'000 / 4 * 1e-3;
    std::uniform_real_distribution<double> around(0.1, 2);
    if (random() % 2 == 0) job.deadline = Seconds(typical * around(random));
    if (random() % 2 == 0) job.budget = Dollars(typical / 3600 * around(random));
    job.confidence = 0.5 + 0.49 * static_cast<double>(random() % 100) / 100;

    auto expected = Exhaustive(job, model, places, costs).best_plans();
    const auto result = searched(job, model, places, costs);
    const bool any = std::ranges::any_of(expected, &RankedPlan::meets_limits);
    ASSERT_EQ(result.termination, any ? Termination::kFeasible : Termination::kInfeasible)
        << "round " << round;
    if (expected.empty()) {
      ++short_of_memory;
      ASSERT_EQ(result.ranked.size(), 1u);
      EXPECT_FALSE(result.ranked.front().meets_limits);
      continue;
    }
    if (any) {
      ++feasible;
      std::erase_if(expected, [](const RankedPlan& one) { return !one.meets_limits; });
      std::ranges::sort(expected, [&](const auto& a, const auto& b) { return better(job, a, b); });
    } else {
      ++infeasible;
      std::ranges::sort(expected, [&](const auto& a, const auto& b) {
        const double first = overrun(job, a.prediction), second = overrun(job, b.prediction);
        return first != second ? first < second : better(job, a, b);
      });
      const auto misses = nearest_misses(job, expected);
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
    ASSERT_EQ(result.ranked.size(), std::min<std::size_t>(10, expected.size()))
        << "round " << round;
    for (std::size_t i = 0; i < result.ranked.size(); ++i) {
      const auto& mine = result.ranked[i];
      const auto& theirs = expected[i];
      // The first may be plain data parallelism instead of something hardly faster.
      const double slack = i == 0 ? kNegligibleGain : 0;
      const double time = mine.prediction.time_to_target.p50 / theirs.prediction.time_to_target.p50;
      const double price = mine.prediction.price.p50 / theirs.prediction.price.p50;
      EXPECT_GT(time, 1 - 1e-6) << "round " << round << " place " << i;
      EXPECT_LT(time, 1 + slack + 1e-6) << "round " << round << " place " << i;
      EXPECT_GT(price, 1 - 1e-6);
      EXPECT_LT(price, 1 + slack + 1e-6);
      EXPECT_EQ(mine.meets_limits, theirs.meets_limits);
    }
  }
  // The cases must exercise all outcomes.
  EXPECT_GT(feasible, 50);
  EXPECT_GT(infeasible, 20);
  EXPECT_GT(short_of_memory, 2);
}

class SearchOutcome : public ::testing::Test {
 protected:
  SearchOutcome() {
    costs.op_seconds = [](const OpSignature& op) { return 1e-6 + op_work(op).flops.value() / 1e9; };
    costs.collective_seconds = [](const CollectiveCall& call, const ClusterSpec& cluster) {
      return collective_time(call, cluster).total().value();
    };
    job.minimize = Objective::kTime;
  }
  ModelGraph model = perceptron({64, 64, 10});
  TableCosts costs;
  TrainingJob job = small_job(64);
  std::vector<Candidate> places{candidate("small", 2, 1), candidate("large", 8, 1.5)};
};

TEST_F(SearchOutcome, AMixHasToGainSomethingOverPlainDataParallelism) {
  // Reading bounds the step, so that no method is faster than another by more than rounding.
  costs.input_seconds = 1;
  const auto hidden = searched(job, model, places, costs);
  ASSERT_FALSE(hidden.ranked.empty());
  EXPECT_EQ(hidden.ranked.front().plan, hidden.baseline->plan);
  // Bytes that cost half the step are worth a mix.
  costs.input_seconds = 0;
  costs.collective_seconds = [](const CollectiveCall& call, const ClusterSpec&) {
    return call.kind == CollectiveKind::kAllReduce ? 1.0 : 0.1;
  };
  job.ranks = 2;
  const auto mixed = searched(job, model, places, costs);
  ASSERT_FALSE(mixed.ranked.empty());
  EXPECT_NE(mixed.ranked.front().plan, mixed.baseline->plan);
}

TEST_F(SearchOutcome, EveryReturnedNumberComesFromPredict) {
  const auto result = searched(job, model, places, costs);
  ASSERT_FALSE(result.ranked.empty());
  for (const auto& one : result.ranked) {
    const auto again = predict(model, one.plan, costs);
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again->prediction.time_to_target, one.prediction.time_to_target);
    EXPECT_EQ(again->prediction.memory, one.prediction.memory);
    EXPECT_TRUE(validate(one.plan).ok());
    EXPECT_TRUE(one.meets_limits);
  }
  EXPECT_GT(result.evaluated, 0);
}

TEST_F(SearchOutcome, RankedPlansDifferInPlaceRanksOrBatch) {
  const auto result = searched(job, model, places, costs);
  std::set<std::tuple<std::string, int, std::int64_t>> seen;
  for (const auto& one : result.ranked) {
    EXPECT_TRUE(
        seen.emplace(one.plan.cluster.instance.name, one.plan.layout.ranks(), one.plan.global_batch)
            .second);
  }
  EXPECT_EQ(seen.size(), 6u);  // 1 and 2 ranks of the small one, 1, 2, 4, 8 of the large one
  EXPECT_EQ(result.rejections.divisibility, 4);
  for (std::size_t i = 1; i < result.ranked.size(); ++i) {
    EXPECT_FALSE(better(job, result.ranked[i], result.ranked[i - 1]));
  }
}

TEST_F(SearchOutcome, IsNeverSlowerThanTheBaselineOnTheSameHardware) {
  for (const double bandwidth : {1e6, 1e8, 1e10}) {
    places = {candidate("a", 8, 1, 1, 1e-5, bandwidth)};
    const auto result = searched(job, model, places, costs);
    ASSERT_TRUE(result.baseline.has_value());
    const auto& first = result.ranked.front();
    EXPECT_EQ(result.baseline->plan.layout, first.plan.layout);
    EXPECT_EQ(result.baseline->plan.global_batch, first.plan.global_batch);
    EXPECT_LE(first.prediction.step_time.p50.value(),
              result.baseline->prediction.step_time.p50.value() * (1 + 1e-9));
    for (const auto& bucket : result.baseline->plan.buckets)
      EXPECT_EQ(bucket.method, SyncMethod::kAllReduce);
  }
}

TEST_F(SearchOutcome, AFasterNetworkIsNeverSlower) {
  double last = 1e300;
  for (const double bandwidth : {1e6, 1e7, 1e8, 1e9, 1e10}) {
    const auto result = searched(job, model, {candidate("a", 8, 1, 1, 1e-6, bandwidth)}, costs);
    const double seconds = result.ranked.front().prediction.time_to_target.p50.value();
    EXPECT_LE(seconds, last * (1 + 1e-9));
    last = seconds;
  }
}

TEST_F(SearchOutcome, ALargerBudgetNeverTakesLonger) {
  double last = 1e300;
  const auto free_choice = searched(job, model, places, costs);
  const double dollars = free_choice.ranked.front().prediction.price.p50.value();
  for (const double factor : {0.6, 1.0, 1.3, 2.0, 10.0}) {
    job.budget = Dollars(dollars * factor);
    const auto result = searched(job, model, places, costs);
    if (result.termination != Termination::kFeasible) continue;
    const double seconds = result.ranked.front().prediction.time_to_target.p50.value();
    EXPECT_LE(seconds, last * (1 + 1e-9));
    last = seconds;
  }
  EXPECT_LT(last, 1e300);
}

TEST_F(SearchOutcome, AnImpossibleDeadlineIsAResultWithTheNearestMisses) {
  job.deadline = Seconds(1e-6);
  job.budget = Dollars(1000);
  const auto result = searched(job, model, places, costs);
  EXPECT_EQ(result.termination, Termination::kInfeasible);
  ASSERT_FALSE(result.ranked.empty());
  EXPECT_FALSE(result.ranked.front().meets_limits);
  EXPECT_FALSE(result.nearest_by_budget.has_value());  // no money meets it
  ASSERT_TRUE(result.nearest_by_deadline.has_value());
  EXPECT_TRUE(meets_budget(job, result.nearest_by_deadline->prediction));
  EXPECT_GT(result.rejections.deadline, 0);
  // Asking for what the nearest plan offers is feasible.
  job.deadline = result.nearest_by_deadline->prediction.time_to_target.p90 * 1.001;
  EXPECT_EQ(searched(job, model, places, costs).termination, Termination::kFeasible);
}

TEST_F(SearchOutcome, WhatFitsNowhereIsShownWithTheMemoryItNeeds) {
  for (auto& place : places) place.instance.node.device.memory = Bytes(1000);
  const auto result = searched(job, model, places, costs);
  EXPECT_EQ(result.termination, Termination::kInfeasible);
  ASSERT_EQ(result.ranked.size(), 1u);
  EXPECT_GT(result.ranked.front().prediction.memory.total(), Bytes(1000));
  EXPECT_FALSE(result.ranked.front().meets_limits);
  EXPECT_GT(result.rejections.memory, 0);
  EXPECT_FALSE(result.nearest_by_confidence.has_value());
}

TEST_F(SearchOutcome, LittleMemoryForcesSmallMicroBatches) {
  costs.op_seconds = [](const OpSignature& op) { return 1e-3 + op_work(op).flops.value() / 1e9; };
  places = {candidate("a", 1, 1)};
  EXPECT_EQ(searched(job, model, places, costs).ranked.front().plan.accumulation, 1);
  const auto needed = searched(job, model, places, costs).ranked.front().prediction.memory.total();
  places.front().instance.node.device.memory = needed - Bytes(1);
  const auto result = searched(job, model, places, costs);
  ASSERT_EQ(result.termination, Termination::kFeasible);
  EXPECT_GT(result.ranked.front().plan.accumulation, 1);
  EXPECT_LT(result.ranked.front().prediction.memory.total(), needed);
  EXPECT_GT(result.rejections.memory, 0);
}

TEST_F(SearchOutcome, StoppingGivesTheBestSoFar) {
  int calls = 0;
  auto result = search(job, model, 10'000, places, costs, {false, [&] { return ++calls > 60; }});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->termination, Termination::kLimitReached);
  EXPECT_FALSE(result->ranked.empty());
  EXPECT_TRUE(result->baseline.has_value());
  result = search(job, model, 10'000, places, costs, {false, [] { return true; }});
  EXPECT_EQ(result->termination, Termination::kLimitReached);
  EXPECT_TRUE(result->ranked.empty());
}

TEST_F(SearchOutcome, WithoutAStopItRunsToTheEnd) {
  const auto result = search(job, model, 10'000, places, costs, {false, {}});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->termination, Termination::kFeasible);
}

TEST_F(SearchOutcome, IsTheSameEveryTime) {
  const auto first = searched(job, model, places, costs),
             second = searched(job, model, places, costs);
  ASSERT_EQ(first.ranked.size(), second.ranked.size());
  for (std::size_t i = 0; i < first.ranked.size(); ++i)
    EXPECT_EQ(first.ranked[i].plan, second.ranked[i].plan);
  EXPECT_EQ(first.evaluated, second.evaluated);
}

TEST_F(SearchOutcome, AContradictionIsAnError) {
  job.ranks = 7;
  const auto result = search(job, model, 10'000, places, costs, {false, kNever});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidInput);
}

TEST_F(SearchOutcome, ALargeCriticalBatchMakesLargeBatchesAndManyRanksWorthwhile) {
  job.global_batch.reset();
  job.max_global_batch = 64;
  job.learning_rate_batch = 8;
  places = {candidate("a", 8, 1, 1, 1e-6, 1e10)};
  job.convergence.critical_batch = 1e9;
  const auto willing = searched(job, model, places, costs).ranked.front().plan;
  job.convergence.critical_batch = 1e-3;
  const auto unwilling = searched(job, model, places, costs).ranked.front().plan;
  EXPECT_GT(willing.global_batch, unwilling.global_batch);
}

}  // namespace
}  // namespace pluto
