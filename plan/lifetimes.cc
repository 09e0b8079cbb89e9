#include "plan/lifetimes.h"

#include <algorithm>
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

/// Which queues a task stands in: one per resource, the network one per direction.
constexpr std::size_t kQueues = kResourceCount + 1;
std::array<bool, kQueues> queues_of(const Task& task) {
  std::array<bool, kQueues> queues{};
  queues[static_cast<std::size_t>(task.resource)] = true;
  const auto* collective = std::get_if<CollectiveTask>(&task.payload);
  if (collective == nullptr) return queues;
  queues[kResourceCount] = collective->direction != Direction::kUp;
  queues[static_cast<std::size_t>(Resource::kNetwork)] = collective->direction != Direction::kDown;
  return queues;
}

std::vector<Window> task_windows(const StepProgram& program, std::int64_t nodes) {
  const auto& tasks = program.tasks;
  std::vector<Window> windows(tasks.size());
  std::array<std::optional<TaskId>, kQueues> previous;
  std::vector<std::vector<TaskId>> before_in_queue(tasks.size());
  for (const Task& task : tasks) {
    Window& window = windows[task.id.index()];
    const auto queues = queues_of(task);
    for (std::size_t q = 0; q < kQueues; ++q) {
      // Overlapping steps do not keep the order of their collectives.
      if (!queues[q]) continue;
      if (previous[q] && !program.overlap) before_in_queue[task.id.index()].push_back(*previous[q]);
      previous[q] = task.id;
    }
    if (task.resource == Resource::kCompute) {
      const Where where = *node_of(task);
      window.begin = where.micro_index * nodes + static_cast<std::int64_t>(where.op.index());
      window.end = window.begin;
    } else {
      for (TaskId id : before_in_queue[task.id.index()]) {
        window.begin = std::max(window.begin, windows[id.index()].begin);
      }
      for (TaskId id : task.predecessors) {
        const bool compute = tasks[id.index()].resource == Resource::kCompute;
        window.begin = std::max(window.begin, windows[id.index()].begin + (compute ? 1 : 0));
      }
    }
  }
  // A task has ended when any compute task starts that waits for it, directly or not.
  for (auto task = tasks.rbegin(); task != tasks.rend(); ++task) {
    const auto bound = [&](TaskId id) {
      if (tasks[id.index()].resource == Resource::kCompute) return;
      Window& window = windows[id.index()];
      window.end = std::min(window.end, windows[task->id.index()].end);
    };
    for (TaskId id : task->predecessors) bound(id);
    for (TaskId id : before_in_queue[task->id.index()]) bound(id);
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
  std::vector<std::int64_t> computing;  // positions of compute tasks, ascending
  for (const Task& task : program.tasks) {
    if (task.resource == Resource::kCompute) {
      computing.push_back(windows[task.id.index()].begin);
    }
  }
  for (const Task& task : program.tasks) {
    const auto where = node_of(task);
    if (!where) continue;
    Window window = windows[task.id.index()];
    const std::int64_t start = where->micro_index * nodes;
    // Between the micro-batches nothing computes.
    const auto next = std::lower_bound(computing.begin(), computing.end(), window.begin);
    if (window.begin < start && (next == computing.end() || *next >= start)) window.begin = start;
    const bool inside = window.begin >= start && window.end < start + nodes;
    // What the next step overtakes may run into it.
    const bool overtaken = program.overlap && program.overlap->needed_by[task.id.index()];
    const Lifetime held =
        inside && !overtaken ? Lifetime{window.begin - start, window.end - start} : whole;
    const Op& op = graph.op(where->op);
    // What servers of their own hold is no memory of this rank.
    const auto* collective = std::get_if<CollectiveTask>(&task.payload);
    const bool apart = program.server_nodes > 0;
    const bool up = apart && collective != nullptr && collective->direction == Direction::kUp;
    const bool down = apart && collective != nullptr && collective->direction == Direction::kDown;
    if (apart && task.resource == Resource::kServer) continue;
    for (const auto* operands : {&op.inputs, &op.outputs}) {
      if ((up && operands == &op.outputs) || (down && operands == &op.inputs)) continue;
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
