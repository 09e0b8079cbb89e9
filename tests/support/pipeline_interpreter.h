#pragma once
// All stages of a lowered pipeline in one thread, each in its own order: what a stage receives must
// have been sent, or the pipeline is stuck.

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "plan/pipeline.h"
#include "tests/support/graph_runner.h"

namespace pluto::testing {

/// One data rank. Every micro-batch of every stage has memory of its own; what lives from
/// micro-batch to micro-batch has one place per stage.
class PipelineInterpreter {
 public:
  PipelineInterpreter(const LoweredPipeline& pipeline, Device& device, std::int64_t micro_batch,
                      int micro_batches)
      : pipeline_(pipeline) {
    for (const PipelineStage& stage : pipeline.stages) {
      runners_.emplace_back();
      for (int micro = 0; micro <= micro_batches; ++micro) {  // the last: what lives on
        runners_.back().push_back(
            std::make_unique<GraphRunner>(stage.lowered.training.graph, device, micro_batch));
      }
    }
  }

  /// Sets a tensor on every stage that has it.
  void set(const std::string& name, const Values& values) {
    for (std::size_t s = 0; s < pipeline_.stages.size(); ++s) {
      if (const auto id = graph(s).find_tensor(name)) {
        for (auto& runner : runners_[s]) runner->set(*id, values);
      }
    }
  }
  /// Of the first stage that has it.
  Values get(const std::string& name) const {
    for (std::size_t s = 0; s < pipeline_.stages.size(); ++s) {
      if (const auto id = graph(s).find_tensor(name)) return runners_[s].back()->get(*id);
    }
    ADD_FAILURE() << "no stage has " << name;
    return {};
  }

  using Batch = std::function<Values(const Tensor& input, int micro_batch)>;
  /// One step. Returns the losses by micro-batch.
  std::map<int, float> step(const Batch& batch, const std::function<StepScalars(int)>& scalars) {
    scalars_ = scalars;
    sent_.clear();
    losses_.clear();
    std::vector<std::size_t> at(pipeline_.stages.size(), 0);
    for (std::size_t s = 0; s < at.size(); ++s) {
      for (int micro = 0; micro + 1 < static_cast<int>(runners_[s].size()); ++micro) {
        for (TensorId id : graph(s).with_role(TensorRole::kInput)) {
          runners_[s][static_cast<std::size_t>(micro)]->set(id, batch(graph(s).tensor(id), micro));
        }
      }
    }
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t s = 0; s < at.size(); ++s) {
        const auto& order = pipeline_.stages[s].order;
        while (at[s] < order.size() && ready(s, order[at[s]])) {
          run(s, order[at[s]++]);
          moved = true;
        }
      }
    }
    for (std::size_t s = 0; s < at.size(); ++s) {
      EXPECT_EQ(at[s], pipeline_.stages[s].order.size()) << "stage " << s << " waits for ever";
    }
    reduce_tied();
    for (std::size_t s = 0; s < at.size(); ++s) {
      run_phase(s, OpPhase::kUpdate, std::nullopt, static_cast<int>(runners_[s].size()) - 2);
    }
    return losses_;
  }

 private:
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

  void run(std::size_t s, const StagePass& pass) {
    run_phase(s, phase_of(pass), pass.chunk, pass.micro_batch);
  }

  void run_phase(std::size_t s, OpPhase phase, std::optional<int> chunk, int micro) {
    GraphRunner& runner = *runners_[s][static_cast<std::size_t>(micro)];
    GraphRunner& lasting = *runners_[s].back();
    each_op(s, phase, chunk, [&](const Op& op) {
      const Graph& g = graph(s);
      if (op.kind == OpKind::kSend) {
        sent_[{message(op.name), micro}] = runner.get(op.inputs[0]);
      } else if (op.kind == OpKind::kReceive) {
        runner.set(op.outputs[0], sent_.at({message(op.name), micro}));
      } else {
        for (const auto* ids : {&op.inputs, &op.updates}) {
          for (TensorId id : *ids) {
            if (is_persistent(g.tensor(id).role)) {
              if (g.tensor(id).producer) continue;
              runner.set(id, lasting.get(id));
            }
          }
        }
        runner.run(op.id, scalars_(micro));
        for (TensorId id : op.updates) lasting.set(id, runner.get(id));
        for (TensorId id : op.outputs) {
          if (is_persistent(g.tensor(id).role)) lasting.set(id, runner.get(id));
          if (id == pipeline_.stages[s].lowered.training.loss) losses_[micro] = runner.get(id)[0];
        }
      }
    });
  }

  void reduce_tied() {
    std::map<std::pair<std::size_t, TensorId>, Values> own;
    std::vector<std::pair<std::size_t, const Op*>> nodes;
    for (std::size_t s = 0; s < pipeline_.stages.size(); ++s) {
      each_op(s, OpPhase::kSync, std::nullopt, [&](const Op& op) {
        ASSERT_EQ(op.kind, OpKind::kStageReduce);
        nodes.emplace_back(s, &op);
        own[{s, op.updates[0]}] = runners_[s].back()->get(op.updates[0]);
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
        for (auto& runner : runners_[s]) runner->set(op->updates[0], sum);
      }
    }
  }
  static std::string base(const std::string& gradient) {
    const auto copy = gradient.find(".stage");
    return copy == std::string::npos ? message(gradient) : gradient.substr(0, copy);
  }

  const LoweredPipeline& pipeline_;
  std::vector<std::vector<std::unique_ptr<GraphRunner>>> runners_;  // by stage, micro-batch
  std::function<StepScalars(int)> scalars_;
  std::map<std::pair<std::string, int>, Values> sent_;
  std::map<int, float> losses_;
};

}  // namespace pluto::testing
