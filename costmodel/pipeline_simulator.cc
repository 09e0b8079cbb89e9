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

/// What a pass takes, whichever stage runs it.
struct PassCost {
  PassTime plain;  ///< as every micro-batch runs it
  Seconds tail;    ///< makespan of the last micro-batch, with synchronisation
};

/// What the stages of one kind cost. Passes by (chunk of the stage, forward).
struct StageCost {
  std::map<std::pair<int, bool>, PassCost> passes;
  TermTallies tallies;  ///< of one step
  InputBound input_bound = InputBound::kReaders;
};

/// The messages of a pass.
struct PassMessages {
  std::vector<Message> sends;
  std::vector<std::size_t> receives;
};

class PipelineRun {
 public:
  PipelineRun(const LoweredPipeline& pipeline, const Plan& plan, const CostSource& costs)
      : pipeline_(pipeline),
        plan_(plan),
        costs_(costs),
        stages_(static_cast<int>(pipeline.stages.size())) {
    for (std::size_t s = 0; s < pipeline.stages.size(); ++s) {
      const std::size_t like = pipeline.stages[s].like;
      if (like == s) cost_.emplace(s, cost_of(pipeline.stages[s]));
      const StageCost& cost = cost_.at(like);
      tallies_.add(cost.tallies);
      if (cost.tallies.input.total() >= slowest_input_) {
        slowest_input_ = cost.tallies.input.total();
        input_bound_ = cost.input_bound;
      }
      messages_.push_back(messages_of(s));
    }
    run();
  }

  SimulatedStep step(const SimulateOptions& options) const {
    const auto stages = static_cast<double>(pipeline_.stages.size());
    SimulatedStep step;
    step.makespan = end_;
    step.input_bound = input_bound_;
    step.compute = tallies_.compute.total() / stages;
    step.update = tallies_.update.total() / stages;
    step.exposed_comm = waited_ / stages;
    step.bubble = std::max(Seconds(0), end_ - step.compute - step.update - step.exposed_comm);
    step.exposed_input = exposed_input(plan_.data, slowest_input_, end_);
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
  StageCost cost_of(const PipelineStage& stage) const {
    const TrainingGraph& training = stage.lowered.training;
    const auto tasks = cost_tasks(stage.lowered, plan_.cluster, plan_.data, costs_);
    const auto micro_batches = static_cast<double>(stage.lowered.program.accumulation);
    StageCost cost;
    std::map<std::pair<int, bool>, std::vector<std::size_t>> plain, with_sync;
    std::vector<std::size_t> updates;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      const Task& task = stage.lowered.program.tasks[i];
      const auto add = [&](double times) {
        cost.tallies.of(tasks[i].part)
            .add(tasks[i].alone * times, tasks[i].relative_spread, tasks[i].evidence);
      };
      if (std::holds_alternative<BatchTask>(task.payload)) {
        cost.input_bound = tasks[i].bound;
        add(micro_batches);
        continue;
      }
      const OpId op = node_of(task);
      const OpPhase phase = training.phase[op.index()];
      const bool once = phase == OpPhase::kSync || phase == OpPhase::kUpdate;
      add(once ? 1 : micro_batches);
      if (phase == OpPhase::kUpdate) {
        updates.push_back(i);
        continue;
      }
      const std::pair key(stage.chunk[op.index()] / stages_, phase == OpPhase::kForward);
      with_sync[key].push_back(i);
      if (!once) plain[key].push_back(i);
    }
    const std::pair last(stage.order.back().chunk / stages_, false);
    with_sync[last].insert(with_sync[last].end(), updates.begin(), updates.end());
    std::ranges::sort(with_sync[last]);
    Seconds slowed;
    for (const auto& [key, members] : with_sync) {
      const PassTime each = time_of(tasks, plain[key]), last_one = time_of(tasks, members);
      cost.passes[key] = {each, last_one.makespan};
      slowed += each.slowed * (micro_batches - 1) + last_one.slowed;
    }
    cost.tallies.add_slowing(tasks, slowed);
    return cost;
  }

  static OpId node_of(const Task& task) {
    const auto* op = std::get_if<OpTask>(&task.payload);
    return op != nullptr ? op->op : std::get<CollectiveTask>(task.payload).op;
  }

  /// Messages of the passes of stage s, by (chunk of the stage, forward). A message is known by
  /// "<tensor>.send", "<tensor>.receive" and the stage that receives it.
  std::map<std::pair<int, bool>, PassMessages> messages_of(std::size_t s) {
    const PipelineStage& stage = pipeline_.stages[s];
    const TrainingGraph& training = stage.lowered.training;
    std::map<std::pair<int, bool>, PassMessages> messages;
    for (const Task& task : stage.lowered.program.tasks) {
      const auto* collective = std::get_if<CollectiveTask>(&task.payload);
      if (collective == nullptr || collective->kind != CollectiveKind::kSend) continue;
      const Op& op = training.graph.op(collective->op);
      if (op.kind != OpKind::kSend && op.kind != OpKind::kReceive) continue;
      const auto peer = static_cast<std::size_t>(std::get<StageAttrs>(op.attrs).peer);
      const std::size_t to = op.kind == OpKind::kSend ? peer : s;
      const std::string name = op.name.substr(0, op.name.rfind('.'));
      const std::size_t key = keys_.try_emplace({name, to}, keys_.size()).first->second;
      auto& pass = messages[{stage.chunk[op.id.index()] / stages_,
                             training.phase[op.id.index()] == OpPhase::kForward}];
      if (op.kind == OpKind::kReceive) {
        pass.receives.push_back(key);
        continue;
      }
      const auto cost = costs_.collective(call_to(s, to, *collective), plan_.cluster);
      tallies_.communication.add(cost.time * static_cast<double>(plan_.accumulation),
                                 cost.relative_spread, cost.evidence);
      pass.sends.push_back({key, cost.time});
    }
    return messages;
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
    const Schedule run = schedule(timed);
    time.makespan = run.makespan;
    time.slowed = run.slowed;
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
          const std::pair key(turn.chunk / stages_, turn.forward);
          const PassCost& pass = cost_.at(pipeline_.stages[s].like).passes.at(key);
          const PassMessages& messages = messages_[s][key];
          const auto micro = static_cast<std::size_t>(turn.micro_batch);
          Seconds start = free[s];
          bool ready = true;
          for (std::size_t message : messages.receives) {
            ready = ready && arrival[message][micro].has_value();
            if (ready) start = std::max(start, *arrival[message][micro]);
          }
          if (!ready) break;
          const bool is_last = !turn.forward && turn.micro_batch + 1 == micro_batches;
          const Seconds takes = is_last ? pass.tail : pass.plain.makespan;
          const Seconds end = start + takes;
          for (const Message& message : messages.sends) {
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
  int stages_;
  std::map<std::pair<std::string, std::size_t>, std::size_t> keys_;
  std::map<std::size_t, StageCost> cost_;  // by the first stage of a kind
  std::vector<std::map<std::pair<int, bool>, PassMessages>> messages_;  // by stage
  TermTallies tallies_;
  Seconds slowest_input_, end_, waited_;
  InputBound input_bound_ = InputBound::kReaders;
  std::vector<TimelineEntry> entries_;
};

}  // namespace

Result<SimulatedStep> simulate(const LoweredPipeline& pipeline, const Plan& plan,
                               const CostSource& costs, const SimulateOptions& options) {
  return PipelineRun(pipeline, plan, costs).step(options);
}

}  // namespace pluto
