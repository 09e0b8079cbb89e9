#include "costmodel/steady_state.h"

#include <gtest/gtest.h>

#include <random>

#include "costmodel/fluid_run.h"

namespace pluto {
namespace {

/// Tasks by hand, with the lists a schedule refers to.
struct Tasks {
  std::vector<TimedTask> timed;
  std::vector<std::vector<TaskId>> predecessors;
  StepOverlap overlap;

  std::size_t add(Resource resource, double seconds, std::vector<std::size_t> after = {},
                  std::optional<std::size_t> needed_by = std::nullopt) {
    predecessors.emplace_back();
    for (const std::size_t one : after) predecessors.back().push_back(TaskId(one));
    TimedTask task;
    task.resource = resource;
    task.duration = Seconds(seconds);
    timed.push_back(task);
    overlap.across.emplace_back();
    overlap.needed_by.push_back(needed_by ? std::optional(TaskId(*needed_by)) : std::nullopt);
    return timed.size() - 1;
  }
  std::span<const TimedTask> get() {
    for (std::size_t i = 0; i < timed.size(); ++i) timed[i].predecessors = predecessors[i];
    return timed;
  }
  SteadyState steady() { return steady_state(get(), overlap); }
};

/// Two layers: forward 1 s each, backward 2 s each, a message per layer, which its forward awaits.
Tasks two_layers(double first_message, double second_message) {
  Tasks t;
  const auto forward0 = t.add(Resource::kCompute, 1);
  const auto forward1 = t.add(Resource::kCompute, 1, {forward0});
  const auto backward1 = t.add(Resource::kCompute, 2, {forward1});
  const auto send1 = t.add(Resource::kNetwork, second_message, {backward1}, forward1);
  const auto backward0 = t.add(Resource::kCompute, 2, {backward1});
  const auto send0 = t.add(Resource::kNetwork, first_message, {backward0}, forward0);
  t.overlap.across[forward0] = {TaskId(send0)};
  t.overlap.across[forward1] = {TaskId(send1)};
  return t;
}

TEST(SteadyState, HidesWhatTheNextForwardDoesNotNeedYet) {
  // The message of layer 1 (2 s) is behind backward of layer 0; that of layer 0 (0.5 s) is waited
  // for.
  EXPECT_NEAR(two_layers(0.5, 2).steady().step.value(), 6.5, 1e-12);
  // Longer than backward: layer 0's message waits for it, and the step is what the network needs.
  EXPECT_NEAR(two_layers(0.5, 4).steady().step.value(), 8.5, 1e-12);
}

TEST(SteadyState, TheFirstLayerOvertakesWhatWaits) {
  // Three messages at the end of backward, the last of which layer 0 needs: with priority it goes
  // first and the others run beside forward.
  Tasks t;
  const auto forward0 = t.add(Resource::kCompute, 3);
  const auto forward1 = t.add(Resource::kCompute, 3, {forward0});
  const auto backward = t.add(Resource::kCompute, 1, {forward1});
  const auto late = t.add(Resource::kNetwork, 2, {backward}, forward1);
  const auto early = t.add(Resource::kNetwork, 1, {backward}, forward0);
  t.overlap.across[forward0] = {TaskId(early)};
  t.overlap.across[forward1] = {TaskId(late)};
  const auto steady = t.steady();
  EXPECT_NEAR(steady.step.value(), 8, 1e-12);
  EXPECT_NEAR(steady.start[early].value(), 7, 1e-12);
  EXPECT_NEAR(steady.start[late].value(), 8, 1e-12);
  EXPECT_NEAR(schedule(t.get()).makespan.value(), 10, 1e-12);
}

TEST(SteadyState, WithoutCommunicationIsTheSumOfCompute) {
  Tasks t;
  std::size_t last = t.add(Resource::kCompute, 1);
  for (int i = 0; i < 5; ++i) last = t.add(Resource::kCompute, 0.5, {last});
  EXPECT_NEAR(t.steady().step.value(), 3.5, 1e-12);
}

TEST(SteadyState, DirectionsDoNotDisturbEachOther) {
  Tasks t;
  const auto forward = t.add(Resource::kCompute, 0.5);
  const auto push = t.add(Resource::kNetwork, 2, {forward}, forward);
  const auto pull = t.add(Resource::kNetwork, 2, {forward}, forward);
  t.overlap.across[forward] = {TaskId(push), TaskId(pull)};
  EXPECT_NEAR(t.steady().step.value(), 4.5, 1e-12);
  t.timed[push].direction = Direction::kUp;
  t.timed[pull].direction = Direction::kDown;
  EXPECT_NEAR(t.steady().step.value(), 2.5, 1e-12);
  EXPECT_NEAR(schedule(t.get()).makespan.value(), 2.5, 1e-12);
}

TEST(SteadyState, IsNoShorterThanWhatALaneHasToDo) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    Tasks t;
    std::vector<std::size_t> computed;
    double compute = 0, network = 0;
    const int layers = 2 + static_cast<int>(random() % 6);
    const auto seconds = [&] { return 0.1 * static_cast<double>(1 + random() % 20); };
    for (int i = 0; i < layers; ++i) {
      const double one = seconds();
      compute += one;
      computed.push_back(t.add(Resource::kCompute, one,
                               i > 0 ? std::vector{computed.back()} : std::vector<std::size_t>{}));
    }
    double chunk = 0;
    for (int i = layers - 1; i >= 0; --i) {
      const double back = seconds(), message = seconds();
      compute += back;
      network += message;
      chunk = std::max(chunk, message);
      const auto layer = static_cast<std::size_t>(i);
      const auto backward =
          t.add(Resource::kCompute, back, {t.timed.size() - 1 - (i + 1 < layers)});
      const auto send = t.add(Resource::kNetwork, message, {backward}, layer);
      t.overlap.across[layer] = {TaskId(send)};
    }
    const double step = t.steady().step.value();
    EXPECT_GE(step, std::max(compute, network) - 1e-9) << round;
    // Never slower than with a barrier and in order, but for the message that cannot be stopped.
    EXPECT_LE(step, schedule(t.get()).makespan.value() + chunk + 1e-9) << round;
  }
}

TEST(FluidRun, ATaskOfBothDirectionsTakesBothLanes) {
  std::vector<TimedTask> tasks(3);
  for (auto& task : tasks) {
    task.resource = Resource::kNetwork;
    task.duration = Seconds(1);
  }
  tasks[0].direction = Direction::kUp;
  tasks[1].direction = Direction::kDown;
  FluidRun run(tasks, tasks.size());
  run.begin(0);
  EXPECT_TRUE(run.free_for(1));
  EXPECT_FALSE(run.free_for(2));
  run.advance();
  EXPECT_TRUE(run.free_for(2));
  EXPECT_EQ(run.take_ended(), std::vector<std::size_t>{0});
}

}  // namespace
}  // namespace pluto
