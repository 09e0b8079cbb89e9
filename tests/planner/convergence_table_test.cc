#include "planner/convergence_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/document.h"
#include "base/statistics.h"
#include "planner/batch_law.h"
#include "planner/convergence.h"
#include "planner/space.h"
#include "tests/support/planner_cases.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

const std::string kPath = PLUTO_SOURCE_DIR "/data/convergence.json";

const ConvergenceTable& table() {
  static const ConvergenceTable kTable = load_convergence_table(kPath).value();
  return kTable;
}

TrainingJob job_with(const ConvergenceChoice& choice) {
  TrainingJob job = testing::small_job(1);
  job.global_batch.reset();
  job.max_global_batch = 65536;
  job.learning_rate_batch = 256;
  job.convergence = choice;
  return job;
}

TEST(ConvergenceTable, TheFamiliesAreThoseThatTheFitGives) {
  ASSERT_GE(table().families.size(), 18U);
  for (const auto& [name, family] : table().families) {
    SCOPED_TRACE(name);
    ConvergenceFitOptions options = table().fit;
    // Where only the prior tells, it was that of the task.
    options.exponent = family.exponent;
    const auto fit = fit_convergence(family.points, options);
    ASSERT_TRUE(fit.ok());
    EXPECT_NEAR(std::log(fit->critical_batch / family.critical_batch), 0, 0.01);
    EXPECT_LT(fit->rms, 0.08);
    EXPECT_GE(family.seed_spread, 0);
    EXPECT_THAT(family.source, HasSubstr("mlcommons/logging"));
  }
  EXPECT_EQ(table().families.at("resnet").models, std::vector<std::string>{"resnet50"});
}

TEST(ConvergenceTable, ReadingIsStrict) {
  testing::TemporaryFolder folder;
  const std::string path = folder.path() + "/convergence.json";
  const std::string text = read_file(kPath).value();
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    const auto at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    changed.replace(at, from.size(), to);
    EXPECT_TRUE(write_file(path, changed).ok());
    const auto read = load_convergence_table(path);
    EXPECT_FALSE(read.ok());
    return read.ok() ? std::string() : read.error().message;
  };
  EXPECT_THAT(with("\"schema\": 1", "\"schema\": 2"), HasSubstr("schema"));
  EXPECT_THAT(with("\"factor\": 2.5", "\"factor\": 0.5"), HasSubstr("factor"));
  EXPECT_THAT(with("\"lars_exponent\"", "\"lars\""), HasSubstr("lars"));
  EXPECT_THAT(with("\"seed\": ", "\"seed\": -"), HasSubstr("seed"));
  EXPECT_FALSE(load_convergence_table(folder.path() + "/none.json").ok());
}

TEST(ConvergencePoints, RowsOfOneBatchAreRunsOfIt) {
  const auto points = parse_convergence_points("batch,epochs\n128,12\n64,9\n64,11\n", "points.csv");
  ASSERT_TRUE(points.ok()) << points.error().message;
  ASSERT_EQ(points->size(), 2U);
  EXPECT_EQ((*points)[0].batch, 64);
  EXPECT_DOUBLE_EQ((*points)[0].samples, 10);
  EXPECT_EQ((*points)[0].runs, 2);
  EXPECT_NEAR((*points)[0].spread, std::hypot(std::log(0.9), std::log(1.1)), 1e-9);
  EXPECT_EQ((*points)[1], (BatchPoint{128, 12, 0, 1}));
}

TEST(ConvergencePoints, MeansOfRunsAreWeightedByThem) {
  const auto points = parse_convergence_points(
      "batch,samples,runs,spread\n64,100,3,0.1\n64,120,1,\n256,200,5,0.05\n", "points.csv");
  ASSERT_TRUE(points.ok()) << points.error().message;
  EXPECT_DOUBLE_EQ((*points)[0].samples, 105);
  EXPECT_EQ((*points)[0].runs, 4);
  EXPECT_EQ((*points)[1].spread, 0.05);
}

TEST(LookUp, NumbersOfTheJobMakeTheLaw) {
  ConvergenceChoice stated;
  stated.critical_batch = 3000;
  stated.exponent = 1.2;
  TrainingJob job = job_with(stated);
  ASSERT_TRUE(look_up_convergence(job, table()).ok());
  EXPECT_EQ(job.samples_law->kind, LawKind::kStated);
  EXPECT_EQ(job.samples_law->critical_batch, 3000);
  EXPECT_EQ(job.samples_law->exponent, 1.2);
  EXPECT_EQ(job.samples_law->spreads, table().spreads);
  EXPECT_EQ(job.lars_exponent, table().lars_exponent);

  ConvergenceChoice noise;
  noise.noise_scale = 900;
  noise.noise_scale_batch = 64;
  job = job_with(noise);
  EXPECT_FALSE(law_of(job).ok()) << "needs to be looked up";
  ASSERT_TRUE(look_up_convergence(job, table()).ok());
  EXPECT_EQ(job.samples_law->kind, LawKind::kNoiseScale);
  EXPECT_EQ(job.samples_law->noise_batch, 64);
  EXPECT_EQ(job.samples_law->noise_factor, table().noise_factor);

  job = job_with({.source = "fixed"});
  ASSERT_TRUE(look_up_convergence(job, table()).ok());
  EXPECT_EQ(job.samples_law->kind, LawKind::kFixed);

  job = job_with({});
  ASSERT_TRUE(look_up_convergence(job, table()).ok());
  EXPECT_EQ(job.samples_law, std::nullopt);
}

TEST(LookUp, AutoTakesTheFamilyOfTheModelAndRefusesWithoutOne) {
  TrainingJob job = job_with({.source = "auto"});
  job.model.source = "resnet50";
  ASSERT_TRUE(look_up_convergence(job, table()).ok());
  EXPECT_EQ(job.samples_law->source, "MLPerf resnet");
  EXPECT_EQ(job.samples_law->kind, LawKind::kFamily);
  job.model.source = "lenet";
  const auto unknown = look_up_convergence(job, table());
  ASSERT_FALSE(unknown.ok());
  EXPECT_THAT(unknown.error().message, HasSubstr("auto knows nothing of lenet"));
  EXPECT_THAT(unknown.error().help, HasSubstr("resnet"));
  job.convergence.source = "resnett";
  EXPECT_EQ(look_up_convergence(job, table()).error().help, "did you mean \"resnet\"?");
}

TEST(LookUp, AFileOfPointsIsFitted) {
  testing::TemporaryFolder folder;
  const std::string path = folder.path() + "/points.csv";
  ASSERT_TRUE(write_file(path, "batch,epochs\n256,31\n1024,34\n4096,45\n").ok());
  TrainingJob job = job_with({.source = path});
  ASSERT_TRUE(look_up_convergence(job, table()).ok());
  EXPECT_EQ(job.samples_law->kind, LawKind::kPoints);
  EXPECT_EQ(job.samples_law->points.size(), 3U);
  const auto space = enumerate(job, 10'000, {testing::candidate("a", 1, 1)});
  ASSERT_TRUE(space.ok());
  for (const auto& placement : space->placements) {
    if (placement.global_batch != 4096) continue;
    EXPECT_EQ(placement.steps, steps_for(20'000 * 45.0 / 31, 4096));
    EXPECT_EQ(placement.convergence.evidence, Evidence::kMeasured);
    EXPECT_EQ(placement.convergence.source, path);
  }
  ASSERT_TRUE(write_file(path, "batch,epochs\n256,31\n").ok());
  EXPECT_THAT(look_up_convergence(job, table()).error().message, HasSubstr("1 batch size"));
}

/// Batch and rate of a task as a plan takes them from the smallest reference point, when the point
/// at `batch` and all larger ones were never seen.
void expect_reference_point(const std::string& family, std::int64_t batch, RateRule rule,
                            const std::vector<std::pair<std::int64_t, double>>& rates) {
  SCOPED_TRACE(family + " at " + std::to_string(batch));
  const auto all = table().families.at(family).points;
  std::vector<BatchPoint> smaller;
  const BatchPoint* truth = nullptr;
  for (const BatchPoint& point : all) {
    if (point.batch < batch) smaller.push_back(point);
    if (point.batch == batch) truth = &point;
  }
  ASSERT_NE(truth, nullptr);
  TrainingJob job = job_with({.source = "unseen.csv"});
  job.samples_law = law_of_points(smaller, table(), "unseen.csv").value();
  job.lars_exponent = table().lars_exponent;
  job.rate_rule = rule;
  job.epochs.reset();
  const BatchPoint& reference = all.front();
  constexpr double kUnit = 1e6;  // epochs become whole samples
  job.target_samples = static_cast<std::int64_t>(reference.samples * kUnit);
  job.learning_rate_batch = reference.batch;
  job.learning_rate.peak = rates.front().second;
  ASSERT_EQ(rates.front().first, reference.batch);
  job.max_global_batch = batch;
  job.learning_rate.warmup_samples = 100'000;
  const auto space = enumerate(job, 10'000, {testing::candidate("a", 1, 1)});
  ASSERT_TRUE(space.ok()) << space.error().message;
  const auto placed = std::ranges::find(space->placements, batch, &Placement::global_batch);
  ASSERT_NE(placed, space->placements.end());
  const double samples = static_cast<double>(placed->steps) * static_cast<double>(batch) / kUnit;
  EXPECT_LE(std::abs(std::log(samples / truth->samples)),
            normal_quantile(0.9) * placed->convergence.spread)
      << "samples " << samples << ", reference point " << truth->samples;
  const RateBand band =
      rate_band(placed->learning_rate.peak, batch, reference.batch, table().band_exponent);
  const auto tuned = std::ranges::find(rates, batch, &std::pair<std::int64_t, double>::first);
  ASSERT_NE(tuned, rates.end());
  EXPECT_GE(tuned->second, band.low);
  EXPECT_LE(tuned->second, band.high);
  EXPECT_GE(placed->learning_rate.warmup_samples, 100'000);
}

TEST(TargetMetrics, AFamilyGivesTheLengthOfTheValueItWasTrainedTo) {
  TrainingJob job = job_with({.source = "resnet"});
  job.epochs.reset();
  job.target_metric = TargetMetric{"accuracy", 0.759};
  job.learning_rate_batch = 3264;
  ASSERT_TRUE(look_up_convergence(job, table()).ok());
  EXPECT_NEAR(*job.epochs, 35.1538, 1e-9) << "the reference point";
  job.learning_rate_batch = 256;
  ASSERT_TRUE(look_up_convergence(job, table()).ok());
  EXPECT_LT(*job.epochs, 35.0) << "smaller batches need fewer";
  EXPECT_GT(*job.epochs, 30.0);

  TrainingJob bert = job_with({.source = "bert"});
  bert.epochs.reset();
  bert.target_metric = TargetMetric{"accuracy", 0.72};
  bert.max_global_batch.reset();
  bert.global_batch = 4096;
  bert.learning_rate_batch.reset();
  ASSERT_TRUE(look_up_convergence(bert, table()).ok());
  EXPECT_FALSE(bert.epochs.has_value());
  EXPECT_EQ(*bert.target_samples, 2'843'990);
  const auto space = enumerate(bert, 10'000, {testing::candidate("a", 1, 1)});
  ASSERT_TRUE(space.ok()) << space.error().message;
  const Placement& placed = space->placements.front();
  EXPECT_EQ(placed.steps, 695);
  EXPECT_GT(placed.convergence.spread, 0.03) << "as sure as its points, though the batch is fixed";
  EXPECT_EQ(placed.convergence.source, "MLPerf bert");
}

TEST(TargetMetrics, AnotherValueNamesWhatIsKnown) {
  TrainingJob job = job_with({.source = "resnet"});
  job.target_metric = TargetMetric{"accuracy", 0.77};
  const auto refused = look_up_convergence(job, table());
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(
      refused.error().message,
      HasSubstr("target: accuracy 0.77: convergence of resnet is known for accuracy 0.759"));
  EXPECT_THAT(refused.error().help, HasSubstr("points.csv"));
  EXPECT_THAT(refused.error().help, HasSubstr("bert accuracy 0.72"));
  job.convergence.source = "maskrcnn";
  EXPECT_THAT(look_up_convergence(job, table()).error().message,
              HasSubstr("has no metric that is known"));
}

TEST(TargetMetrics, OwnRunsAreForTheValueTheirOwnerTrainedTo) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.path() + "/points.csv";
  ASSERT_TRUE(write_file(path, "batch,epochs\n128,10\n512,12\n2048,18\n").ok());
  TrainingJob job = job_with({.source = path});
  job.epochs.reset();
  job.target_metric = TargetMetric{"perplexity", 21};
  job.learning_rate_batch = 512;
  const auto looked_up = look_up_convergence(job, table());
  ASSERT_TRUE(looked_up.ok()) << looked_up.error().message;
  EXPECT_NEAR(*job.epochs, 12, 1e-9);
}

// Learning rates of data/convergence.json (MLPerf reference points).
TEST(ReferencePoints, ResNet50At8192LiesInTheBand) {
  expect_reference_point("resnet", 8192, RateRule::kLars,
                         {{1632, 7.4}, {3264, 10.5}, {4096, 10}, {8192, 17}, {13056, 12.8}});
}
TEST(ReferencePoints, BertAt4096LiesInTheBand) {
  expect_reference_point("bert", 4096, RateRule::kLamb, {{256, 3.5e-4}, {4096, 2.4e-3}});
}

}  // namespace
}  // namespace pluto
