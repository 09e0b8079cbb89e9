#include "costmodel/simulator.h"

#include <algorithm>
#include <utility>

#include "costmodel/steady_state.h"
#include "costmodel/task_costs.h"

namespace pluto {

namespace {

struct StepRun {
  std::vector<Seconds> start, end;
  Seconds makespan, slowed;
};
StepRun run_step(const StepProgram& program, std::span<const TimedTask> tasks) {
  if (!program.overlap) {
    auto run = schedule(tasks);
    return {std::move(run.start), std::move(run.end), run.makespan, run.slowed};
  }
  auto steady = steady_state(tasks, *program.overlap);
  return {std::move(steady.start), std::move(steady.end), steady.step, steady.slowed};
}

}  // namespace

Result<SimulatedStep> simulate(const LoweredPlan& lowered, const ClusterSpec& cluster,
                               const DataChoice& data, const CostSource& costs,
                               const SimulateOptions& options) {
  const auto& program = lowered.program;
  TermTallies tallies;
  std::vector<TimedTask> timed;
  timed.reserve(program.tasks.size());
  std::vector<std::size_t> averaging;
  SimulatedStep step;
  auto costed = cost_tasks(lowered, cluster, data, costs);
  for (auto& task : costed) {
    // Of what does not run in every step, its mean over the steps.
    const double share = task.averages ? 1.0 / program.local.steps : 1.0;
    if (task.averages) averaging.push_back(timed.size());
    tallies.of(task.part).add(task.alone * share, task.relative_spread, task.evidence);
    if (task.part == TaskPart::kInput) step.input_bound = task.bound;
    timed.push_back(std::move(task.timed));
  }
  auto run = run_step(program, timed);
  if (!averaging.empty()) {
    for (const std::size_t i : averaging) timed[i].duration = Seconds(0);
    const double steps = program.local.steps;
    const StepRun alone = run_step(program, timed);
    run.makespan = (alone.makespan * (steps - 1) + run.makespan) / steps;
    run.slowed = (alone.slowed * (steps - 1) + run.slowed) / steps;
  }
  tallies.add_slowing(costed, run.slowed);
  const auto& [compute, update, comm, input] = tallies;

  step.makespan = run.makespan;
  step.compute = compute.total();
  step.update = update.total();
  // Rounding alone can leave a hair below zero.
  step.exposed_comm = std::max(Seconds(0), run.makespan - step.compute - step.update);
  if (comm.total().value() <= 0) step.exposed_comm = Seconds(0);
  step.exposed_input = exposed_input(data, input.total(), run.makespan);
  step.compute_evidence = compute.weakest();
  step.comm_evidence = comm.weakest();
  step.update_evidence = update.weakest();
  step.input_evidence = input.weakest();
  step.compute_spread = compute.relative_spread();
  step.comm_spread = comm.relative_spread();
  step.update_spread = update.relative_spread();
  step.input_spread = input.relative_spread();
  step.relative_spread =
      combined_spread(std::vector<TermSpread>{{step.compute, step.compute_spread},
                                              {step.exposed_comm, step.comm_spread},
                                              {step.exposed_input, step.input_spread},
                                              {step.update, step.update_spread}});

  if (options.timeline) {
    step.timeline.name = "predicted";
    Seconds read;
    for (std::size_t i = 0; i < program.tasks.size(); ++i) {
      const auto& task = program.tasks[i];
      Seconds start = run.start[i], end = run.end[i];
      if (std::holds_alternative<BatchTask>(task.payload)) {
        start = read;
        end = read = read + input.total() / static_cast<double>(std::max(1, program.accumulation));
      }
      step.timeline.entries.push_back(
          {task_name(lowered.training, program, task), task.resource, start, end});
    }
  }
  return step;
}

}  // namespace pluto
