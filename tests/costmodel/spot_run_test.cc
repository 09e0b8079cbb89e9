#include "costmodel/spot_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace pluto {
namespace {

constexpr double kHour = 3600;

/// The policy, event by event, with the generator's numbers.
class EventByEvent {
 public:
  EventByEvent(const SpotRun& run, std::mt19937_64& random) : run_(run), random_(random) {}

  RunOutcome outcome() {
    std::normal_distribution<double> normal;
    const double work = run_.work.value() * std::exp(run_.spread * normal(random_));
    const double between = run_.between.value() * std::exp(run_.between_spread * normal(random_));
    const double drift = std::exp(run_.price_spread * normal(random_));
    const double segment = std::min(run_.interval.value(), work);
    double done = 0;  // at the last checkpoint, or when the run moved
    bool moved = start(random_uniform() >= run_.available, 0);
    while (!moved && done < work - 1e-6) {
      const double next = std::min(segment, work - done);
      const double failure = exponential(between);
      const double before = now_;
      moved = pass(std::min(next, failure), true);
      if (moved) {
        done += now_ - before;
      } else if (failure >= next) {
        done += next;
      } else {
        moved = start(true, run_.load.value());
      }
    }
    double on_demand = 0;
    if (moved) {
      on_demand = run_.boot.value() + 2 * run_.load.value() + work - done;
      now_ += run_.provisioning.value() + on_demand;
    }
    return {Seconds(now_),
            Dollars((run_.spot.value() * billed_ * drift + run_.on_demand.value() * on_demand) /
                    kHour)};
  }

 private:
  double random_uniform() { return std::uniform_real_distribution<double>()(random_); }
  double exponential(double mean) {
    return mean > 0 ? std::exponential_distribution<double>(1 / mean)(random_) : 0;
  }
  /// Time goes by on spot nodes; true when the move comes first.
  bool pass(double seconds, bool billed) {
    const bool moves = run_.move_after && now_ + seconds >= run_.move_after->value();
    const double passed = moves ? run_.move_after->value() - now_ : seconds;
    now_ += passed;
    if (billed) billed_ += passed;
    return moves;
  }
  bool start(bool wait, double load) {
    return (wait && pass(exponential(run_.wait.value()), false)) ||
           pass(run_.provisioning.value(), false) || pass(run_.boot.value() + load, true);
  }

  const SpotRun& run_;
  std::mt19937_64& random_;
  double now_ = 0, billed_ = 0;
};

/// Ten hours of work, a node lost every two hours.
SpotRun ten_hours() {
  SpotRun run;
  run.work = Seconds(10 * kHour);
  run.spread = 0.12;
  run.interval = Seconds(600);
  run.between = Seconds(2 * kHour);
  run.between_spread = 0.3;
  run.available = 0.6;
  run.wait = Seconds(1800);
  run.provisioning = Seconds(60);
  run.boot = Seconds(240);
  run.load = Seconds(20);
  run.spot = DollarsPerHour(7);
  run.on_demand = DollarsPerHour(22);
  run.price_spread = 0.1;
  return run;
}

double quantile_of(const std::vector<RunOutcome>& runs, double q, bool price) {
  std::vector<double> values;
  for (const RunOutcome& run : runs) {
    values.push_back(price ? run.price.value() : run.time.value());
  }
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

void expect_as_simulated(const SpotRun& run, double tolerance) {
  std::mt19937_64 random(7);
  std::vector<RunOutcome> simulated;
  for (int i = 0; i < 20000; ++i) simulated.push_back(EventByEvent(run, random).outcome());
  const auto outcomes = spot_outcomes(run);
  for (const bool price : {false, true}) {
    for (const double q : {0.1, 0.5, 0.9}) {
      EXPECT_NEAR(quantile_of(outcomes, q, price) / quantile_of(simulated, q, price), 1, tolerance)
          << (price ? "price" : "time") << " at " << q;
    }
  }
}

TEST(SpotRunTest, QuantilesAreThoseOfTheSimulatedPolicy) {
  SpotRun run = ten_hours();
  expect_as_simulated(run, 0.02);
  run.work = Seconds(kHour);
  expect_as_simulated(run, 0.035);
}

TEST(SpotRunTest, AMoveToOnDemandIsPricedAsSimulated) {
  for (const double hours : {4.0, 10.0, 12.0}) {
    SCOPED_TRACE(hours);
    SpotRun run = ten_hours();
    run.move_after = Seconds(hours * kHour);
    expect_as_simulated(run, 0.035);
  }
}

TEST(SpotRunTest, FarFromYoungsLimitTooItIsAsSimulated) {
  SpotRun run = ten_hours();
  run.work = run.interval = Seconds(2 * kHour);  // no checkpoint
  run.between = Seconds(2 * kHour);
  expect_as_simulated(run, 0.04);
  run = ten_hours();
  run.between = Seconds(0.3 * kHour);
  run.between_spread = 0.7;
  run.interval = Seconds(200);
  expect_as_simulated(run, 0.04);
}

TEST(SpotRunTest, NodesThatStayCostTheirWork) {
  SpotRun run = ten_hours();
  run.between = Seconds(1e12);
  run.available = 1;
  run.spread = run.price_spread = 0;
  for (const RunOutcome& outcome : spot_outcomes(run)) {
    EXPECT_NEAR(outcome.time.value(), 10 * kHour + 300, 1e-6);
    EXPECT_NEAR(outcome.price.value(), 7 * (10 + 240 / kHour), 1e-9);
  }
}

// An interval of a twelfth of M: what the first order leaves out is half of that.
TEST(SpotRunTest, TheMeanOverheadIsDalys) {
  SpotRun run = ten_hours();
  run.spread = run.between_spread = run.price_spread = 0;
  run.available = 1;
  run.work = Seconds(100 * kHour);
  double sum = 0;
  const auto outcomes = spot_outcomes(run);
  for (const RunOutcome& outcome : outcomes) sum += outcome.time.value();
  const double mean = sum / static_cast<double>(outcomes.size()) - 300;
  const Seconds restart = run.wait + run.provisioning + run.boot + run.load;
  // Writing is part of the work here.
  const double overhead = interruption_overhead(Seconds(), run.interval, restart, run.between);
  EXPECT_NEAR(mean / run.work.value() - 1, overhead, 0.06 * overhead) << "first order";
}

TEST(SpotRunTest, YoungsIntervalLosesLeast) {
  const Seconds writing(30), between(2 * kHour), restart(600);
  const Seconds best = checkpoint_interval(writing, between);
  EXPECT_NEAR(best.value(), std::sqrt(2 * 30 * 2 * kHour), 1e-9);
  const double least = interruption_overhead(writing, best, restart, between);
  for (const double factor : {0.5, 0.9, 1.1, 2.0}) {
    EXPECT_GT(interruption_overhead(writing, best * factor, restart, between), least);
  }
  // and of sampled runs, whose interval has the writing in it
  const auto mean_of = [&](double factor) {
    SpotRun run = ten_hours();
    run.work = Seconds(100 * kHour * (1 + writing / (best * factor)));
    run.interval = best * factor + writing;
    double sum = 0;
    for (const RunOutcome& outcome : spot_outcomes(run)) sum += outcome.time.value();
    return sum;
  };
  EXPECT_LT(mean_of(1), mean_of(0.3));
  EXPECT_LT(mean_of(1), mean_of(3));
}

TEST(SpotRunTest, MoreInterruptionsAreNeverFasterNorCheaper) {
  SpotRun run = ten_hours();
  double time = 0, price = 0;
  for (const double hours : {100.0, 10.0, 3.0, 1.0, 0.5}) {
    run.between = Seconds(hours * kHour);
    const auto outcomes = spot_outcomes(run);
    const double slower = quantile_of(outcomes, 0.9, false);
    const double dearer = quantile_of(outcomes, 0.9, true);
    EXPECT_GT(slower, time);
    EXPECT_GT(dearer, price);
    time = slower;
    price = dearer;
  }
}

}  // namespace
}  // namespace pluto
