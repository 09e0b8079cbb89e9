// search --pareto, as a user types it.

#include <gmock/gmock.h>

#include "tests/support/command.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const Value& at(const Value& value, const std::string& key) {
  static const Value kNothing;
  const Value* found = value.find(key);
  EXPECT_NE(found, nullptr) << "no key " << key << " in " << to_json(value);
  return found ? *found : kNothing;
}

double median(const Value& plan, const std::string& key) {
  return at(at(at(plan, "prediction"), key), "p50").as_number();
}

class ParetoTest : public testing::CommandTest {
 protected:
  void SetUp() override {
    testing::CommandTest::SetUp();
    write("gpt.yaml",
          "name: gpt\nmodel: {name: gpt2, layers: 12, width_model: 1024, heads: 16, sequence: "
          "1024, vocabulary: 51200}\n"
          "data: {source: synthetic, samples: 512000}\ntarget: {steps: 2000}\n"
          "batch: {global: 256}\noptimizer: {name: adamw}\nprecision: bf16\n"
          "cluster: {instances: [\"aws:p4d.24xlarge\", \"aws:p3.16xlarge\"], max_ranks: 64}\n");
  }
};

TEST_F(ParetoTest, TheFrontAscendsInTimeAndDescendsInPrice) {
  const Value document = run_json({"search", "gpt.yaml", "--pareto"});
  const Value::Array& front = at(document, "front").as_array();
  ASSERT_GE(front.size(), 2U);
  for (std::size_t i = 1; i < front.size(); ++i) {
    EXPECT_GT(median(front[i], "time_s"), median(front[i - 1], "time_s"));
    EXPECT_LT(median(front[i], "price_usd"), median(front[i - 1], "price_usd"));
  }
  EXPECT_TRUE(run_json({"search", "gpt.yaml"}).find("front")->is_null())
      << "a front that nobody asked for was not searched for";
}

// On the market where it is cheapest, too: a simpler plan may not cost more.
TEST_F(ParetoTest, TheCheapestIsFirst) {
  const Value document = run_json({"search", "gpt.yaml", "--deadline", "1d"});
  const Value::Array& plans = at(document, "plans").as_array();
  for (const Value& other : plans)
    EXPECT_LE(median(plans.front(), "price_usd"), 1.011 * median(other, "price_usd"));
}

TEST_F(ParetoTest, IsDrawnListedAndWritten) {
  const testing::CommandResult said =
      run({"search", "gpt.yaml", "--minimize", "time", "--svg", "front.svg"});
  EXPECT_EQ(said.exit, 0) << said.err;
  EXPECT_THAT(said.out, HasSubstr("against time to target"));
  EXPECT_THAT(said.out, HasSubstr("* chosen"));
  EXPECT_THAT(said.out, HasSubstr("instance x nodes"));
  EXPECT_THAT(said.out, HasSubstr("why not faster: nothing that fits is faster"));
  EXPECT_THAT(read("front.svg"), HasSubstr("(chosen)</text>"));
  EXPECT_THAT(run({"search", "gpt.yaml"}).out, Not(HasSubstr("* chosen")));
}

TEST_F(ParetoTest, WhereNoPlanMeetsTheLimitsTheFrontShowsWhatThereIs) {
  const testing::CommandResult said =
      run({"search", "gpt.yaml", "--budget", "0.01", "--deadline", "1s", "--pareto"});
  EXPECT_EQ(said.exit, 3) << said.err;
  EXPECT_THAT(said.out, HasSubstr("no plan meets"));
  EXPECT_THAT(said.out, HasSubstr("budget $0.01 lies below the picture"));
  EXPECT_THAT(said.out, HasSubstr("missed"));
}

}  // namespace
}  // namespace pluto
