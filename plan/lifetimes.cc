#include "plan/lifetimes.h"

#include <array>
#include <limits>
#include <optional>

namespace pluto {
namespace {

/// While which compute positions a task may be running: micro_index * nodes + node, over the whole
/// step.
struct Window {
  std::int64_t begin = 0;
  std::int64_t end = std::numeric_limits<std::int64_t>::max();
};

struct Where {
  OpId op;
  int micro_index = 0;
};

std::optional<Where> node_of(const Task& task) {
  if (const auto* op = std::get_if<OpTask>(&task.payload)) return Where{op->op, op->micro_index};
  if (const auto* collective = std::get_if<CollectiveTask>(&task.payload)) {
    return Where{collective->op, collective->micro_index};
  }
  return std::nullopt;
}

std::vector<Window> task_windows(const StepProgram& program, std::int64_t nodes) {
  const auto& tasks = program.tasks;
  std::vector<Window> windows(tasks.size());
  std::array<std::optional<TaskId>, kResourceCount> previous;
  std::vector<std::optional<TaskId>> before_on_resource(tasks.size());
  for (const Task& task : tasks) {
    Window& window = windows[task.id.index()];
    auto& last = previous[static_cast<std::size_t>(task.resource)];
    before_on_resource[task.id.index()] = last;
    if (task.resource == Resource::kCompute) {
      const Where where = *node_of(task);
      window.begin = where.micro_index * nodes + static_cast<std::int64_t>(where.op.index());
      window.end = window.begin;
    } else {
      if (last) window.begin = windows[last->index()].begin;
      for (TaskId id : task.predecessors) {
        const bool compute = tasks[id.index()].resource == Resource::kCompute;
        window.begin = std::max(window.begin, windows[id.index()].begin + (compute ? 1 : 0));
      }
    }
    last = task.id;
  }
  // A task has ended when any compute task starts that waits for it, directly or not.
  for (auto task = tasks.rbegin(); task != tasks.rend(); ++task) {
    const auto bound = [&](TaskId id) {
      if (tasks[id.index()].resource == Resource::kCompute) return;
      Window& window = windows[id.index()];
      window.end = std::min(window.end, windows[task->id.index()].end);
    };
    for (TaskId id : task->predecessors) bound(id);
    if (const auto before = before_on_resource[task->id.index()]) bound(*before);
  }
  return windows;
}

}  // namespace

std::vector<Lifetime> activation_lifetimes(const TrainingGraph& training,
                                           const StepProgram& program) {
  const Graph& graph = training.graph;
  const auto nodes = static_cast<std::int64_t>(graph.ops().size());
  const Lifetime whole{0, nodes - 1};
  const std::vector<Window> windows = task_windows(program, nodes);
  std::vector<Lifetime> lifetimes(graph.tensors().size());
  for (const Task& task : program.tasks) {
    const auto where = node_of(task);
    if (!where) continue;
    const Window& window = windows[task.id.index()];
    const std::int64_t start = where->micro_index * nodes;
    const bool inside = window.begin >= start && window.end < start + nodes;
    const Lifetime held = inside ? Lifetime{window.begin - start, window.end - start} : whole;
    const Op& op = graph.op(where->op);
    for (const auto* operands : {&op.inputs, &op.outputs}) {
      for (TensorId id : *operands) {
        if (graph.tensor(id).role != TensorRole::kActivation) continue;
        lifetimes[id.index()] = lifetimes[id.index()].joined(held);
      }
    }
  }
  const auto extend = [&](TensorId id, const Lifetime& by) {
    if (id.valid() && !lifetimes[id.index()].empty()) {
      lifetimes[id.index()] = lifetimes[id.index()].joined(by);
    }
  };
  extend(training.loss, whole);
  // Evaluation reads the logits when the forward nodes have run, so none of these may overwrite
  // them.
  for (const Op& op : graph.ops()) {
    if (!training.logits.valid() || training.phase[op.id.index()] != OpPhase::kForward) continue;
    const std::int64_t next = std::min(static_cast<std::int64_t>(op.id.index()) + 1, nodes - 1);
    if (lifetimes[training.logits.index()].begin < next) extend(training.logits, {next, next});
  }
  return lifetimes;
}

}  // namespace pluto
