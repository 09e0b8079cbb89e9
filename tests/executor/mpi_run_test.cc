// Runs under mpirun: every rank runs every test, in the same order.

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <memory>

#include "executor/run.h"
#include "tests/executor/executor_models.h"
#include "tests/executor/rank_runs.h"
#include "tests/executor/scratch_folder.h"

namespace pluto {
namespace {

std::unique_ptr<Communicator>& world() {
  static std::unique_ptr<Communicator> communicator;
  return communicator;
}

Plan plan_of(const ModelGraph& model) {
  testing::TinyPlan tiny;
  tiny.ranks = world()->size();
  tiny.accumulation = 2;
  Plan plan = testing::tiny_plan(model, tiny);
  plan.servers = {world()->size() - 1, 0};
  return plan;
}

RunReport run_under_mpi(const ModelGraph& model, const Plan& plan, const RunOptions& options = {}) {
  const LoweredPlan program = testing::lowered(model, plan);
  const auto device = testing::open_test_device(plan.backend);
  const DataSet data = testing::tiny_data(model, plan);
  auto report = run_plan(plan, program, *device, *world(), data, {}, options, nullptr);
  EXPECT_TRUE(report.ok()) << report.error().message;
  return report.ok() ? std::move(*report) : RunReport();
}

// The collectives are ours, so ranks as processes and ranks as threads add in the same order.
TEST(MpiRunTest, ProcessesGiveTheBitsOfThreads) {
  const ModelGraph model = testing::small_conv();
  Plan plan = plan_of(model);
  for (const SyncMethod method :
       {SyncMethod::kAllReduce, SyncMethod::kParameterServer, SyncMethod::kSufficientFactor}) {
    testing::set_method(plan, model, method);
    plan.servers = {world()->size() - 1, 0};
    const auto processes = run_under_mpi(model, plan);
    EXPECT_EQ(processes.parameter_fingerprint,
              testing::run_whole(model, plan).parameter_fingerprint)
        << to_text(method);
  }
}

TEST(MpiRunTest, AMixOfMethodsGivesTheBitsOfThreads) {
  const ModelGraph model = testing::small_conv();
  Plan plan = plan_of(model);
  testing::mix_methods(plan, model);
  EXPECT_EQ(run_under_mpi(model, plan).parameter_fingerprint,
            testing::run_whole(model, plan).parameter_fingerprint);
}

TEST(MpiRunTest, AResumedRunHasTheBitsOfAnUninterruptedOne) {
  const ModelGraph model = testing::residual_block();
  Plan plan = plan_of(model);
  testing::set_method(plan, model, SyncMethod::kParameterServer);
  plan.servers = {1, 0};
  const RunReport whole = run_under_mpi(model, plan);
  // Only rank 0 sees the folder: the others get the state from it.
  const testing::ScratchFolder folder;
  RunOptions options;
  options.checkpoint_folder = folder.path();
  options.stop_after_steps = 3;
  run_under_mpi(model, plan, options);
  options.stop_after_steps = 0;
  const RunReport resumed = run_under_mpi(model, plan, options);
  EXPECT_EQ(resumed.first_step, 3);
  EXPECT_EQ(resumed.parameter_fingerprint, whole.parameter_fingerprint);
}

}  // namespace
}  // namespace pluto

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  auto world = pluto::make_mpi_communicator();
  if (!world.ok()) {
    std::fprintf(stderr, "%s\n", world.error().message.c_str());
    return 1;
  }
  pluto::world() = std::move(world).value();
  const int failures = RUN_ALL_TESTS();
  pluto::world().reset();
  return failures;
}
