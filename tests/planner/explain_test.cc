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
  std::vector<std::string> sentences(const std::function<bool()>& stop = {}) {
    const auto result = search(job, model, 10'000, places, costs, {false, stop});
    EXPECT_TRUE(result.ok());
    return explain(job, *result);
  }
  ModelGraph model = perceptron({64, 64, 10});
  TableCosts costs;
  TrainingJob job = small_job(64);
  std::vector<Candidate> places{candidate("small", 2, 1), candidate("large", 8, 1.5)};
};

TEST_F(Explain, SaysWhatWasChosenAndByWhichMeasure) {
  job.minimize = Objective::kTime;
  EXPECT_THAT(sentences().front(),
              HasSubstr("8 ranks on 8 nodes of large, global batch 64 = 8 x 8 is the fastest of 6 "
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
  EXPECT_THAT(all,
              Contains(HasSubstr("the least certain part is compute: datasheet (spread 35 %)")));
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
