#include "model/passes/split_stages.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>

#include "model/passes/graph_rewrite.h"

namespace pluto {
namespace {

/// The chunk of every node of a training graph: its origin's, or that of what it works on.
std::vector<int> chunks_of_training(const TrainingGraph& training, const Graph& forward,
                                    std::span<const int> chunk_of) {
  std::unordered_map<std::string, int> by_name;
  for (const Op& op : forward.ops()) by_name[op.name] = chunk_of[op.id.index()];
  std::vector<int> chunk(training.graph.ops().size(), 0);
  for (const Op& op : training.graph.ops()) {
    const OpId origin = training.origin[op.id.index()];
    if (origin.valid()) {
      chunk[op.id.index()] = by_name.at(training.graph.op(origin).name);
      continue;
    }
    for (TensorId id : op.inputs) {
      if (const auto producer = training.graph.tensor(id).producer) {
        chunk[op.id.index()] = chunk[producer->index()];
      }
    }
  }
  return chunk;
}

/// One stage's graph from the whole.
class StageWriter {
 public:
  StageWriter(const TrainingGraph& training, const std::vector<int>& chunk, int stages, int stage)
      : training_(training),
        graph_(training.graph),
        chunk_(chunk),
        stages_(stages),
        stage_(stage),
        rewrite_(training.graph),
        phase_(training.phase),
        chunk_out_(chunk) {}

  Result<StageGraph> write(const std::map<std::string, int>& partner_of) {
    for (const Op& op : graph_.ops()) {
      if (stage_of(op.id) != stage_) continue;
      // By index: a receive node may move the nodes of the rewrite.
      for (std::size_t i = 0; i < op.inputs.size(); ++i) {
        const TensorId local = here(op.inputs[i], op.id);
        rewrite_.op(op.id).inputs[i] = local;
      }
      order_.push_back(op.id);
      for (TensorId id : op.outputs) send_where_read(id, op.id);
      reduce_tied(op, partner_of);
    }
    drop_unread();
    std::vector<TrainedParameter> trained;
    for (const TrainedParameter& entry : training_.trained) {
      if (stage_of(entry.update) == stage_) trained.push_back(entry);
    }
    PLUTO_ASSIGN(auto rewritten, rewrite_.build(order_));
    StageGraph result;
    result.chunk.resize(rewritten.graph.ops().size());
    for (std::size_t i = 0; i < rewritten.ops.size(); ++i) {
      if (rewritten.ops[i].valid()) result.chunk[rewritten.ops[i].index()] = chunk_out_[i];
    }
    result.training = carry_over(training_, std::move(trained), phase_, std::move(rewritten));
    std::erase_if(result.training.inputs, [](TensorId id) { return !id.valid(); });
    return result;
  }

 private:
  int stage_of(OpId op) const { return chunk_[op.index()] % stages_; }

  OpId add(std::string name, OpKind kind, const Tensor& message, int peer, OpId beside,
           std::vector<TensorId> inputs, std::vector<TensorType> outputs,
           std::vector<TensorId> updates, OpPhase phase) {
    const OpId id = rewrite_.add_op(std::move(name), kind, OpPass::kForward,
                                    StageAttrs{peer, to_text(message.type)}, std::move(inputs),
                                    std::move(outputs), std::move(updates));
    phase_.push_back(phase);
    chunk_out_.push_back(chunk_[beside.index()]);
    order_.push_back(id);
    return id;
  }

  /// The tensor as the stage has it: its own, or received before its first reader. What forward
  /// received, backward still has.
  TensorId here(TensorId id, OpId reader) {
    const Tensor& tensor = graph_.tensor(id);
    if (!tensor.producer || stage_of(*tensor.producer) == stage_) return id;
    const auto known = received_.find(id);
    if (known != received_.end()) return known->second;
    const OpId receive =
        add(tensor.name + ".receive", OpKind::kReceive, tensor, stage_of(*tensor.producer), reader,
            {}, {tensor.type}, {}, training_.phase[reader.index()]);
    return received_[id] = rewrite_.op(receive).outputs.front();
  }

  void send_where_read(TensorId id, OpId writer) {
    std::vector<int> peers;
    for (OpId reader : graph_.consumers(id)) {
      const int peer = stage_of(reader);
      if (peer == stage_ || std::ranges::find(peers, peer) != peers.end()) continue;
      peers.push_back(peer);
      const Tensor& tensor = graph_.tensor(id);
      add(peers.size() == 1 ? tensor.name + ".send"
                            : fmt::format("{}.send{}", tensor.name, peers.size()),
          OpKind::kSend, tensor, peer, writer, {id}, {}, {}, training_.phase[writer.index()]);
    }
  }

  void reduce_tied(const Op& op, const std::map<std::string, int>& partner_of) {
    const auto& written = op.kind == OpKind::kAccumulate ? op.updates : op.outputs;
    for (TensorId id : written) {
      const Tensor& gradient = graph_.tensor(id);
      if (gradient.role != TensorRole::kGradient) continue;
      const auto partner = partner_of.find(gradient.name);
      if (partner == partner_of.end()) continue;
      add(gradient.name + ".stage_reduce", OpKind::kStageReduce, gradient, partner->second, op.id,
          {}, {}, {id}, OpPhase::kSync);
    }
  }

  void drop_unread() {
    std::vector<bool> read(graph_.tensors().size());
    for (OpId id : order_) {
      for (const auto* operands : {&rewrite_.op(id).inputs, &rewrite_.op(id).updates}) {
        for (TensorId tensor : *operands) {
          if (tensor.index() < read.size()) read[tensor.index()] = true;
        }
      }
    }
    for (const Tensor& tensor : graph_.tensors()) {
      if (!tensor.producer && !read[tensor.id.index()]) rewrite_.drop(tensor.id);
    }
  }

  const TrainingGraph& training_;
  const Graph& graph_;
  const std::vector<int>& chunk_;
  int stages_, stage_;
  GraphRewrite rewrite_;
  std::vector<OpId> order_;
  std::vector<OpPhase> phase_;  // by OpId of the rewrite
  std::vector<int> chunk_out_;  // by OpId of the rewrite
  std::unordered_map<TensorId, TensorId> received_;
};

}  // namespace

Result<UntiedModel> untie_stages(const ModelGraph& model, std::span<const int> chunk_of,
                                 int stages) {
  UntiedModel untied;
  GraphRewrite rewrite(model.graph);
  for (TensorId id : model.graph.with_role(TensorRole::kParameter)) {
    const Tensor parameter = model.graph.tensor(id);
    std::map<int, TensorId> of_stage;
    for (OpId reader : model.graph.consumers(id)) {
      const int stage = chunk_of[reader.index()] % stages;
      if (of_stage.empty()) of_stage[stage] = id;
      auto [found, is_new] = of_stage.try_emplace(stage, id);
      if (is_new) {
        const std::string name = fmt::format("{}.stage{}", parameter.name, stage);
        found->second =
            rewrite.add_tensor(name, TensorRole::kParameter, parameter.type, parameter.init);
        untied.copies.emplace_back(name, parameter.name);
      }
      std::ranges::replace(rewrite.op(reader).inputs, id, found->second);
    }
  }
  if (untied.copies.empty()) {
    untied.model = model;
    return untied;
  }
  std::vector<OpId> order;
  for (const Op& op : model.graph.ops()) order.push_back(op.id);
  PLUTO_ASSIGN(auto rewritten, rewrite.build(order));
  const auto moved = [&](TensorId id) { return id.valid() ? rewritten.tensors[id.index()] : id; };
  untied.model = {model.name, {}, {}, moved(model.labels), moved(model.logits), moved(model.loss)};
  for (TensorId id : model.inputs) untied.model.inputs.push_back(moved(id));
  untied.model.graph = std::move(rewritten.graph);
  return untied;
}

Result<std::vector<StageGraph>> split_stages(
    const TrainingGraph& training, const Graph& forward, std::span<const int> chunk_of, int stages,
    std::span<const std::pair<std::string, std::string>> copies) {
  const std::vector<int> chunk = chunks_of_training(training, forward, chunk_of);
  const auto gradient_of = [&](const std::string& parameter) -> const TrainedParameter& {
    return *std::ranges::find_if(training.trained, [&](const TrainedParameter& entry) {
      return training.graph.tensor(entry.parameter).name == parameter;
    });
  };
  // Which stage holds the other copy of a gradient, by the gradient's name.
  std::map<std::string, int> partner_of;
  for (const auto& [copy, original] : copies) {
    const TrainedParameter& a = gradient_of(copy);
    const TrainedParameter& b = gradient_of(original);
    const std::string& name = training.graph.tensor(b.gradient).name;
    if (partner_of.contains(name)) {
      return unsupported(fmt::format("{} is read on more than two stages", original),
                         "cut so that at most two stages read it");
    }
    partner_of[name] = chunk[a.update.index()] % stages;
    partner_of[training.graph.tensor(a.gradient).name] = chunk[b.update.index()] % stages;
  }
  std::vector<StageGraph> result;
  for (int stage = 0; stage < stages; ++stage) {
    StageWriter writer(training, chunk, stages, stage);
    PLUTO_ASSIGN_AT(fmt::format("stage {}", stage), StageGraph one, writer.write(partner_of));
    result.push_back(std::move(one));
  }
  return result;
}

}  // namespace pluto
