// search, as a user types it.

#include <gmock/gmock.h>

#include <algorithm>

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

class SearchTest : public testing::CommandTest {
 protected:
  void SetUp() override {
    testing::CommandTest::SetUp();
    write("convnet.yaml",
          "name: convnet\nmodel: {name: lenet}\ndata: {source: synthetic, samples: 51200}\n"
          "target: {epochs: 30}\nbatch: {global: auto, max: 1024}\nbudget: 50\ndeadline: 1d\n"
          "learning_rate: {peak: 0.05, at_batch: 64}\nconvergence: {source: resnet}\n"
          "cluster: {instances: [\"aws:p3.2xlarge\", \"aws:p3.8xlarge\"], max_ranks: 4}\n");
    write("gpt.yaml",
          "name: gpt\nmodel: {name: gpt2, layers: 12, width_model: 1024, heads: 16, sequence: "
          "1024, vocabulary: 51200}\n"
          "data: {source: synthetic, samples: 512000}\ntarget: {steps: 2000}\n"
          "batch: {global: 256}\noptimizer: {name: adamw}\nprecision: bf16\n"
          "cluster: {instances: [\"aws:p4d.24xlarge\"], max_ranks: 16}\n");
  }
};

// Every number can be traced: the document has what it was made from.
TEST_F(SearchTest, TheDocumentCarriesItsInputs) {
  const Value document = run_json({"search", "convnet.yaml", "--fix", "ranks=2"});
  const Value& inputs = at(document, "inputs");
  const Value& job = at(inputs, "job");
  EXPECT_EQ(at(job, "budget").as_number(), 50);
  EXPECT_EQ(at(job, "deadline").as_string(), "86400s");
  EXPECT_EQ(at(inputs, "settings").as_array().front().as_string(), "ranks=2");
  EXPECT_EQ(at(at(inputs, "dataset"), "samples").as_integer(), 51200);
  ASSERT_FALSE(at(inputs, "instances").as_array().empty());
  for (const Value& instance : at(inputs, "instances").as_array()) {
    EXPECT_GT(at(instance, "price_usd_per_hour").as_number(), 0);
    EXPECT_FALSE(at(instance, "price_date").as_string().empty());
    EXPECT_FALSE(at(instance, "source").as_string().empty());
    EXPECT_FALSE(at(at(instance, "rental"), "source").as_string().empty());
  }
  const Value& law = at(inputs, "convergence");
  EXPECT_EQ(at(law, "source").as_string(), "MLPerf resnet");
  EXPECT_EQ(at(law, "points").as_array().size(), 5U);
  EXPECT_EQ(at(at(inputs, "costs"), "priced_by").as_string(), "simulator");
  std::vector<std::string> files;
  for (const Value& file : at(inputs, "constants").as_array()) {
    files.push_back(at(file, "file").as_string());
    EXPECT_EQ(at(file, "fingerprint").as_string().size(), 16U);
  }
  EXPECT_THAT(files, ::testing::IsSupersetOf(
                         {"convergence.json", "efficiency.json", "catalog/cloud_prices.csv"}));
  for (const Value& plan : at(document, "plans").as_array()) {
    for (const Value& term : at(at(plan, "prediction"), "terms").as_array()) {
      EXPECT_FALSE(at(term, "evidence").as_string().empty());
    }
  }
}

// The job written in `inputs` is a job: it is searched with the same result.
TEST_F(SearchTest, TheJobOfTheInputsGivesTheSamePlans) {
  const Value first = run_json({"search", "convnet.yaml", "--budget", "40", "--minimize", "time"});
  write("again.json", to_json(at(at(first, "inputs"), "job")));
  const Value again = run_json({"search", "again.json"});
  EXPECT_EQ(at(again, "plans"), at(first, "plans"));
}

TEST_F(SearchTest, StatesRateRuleBandAndWarmUp) {
  const Value document = run_json({"search", "convnet.yaml", "--fix", "global_batch=1024"});
  const Value& plan = at(document, "plans").as_array().front();
  const Value& basis = at(plan, "rate_basis");
  EXPECT_EQ(at(basis, "rule").as_string(), "gain");
  EXPECT_EQ(at(basis, "tuned_batch").as_integer(), 64);
  const double rate = at(plan, "learning_rate").as_number();
  EXPECT_LT(at(basis, "low").as_number(), rate);
  EXPECT_GT(at(basis, "high").as_number(), rate);
  EXPECT_EQ(at(plan, "warmup_samples").as_integer(), 85333) << "5/90 of 30 epochs";
  const auto said = run({"search", "convnet.yaml", "--fix", "global_batch=1024"});
  EXPECT_THAT(said.out,
              HasSubstr("by the rule gain from 0.05 at 64; the best rate may lie between"));
  EXPECT_THAT(said.out, HasSubstr("after a warm-up of 85333 samples (84 steps)"));
}

TEST_F(SearchTest, ExplainSaysWhatElseIsKnown) {
  const auto plain = run({"search", "convnet.yaml"});
  const auto more = run({"search", "convnet.yaml", "--explain"});
  EXPECT_EQ(more.exit, 0) << more.err;
  EXPECT_THAT(plain.out, Not(HasSubstr("closed form: ")));
  EXPECT_THAT(more.out, HasSubstr("closed form: "));
  EXPECT_THAT(more.out, HasSubstr("a probe is "));
  EXPECT_THAT(plain.out, HasSubstr("market: "));
  const Value document = run_json({"search", "convnet.yaml"});
  EXPECT_GT(at(at(document, "closed_form"), "devices").as_integer(), 0);
  EXPECT_GT(at(at(document, "probe"), "price_usd").as_number(), 0);
  EXPECT_EQ(at(at(document, "probe"), "worth").as_bool(),
            at(at(document, "probe"), "value_usd").as_number() >
                at(at(document, "probe"), "price_usd").as_number());
}

TEST_F(SearchTest, OnlyAllowedMethodsAreUsed) {
  const auto sync = [&](const std::string& allowed) {
    const Value document = run_json({"search", "convnet.yaml", "--allow-sync", allowed, "--fix",
                                     "ranks=4", "--fix", "global_batch=64"});
    return at(at(document, "plans").as_array().front(), "sync").as_string();
  };
  EXPECT_THAT(sync("all_reduce"), ::testing::MatchesRegex("allreduce\\(.*"));
  EXPECT_THAT(sync("parameter_server"), ::testing::MatchesRegex("ps\\(.*"));
  const auto shard = [&](const std::vector<std::string>& flags) {
    std::vector<std::string> words = {"search", "gpt.yaml"};
    words.insert(words.end(), flags.begin(), flags.end());
    std::int64_t most = 0;
    const Value document = run_json(words);
    for (const Value& plan : at(document, "plans").as_array()) {
      most = std::max(most, at(at(plan, "layout"), "shard").as_integer());
    }
    return most;
  };
  EXPECT_GT(shard({}), 0);
  EXPECT_EQ(shard({"--allow-sync", "all_reduce"}), 0);
  EXPECT_GT(shard({"--allow-sync", "all_reduce,shard"}), 0);

  const auto wrong = run({"search", "convnet.yaml", "--allow-sync", "all_reduce,parameter_serve"});
  EXPECT_EQ(wrong.exit, 2);
  EXPECT_THAT(wrong.err, HasSubstr("--allow-sync"));
  EXPECT_THAT(wrong.err, HasSubstr("did you mean"));
  EXPECT_THAT(wrong.err, HasSubstr("parameter_server"));
  const auto servers = run({"search", "gpt.yaml", "--allow-sync", "parameter_server"});
  EXPECT_EQ(servers.exit, 2);
  EXPECT_THAT(servers.err, HasSubstr("all_reduce"));
}

}  // namespace
}  // namespace pluto
