// explain, as a user types it.

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

const Value& named(const Value& list, const std::string& key, const std::string& name) {
  static const Value kNothing;
  for (const Value& one : list.as_array()) {
    if (at(one, key).as_string() == name) return one;
  }
  ADD_FAILURE() << "no " << name << " in " << to_json(list);
  return kNothing;
}

class ExplainTest : public testing::CommandTest {
 protected:
  void SetUp() override {
    testing::CommandTest::SetUp();
    write("gpt.yaml",
          "name: gpt\nmodel: {name: gpt2, layers: 24, width_model: 2048, heads: 16, sequence: "
          "2048, vocabulary: 51200}\n"
          "data: {source: synthetic, samples: 512000}\ntarget: {steps: 2000}\n"
          "batch: {global: 256}\noptimizer: {name: adamw}\nprecision: bf16\n"
          "budget: 3000\ndeadline: 2d\n"
          "cluster: {instances: [\"aws:p4d.24xlarge\"], ranks: 16}\n");
    write("mlp.yaml",
          "name: tiny\nmodel: {name: mlp, channels: 1, height: 12, width: 12}\ndata: {source: "
          "synthetic, samples: 512}\ntarget: {steps: 40}\nbatch: {global: 32}\n"
          "cluster: {instances: [local], max_ranks: 1, local_price_per_hour: 0.36}\n");
    write("lenet.yaml",
          "model: {name: lenet}\ndata: {source: synthetic, samples: 5120}\ntarget: {epochs: 1}\n"
          "batch: {global: 64}\ncluster: {instances: [\"aws:p3.2xlarge\"], ranks: 2}\n");
  }
};

// A saved plan gives the same numbers when it is predicted again, whoever priced it.
TEST_F(ExplainTest, TheNumbersAreThoseOfTheSearch) {
  for (const char* name : {"gpt", "mlp", "lenet"}) {
    const std::string job = name;
    const Value found = run_json({"search", job + ".yaml", "-o", job + ".json"});
    const Value again = run_json({"explain", job + ".json"});
    EXPECT_EQ(at(again, "plan"), at(found, "plans").as_array().front()) << job;
    EXPECT_EQ(at(again, "priced_by").as_string(), job == "gpt" ? "closed form" : "simulator");
  }
}

TEST_F(ExplainTest, AssumptionsAreMovedThroughThePredictor) {
  run_json({"search", "gpt.yaml", "-o", "plan.json"});
  const Value document = run_json({"explain", "plan.json"});
  const Value& prediction = at(at(document, "plan"), "prediction");
  const double time = at(at(prediction, "time_s"), "p50").as_number();
  const double price = at(at(prediction, "price_usd"), "p50").as_number();
  const Value& all = at(document, "sensitivity");
  const auto number = [&](const char* what, const char* direction, const char* key) {
    return at(at(named(all, "what", what), direction), key).as_number();
  };
  EXPECT_NEAR(number("price of an hour", "more", "price_usd") / price, 1.1, 0.02);
  EXPECT_EQ(number("price of an hour", "more", "time_s"), time);
  EXPECT_NEAR(number("samples to the target", "less", "time_s") / time, 0.9, 0.02);
  EXPECT_LT(number("device speed", "more", "time_s"), time);
  EXPECT_GT(number("network bandwidth", "less", "time_s"), time);
  EXPECT_LT(number("network bandwidth", "less", "time_s"), time / 0.9);
  for (const char* limit : {"memory", "deadline", "budget"}) {
    EXPECT_LT(at(named(at(document, "limits"), "name", limit), "share").as_number(), 1);
  }

  const testing::CommandResult said = run({"explain", "plan.json"});
  EXPECT_EQ(said.exit, 0) << said.err;
  for (const char* what :
       {"priced by the closed form", "binds     a step of", "has least room", "network bandwidth",
        "time at -10 %", "weakest   ", "deadline", "next      pluto-plan calibrate --suggest"}) {
    EXPECT_THAT(said.out, HasSubstr(what));
  }
}

TEST_F(ExplainTest, WhatIsNoPlanIsAnError) {
  const testing::CommandResult missing = run({"explain", "none.json"});
  EXPECT_EQ(missing.exit, 2);
  EXPECT_THAT(missing.err, HasSubstr("none.json"));
  write("wrong.json", "{\"schema\": 1}");
  const testing::CommandResult wrong = run({"explain", "wrong.json"});
  EXPECT_EQ(wrong.exit, 2);
  EXPECT_THAT(wrong.err, HasSubstr("wrong.json"));
}

}  // namespace
}  // namespace pluto
