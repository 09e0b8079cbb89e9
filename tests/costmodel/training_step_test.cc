#include "costmodel/training_step.h"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>

#include "plan/catalog.h"

namespace pluto {
namespace {

const std::string kData = std::string(PLUTO_SOURCE_DIR) + "/data";

class TrainingStepTest : public ::testing::Test {
 protected:
  TrainingStepTest() {
    FrameworkTable frameworks;
    frameworks.frameworks["plain"] = {};
    frameworks.host_bandwidth = BytesPerSecond(50e9);
    auto loaded = StepPredictor::load(kData, frameworks);
    EXPECT_TRUE(loaded.ok()) << loaded.error().message;
    predictor.emplace(std::move(*loaded));
    const auto catalog = Catalog::load(kData + "/catalog");
    EXPECT_TRUE(catalog.ok()) << catalog.error().message;
    row.model.source = "resnet18-cifar";
    row.cluster.instance.node = {*catalog->device("V100 SXM2"),
                                 8,
                                 {"NVLink2", Seconds(3.4e-6), BytesPerSecond(150e9)},
                                 {"Ethernet", Seconds(3e-5), BytesPerSecond(1e9), 8}};
    row.framework = "plain";
    row.optimizer = "momentum";
    row.batch = 128;
  }
  FrameworkCosts& framework() { return predictor->frameworks().frameworks.at("plain"); }
  TrainingStep predict() {
    const auto step = predictor->predict(row);
    EXPECT_TRUE(step.ok()) << step.error().message;
    return *step;
  }
  std::optional<StepPredictor> predictor;
  TrainingRow row;
};

TEST_F(TrainingStepTest, ASlowHostSetsThePace) {
  const TrainingStep alone = predict();
  EXPECT_EQ(alone.waiting, Seconds(0));
  framework().forward = framework().backward = Seconds(1e-3);
  const TrainingStep slow = predict();
  EXPECT_GT(slow.waiting, Seconds(0.1));
  EXPECT_NEAR(slow.compute.value(), alone.compute.value(), 1e-9);
  row.batch = 256;  // the host issues the same operators
  EXPECT_NEAR(predict().step().value(), slow.step().value(), 1e-9);
}

TEST_F(TrainingStepTest, SerialWorkIsPerParameterAndPrecision) {
  const double alone = predict().step().value();
  framework().serial = Seconds(1e-3);
  framework().half_serial = Seconds(2e-3);
  const double parameters = 62;  // 20 convolutions, 20 norms of two, a linear layer of two
  EXPECT_NEAR(predict().step().value(), alone + parameters * 1e-3, 1e-9);
  row.precision = StepPrecision::kMixed;
  EXPECT_NEAR(predict().serial.value(), parameters * 2e-3, 1e-9);
}

TEST_F(TrainingStepTest, AccumulationRepeatsAllButTheUpdate) {
  row.accumulation = 2;
  const TrainingStep two = predict();
  row.accumulation = 10;
  const TrainingStep ten = predict();
  row.accumulation = 18;
  const TrainingStep eighteen = predict();
  EXPECT_NEAR((ten.step() - two.step()).value(), (eighteen.step() - ten.step()).value(), 1e-9);
  EXPECT_NEAR(ten.update.value(), two.update.value(), 1e-12);
  EXPECT_GT(ten.step(), two.step() * 4.5);
}

TEST_F(TrainingStepTest, MoreRanksAreNeverFasterAndASlowNetworkShows) {
  const Seconds one = predict().step();
  row.gpus = 8;
  const TrainingStep node = predict();
  EXPECT_GE(node.step(), one);
  row.gpus = 16;
  row.cluster.nodes = 2;
  const TrainingStep network = predict();
  EXPECT_GT(network.exposed_comm, node.exposed_comm);
}

TEST_F(TrainingStepTest, ReadingBoundsAndRanksWaitForTheSlowest) {
  framework().sample = Seconds(1e-2);
  EXPECT_NEAR(predict().step().value(), 1.28, 0.02);
  framework().sample = Seconds(0);
  framework().jitter = Seconds(0.01);
  row.gpus = 8;
  const Seconds synthetic = predict().step();
  row.reads_data = true;
  EXPECT_NEAR((predict().step() - synthetic).value(), 0.01 * std::sqrt(2 * std::log(8)), 1e-9);
}

TEST_F(TrainingStepTest, ForwardAndBackwardAloneHaveNoUpdate) {
  row.optimizer = "none";
  EXPECT_EQ(predict().update, Seconds(0));
}

TEST_F(TrainingStepTest, ServersInTheHostAreSlowerThanRings) {
  row.gpus = 8;
  const Seconds ring = predict().step();
  for (const auto sync : {StepSync::kServerCpu, StepSync::kServerGpu}) {
    row.sync = sync;
    EXPECT_GT(predict().step(), ring) << to_text(sync);
  }
}

TEST_F(TrainingStepTest, MemoryGrowsWithBatchAndIsCutAtTheCard) {
  const auto used = [&](std::int64_t batch) {
    row.batch = batch;
    const auto memory = predictor->predict_memory(row);
    EXPECT_TRUE(memory.ok()) << memory.error().message;
    return *memory;
  };
  const auto small = used(128), large = used(512), huge = used(65536);
  EXPECT_LT(small.used, large.used);
  EXPECT_TRUE(large.fits);
  EXPECT_FALSE(huge.fits);
  EXPECT_EQ(huge.used, row.cluster.instance.node.device.memory);
  row.precision = StepPrecision::kMixed;
  EXPECT_LT(used(512).used, large.used);
}

}  // namespace
}  // namespace pluto
