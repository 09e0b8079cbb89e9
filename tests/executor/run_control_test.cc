// How a run ends and goes on: stop flag, guards, checkpoints.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>

#include "executor/checkpoint.h"
#include "executor/run.h"
#include "tests/executor/executor_models.h"
#include "tests/executor/rank_runs.h"
#include "tests/executor/scratch_folder.h"

namespace pluto {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::run_ranks;
using testing::run_whole;
using testing::ScratchFolder;
using testing::tiny_plan;
using testing::TinyPlan;

std::vector<double> losses(const RunReport& report) {
  std::vector<double> values;
  for (const ConvergencePoint& point : report.curve) values.push_back(point.loss);
  return values;
}

struct ResumeCase {
  const char* name;
  SyncMethod method;
  const char* backend;
};

class ResumeTest : public ::testing::TestWithParam<ResumeCase> {};

TEST_P(ResumeTest, AResumedRunHasTheBitsOfAnUninterruptedOne) {
  const ModelGraph model = testing::residual_block();
  TinyPlan tiny;
  tiny.ranks = 3;
  tiny.steps = 12;
  Plan plan = tiny_plan(model, tiny);
  plan.backend = GetParam().backend;
  testing::set_method(plan, model, GetParam().method);
  plan.servers = {2, 1, 0};
  RunOptions options;
  options.report_every = 4;
  const RunReport whole = run_whole(model, plan, options);

  // Interrupted in the middle of an interval, so that the loss sum so far must survive too.
  const ScratchFolder folder;
  options.checkpoint_folder = folder.path();
  options.stop_after_steps = 6;
  const RunReport first = run_whole(model, plan, options);
  EXPECT_EQ(first.checkpoint, folder.path("step-6.ckpt"));
  options.stop_after_steps = 0;
  const RunReport second = run_whole(model, plan, options);
  EXPECT_EQ(second.first_step, 6);
  EXPECT_EQ(second.last_step, 12);
  EXPECT_EQ(second.parameter_fingerprint, whole.parameter_fingerprint);
  const auto expected = losses(whole);
  ASSERT_EQ(expected.size(), 3U);
  EXPECT_EQ(losses(first)[0], expected[0]);
  EXPECT_THAT(losses(second), ElementsAre(expected[1], expected[2]));
  EXPECT_EQ(second.curve[0].step, 8);
}

INSTANTIATE_TEST_SUITE_P(
    Methods, ResumeTest,
    ::testing::Values(ResumeCase{"AllReduce", SyncMethod::kAllReduce, "reference"},
                      ResumeCase{"ParameterServer", SyncMethod::kParameterServer, "reference"},
                      ResumeCase{"SufficientFactor", SyncMethod::kSufficientFactor, "cpu"}),
    [](const auto& info) { return info.param.name; });

TEST(RunControlTest, ACheckpointServesAnotherRankCountAndMethod) {
  const ModelGraph model = testing::small_conv();
  TinyPlan tiny;
  tiny.steps = 8;
  const RunReport expected = run_whole(model, tiny_plan(model, tiny));
  const ScratchFolder folder;
  RunOptions options;
  options.checkpoint_folder = folder.path();
  for (const int ranks : {3, 1, 2}) {
    tiny.ranks = ranks;
    Plan plan = tiny_plan(model, tiny);
    testing::set_method(plan, model,
                        ranks == 3 ? SyncMethod::kParameterServer : SyncMethod::kAllReduce);
    if (ranks == 3) plan.servers = {1, 2};
    options.stop_after_steps += ranks == 2 ? 4 : 2;
    const RunReport report = run_whole(model, plan, options);
    EXPECT_EQ(report.last_step, options.stop_after_steps);
    if (ranks == 2) {
      EXPECT_LT(testing::largest_difference(expected.parameters, report.parameters), 2e-5);
      EXPECT_NEAR(report.final_loss, expected.final_loss, 1e-5);
    }
  }
}

TEST(RunControlTest, ADamagedCheckpointFallsBackToTheOneBefore) {
  const ModelGraph model = testing::two_layers();
  TinyPlan tiny;
  tiny.ranks = 2;
  tiny.steps = 9;
  Plan plan = tiny_plan(model, tiny);
  testing::set_method(plan, model, SyncMethod::kAllReduce);
  const ScratchFolder folder;
  RunOptions options;
  options.checkpoint_folder = folder.path();
  options.checkpoint_every = 2;
  const RunReport whole = run_whole(model, plan, options);
  EXPECT_THAT(list_checkpoints(folder.path()),
              ElementsAre(folder.path("step-9.ckpt"), folder.path("step-8.ckpt")));

  std::string bytes = testing::read_bytes(folder.path("step-9.ckpt"));
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
  testing::write_bytes(folder.path("step-9.ckpt"), bytes);
  const RunReport again = run_whole(model, plan, options);
  EXPECT_EQ(again.first_step, 8);
  EXPECT_EQ(again.parameter_fingerprint, whole.parameter_fingerprint);
  ASSERT_EQ(again.warnings.size(), 1U);
  EXPECT_THAT(again.warnings[0], HasSubstr(folder.path("step-9.ckpt")));
  EXPECT_THAT(list_checkpoints(folder.path()),
              ElementsAre(folder.path("step-9.ckpt"), folder.path("step-8.ckpt")));
}

TEST(RunControlTest, ACheckpointOfAnotherTrainingIsRefused) {
  const ModelGraph model = testing::two_layers();
  const ScratchFolder folder;
  RunOptions options;
  options.checkpoint_folder = folder.path();
  Plan plan = tiny_plan(model, {});
  run_whole(model, plan, options);
  plan.learning_rate.peak = 0.2;
  const auto refused = run_ranks(model, plan, options);
  ASSERT_FALSE(refused[0].ok());
  EXPECT_EQ(refused[0].error().code, ErrorCode::kInvalidInput);
  EXPECT_THAT(refused[0].error().message, HasSubstr("is of another training"));

  options.resume = false;
  const RunReport fresh = run_whole(model, plan, options);
  EXPECT_EQ(fresh.first_step, 0);
}

TEST(RunControlTest, StartingOverReplacesOlderCheckpoints) {
  const ModelGraph model = testing::two_layers();
  const ScratchFolder folder;
  RunOptions options;
  options.checkpoint_folder = folder.path();
  const Plan plan = tiny_plan(model, {});
  run_whole(model, plan, options);
  options.resume = false;
  options.stop_after_steps = 3;
  EXPECT_EQ(run_whole(model, plan, options).first_step, 0);
  EXPECT_THAT(list_checkpoints(folder.path()), ElementsAre(folder.path("step-3.ckpt")));
}

TEST(RunControlTest, AFolderThatCannotBeWrittenEndsEveryRank) {
  const ModelGraph model = testing::two_layers();
  TinyPlan tiny;
  tiny.ranks = 2;
  Plan plan = tiny_plan(model, tiny);
  testing::set_method(plan, model, SyncMethod::kAllReduce);
  const ScratchFolder folder;
  testing::write_bytes(folder.path("file"), "");
  RunOptions options;
  options.checkpoint_folder = folder.path("file/below");
  const auto reports = run_ranks(model, plan, options);
  ASSERT_FALSE(reports[0].ok());
  EXPECT_EQ(reports[0].error().code, ErrorCode::kIo);
  ASSERT_FALSE(reports[1].ok());
  EXPECT_EQ(reports[1].error().code, ErrorCode::kWorker);
}

TEST(RunControlTest, AStopFlagOnAnyRankWritesACheckpointAndEnds) {
  const ModelGraph model = testing::two_layers();
  TinyPlan tiny;
  tiny.ranks = 2;
  tiny.steps = 100000;
  Plan plan = tiny_plan(model, tiny);
  testing::set_method(plan, model, SyncMethod::kAllReduce);
  const ScratchFolder folder;
  RunOptions options;
  options.checkpoint_folder = folder.path();
  options.report_every = 10;
  std::atomic<bool> stop = false;
  const RunReport report = run_whole(model, plan, options, [&](testing::RankSetup& setup) {
    if (setup.rank == 1) setup.options.stop = &stop;
    if (setup.rank == 0) setup.options.progress = [&](const RunProgress&) { stop = true; };
  });
  EXPECT_EQ(report.end, RunEnd::kStopped);
  EXPECT_LT(report.last_step, 1000);
  EXPECT_EQ(report.checkpoint, folder.path("step-" + std::to_string(report.last_step) + ".ckpt"));
  EXPECT_TRUE(verify_checkpoint(report.checkpoint).ok());
}

/// Time passes when the device is waited for: the same number of times in every step.
class TickingDevice : public testing::WrappedDevice {
 public:
  TickingDevice(std::unique_ptr<Device> inner, std::atomic<double>& now)
      : WrappedDevice(std::move(inner)), now_(now) {}
  void synchronize() override { now_ = now_ + 1; }

 private:
  std::atomic<double>& now_;
};

RunReport run_ticking(const Plan& plan, const ModelGraph& model, const RunOptions& options) {
  std::vector<std::atomic<double>> now(static_cast<std::size_t>(plan.layout.data));
  return run_whole(model, plan, options, [&](testing::RankSetup& setup) {
    auto& own = now[static_cast<std::size_t>(setup.rank)];
    setup.device = std::make_unique<TickingDevice>(std::move(setup.device), own);
    setup.options.clock = [&] { return own.load(); };
  });
}

TEST(RunControlTest, TheBudgetIsNotOverspent) {
  const ModelGraph model = testing::two_layers();
  TinyPlan tiny;
  tiny.steps = 1000;
  Plan plan = tiny_plan(model, tiny);
  plan.cluster.instance.price = DollarsPerHour(3600);  // a dollar a second
  plan.budget = Dollars(600);
  const ScratchFolder folder;
  RunOptions options;
  options.checkpoint_folder = folder.path();
  const RunReport report = run_ticking(plan, model, options);
  EXPECT_EQ(report.end, RunEnd::kBudget);
  const Seconds step = report.wall / static_cast<double>(report.last_step);
  EXPECT_GE(step, Seconds(2));
  EXPECT_LE(report.wall, Seconds(600));
  EXPECT_GT(report.wall + step, Seconds(600)) << "it ends no earlier than it must";
  EXPECT_TRUE(verify_checkpoint(report.checkpoint).ok());

  // What was spent counts after a resumption: nothing is left for another step.
  const RunReport again = run_ticking(plan, model, options);
  EXPECT_EQ(again.end, RunEnd::kBudget);
  EXPECT_EQ(again.last_step, report.last_step);
}

TEST(RunControlTest, TheDeadlineIsKept) {
  const ModelGraph model = testing::two_layers();
  TinyPlan tiny;
  tiny.steps = 1000;
  tiny.ranks = 2;
  Plan plan = tiny_plan(model, tiny);
  testing::set_method(plan, model, SyncMethod::kAllReduce);
  plan.deadline = Seconds(500);
  const RunReport report = run_ticking(plan, model, {});
  EXPECT_EQ(report.end, RunEnd::kDeadline);
  EXPECT_LE(report.wall, Seconds(500));
  EXPECT_GT(report.wall, Seconds(480));
}

TEST(RunControlTest, ALimitThatIsNotReachedChangesNothing) {
  const ModelGraph model = testing::two_layers();
  Plan plan = tiny_plan(model, {});
  const RunReport free = run_whole(model, plan);
  plan.budget = Dollars(1000);
  plan.deadline = Seconds(1e6);
  const RunReport guarded = run_whole(model, plan);
  EXPECT_EQ(guarded.end, RunEnd::kFinished);
  EXPECT_EQ(guarded.parameter_fingerprint, free.parameter_fingerprint);
}

}  // namespace
}  // namespace pluto
