#include "executor/step_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "executor/collectives.h"
#include "tests/executor/executor_models.h"
#include "tests/executor/rank_runs.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;
using testing::tiny_plan;
using testing::TinyPlan;

/// A device whose memory counts as not the host's, over one whose is.
class FarDevice : public testing::WrappedDevice {
 public:
  using WrappedDevice::WrappedDevice;
  bool host_memory() const override { return false; }
};

TEST(StepRunnerTest, MemoryApartFromTheHostsGivesTheSameBits) {
  const ModelGraph model = testing::small_conv();
  TinyPlan tiny;
  tiny.ranks = 2;
  tiny.accumulation = 2;
  Plan plan = tiny_plan(model, tiny);
  testing::mix_methods(plan, model);
  plan.servers = {1, 0};
  const RunReport near = testing::run_whole(model, plan);
  const RunReport far = testing::run_whole(model, plan, {}, [](testing::RankSetup& setup) {
    setup.device = std::make_unique<FarDevice>(std::move(setup.device));
  });
  EXPECT_EQ(far.parameter_fingerprint, near.parameter_fingerprint);
  EXPECT_EQ(far.final_loss, near.final_loss);
}

/// Rank 0 of two, without the other: what it gathers is its own, and all_reduce number `failing`
/// fails.
class BrokenCommunicator : public Communicator {
 public:
  explicit BrokenCommunicator(int failing) : failing_(failing) {}
  int rank() const override { return 0; }
  int size() const override { return 2; }
  std::string transport() const override { return "broken"; }
  Result<void> exchange(int, std::span<const std::byte>, int, std::span<std::byte>) override {
    return {};
  }
  Result<void> barrier() override { return {}; }
  Result<void> all_reduce(std::span<float>, std::span<std::byte>) override {
    if (++calls_ == failing_) return worker_error("rank 1 is gone");
    return {};
  }
  Result<void> reduce_scatter(std::span<float>, std::span<const int>,
                              std::span<std::byte>) override {
    return {};
  }
  Result<void> all_gather_shards(std::span<float>, std::span<const int>) override { return {}; }
  Result<void> all_gather(std::span<const std::byte> block, std::span<std::byte> all) override {
    for (std::size_t rank = 0; rank < 2; ++rank) {
      std::memcpy(all.data() + rank * block.size(), block.data(), block.size());
    }
    return {};
  }
  Result<void> broadcast(std::span<std::byte>, int) override { return {}; }
  void abort(const std::string&) override {}

 private:
  int failing_, calls_ = 0;
};

TEST(StepRunnerTest, ALostPeerIsNamedWithStepAndTask) {
  const ModelGraph model = testing::two_layers();
  TinyPlan tiny;
  tiny.ranks = 2;
  Plan plan = tiny_plan(model, tiny);
  testing::set_method(plan, model, SyncMethod::kAllReduce);
  const LoweredPlan program = testing::lowered(model, plan);
  const auto device = testing::open_test_device("reference");
  BrokenCommunicator communicator(4);
  const DataSet data = testing::tiny_data(model, plan);
  const auto report = run_plan(plan, program, *device, communicator, data, {}, {}, nullptr);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, ErrorCode::kWorker);
  EXPECT_EQ(report.error().message, "rank 0: step 3: bucket0.all_reduce: rank 1 is gone");
}

TEST(StepRunnerTest, ReadersAndSetsDoNotChangeTheBits) {
  const ModelGraph model = testing::two_layers();
  TinyPlan tiny;
  tiny.accumulation = 3;
  tiny.steps = 9;
  Plan plan = tiny_plan(model, tiny);
  const RunReport expected = testing::run_whole(model, plan);
  plan.data.readers = 3;
  EXPECT_EQ(testing::run_whole(model, plan).parameter_fingerprint, expected.parameter_fingerprint);
}

}  // namespace
}  // namespace pluto
