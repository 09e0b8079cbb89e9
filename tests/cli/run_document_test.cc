#include "cli/run_document.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

RunDocument example() {
  RunDocument run;
  run.plan.job = "tiny";
  run.plan.model.source = "mlp";
  run.plan.data.samples = 64;
  run.plan.dataset_samples = 64;
  run.plan.steps = 100;
  run.plan.cluster.instance.name = "local";
  run.plan.cluster.instance.price = DollarsPerHour(3.6);
  run.started_at = "2026-01-02T03:04:05Z";
  run.host = "here";
  run.prediction.steps = 100;
  run.prediction.step_time = {Seconds(0.009), Seconds(0.010), Seconds(0.011)};
  run.prediction.terms = {{"compute", Seconds(0.008), 0.02, Evidence::kMeasured},
                          {"exposed_comm", Seconds(0.002), 0.1, Evidence::kInterpolated}};
  run.prediction.time_to_target = {Seconds(0.9), Seconds(1.0), Seconds(1.1)};
  run.prediction.price = {Dollars(0.0009), Dollars(0.001), Dollars(0.0011)};
  run.prediction.memory.parameters = Bytes(1000);
  run.predicted_timeline = {"predicted", {{"fc1", Resource::kCompute, Seconds(0), Seconds(0.008)}}};
  RunReport& r = run.report;
  r.last_step = 100;
  r.overall.step = {Seconds(0.0125), 0.01, 90};
  r.overall.compute = Seconds(0.010);
  r.overall.exposed_comm = Seconds(0.0025);
  r.arena_predicted = r.arena_allocated = Bytes(1000);
  r.peak_resident = Bytes(5000);
  r.wall = Seconds(1.05);
  r.test_accuracy = 0.91;
  r.final_loss = 0.25;
  r.parameter_fingerprint = 0xfedcba9876543210ULL;
  r.curve = {{0, 50, 6400, 0.5, std::nullopt}, {0, 100, 12800, 0.25, 0.91}};
  r.steps = {r.overall};
  r.timeline = {"measured rank 0",
                {{"all_reduce", Resource::kNetwork, Seconds(0.001), Seconds(0.004)}}};
  r.checkpoint = "/tmp/step-100.ckpt";
  return run;
}

TEST(RunDocumentTest, SurvivesWritingAndReading) {
  const RunDocument run = example();
  auto back = run_from_json(to_json(run), "run.json");
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(to_json(*back), to_json(run));
  EXPECT_EQ(back->plan, run.plan);
  EXPECT_EQ(back->report.parameter_fingerprint, run.report.parameter_fingerprint);
  EXPECT_EQ(back->report.timeline.entries.size(), 1U);
  EXPECT_EQ(back->report.curve[1].accuracy, 0.91);
  EXPECT_EQ(back->report.curve[0].accuracy, std::nullopt);
}

TEST(RunDocumentTest, ComparesTermByTerm) {
  const auto lines = compare(example());
  auto line = [&](const std::string& term) {
    for (const Comparison& one : lines) {
      if (one.term == term) return one;
    }
    ADD_FAILURE() << "no term " << term;
    return Comparison{};
  };
  EXPECT_NEAR(*line("step").error(), -0.2, 1e-12);
  EXPECT_EQ(line("step").inside, false);
  EXPECT_EQ(line("step").evidence, Evidence::kInterpolated)
      << "the weakest evidence of a term that matters";
  EXPECT_NEAR(*line("compute").error(), -0.2, 1e-12);
  EXPECT_EQ(line("arena").error(), 0.0);
  EXPECT_EQ(line("time_to_target").inside, true);
  EXPECT_NEAR(line("price").measured, 3.6 * 1.05 / 3600, 1e-12);
  EXPECT_EQ(line("update").error(), std::nullopt) << "nothing was measured there";
}

TEST(RunDocumentTest, APartialRunHasNoTimeToTarget) {
  RunDocument run = example();
  run.report.last_step = 50;
  for (const Comparison& line : compare(run)) {
    EXPECT_NE(line.term, "time_to_target");
    EXPECT_NE(line.term, "price");
  }
}

TEST(RunDocumentTest, RefusesOtherDocuments) {
  auto plan = run_from_json(R"({"kind": "pluto.plan", "schema": 1})", "plan.json");
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code, ErrorCode::kInvalidInput);
  EXPECT_NE(plan.error().message.find("plan.json"), std::string::npos);
  std::string newer = to_json(example());
  newer.replace(newer.find("\"schema\": 1"), 11, "\"schema\": 9");
  EXPECT_FALSE(run_from_json(newer, "run.json").ok());
  std::string cut = to_json(example()).substr(0, 200);
  EXPECT_FALSE(run_from_json(cut, "run.json").ok());
}

}  // namespace
}  // namespace pluto
