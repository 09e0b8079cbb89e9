#include "costmodel/simulator.h"

#include <algorithm>
#include <utility>

#include "costmodel/task_costs.h"

namespace pluto {

Result<SimulatedStep> simulate(const LoweredPlan& lowered, const ClusterSpec& cluster,
                               const DataChoice& data, const CostSource& costs,
                               const SimulateOptions& options) {
  const auto& program = lowered.program;
  TermTallies tallies;
  std::vector<TimedTask> timed;
  timed.reserve(program.tasks.size());
  SimulatedStep step;
  for (auto& task : cost_tasks(lowered, cluster, data, costs)) {
    tallies.of(task.part).add(task.alone, task.relative_spread, task.evidence);
    if (task.part == TaskPart::kInput) step.input_bound = task.bound;
    timed.push_back(std::move(task.timed));
  }
  const auto& [compute, update, comm, input] = tallies;
  const auto run = schedule(timed);

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
