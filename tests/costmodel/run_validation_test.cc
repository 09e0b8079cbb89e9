#include "costmodel/run_validation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "costmodel/uncertainty.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

const std::string kData = std::string(PLUTO_SOURCE_DIR) + "/data";
constexpr const char* kHeading =
    "run,model,classes,machine,nodes,gpus,precision,framework,optimizer,phases,epoch_samples,"
    "evaluated_samples,time_s,price_usd_per_h,price_usd,date,unpredictable,note,source\n";

class RunValidation : public ::testing::Test {
 protected:
  RunValidation()
      : catalog_(Catalog::load(kData + "/catalog").value()),
        machines_(read_machines(kData + "/measured/machines.csv", catalog_).value()),
        frameworks_(load_frameworks(kData + "/frameworks.json").value()) {}

  Result<std::vector<ReportedRun>> read(const std::string& rows) {
    folder_.write("runs.csv", kHeading + rows);
    return read_reported_runs(folder_.file("runs.csv"), machines_, frameworks_);
  }

  testing::TemporaryFolder folder_;
  Catalog catalog_;
  std::map<std::string, Machine> machines_;
  FrameworkTable frameworks_;
};

TEST_F(RunValidation, TheShippedTablesAreWhole) {
  const auto dawnbench =
      read_reported_runs(kData + "/measured/dawnbench.csv", machines_, frameworks_);
  ASSERT_TRUE(dawnbench.ok()) << dawnbench.error().message;
  EXPECT_EQ(dawnbench->size(), 35U);
  for (const ReportedRun& run : *dawnbench) {
    SCOPED_TRACE(run.name);
    ASSERT_TRUE(run.hourly && run.price);
    // DAWNBench's price is that of the hours.
    EXPECT_NEAR(*run.hourly * run.time / *run.price, 1, 0.01);
    EXPECT_EQ(run.unpredictable.empty(), !run.phases.empty());
    EXPECT_FALSE(run.source.empty());
  }
  const auto mlperf =
      read_reported_runs(kData + "/measured/mlperf_runs.csv", machines_, frameworks_);
  ASSERT_TRUE(mlperf.ok()) << mlperf.error().message;
  EXPECT_GT(mlperf->size(), 100U);
}

TEST_F(RunValidation, ARunIsItsPhasesAndEvaluations) {
  const auto runs = read(
      "short,resnet18-cifar,,v100-nvlink,1,1,fp32,pytorch-nhwc,,32:2:100,1000,,5,3,,,,,x\n"
      "both,resnet18-cifar,,v100-nvlink,1,1,fp32,pytorch-nhwc,,32:2:100 32:3:100,1000,,5,3,,,,,x\n"
      "evaluated,resnet18-cifar,,v100-nvlink,1,1,fp32,pytorch-nhwc,,32:2:100,1000,3000,5,,,,,,x\n");
  ASSERT_TRUE(runs.ok()) << runs.error().message;
  auto predictor = StepPredictor::load(kData, frameworks_);
  ASSERT_TRUE(predictor.ok());
  std::vector<ScoredStep> times;
  for (const ReportedRun& run : *runs) {
    const auto time = predict_run(run, *predictor);
    ASSERT_TRUE(time.ok()) << time.error().message;
    EXPECT_EQ(time->measured, 5);
    times.push_back(*time);
  }
  TrainingRow row = (*runs)[0].row;
  row.batch = 100;
  row.model.options.height = row.model.options.width = 32;
  const auto step = predictor->predict(row);
  ASSERT_TRUE(step.ok());
  EXPECT_NEAR(times[0].predicted, 20 * step->step().value(), 1e-9);
  EXPECT_NEAR(times[0].spread, std::hypot(step->spread, kRunSpread, kUnseenSystem), 1e-12);
  EXPECT_NEAR(times[1].predicted, 50 * step->step().value(), 1e-9);
  EXPECT_NEAR(times[2].predicted - times[0].predicted, 30 * step->compute.value() / 3, 1e-9);
}

TEST_F(RunValidation, FaultsAreNamedWithFileAndLine) {
  const struct {
    const char* row;
    const char* message;
  } cases[] = {
      {"a,resnet50,,nowhere,1,1,fp32,pytorch-nhwc,,32:2:100,1000,,5,,,,,,x\n",
       "runs.csv:2: machine: \"nowhere\" is not in machines.csv"},
      {"a,resnet50,,v100-nvlink,1,1,fp32,abacus,,32:2:100,1000,,5,,,,,,x\n",
       "\"abacus\" is not in frameworks.json"},
      {"a,resnet50,,v100-nvlink,1,1,fp32,pytorch-nhwc,,32:2,1000,,5,,,,,,x\n",
       "phases: \"32:2\" is no image:epochs:batch"},
      {"a,resnet50,,v100-nvlink,1,1,fp32,pytorch-nhwc,,32:2:1,1000,,,,,,,,x\n", "time_s"},
  };
  for (const auto& bad : cases) {
    SCOPED_TRACE(bad.message);
    const auto runs = read(bad.row);
    ASSERT_FALSE(runs.ok());
    EXPECT_THAT(runs.error().message, HasSubstr(bad.message));
  }
  const auto why = read("a,,,,,,,,,,,,5,1,2,,no GPU,,x\n");
  ASSERT_TRUE(why.ok()) << why.error().message;
  EXPECT_EQ(why->front().unpredictable, "no GPU");
}

}  // namespace
}  // namespace pluto
