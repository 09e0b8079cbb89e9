// A saved plan, predicted again: as a user types it.

#include "cli/predict_plan.h"

#include <gmock/gmock.h>

#include "tests/support/command.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

const Value& at(const Value& value, const std::string& key) {
  static const Value kNothing;
  const Value* found = value.find(key);
  EXPECT_NE(found, nullptr) << "no key " << key << " in " << to_json(value);
  return found ? *found : kNothing;
}

class PredictPlanTest : public testing::CommandTest {
 protected:
  void SetUp() override {
    testing::CommandTest::SetUp();
    const std::string gpt =
        "model: {name: gpt2, layers: 12, width_model: 1024, heads: 16, sequence: 1024, vocabulary: "
        "51200}\ndata: {source: synthetic, samples: 512000}\ntarget: {steps: 2000}\n"
        "batch: {global: 256}\noptimizer: {name: adamw}\nprecision: bf16\n";
    write("gpt.yaml", gpt +
                          "budget: 100\ndeadline: 12h\ncluster: {instances: "
                          "[\"aws:p4d.24xlarge\"], max_ranks: 16, spot: never}\n");
    write("spot.yaml", gpt +
                           "budget: 100\ndeadline: 5h\ncluster: {instances: "
                           "[\"aws:p4d.24xlarge\"], max_ranks: 16, spot: only}\n");
    write("cpu.yaml",
          "model: {name: mlp, channels: 1, height: 12, width: 12}\ndata: {source: "
          "synthetic, samples: 512}\ntarget: {steps: 40}\nbatch: {global: 32}\n"
          "cluster: {instances: [local], max_ranks: 1, local_price_per_hour: 0.36}\n");
    write("convnet.yaml",
          "model: {name: lenet}\ndata: {source: synthetic, samples: 51200}\n"
          "target: {epochs: 30}\nbatch: {global: auto, max: 512}\n"
          "learning_rate: {peak: 0.05, at_batch: 64}\nconvergence: {critical_batch: 500}\n"
          "cluster: {instances: [\"aws:p3.2xlarge\"], max_ranks: 2, spot: only}\n");
  }
};

// "A saved plan gives the same numbers when predicted again", whoever priced it, on any market.
TEST_F(PredictPlanTest, TheNumbersAreThoseOfTheSearch) {
  for (const std::string job : {"cpu", "gpt", "spot", "convnet"}) {
    SCOPED_TRACE(job);
    const Value found = run_json({"search", job + ".yaml", "-o", job + ".json"});
    const Value again = run_json({"predict", job + ".json"});
    const Value& first = at(found, "plans").as_array().front();
    for (const char* quantity : {"step_s", "time_s", "price_usd"}) {
      for (const char* quantile : {"p10", "p50", "p90"}) {
        const auto number = [&](const Value& plan) {
          return at(at(at(plan, "prediction"), quantity), quantile).as_number();
        };
        EXPECT_EQ(number(at(again, "plan")), number(first)) << quantity << " " << quantile;
      }
    }
    EXPECT_EQ(at(again, "plan"), first);
    const bool spot = job == "spot" || job == "convnet";
    EXPECT_EQ(at(first, "market").as_string(), spot ? "spot" : "on_demand");
  }
}

TEST_F(PredictPlanTest, IsShownAndTakesNoSettings) {
  run_json({"search", "cpu.yaml", "-o", "cpu.json"});
  const auto said = run({"predict", "cpu.json"});
  EXPECT_EQ(said.exit, 0) << said.err;
  EXPECT_THAT(said.out, HasSubstr("priced by the simulator"));
  EXPECT_THAT(said.out, HasSubstr("to the target"));
  const auto refused = run({"predict", "cpu.json", "--set", "ranks=2"});
  EXPECT_EQ(refused.exit, 2);
  EXPECT_THAT(refused.err, HasSubstr("a saved plan is priced as it is"));
}

TEST_F(PredictPlanTest, AJobInJsonIsNoPlan) {
  write("job.json", "{\"model\": {\"name\": \"lenet\"}}");
  EXPECT_FALSE(is_plan_file(folder() + "/job.json"));
  EXPECT_FALSE(is_plan_file(folder() + "/cpu.yaml"));
  EXPECT_FALSE(is_plan_file(folder() + "/none.json"));
  run_json({"search", "cpu.yaml", "-o", "cpu.json"});
  EXPECT_TRUE(is_plan_file(folder() + "/cpu.json"));
}

}  // namespace
}  // namespace pluto
