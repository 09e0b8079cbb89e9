#include "costmodel/pipeline_simulator.h"

#include <algorithm>
#include <map>
#include <string>

#include "base/check.h"
#include "costmodel/task_costs.h"

namespace pluto {
namespace {

/// A message between stages: its key in the table of arrivals, and how long it travels.
struct Message {
  std::size_t key = 0;
  Seconds time;
};

struct Pass {
  PassTime plain;  ///< as every micro-batch runs it
  Seconds tail;    ///< makespan of the last micro-batch, with synchronisation
  std::vector<Message> sends;
  std::vector<std::size_t> receives;
};

/// Passes of one stage by (chunk, forward).
using StagePasses = std::map<std::pair<int, bool>, Pass>;

class PipelineRun {
 public:
  PipelineRun(const LoweredPipeline& pipeline, const Plan& plan, const CostSource& costs)
      : pipeline_(pipeline), plan_(plan), costs_(costs) {
    for (std::size_t s = 0; s < pipeline.stages.size(); ++s) passes_.push_back(passes_of(s));
    run();
  }

  SimulatedStep step(const SimulateOptions& options) const {
    const auto stages = static_cast<double>(pipeline_.stages.size());
    SimulatedStep step;
    step.makespan = end_;
    step.compute = tallies_.compute.total() / stages;
    step.update = tallies_.update.total() / stages;
    step.exposed_comm = waited_ / stages;
    step.bubble = std::max(Seconds(0), end_ - step.compute - step.update - step.exposed_comm);
    step.exposed_input = std::max(Seconds(0), slowest_input_ - end_);
    step.compute_evidence = tallies_.compute.weakest();
    step.comm_evidence = tallies_.communication.weakest();
    step.update_evidence = tallies_.update.weakest();
    step.input_evidence = tallies_.input.weakest();
    step.compute_spread = tallies_.compute.relative_spread();
    step.comm_spread = tallies_.communication.relative_spread();
    step.update_spread = tallies_.update.relative_spread();
    step.input_spread = tallies_.input.relative_spread();
    // A bubble is other stages' compute.
    step.relative_spread =
        combined_spread(std::vector<TermSpread>{{step.compute + step.bubble, step.compute_spread},
                                                {step.exposed_comm, step.comm_spread},
                                                {step.exposed_input, step.input_spread},
                                                {step.update, step.update_spread}});
    if (options.timeline) step.timeline = {"predicted", entries_};
    return step;
  }

 private:
  StagePasses passes_of(std::size_t s) {
    const PipelineStage& stage = pipeline_.stages[s];
    const TrainingGraph& training = stage.lowered.training;
    const auto tasks = cost_tasks(stage.lowered, plan_.cluster, plan_.data, costs_);
    const auto micro_batches = static_cast<double>(stage.lowered.program.accumulation);
    Seconds input;
    StagePasses passes;
    std::map<std::pair<int, bool>, std::vector<std::size_t>> plain, with_sync;
    std::vector<std::size_t> last;  // the update, and what it needs
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      const Task& task = stage.lowered.program.tasks[i];
      if (std::holds_alternative<BatchTask>(task.payload)) {
        tallies_.input.add(tasks[i].alone * micro_batches, tasks[i].relative_spread,
                           tasks[i].evidence);
        input += tasks[i].alone * micro_batches;
        continue;
      }
      const auto* op_task = std::get_if<OpTask>(&task.payload);
      const OpId op = op_task != nullptr ? op_task->op : std::get<CollectiveTask>(task.payload).op;
      const OpPhase phase = training.phase[op.index()];
      const std::pair key(stage.chunk[op.index()], phase == OpPhase::kForward);
      const bool once = phase == OpPhase::kSync || phase == OpPhase::kUpdate;
      if (note_message(s, training.graph.op(op), task, passes[key])) continue;
      tallies_.of(tasks[i].part)
          .add(tasks[i].alone * (once ? 1 : micro_batches), tasks[i].relative_spread,
               tasks[i].evidence);
      if (phase == OpPhase::kUpdate) {
        last.push_back(i);
        continue;
      }
      with_sync[key].push_back(i);
      if (!once) plain[key].push_back(i);
    }
    slowest_input_ = std::max(slowest_input_, input);
    const int final_chunk = stage.order.back().chunk;
    for (auto& [key, pass] : passes) {
      pass.plain = time_of(tasks, plain[key]);
      auto& tail = with_sync[key];
      if (key == std::pair(final_chunk, false)) {
        tail.insert(tail.end(), last.begin(), last.end());
        std::ranges::sort(tail);
      }
      pass.tail = time_of(tasks, tail).makespan;
    }
    return passes;
  }

  /// Notes a send or receive node in its pass; false for every other node.
  bool note_message(std::size_t s, const Op& op, const Task& task, Pass& pass) {
    if (op.kind != OpKind::kSend && op.kind != OpKind::kReceive) return false;
    // "<tensor>.send" and "<tensor>.receive", by stage that receives.
    const bool sends = op.kind == OpKind::kSend;
    const auto peer = std::get<StageAttrs>(op.attrs).peer;
    const auto to = sends ? static_cast<std::size_t>(peer) : s;
    const std::string name = op.name.substr(0, op.name.rfind('.'));
    const std::size_t key = keys_.try_emplace({name, to}, keys_.size()).first->second;
    if (!sends) {
      pass.receives.push_back(key);
      return true;
    }
    const auto cost =
        costs_.collective(call_to(s, to, std::get<CollectiveTask>(task.payload)), plan_.cluster);
    tallies_.communication.add(cost.time * static_cast<double>(plan_.accumulation),
                               cost.relative_spread, cost.evidence);
    pass.sends.push_back({key, cost.time});
    return true;
  }

  /// Stage s is ranks s w to (s + 1) w - 1, w = data x tensor x context; a rank sends to the one of
  /// its place in the other stage.
  CollectiveCall call_to(std::size_t from, std::size_t to, const CollectiveTask& task) const {
    const int width = plan_.layout.ranks() / plan_.layout.pipeline;
    const int devices = std::max(1, plan_.cluster.instance.node.devices);
    const int first = static_cast<int>(from) * width, second = static_cast<int>(to) * width;
    const bool same_node = width < devices && first / devices == second / devices &&
                           (first + width - 1) / devices == (second + width - 1) / devices;
    CollectiveCall call{CollectiveKind::kSend, task.bytes, 2};
    call.per_node = same_node ? 2 : 1;
    call.groups = std::min(width, devices);
    return call;
  }

  static PassTime time_of(const std::vector<TaskCost>& tasks,
                          const std::vector<std::size_t>& members) {
    std::vector<std::optional<TaskId>> place(tasks.size());
    std::vector<TimedTask> timed;
    std::vector<std::vector<TaskId>> within(members.size());  // predecessors, which tasks point to
    PassTime time;
    for (std::size_t i : members) {
      TimedTask task = tasks[i].timed;
      auto& predecessors = within[timed.size()];
      for (TaskId id : task.predecessors) {
        if (place[id.index()]) predecessors.push_back(*place[id.index()]);
      }
      task.predecessors = predecessors;
      if (tasks[i].part == TaskPart::kCompute) time.compute += tasks[i].alone;
      place[i] = TaskId(timed.size());
      timed.push_back(std::move(task));
    }
    time.makespan = schedule(timed).makespan;
    return time;
  }

  void run() {
    const std::size_t stages = pipeline_.stages.size();
    const int micro_batches = static_cast<int>(plan_.accumulation);
    std::vector<std::vector<std::optional<Seconds>>> arrival(
        keys_.size(), std::vector<std::optional<Seconds>>(static_cast<std::size_t>(micro_batches)));
    std::vector<std::size_t> at(stages, 0);
    std::vector<Seconds> free(stages);
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t s = 0; s < stages; ++s) {
        const auto& order = pipeline_.stages[s].order;
        for (; at[s] < order.size(); ++at[s]) {
          const StagePass& turn = order[at[s]];
          const Pass& pass = passes_[s].at({turn.chunk, turn.forward});
          const auto micro = static_cast<std::size_t>(turn.micro_batch);
          Seconds start = free[s];
          bool ready = true;
          for (std::size_t key : pass.receives) {
            ready = ready && arrival[key][micro].has_value();
            if (ready) start = std::max(start, *arrival[key][micro]);
          }
          if (!ready) break;
          const bool is_last = !turn.forward && turn.micro_batch + 1 == micro_batches;
          const Seconds takes = is_last ? pass.tail : pass.plain.makespan;
          const Seconds end = start + takes;
          for (const Message& message : pass.sends) {
            // Synchronisation goes on behind the message.
            arrival[message.key][micro] = start + pass.plain.makespan + message.time;
          }
          note(s, turn, start, end, takes - pass.plain.compute);
          free[s] = end;
          end_ = std::max(end_, end);
          moved = true;
        }
      }
    }
    for (std::size_t s = 0; s < stages; ++s) {
      PLUTO_CHECK(at[s] == pipeline_.stages[s].order.size(), "stages wait for each other");
    }
    // The tails hold the updates, which are a term of their own.
    waited_ = std::max(Seconds(0), waited_ - tallies_.update.total());
  }

  void note(std::size_t s, const StagePass& turn, Seconds start, Seconds end, Seconds waited) {
    waited_ += waited;
    std::string name = turn.forward ? "forward " : "backward ";
    name += std::to_string(turn.micro_batch);
    if (pipeline_.interleave > 1) name += " chunk " + std::to_string(turn.chunk);
    entries_.push_back({std::move(name), Resource::kCompute, start, end, static_cast<int>(s)});
  }

  const LoweredPipeline& pipeline_;
  const Plan& plan_;
  const CostSource& costs_;
  std::map<std::pair<std::string, std::size_t>, std::size_t> keys_;
  std::vector<StagePasses> passes_;
  TermTallies tallies_;
  Seconds slowest_input_, end_, waited_;
  std::vector<TimelineEntry> entries_;
};

}  // namespace

Result<SimulatedStep> simulate(const LoweredPipeline& pipeline, const Plan& plan,
                               const CostSource& costs, const SimulateOptions& options) {
  return PipelineRun(pipeline, plan, costs).step(options);
}

}  // namespace pluto
