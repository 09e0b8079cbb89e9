// The whole loop as a user types it, on a model small enough for a sanitized build.

#include "tests/support/command.h"

namespace pluto {
namespace {

std::string job(int ranks, const std::string& more = "") {
  return "name: tiny\nmodel: {name: mlp, channels: 1, height: 12, width: 12}\ndata: {source: "
         "synthetic, samples: 512}\n"
         "target: {steps: 40}\nbatch: {global: 32}\noptimizer: {name: momentum, momentum: 0.9}\n"
         "learning_rate: {peak: 0.01, at_batch: 32}\n"
         "cluster: {instances: [local], ranks: " +
         std::to_string(ranks) + ", local_price_per_hour: 0.36}\n" + more;
}

const Value& at(const Value& value, const std::string& key) {
  static const Value kNothing;
  const Value* found = value.find(key);
  EXPECT_NE(found, nullptr) << "no key " << key << " in " << to_json(value);
  return found ? *found : kNothing;
}

class LoopTest : public testing::CommandTest {
 protected:
  /// Cores decide how many ranks this machine may run.
  static int ranks() { return std::thread::hardware_concurrency() >= 2 ? 2 : 1; }
};

TEST_F(LoopTest, ProfilesSearchesRunsAndReports) {
  write("job.yaml", job(ranks()));
  const Value profiled = run_json({"profile", "job.yaml", "--max-time", "6s"});
  EXPECT_GT(at(profiled, "measured").as_integer(), 5);

  const Value found = run_json({"search", "job.yaml", "-o", "plan.json"});
  EXPECT_EQ(at(found, "outcome").as_string(), "feasible");
  const Value& best = at(found, "plans").as_array().front();
  EXPECT_EQ(at(best, "ranks").as_integer(), ranks());
  const Value& prediction = at(best, "prediction");
  EXPECT_GT(at(at(prediction, "step_s"), "p50").as_number(), 0);
  EXPECT_GT(at(prediction, "watermark").as_integer(), 0)
      << "the prediction does not rest on the measurements just taken";

  const Value ran = run_json({"run", "plan.json", "-o", "run.json"});
  EXPECT_EQ(at(at(ran, "run"), "end").as_string(), "finished");
  EXPECT_EQ(at(at(ran, "run"), "last_step").as_integer(), 40);
  EXPECT_EQ(at(at(ran, "run"), "arena_predicted_bytes").as_integer(),
            at(at(ran, "run"), "arena_allocated_bytes").as_integer());

  const Value reported = run_json({"report", "run.json", "--trace", "step.json"});
  bool arena = false;
  for (const Value& term : at(reported, "terms").as_array()) {
    if (at(term, "term").as_string() != "arena") continue;
    arena = true;
    EXPECT_EQ(at(term, "predicted").as_number(), at(term, "measured").as_number())
        << "the planned arena is not the allocated one, byte for byte";
  }
  EXPECT_TRUE(arena);
  auto trace = parse_json(read("step.json"), "step.json");
  ASSERT_TRUE(trace.ok());
  EXPECT_FALSE(at(*trace, "traceEvents").as_array().empty());

  const Value database = run_json({"db"});
  EXPECT_EQ(at(database, "runs").as_integer(), 1);
  EXPECT_GT(at(database, "steps").as_integer(), 0)
      << "what was measured did not go back into the database";

  const std::string kept = read("run.json");
  const Value again = run_json({"run", "plan.json", "-o", "run.json"});
  EXPECT_TRUE(at(again, "finished_earlier").as_bool());
  EXPECT_EQ(at(again, "run"), at(ran, "run"));
  EXPECT_EQ(read("run.json"), kept) << "nothing was trained, so nothing is to be overwritten";
  const Value fresh = run_json({"run", "plan.json", "-o", "run.json", "--fresh"});
  EXPECT_FALSE(at(fresh, "finished_earlier").as_bool());
  EXPECT_EQ(at(at(fresh, "run"), "parameter_fingerprint"),
            at(at(ran, "run"), "parameter_fingerprint"));
}

TEST_F(LoopTest, ASecondProfileMeasuresNothing) {
  write("job.yaml", job(ranks()));
  const Value first = run_json({"profile", "job.yaml", "--max-time", "60s"});
  const Value again = run_json({"profile", "job.yaml", "--max-time", "60s"});
  EXPECT_TRUE(at(again, "measured").as_integer() == 0 || !at(first, "complete").as_bool());
  EXPECT_GT(at(again, "already_known").as_integer(), 5);
}

TEST_F(LoopTest, WithoutAProfileItPredictsFromAssumptionsAndSaysSo) {
  write("job.yaml", job(1));
  const Value found = run_json({"predict", "job.yaml"});
  const Value& prediction = at(at(found, "plan"), "prediction");
  EXPECT_EQ(at(prediction, "watermark").as_integer(), 0);
  EXPECT_FALSE(at(prediction, "assumptions").as_array().empty());
}

TEST_F(LoopTest, ImpossibleLimitsExitThreeAndNameTheNearestFeasibleOnes) {
  write("job.yaml", job(1, "budget: 0.000000001\ndeadline: 1us\n"));
  const testing::CommandResult result = run({"search", "job.yaml"});
  EXPECT_EQ(result.exit, 3) << result.out << result.err;
  EXPECT_NE(result.out.find("no plan meets"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("rejected"), std::string::npos);
}

TEST_F(LoopTest, TheNearestFeasibleBudgetIsFeasible) {
  write("job.yaml", job(1, "budget: 0.000000001\n"));
  const Value infeasible = run_json({"search", "job.yaml"}, 3);
  const Value& price = at(at(at(infeasible, "nearest_by_budget"), "prediction"), "price_usd");
  const Value feasible = run_json({"search", "job.yaml", "--budget",
                                   std::to_string(at(price, "p90").as_number() * 1.01 + 1e-6)});
  EXPECT_EQ(at(feasible, "outcome").as_string(), "feasible");
}

TEST_F(LoopTest, AKilledRunContinuesFromItsCheckpointToTheSameParameters) {
  write("job.yaml", job(ranks()));
  run_json({"search", "job.yaml", "-o", "plan.json"});
  const Value whole =
      run_json({"run", "plan.json", "-o", "whole.json", "--folder", folder() + "/whole"});

  testing::Command interrupted(folder(),
                               {"run", "plan.json", "-o", "cut.json", "--folder", folder() + "/cut",
                                "--checkpoint-every", "5", "--report-every", "5"});
  // Kill it as soon as a checkpoint is there; a run that was faster than us is still a fair test of
  // resuming.
  const auto checkpoint_there = [&] {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(folder() + "/cut", ignored)) {
      if (entry.path().extension() == ".ckpt") return true;
    }
    return false;
  };
  for (int i = 0; i < 6000 && interrupted.running() && !checkpoint_there(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  interrupted.signal(SIGKILL);
  interrupted.wait();
  ASSERT_TRUE(checkpoint_there());

  const Value resumed =
      run_json({"run", "plan.json", "-o", "cut.json", "--folder", folder() + "/cut"});
  EXPECT_GT(at(at(resumed, "run"), "first_step").as_integer(), 0) << "it started over";
  EXPECT_EQ(at(at(resumed, "run"), "parameter_fingerprint").as_string(),
            at(at(whole, "run"), "parameter_fingerprint").as_string());
}

TEST_F(LoopTest, AKilledProfileKeepsWhatItMeasured) {
  write("job.yaml", job(1));
  testing::Command profile(folder(), {"profile", "job.yaml", "--max-time", "30s"});
  for (int i = 0; i < 400 && profile.running(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  profile.signal(SIGKILL);
  profile.wait();
  const Value before = run_json({"db"});
  const Value after_profile = run_json({"profile", "job.yaml", "--max-time", "6s"});
  EXPECT_EQ(at(after_profile, "already_known").as_integer() > 0,
            at(before, "operators").as_integer() > 0);
  const Value again = run_json({"profile", "job.yaml", "--max-time", "6s"});
  EXPECT_EQ(at(again, "measured").as_integer(), 0) << "the second start did not go on to the end";
}

TEST_F(LoopTest, AnInterruptKeepsACheckpointAndExits130) {
  write("job.yaml", job(1));
  std::string text = read("job.yaml");
  text.replace(text.find("steps: 40"), 9, "steps: 200000");
  write("job.yaml", text);
  run_json({"search", "job.yaml", "-o", "plan.json"});
  testing::Command training(
      folder(), {"run", "plan.json", "--folder", folder() + "/run", "--report-every", "5"});
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  ASSERT_TRUE(training.running()) << training.wait().err;
  training.signal(SIGINT);
  const testing::CommandResult result = training.wait();
  EXPECT_EQ(result.exit, 130) << result.out << result.err;
  EXPECT_NE(result.out.find(".ckpt"), std::string::npos) << result.out;
}

class VerbsTest : public testing::CommandTest {};

TEST_F(VerbsTest, EveryVerbHasHelpThatLeadsWithItsUsage) {
  for (const char* verb : {"doctor", "inspect", "profile", "predict", "search", "run", "report",
                           "db", "catalog", "calibrate", "validate"}) {
    const testing::CommandResult result = run({verb, "--help"});
    EXPECT_EQ(result.exit, 0) << verb;
    EXPECT_NE(result.out.find("Usage: "), std::string::npos) << verb;
  }
}

TEST_F(VerbsTest, ReadOnlyVerbsSpeakJson) {
  EXPECT_EQ(at(run_json({"inspect", "lenet"}), "schema").as_string(), "pluto.inspect/1");
  EXPECT_EQ(at(run_json({"catalog"}), "schema").as_string(), "pluto.catalog/1");
  EXPECT_EQ(at(run_json({"catalog", "--devices"}), "schema").as_string(), "pluto.catalog/1");
  EXPECT_EQ(at(run_json({"db"}), "schema").as_string(), "pluto.db/1");
  EXPECT_EQ(at(run_json({"db", "runs"}), "schema").as_string(), "pluto.db.runs/1");
  EXPECT_EQ(at(run_json({"db", "export"}), "schema").as_string(), "pluto.measurements/1");
}

TEST_F(VerbsTest, ValidateHoldsItsErrorsOnPublishedSteps) {
  const Value result = run_json({"validate", "vtrain_node", "mosaic", "squad", "elasticflow"});
  EXPECT_EQ(at(result, "schema").as_string(), "pluto.validate/1");
  EXPECT_EQ(at(result, "families").as_array().size(), 4U);
  EXPECT_GT(at(at(result, "all"), "steps").as_integer(), 1600);
  EXPECT_LE(at(at(result, "all"), "median").as_number(), 0.10);
  EXPECT_LE(at(at(result, "all"), "p90").as_number(), 0.25);
  const testing::CommandResult wrong = run({"validate", "megatrn"});
  EXPECT_EQ(wrong.exit, 2);
  EXPECT_NE(wrong.err.find("megatron"), std::string::npos) << wrong.err;
}

TEST_F(VerbsTest, DoctorNamesEachBackendAndTheLauncher) {
  const testing::CommandResult result = run({"doctor"});
  for (const char* what :
       {"backend reference", "backend cpu", "backend cuda", "launcher", "catalog", "database"}) {
    EXPECT_NE(result.out.find(what), std::string::npos) << what << " missing in\n" << result.out;
  }
}

TEST_F(VerbsTest, VersionIsPrinted) {
  const testing::CommandResult result = run({"--version"});
  EXPECT_EQ(result.exit, 0);
  EXPECT_EQ(result.out, std::string(PLUTO_VERSION) + "\n");
}

}  // namespace
}  // namespace pluto
