#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "planner/planner.h"
#include "tests/support/planner_cases.h"

namespace pluto {
namespace {

using testing::candidate;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::perceptron;
using testing::small_job;
using testing::TableCosts;

class Explain : public ::testing::Test {
 protected:
  Explain() {
    costs.op_seconds = [](const OpSignature& op) { return 1e-6 + op_work(op).flops.value() / 1e9; };
    costs.collective_seconds = [](const CollectiveCall& call, const ClusterSpec& cluster) {
      return collective_time(call, cluster).total().value();
    };
    costs.evidence = Evidence::kDatasheet;
  }
  SearchResult searched(bool front, const std::function<bool()>& stop = {}) {
    auto result = search(job, model, 10'000, places, costs, {front, stop});
    EXPECT_TRUE(result.ok());
    return std::move(result).value();
  }
  std::vector<std::string> sentences(const std::function<bool()>& stop = {}) {
    return explain(job, searched(false, stop));
  }
  std::string sentence(const std::string& beginning, const SearchResult& result) {
    for (const std::string& one : explain(job, result)) {
      if (one.starts_with(beginning)) return one;
    }
    ADD_FAILURE() << "nothing begins with " << beginning;
    return {};
  }
  ModelGraph model = perceptron({64, 64, 10});
  TableCosts costs;
  TrainingJob job = small_job(64);
  std::vector<Candidate> places{candidate("small", 2, 1), candidate("large", 8, 1.5)};
};

TEST_F(Explain, SaysWhatWasChosenAndByWhichMeasure) {
  job.minimize = Objective::kTime;
  EXPECT_THAT(
      sentences().front(),
      HasSubstr(
          "why this one: 8 ranks on 8 nodes of large, global batch 64 = 8 x 8 is the fastest of 6 "
          "ranked plans (no limits are set)"));
  job.minimize = Objective::kCost;
  EXPECT_THAT(sentences().front(),
              HasSubstr("of small, global batch 64 = 1 x 64 is the cheapest of"));
}

TEST_F(Explain, NamesTheTighterLimit) {
  job.deadline = Seconds(1e6);
  job.budget = Dollars(1e4);
  EXPECT_THAT(sentences(), Contains(HasSubstr("is the tighter limit")));
  EXPECT_THAT(sentences().front(), HasSubstr("at confidence 0.90"));
}

TEST_F(Explain, DividesTheStepAndNamesTheLeastCertainPart) {
  const auto all = sentences();
  EXPECT_THAT(all, Contains(HasSubstr("a step takes")));
  EXPECT_THAT(all, Contains(HasSubstr("weakest assumption: compute, datasheet (spread 35 %), ")));
}

TEST_F(Explain, ComparesWithPlainDataParallelismAndTheNextPlan) {
  job.minimize = Objective::kTime;
  places = {candidate("a", 8, 1, 1, 1e-6, 1e6)};
  job.ranks = 4;
  const auto all = sentences();
  EXPECT_THAT(all, Contains(HasSubstr("gradients: ")));
  EXPECT_THAT(
      all, Contains(HasSubstr("plain data parallelism with all_reduce in 25 MiB buckets takes")));
  EXPECT_THAT(all, Not(Contains(HasSubstr("the next plan"))));
  job.ranks.reset();
  EXPECT_THAT(sentences(), Contains(HasSubstr("the next plan")));
}

// Of "small" four ranks are faster than one and cost more: a deadline between them decides.
TEST_F(Explain, ACheaperPlanBreaksALimitAndSaysWhich) {
  job.minimize = Objective::kCost;
  const SearchResult free = searched(true);
  ASSERT_GE(free.front.size(), 2U);
  const RankedPlan& fast = free.front[free.front.size() - 2];
  const RankedPlan& cheap = free.front.back();
  // Without limits the cheapest is chosen, and what faster costs is told.
  EXPECT_THAT(sentence("why not cheaper: ", free), HasSubstr("nothing that fits costs less"));
  const std::string faster = sentence("why not faster: ", free);
  EXPECT_THAT(faster, HasSubstr("takes " + to_text(fast.prediction.time_to_target.p50)));
  EXPECT_THAT(faster, HasSubstr("costs " + to_text(fast.prediction.price.p50)));
  EXPECT_THAT(faster, HasSubstr("; the cheapest was asked for"));

  job.deadline = (cheap.prediction.time_to_target.p50 + fast.prediction.time_to_target.p90) / 2;
  ASSERT_GT(cheap.prediction.time_to_target.p50, fast.prediction.time_to_target.p90);
  const SearchResult limited = searched(true);
  ASSERT_TRUE(limited.ranked.front().meets_limits);
  const std::string cheaper = sentence("why not cheaper: ", limited);
  EXPECT_THAT(cheaper, HasSubstr("costs " + to_text(cheap.prediction.price.p50) + " instead of " +
                                 to_text(limited.ranked.front().prediction.price.p50)));
  EXPECT_THAT(cheaper, HasSubstr("; the deadline " + to_text(*job.deadline) +
                                 " is met with probability 0."));
}

TEST_F(Explain, AFasterPlanBreaksTheBudget) {
  job.minimize = Objective::kTime;
  const SearchResult free = searched(true);
  ASSERT_GE(free.front.size(), 2U);
  EXPECT_THAT(sentence("why not faster: ", free), HasSubstr("nothing that fits is faster"));
  EXPECT_THAT(sentence("why not cheaper: ", free), HasSubstr("; the fastest was asked for"));
  job.budget = free.front.back().prediction.price.p90 * 1.001;
  const SearchResult limited = searched(true);
  ASSERT_TRUE(limited.ranked.front().meets_limits);
  EXPECT_THAT(sentence("why not faster: ", limited),
              HasSubstr("; the budget " + to_text(*job.budget) + " is met with probability 0."));
}

TEST_F(Explain, WithoutAFrontItClaimsNoMoreThanTheSearchKnows) {
  job.minimize = Objective::kCost;
  EXPECT_THAT(sentences(), Contains("why not cheaper: nothing that fits costs less"));
  job.deadline = Seconds(1e9);
  EXPECT_THAT(sentences(), Contains("why not cheaper: nothing that meets the limits costs less"));
  job.minimize = Objective::kTime;
  EXPECT_THAT(sentences(), Contains("why not faster: nothing that meets the limits is faster"));
  int asked = 0;
  EXPECT_THAT(sentences([&] { return ++asked > 60; }),
              Contains(HasSubstr("before the search was stopped is faster")));
}

TEST_F(Explain, TheNumberOfStepsMayBeTheWeakestAssumption) {
  SearchResult result = searched(false);
  result.ranked.front().plan.convergence = {0.6, Evidence::kInterpolated, "noise scale"};
  EXPECT_THAT(sentence("weakest assumption: ", result),
              HasSubstr("steps to the target, interpolated by noise scale (spread 60 %)"));
}

TEST_F(Explain, CountsWhatWasTurnedDown) {
  EXPECT_THAT(sentences(),
              Contains(HasSubstr("turned down: 4 because the batch cannot be shared evenly")));
}

TEST_F(Explain, OffersTheNearestMisses) {
  job.deadline = Seconds(1e-3);
  job.budget = Dollars(1e4);
  const auto all = sentences();
  EXPECT_THAT(all.front(), HasSubstr("no plan meets the limits (limits 1.00 ms and $10000"));
  EXPECT_THAT(all, Contains(HasSubstr("the budget is enough for")));
  EXPECT_THAT(all, Not(Contains(HasSubstr("the deadline can be met for"))));
}

TEST_F(Explain, SaysHowMuchMemoryIsMissing) {
  for (auto& place : places) place.instance.node.device.memory = Bytes(1024);
  EXPECT_THAT(sentences().front(), HasSubstr("no plan fits"));
  EXPECT_THAT(sentences().front(), HasSubstr("on a device of 1.00 KiB"));
}

TEST_F(Explain, AdmitsThatTheSearchWasCutShort) {
  EXPECT_THAT(sentences([] { return true; }).front(),
              HasSubstr("ended before it had costed a plan"));
}

}  // namespace
}  // namespace pluto
