// diff, as a user types it.

#include <gmock/gmock.h>

#include "tests/support/command.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

class DiffTest : public testing::CommandTest {
 protected:
  void SetUp() override {
    testing::CommandTest::SetUp();
    write("gpt.yaml",
          "name: gpt\nmodel: {name: gpt2, layers: 12, width_model: 1024, heads: 16, sequence: "
          "1024, vocabulary: 51200}\n"
          "data: {source: synthetic, samples: 512000}\ntarget: {steps: 2000}\n"
          "batch: {global: 256}\noptimizer: {name: adamw}\nprecision: bf16\n"
          "cluster: {instances: [\"aws:p4d.24xlarge\", \"aws:p3.16xlarge\"], max_ranks: 64}\n");
    run_json({"search", "gpt.yaml", "--fix", "instance=aws:p4d.24xlarge", "--fix", "ranks=8", "-o",
              "a.json"});
    run_json({"search", "gpt.yaml", "--fix", "instance=aws:p3.16xlarge", "--fix", "ranks=16",
              "--fix", "precision=fp16", "-o", "b.json"});
  }
};

TEST_F(DiffTest, TellsWhatIsDecidedOtherwiseAndWhatItChanges) {
  const testing::CommandResult said = run({"diff", "a.json", "b.json"});
  EXPECT_EQ(said.exit, 0) << said.err;
  for (const char* what : {"decided", "a.json", "b.json", "aws:p4d.24xlarge", "aws:p3.16xlarge",
                           "layout", "precision", "predicted", "  compute", "  activations",
                           "time to target", "price", "next      pluto-plan explain b.json"}) {
    EXPECT_THAT(said.out, HasSubstr(what));
  }
}

TEST_F(DiffTest, TheNumbersAreThoseOfExplain) {
  const Value document = run_json({"diff", "a.json", "b.json"});
  EXPECT_FALSE(document.find("equal")->as_bool());
  const Value::Array& predicted = document.find("predicted")->as_array();
  ASSERT_FALSE(predicted.empty());
  const Value& step = predicted.front();
  EXPECT_EQ(step.find("what")->as_string(), "step");
  for (const auto& [file, key] : {std::pair("a.json", "first"), std::pair("b.json", "second")}) {
    const Value explained = run_json({"explain", file});
    const Value& prediction = *explained.find("plan")->find("prediction");
    EXPECT_EQ(step.find(key)->as_number(), prediction.find("step_s")->find("p50")->as_number());
  }
}

TEST_F(DiffTest, APlanDoesNotDifferFromItself) {
  const testing::CommandResult said = run({"diff", "a.json", "a.json"});
  EXPECT_EQ(said.exit, 0);
  EXPECT_EQ(said.out, "the plans are equal\n");
  const Value document = run_json({"diff", "a.json", "a.json"});
  EXPECT_TRUE(document.find("equal")->as_bool());
  EXPECT_TRUE(document.find("differences")->as_array().empty());
}

}  // namespace
}  // namespace pluto
