#include "costmodel/schedule.h"

#include <gtest/gtest.h>

#include <random>

namespace pluto {
namespace {

struct Program {
  std::vector<std::vector<TaskId>> predecessors;
  std::vector<TimedTask> tasks;

  void add(Resource resource, double seconds, std::vector<std::size_t> after = {},
           double share = 0) {
    std::vector<TaskId> ids;
    for (const auto index : after) ids.emplace_back(index);
    predecessors.push_back(std::move(ids));
    tasks.push_back({resource, Seconds(seconds), share, {}});
  }
  /// Of every network task.
  void slow(double beside_compute, double beside_other) {
    for (auto& task : tasks) {
      task.beside_compute = beside_compute;
      task.beside_other = beside_other;
    }
  }
  std::span<const TimedTask> view() {
    for (std::size_t i = 0; i < tasks.size(); ++i) tasks[i].predecessors = predecessors[i];
    return tasks;
  }
};

Program random_program(std::mt19937& random, bool with_input) {
  std::uniform_real_distribution<double> uniform(0, 1);
  Program program;
  const auto count = 3 + random() % 30;
  for (std::size_t i = 0; i < count; ++i) {
    const double pick = uniform(random);
    const auto resource = pick < 0.5                  ? Resource::kCompute
                          : pick < 0.9 || !with_input ? Resource::kNetwork
                                                      : Resource::kInput;
    std::vector<std::size_t> after;
    for (std::size_t j = 0; j < i; ++j) {
      if (uniform(random) < 0.15) after.push_back(j);
    }
    const double seconds = uniform(random) < 0.1 ? 0 : uniform(random);
    const double share = resource == Resource::kNetwork ? uniform(random) : 0;
    program.add(resource, seconds, after, share);
  }
  return program;
}

TEST(Schedule, OfNothingTakesNoTime) { EXPECT_EQ(schedule({}).makespan.value(), 0); }

TEST(Schedule, ResourcesRunTheirQueueInOrderAndApart) {
  Program program;
  program.add(Resource::kCompute, 1);       // 0..1
  program.add(Resource::kCompute, 2);       // 1..3
  program.add(Resource::kNetwork, 4, {0});  // 1..5
  program.add(Resource::kCompute, 1, {2});  // 5..6
  program.add(Resource::kNetwork, 1, {1});  // 5..6, behind the first message
  const auto run = schedule(program.view());
  EXPECT_DOUBLE_EQ(run.end[1].value(), 3);
  EXPECT_DOUBLE_EQ(run.start[2].value(), 1);
  EXPECT_DOUBLE_EQ(run.start[3].value(), 5);
  EXPECT_DOUBLE_EQ(run.start[4].value(), 5);
  EXPECT_DOUBLE_EQ(run.makespan.value(), 6);
}

TEST(Schedule, AHeadOfQueueThatWaitsHoldsUpWhatIsBehindIt) {
  Program program;
  program.add(Resource::kCompute, 3);
  program.add(Resource::kNetwork, 1, {0});
  program.add(Resource::kNetwork, 1);  // could go at 0, but its queue is in order
  const auto run = schedule(program.view());
  EXPECT_DOUBLE_EQ(run.start[2].value(), 4);
}

TEST(Schedule, ComputeSlowsDownWhileACollectiveTakesItsShare) {
  Program program;
  program.add(Resource::kCompute, 1);
  program.add(Resource::kNetwork, 2, {0}, 0.25);
  program.add(Resource::kCompute, 3);
  // From 1 to 3 compute does 1.5, then 1.5 more alone.
  const auto run = schedule(program.view());
  EXPECT_DOUBLE_EQ(run.end[1].value(), 3);
  EXPECT_DOUBLE_EQ(run.end[2].value(), 4.5);
}

TEST(Schedule, AFullShareDoesNotStopComputeForEver) {
  Program program;
  program.add(Resource::kNetwork, 10, {}, 1.0);
  program.add(Resource::kCompute, 1);
  EXPECT_DOUBLE_EQ(schedule(program.view()).end[1].value(), 10 + 0.5);
}

TEST(Schedule, ACollectiveSlowsDownBesideComputeToo) {
  Program program;
  program.add(Resource::kCompute, 4);
  program.add(Resource::kNetwork, 2, {}, 0.25);
  program.slow(0.5, 1);
  // Until 4 the message goes at half its pace and compute does 3.
  const auto run = schedule(program.view());
  EXPECT_DOUBLE_EQ(run.end[1].value(), 4);
  EXPECT_DOUBLE_EQ(run.makespan.value(), 5);
  EXPECT_DOUBLE_EQ(run.slowed.value(), 1);
}

TEST(Schedule, DirectionsSlowEachOther) {
  Program program;
  program.add(Resource::kNetwork, 2);
  program.add(Resource::kNetwork, 2);
  program.tasks[0].direction = Direction::kUp;
  program.tasks[1].direction = Direction::kDown;
  program.slow(1, 0.8);
  EXPECT_DOUBLE_EQ(schedule(program.view()).makespan.value(), 2.5);
}

TEST(Schedule, RunningAtOnceIsNoWorseThanOneAfterTheOther) {
  Program program;
  program.add(Resource::kCompute, 1);
  program.add(Resource::kNetwork, 1, {}, 0.95);
  program.slow(0.01, 1);
  EXPECT_DOUBLE_EQ(schedule(program.view()).makespan.value(), 2);
}

/// Some messages go one way only.
void split_directions(Program& program, std::mt19937& random) {
  for (auto& task : program.tasks) {
    const auto way = random() % 3;
    if (task.resource != Resource::kNetwork || way == 0) continue;
    task.direction = way == 1 ? Direction::kUp : Direction::kDown;
  }
}

TEST(Schedule, LiesBetweenTheCriticalPathAndTheSumOfAllTasks) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> rate(0.01, 1);
  for (int round = 0; round < 2000; ++round) {
    auto program = random_program(random, true);
    program.slow(rate(random), rate(random));
    if (round % 2 == 0) split_directions(program, random);
    double sum = 0;
    for (const auto& task : program.tasks) sum += task.duration.value();
    const auto run = schedule(program.view());
    EXPECT_GE(run.makespan.value(), critical_path(program.view()).value() - 1e-9);
    EXPECT_LE(run.makespan.value(), sum + 1e-9);
  }
}

TEST(Schedule, WithoutSharesIsTheCriticalPathOverQueuesAndPredecessors) {
  std::mt19937 random(8);
  for (int round = 0; round < 1000; ++round) {
    auto program = random_program(random, true);
    for (auto& task : program.tasks) task.cpu_share = 0;
    EXPECT_NEAR(schedule(program.view()).makespan.value(), critical_path(program.view()).value(),
                1e-9);
  }
}

TEST(Schedule, RespectsPredecessorsAndQueues) {
  std::mt19937 random(9);
  for (int round = 0; round < 500; ++round) {
    auto program = random_program(random, true);
    const auto run = schedule(program.view());
    std::array<double, kResourceCount> lane{};
    for (std::size_t i = 0; i < program.tasks.size(); ++i) {
      for (const auto before : program.predecessors[i]) {
        EXPECT_GE(run.start[i].value(), run.end[before.index()].value());
      }
      auto& free = lane[static_cast<std::size_t>(program.tasks[i].resource)];
      EXPECT_GE(run.start[i].value(), free);
      free = run.end[i].value();
      EXPECT_GE((run.end[i] - run.start[i]).value(), program.tasks[i].duration.value() - 1e-9);
    }
  }
}

// With one pair of factors for all messages, as a device has them.
TEST(Schedule, ShorterTasksNeverEndLaterWhereStreamsSlowEachOther) {
  std::mt19937 random(12);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (int round = 0; round < 20000; ++round) {
    auto program = random_program(random, false);
    const double share = 0.6 * uniform(random);
    program.slow(1 - 0.6 * uniform(random), 1);
    for (auto& task : program.tasks) task.cpu_share = share;
    const double before = schedule(program.view()).makespan.value();
    const auto resource = round % 2 == 0 ? Resource::kCompute : Resource::kNetwork;
    for (auto& task : program.tasks) {
      if (task.resource == resource) task.duration = task.duration * uniform(random);
    }
    EXPECT_LE(schedule(program.view()).makespan.value(), before + 1e-9) << "round " << round;
  }
}

TEST(Schedule, ShorterTasksNeverEndLaterWithoutInputTasks) {
  std::mt19937 random(10);
  for (int round = 0; round < 20000; ++round) {
    auto program = random_program(random, false);
    const double before = schedule(program.view()).makespan.value();
    // One kind of task, or a single one, becomes faster.
    const auto resource = round % 2 == 0 ? Resource::kCompute : Resource::kNetwork;
    const auto only = round % 3 == 0 ? random() % program.tasks.size() : program.tasks.size();
    for (std::size_t i = 0; i < program.tasks.size(); ++i) {
      auto& task = program.tasks[i];
      if (only < program.tasks.size() ? i == only : task.resource == resource)
        task.duration = task.duration * 0.6;
    }
    EXPECT_LE(schedule(program.view()).makespan.value(), before + 1e-9) << "round " << round;
  }
}

}  // namespace
}  // namespace pluto
