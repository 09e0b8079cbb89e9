#include "executor/run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "plan/memory_plan.h"
#include "tests/executor/executor_models.h"
#include "tests/executor/rank_runs.h"
#include "tests/support/recording_sink.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;
using testing::largest_difference;
using testing::run_ranks;
using testing::run_whole;
using testing::tiny_plan;
using testing::TinyPlan;

/// Sums of 12 samples taken in another order differ by a few units in the last place per step; six
/// steps of momentum 0.9 multiply that by less than 30.
constexpr double kTolerance = 2e-5;

ModelGraph model_named(const std::string& name) {
  return name == "conv" ? testing::small_conv() : testing::two_layers();
}

struct Layouts {
  std::string backend, model;
  int ranks = 2, accumulation = 1;
};

class SyncMethodsTest : public ::testing::TestWithParam<Layouts> {
 protected:
  SyncMethodsTest() : model_(model_named(GetParam().model)) {
    Plan single = tiny_plan(model_, {});
    single.backend = GetParam().backend;
    expected_ = run_whole(model_, single).parameters;
    TinyPlan tiny;
    tiny.ranks = GetParam().ranks;
    tiny.accumulation = GetParam().accumulation;
    plan_ = tiny_plan(model_, tiny);
    plan_.backend = GetParam().backend;
  }
  void expect_same_as_one_rank() const {
    EXPECT_LT(largest_difference(expected_, run_whole(model_, plan_).parameters), kTolerance);
  }
  ModelGraph model_;
  std::vector<float> expected_;
  Plan plan_;
};

TEST_P(SyncMethodsTest, AllReduceEndsLikeOneRank) {
  testing::set_method(plan_, model_, SyncMethod::kAllReduce);
  expect_same_as_one_rank();
}

TEST_P(SyncMethodsTest, ParameterServersEndLikeOneRank) {
  for (int servers = 1; servers <= plan_.layout.data; ++servers) {
    SCOPED_TRACE(servers);
    testing::set_method(plan_, model_, SyncMethod::kParameterServer);
    for (int s = 0; s < servers; ++s) plan_.servers.push_back(plan_.layout.data - 1 - s);
    expect_same_as_one_rank();
  }
}

TEST_P(SyncMethodsTest, SufficientFactorsEndLikeOneRank) {
  testing::set_method(plan_, model_, SyncMethod::kSufficientFactor);
  expect_same_as_one_rank();
}

TEST_P(SyncMethodsTest, AMixPerParameterEndsLikeOneRank) {
  testing::mix_methods(plan_, model_);
  plan_.servers = {1, 0};
  expect_same_as_one_rank();
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, SyncMethodsTest,
    ::testing::Values(Layouts{"reference", "mlp", 2, 1}, Layouts{"reference", "mlp", 3, 2},
                      Layouts{"reference", "conv", 2, 3}, Layouts{"reference", "conv", 4, 1},
                      Layouts{"cpu", "mlp", 3, 1}, Layouts{"cpu", "conv", 2, 2}),
    [](const auto& info) {
      return info.param.backend + info.param.model + std::to_string(info.param.ranks) + "x" +
             std::to_string(info.param.accumulation);
    });

TEST(RunTest, AdamUnderParameterServersEndsLikeOneRank) {
  const ModelGraph model = testing::two_layers();
  TinyPlan tiny;
  // A large epsilon: near zero gradients Adam would blow differences of rounding up to whole steps.
  tiny.optimizer = AdamAttrs{0.9, 0.99, 1e-2, 0.01, true};
  const auto expected = run_whole(model, tiny_plan(model, tiny)).parameters;
  tiny.ranks = 3;
  Plan plan = tiny_plan(model, tiny);
  testing::set_method(plan, model, SyncMethod::kParameterServer);
  plan.servers = {2, 0};
  EXPECT_LT(largest_difference(expected, run_whole(model, plan).parameters), kTolerance);
}

TEST(RunTest, TheSameSeedGivesTheSameBits) {
  for (const std::string backend : {"reference", "cpu"}) {
    const ModelGraph model = testing::residual_block();
    TinyPlan tiny;
    tiny.ranks = 2;
    Plan plan = tiny_plan(model, tiny);
    plan.backend = backend;
    testing::set_method(plan, model, SyncMethod::kAllReduce);
    const auto first = run_whole(model, plan), second = run_whole(model, plan);
    EXPECT_EQ(first.parameter_fingerprint, second.parameter_fingerprint) << backend;
    EXPECT_EQ(first.final_loss, second.final_loss);
    plan.seed = 6;
    EXPECT_NE(run_whole(model, plan).parameter_fingerprint, first.parameter_fingerprint);
  }
}

TEST(RunTest, TrainingLowersTheLossAndEvaluationSeesIt) {
  const ModelGraph model = testing::two_layers();
  TinyPlan tiny;
  tiny.steps = 400;
  tiny.samples = 12;
  RunOptions options;
  options.report_every = 100;
  const auto evaluate = [](testing::RankSetup& setup) { setup.options.evaluate = true; };
  const RunReport one = run_whole(model, tiny_plan(model, tiny), options, evaluate);
  ASSERT_EQ(one.curve.size(), 4U);
  EXPECT_LT(one.final_loss, 0.5 * one.curve[0].loss);
  ASSERT_TRUE(one.test_accuracy.has_value());
  EXPECT_GT(*one.test_accuracy, 0.9);
  EXPECT_EQ(one.curve.back().accuracy, one.test_accuracy);

  // 12 samples over 3 ranks and micro-batches of 4: the last one is partly padding.
  tiny.ranks = 3;
  Plan plan = tiny_plan(model, tiny);
  testing::set_method(plan, model, SyncMethod::kAllReduce);
  EXPECT_EQ(run_whole(model, plan, options, evaluate).test_accuracy, one.test_accuracy);
}

TEST(RunTest, TheLossIsTheMeanOverRanksAndMicroBatches) {
  const ModelGraph model = testing::two_layers();
  RunOptions options;
  options.report_every = 2;
  const RunReport one = run_whole(model, tiny_plan(model, {}), options);
  TinyPlan tiny;
  tiny.ranks = 3;
  tiny.accumulation = 2;
  Plan plan = tiny_plan(model, tiny);
  testing::set_method(plan, model, SyncMethod::kAllReduce);
  const RunReport three = run_whole(model, plan, options);
  ASSERT_EQ(one.curve.size(), 3U);
  ASSERT_EQ(three.curve.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(one.curve[i].loss, three.curve[i].loss, 1e-5);
    EXPECT_EQ(three.curve[i].step, static_cast<std::int64_t>(2 * i + 2));
    EXPECT_EQ(three.curve[i].samples, static_cast<std::int64_t>(12 * (2 * i + 2)));
  }
}

TEST(RunTest, TheArenaIsWhatTheMemoryPlanSays) {
  for (const std::string backend : {"reference", "cpu"}) {
    const ModelGraph model = testing::small_conv();
    TinyPlan tiny;
    tiny.ranks = 2;
    Plan plan = tiny_plan(model, tiny);
    plan.backend = backend;
    testing::set_method(plan, model, SyncMethod::kAllReduce);
    const LoweredPlan program = testing::lowered(model, plan);
    const auto device = testing::open_test_device(backend);
    const auto workspace = [&](const Op& op) {
      KernelRequest request{signature_of(program.training.graph, op, plan.micro_batch), {}};
      for (const TensorId id : op.updates) {
        request.updates.push_back(program.training.graph.tensor(id).type);
      }
      const auto kernel = device->compile(request);
      return kernel.ok() ? (*kernel)->workspace() : Bytes(0);
    };
    const Bytes expected =
        plan_memory(program.training, program.program, workspace).breakdown.total();
    const RunReport report = run_whole(model, plan);
    EXPECT_EQ(report.arena_predicted, expected);
    EXPECT_EQ(report.arena_allocated, expected);
  }
}

TEST(RunTest, ReusedMemoryGivesTheBitsOfPoisonedSeparateMemory) {
  for (const std::string backend : {"reference", "cpu"}) {
    for (const std::string name : {"mlp", "conv", "residual"}) {
      const ModelGraph model = name == "residual" ? testing::residual_block() : model_named(name);
      TinyPlan tiny;
      tiny.ranks = 2;
      tiny.accumulation = 2;
      Plan plan = tiny_plan(model, tiny);
      plan.backend = backend;
      testing::set_method(plan, model, SyncMethod::kSufficientFactor);
      const RunReport planned = run_whole(model, plan);
      RunOptions poisoned;
      poisoned.memory.reuse = false;
      poisoned.poison_dead = true;
      const RunReport apart = run_whole(model, plan, poisoned);
      EXPECT_EQ(planned.parameter_fingerprint, apart.parameter_fingerprint) << backend << name;
      EXPECT_LT(planned.arena_allocated, apart.arena_allocated);
    }
  }
}

TEST(RunTest, StepsAndPointsAreRecordedOnTheLeader) {
  const ModelGraph model = testing::two_layers();
  TinyPlan tiny;
  tiny.ranks = 2;
  tiny.steps = 7;
  Plan plan = tiny_plan(model, tiny);
  testing::set_method(plan, model, SyncMethod::kAllReduce);
  RunOptions options;
  options.report_every = 3;
  testing::RecordingSink sink;
  std::vector<std::int64_t> reported;
  const RunReport report = run_whole(model, plan, options, [&](testing::RankSetup& setup) {
    if (setup.rank != 0) return;
    setup.sink = &sink;
    setup.options.progress = [&](const RunProgress& at) { reported.push_back(at.step); };
  });
  EXPECT_EQ(reported, (std::vector<std::int64_t>{3, 6, 7}));
  const auto steps = sink.all<StepMeasurement>();
  ASSERT_EQ(steps.size(), 3U);
  EXPECT_EQ(steps[0].first_step, 0);
  EXPECT_EQ(steps[0].step.count, 1) << "two steps of warm-up";
  EXPECT_EQ(steps[1].first_step, 3);
  EXPECT_EQ(steps[1].step.count, 3);
  EXPECT_EQ(steps[1].plan, fingerprint(plan));
  EXPECT_EQ(steps[1].arena, report.arena_allocated);
  EXPECT_EQ(sink.all<ConvergencePoint>().size(), 3U);
  EXPECT_EQ(report.overall.step.count, 5);
  EXPECT_EQ(report.first_step, 0);
  EXPECT_EQ(report.last_step, 7);
}

TEST(RunTest, PartsOfTheStepAddUpToIt) {
  const ModelGraph model = testing::small_conv();
  TinyPlan tiny;
  tiny.ranks = 2;
  tiny.steps = 30;
  Plan plan = tiny_plan(model, tiny);
  testing::set_method(plan, model, SyncMethod::kAllReduce);
  const StepMeasurement step = run_whole(model, plan).overall;
  EXPECT_GT(step.compute, Seconds(0));
  EXPECT_GT(step.update, Seconds(0));
  const Seconds parts = step.compute + step.update + step.exposed_comm + step.exposed_input;
  EXPECT_GT(parts, 0.3 * step.step.median);
}

TEST(RunTest, TheTimelineHoldsEveryTaskOfOneStep) {
  const ModelGraph model = testing::small_conv();
  TinyPlan tiny;
  tiny.ranks = 2;
  tiny.accumulation = 2;
  Plan plan = tiny_plan(model, tiny);
  testing::set_method(plan, model, SyncMethod::kAllReduce);
  const LoweredPlan program = testing::lowered(model, plan);
  const Timeline timeline = run_whole(model, plan).timeline;
  EXPECT_EQ(timeline.name, "measured rank 0");
  std::vector<std::string> names;
  for (const TimelineEntry& entry : timeline.entries) {
    names.push_back(entry.name);
    EXPECT_LE(Seconds(0), entry.start) << entry.name;
    EXPECT_LE(entry.start, entry.end) << entry.name;
  }
  for (const Task& task : program.program.tasks) {
    const std::string name = task_name(program.training, program.program, task);
    if (name.starts_with("flat")) continue;  // a reshape in place is nothing to run
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 1) << name;
  }
}

TEST(RunTest, AFailingSinkEndsEveryRank) {
  const ModelGraph model = testing::two_layers();
  TinyPlan tiny;
  tiny.ranks = 3;
  Plan plan = tiny_plan(model, tiny);
  testing::set_method(plan, model, SyncMethod::kAllReduce);
  testing::FailingSink sink;
  const auto reports = run_ranks(model, plan, {}, [&](testing::RankSetup& setup) {
    if (setup.rank == 0) setup.sink = &sink;
  });
  ASSERT_FALSE(reports[0].ok());
  EXPECT_EQ(reports[0].error().code, ErrorCode::kIo);
  for (const std::size_t rank : {1U, 2U}) {
    ASSERT_FALSE(reports[rank].ok());
    EXPECT_EQ(reports[rank].error().code, ErrorCode::kWorker);
    EXPECT_THAT(reports[rank].error().message, HasSubstr("rank 0 failed"));
  }
}

TEST(RunTest, DataThatIsNotThePlansIsRefused) {
  const ModelGraph model = testing::two_layers();
  const Plan plan = tiny_plan(model, {});
  const auto fewer = run_ranks(model, plan, {}, [&](testing::RankSetup& setup) {
    Plan other = plan;
    other.data.samples = 39;
    setup.data = testing::tiny_data(model, other);
  });
  ASSERT_FALSE(fewer[0].ok());
  EXPECT_EQ(fewer[0].error().code, ErrorCode::kInvalidInput);
  EXPECT_THAT(fewer[0].error().message, HasSubstr("the plan is for 40 samples, the data has 39"));

  const auto other = run_ranks(model, plan, {}, [&](testing::RankSetup& setup) {
    setup.data = testing::tiny_data(testing::small_conv(), plan);
  });
  ASSERT_FALSE(other[0].ok());
  EXPECT_THAT(other[0].error().message, HasSubstr("a sample has 292 bytes, the model takes 20"));
}

TEST(RunTest, StrategiesThatAreOnlyPricedAreRefused) {
  const ModelGraph model = testing::two_layers();
  TinyPlan tiny;
  tiny.ranks = 2;
  Plan plan = tiny_plan(model, tiny);
  plan.sharded = {"fc1"};
  testing::set_method(plan, model, SyncMethod::kAllReduce);
  const auto refused = run_ranks(model, plan);
  ASSERT_FALSE(refused[0].ok());
  EXPECT_EQ(refused[0].error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(refused[0].error().message, HasSubstr("sharded: fc1 is predicted but not run"));

  plan = tiny_plan(model, {});
  plan.layout.tensor = 2;
  plan.cluster.nodes = 2;
  const auto tensor = run_ranks(model, plan);
  ASSERT_FALSE(tensor[0].ok());
  EXPECT_THAT(tensor[0].error().message, HasSubstr("layout.tensor: 2 is predicted but not run"));
}

TEST(RunTest, ItEndsEarlyWhenAsked) {
  const ModelGraph model = testing::two_layers();
  RunOptions options;
  options.stop_after_steps = 4;
  const RunReport report = run_whole(model, tiny_plan(model, {}), options);
  EXPECT_EQ(report.end, RunEnd::kFinished);
  EXPECT_EQ(report.last_step, 4);
}

}  // namespace
}  // namespace pluto
