#pragma once
// All stages of a lowered pipeline in one thread, each in its own order: what a stage receives must
// have been sent, or the pipeline is stuck.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "plan/pipeline.h"
#include "tests/support/graph_runner.h"

namespace pluto::testing {

/// Every micro-batch of every stage has memory of its own; what lives from micro-batch to
/// micro-batch has one place per stage and data rank. Micro-batches are numbered through the data
/// ranks: rank r has those from r x accumulation on.
class PipelineInterpreter {
 public:
  PipelineInterpreter(const LoweredPipeline& pipeline, Device& device, std::int64_t micro_batch,
                      int accumulation, int data_ranks = 1)
      : pipeline_(pipeline), accumulation_(accumulation), data_ranks_(data_ranks) {
    for (int rank = 0; rank < data_ranks; ++rank) {
      for (const PipelineStage& stage : pipeline.stages) {
        runners_.emplace_back();
        for (int micro = 0; micro <= accumulation; ++micro) {  // the last: what lives on
          runners_.back().push_back(
              std::make_unique<GraphRunner>(stage.lowered.training.graph, device, micro_batch));
        }
      }
    }
  }

  /// Sets a tensor on every stage that has it.
  void set(const std::string& name, const Values& values) {
    for (int rank = 0; rank < data_ranks_; ++rank) {
      for (std::size_t s = 0; s < stages(); ++s) {
        if (const auto id = graph(s).find_tensor(name)) {
          for (auto& runner : runners(rank, s)) runner->set(*id, values);
        }
      }
    }
  }
  /// Of the first stage that has it; all its data ranks must agree.
  Values get(const std::string& name) const {
    for (std::size_t s = 0; s < stages(); ++s) {
      const auto id = graph(s).find_tensor(name);
      if (!id) continue;
      const Values first = runners(0, s).back()->get(*id);
      for (int rank = 1; rank < data_ranks_; ++rank) {
        EXPECT_EQ(runners(rank, s).back()->get(*id), first) << name << " of rank " << rank;
      }
      return first;
    }
    ADD_FAILURE() << "no stage has " << name;
    return {};
  }

  using Batch = std::function<Values(const Tensor& input, int micro_batch)>;
  /// One step. `scalars` of a micro-batch. Returns the losses by micro-batch.
  std::map<int, float> step(const Batch& batch, const std::function<StepScalars(int)>& scalars) {
    scalars_ = scalars;
    losses_.clear();
    for (int rank = 0; rank < data_ranks_; ++rank) forward_and_backward(rank, batch);
    for (int rank = 0; rank < data_ranks_; ++rank) reduce_tied(rank);
    for (std::size_t s = 0; s < stages(); ++s) {
      for (const Op& op : graph(s).ops()) finish(s, op);
    }
    return losses_;
  }

 private:
  std::size_t stages() const { return pipeline_.stages.size(); }
  using Runners = std::vector<std::unique_ptr<GraphRunner>>;
  Runners& runners(int rank, std::size_t stage) {
    return runners_[static_cast<std::size_t>(rank) * stages() + stage];
  }
  const Runners& runners(int rank, std::size_t stage) const {
    return runners_[static_cast<std::size_t>(rank) * stages() + stage];
  }
  const Graph& graph(std::size_t stage) const {
    return pipeline_.stages[stage].lowered.training.graph;
  }
  static OpPhase phase_of(const StagePass& pass) {
    return pass.forward ? OpPhase::kForward : OpPhase::kBackward;
  }

  template <class Visit>
  void each_op(std::size_t s, OpPhase phase, std::optional<int> chunk, Visit visit) const {
    const PipelineStage& stage = pipeline_.stages[s];
    for (const Op& op : graph(s).ops()) {
      if (stage.lowered.training.phase[op.id.index()] != phase) continue;
      if (chunk && stage.chunk[op.id.index()] != *chunk) continue;
      visit(op);
    }
  }

  /// What a receive node receives goes by the name of what is sent, before the dot.
  static std::string message(const std::string& name) { return name.substr(0, name.rfind('.')); }

  bool ready(std::size_t s, const StagePass& pass) const {
    bool all = true;
    each_op(s, phase_of(pass), pass.chunk, [&](const Op& op) {
      if (op.kind == OpKind::kReceive) {
        all = all && sent_.contains({message(op.name), pass.micro_batch});
      }
    });
    return all;
  }

  void forward_and_backward(int rank, const Batch& batch) {
    sent_.clear();
    std::vector<std::size_t> at(stages(), 0);
    for (std::size_t s = 0; s < at.size(); ++s) {
      for (int micro = 0; micro < accumulation_; ++micro) {
        for (TensorId id : graph(s).with_role(TensorRole::kInput)) {
          runners(rank, s)[static_cast<std::size_t>(micro)]->set(
              id, batch(graph(s).tensor(id), rank * accumulation_ + micro));
        }
      }
    }
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t s = 0; s < at.size(); ++s) {
        const auto& order = pipeline_.stages[s].order;
        while (at[s] < order.size() && ready(s, order[at[s]])) {
          const StagePass& pass = order[at[s]++];
          each_op(s, phase_of(pass), pass.chunk,
                  [&](const Op& op) { run(rank, s, op, pass.micro_batch); });
          moved = true;
        }
      }
    }
    for (std::size_t s = 0; s < at.size(); ++s) {
      EXPECT_EQ(at[s], pipeline_.stages[s].order.size()) << "stage " << s << " waits for ever";
    }
  }

  void run(int rank, std::size_t s, const Op& op, int micro) {
    const Graph& g = graph(s);
    GraphRunner& runner = *runners(rank, s)[static_cast<std::size_t>(micro)];
    GraphRunner& lasting = *runners(rank, s).back();
    if (op.kind == OpKind::kSend) {
      sent_[{message(op.name), micro}] = runner.get(op.inputs[0]);
      return;
    }
    if (op.kind == OpKind::kReceive) {
      runner.set(op.outputs[0], sent_.at({message(op.name), micro}));
      return;
    }
    for (const auto* ids : {&op.inputs, &op.updates}) {
      for (TensorId id : *ids) {
        if (is_persistent(g.tensor(id).role) && !g.tensor(id).producer) {
          runner.set(id, lasting.get(id));
        }
      }
    }
    const int through = rank * accumulation_ + micro;
    StepScalars scalars = scalars_(through);
    scalars.micro_index = micro;
    runner.run(op.id, scalars);
    for (TensorId id : op.updates) lasting.set(id, runner.get(id));
    for (TensorId id : op.outputs) {
      if (is_persistent(g.tensor(id).role)) lasting.set(id, runner.get(id));
      if (id == pipeline_.stages[s].lowered.training.loss) losses_[through] = runner.get(id)[0];
    }
  }

  /// What follows backward: updates, and what data ranks do to a bucket, by definition.
  void finish(std::size_t s, const Op& op) {
    const OpPhase phase = pipeline_.stages[s].lowered.training.phase[op.id.index()];
    if (phase == OpPhase::kUpdate) {
      for (int rank = 0; rank < data_ranks_; ++rank) run_update(rank, s, op);
    } else if (phase == OpPhase::kSync && op.kind != OpKind::kStageReduce) {
      std::vector<Values> slices;
      for (int rank = 0; rank < data_ranks_; ++rank) slices.push_back(slice(rank, s, op));
      const auto elements = static_cast<std::int64_t>(slices[0].size());
      Values sum(slices[0].size()), pulled(slices[0].size());
      for (int rank = 0; rank < data_ranks_; ++rank) {
        const Values& mine = slices[static_cast<std::size_t>(rank)];
        for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += mine[i];
        const ElementRange own = shard_range(elements, rank, data_ranks_);
        std::copy(mine.begin() + own.begin, mine.begin() + own.end, pulled.begin() + own.begin);
      }
      for (int rank = 0; rank < data_ranks_; ++rank) {
        Values result = op.kind == OpKind::kServerPull ? pulled : sum;
        if (op.kind == OpKind::kServerPush) {  // the others' shards are not there
          const ElementRange own = shard_range(elements, rank, data_ranks_);
          std::fill(result.begin(), result.begin() + own.begin, std::nanf(""));
          std::fill(result.begin() + own.end, result.end(), std::nanf(""));
        }
        set_slice(rank, s, op, result);
      }
    }
  }
  Values slice(int rank, std::size_t s, const Op& op) const {
    Values all;
    for (TensorId id : op.updates) {
      const Values values = runners(rank, s).back()->get(id);
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }
  void set_slice(int rank, std::size_t s, const Op& op, const Values& all) {
    std::size_t begin = 0;
    for (TensorId id : op.updates) {
      const auto count = static_cast<std::size_t>(graph(s).tensor(id).type.shape.elements());
      const Values values(all.begin() + static_cast<std::ptrdiff_t>(begin),
                          all.begin() + static_cast<std::ptrdiff_t>(begin + count));
      for (auto& runner : runners(rank, s)) runner->set(id, values);
      begin += count;
    }
  }
  void run_update(int rank, std::size_t s, const Op& op) {
    GraphRunner& lasting = *runners(rank, s).back();
    lasting.run(op.id, scalars_(rank * accumulation_));
    for (TensorId id : op.updates) {
      for (auto& runner : runners(rank, s)) runner->set(id, lasting.get(id));
    }
  }

  void reduce_tied(int rank) {
    std::map<std::pair<std::size_t, TensorId>, Values> own;
    std::vector<std::pair<std::size_t, const Op*>> nodes;
    for (std::size_t s = 0; s < pipeline_.stages.size(); ++s) {
      each_op(s, OpPhase::kSync, std::nullopt, [&](const Op& op) {
        if (op.kind != OpKind::kStageReduce) return;
        nodes.emplace_back(s, &op);
        own[{s, op.updates[0]}] = runners(rank, s).back()->get(op.updates[0]);
      });
    }
    for (const auto& [s, op] : nodes) {
      const auto peer = static_cast<std::size_t>(std::get<StageAttrs>(op->attrs).peer);
      for (const auto& [t, other] : nodes) {
        if (t != peer || base(graph(t).tensor(other->updates[0]).name) !=
                             base(graph(s).tensor(op->updates[0]).name)) {
          continue;
        }
        Values sum = own.at({s, op->updates[0]});
        const Values& more = own.at({t, other->updates[0]});
        for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += more[i];
        for (auto& runner : runners(rank, s)) runner->set(op->updates[0], sum);
      }
    }
  }
  static std::string base(const std::string& gradient) {
    const auto copy = gradient.find(".stage");
    return copy == std::string::npos ? message(gradient) : gradient.substr(0, copy);
  }

  const LoweredPipeline& pipeline_;
  int accumulation_, data_ranks_;
  std::vector<Runners> runners_;  // by data rank and stage
  std::function<StepScalars(int)> scalars_;
  std::map<std::pair<std::string, int>, Values> sent_;
  std::map<int, float> losses_;
};

}  // namespace pluto::testing
