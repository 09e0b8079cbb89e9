#include "model/training_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "model/op_schema.h"
#include "model/passes/graph_rewrite.h"

namespace pluto {
namespace {

bool is_loss(OpKind kind) {
  return kind == OpKind::kSoftmaxCrossEntropy || kind == OpKind::kBceWithLogits ||
         kind == OpKind::kMse || kind == OpKind::kSplitCrossEntropy;
}

/// The loss nodes of which `loss` is the sum, by OpId.
Result<std::vector<bool>> chain_starts(const Graph& graph, TensorId loss) {
  std::vector<bool> starts(graph.ops().size());
  std::vector<TensorId> open = {loss};
  while (!open.empty()) {
    const Tensor& tensor = graph.tensor(open.back());
    open.pop_back();
    if (!tensor.producer) {
      return invalid_input(fmt::format("the loss {} is made by no node", tensor.name));
    }
    const Op& op = graph.op(*tensor.producer);
    const auto* add = std::get_if<AddAttrs>(&op.attrs);
    if (is_loss(op.kind)) {
      if (starts[op.id.index()]) {
        return unsupported(fmt::format("node {}: the loss counts it twice", op.name));
      }
      starts[op.id.index()] = true;
    } else if (op.kind == OpKind::kAdd && add != nullptr && !add->relu) {
      open.insert(open.end(), op.inputs.begin(), op.inputs.end());
    } else {
      return unsupported(
          fmt::format("node {} ({}) makes the loss, but is none", op.name, to_text(op.kind)),
          "end the model with softmax_cross_entropy, bce_with_logits, mse or a sum of these");
    }
  }
  return starts;
}

/// Tensors whose gradient some parameter waits for, by TensorId.
std::vector<bool> tensors_wanting_gradients(const Graph& graph) {
  std::vector<bool> wanting(graph.tensors().size());
  for (const Tensor& tensor : graph.tensors()) {
    wanting[tensor.id.index()] =
        tensor.role == TensorRole::kParameter && is_floating(tensor.type.dtype);
  }
  for (const Op& op : graph.ops()) {
    const bool passes_on = std::any_of(op.inputs.begin(), op.inputs.end(),
                                       [&](TensorId id) { return wanting[id.index()]; });
    if (!passes_on) continue;
    for (TensorId id : op.outputs) {
      wanting[id.index()] = is_floating(graph.tensor(id).type.dtype);
    }
  }
  return wanting;
}

/// The reverse walk: gradients of forward tensors so far, and the builder that receives the
/// backward nodes.
class ReverseWalk {
 public:
  explicit ReverseWalk(const Graph& forward)
      : forward_(forward),
        builder_(forward),
        origin_(forward.ops().size()),
        gradient_(forward.tensors().size()),
        sums_(forward.tensors().size()) {
    for (const Op& op : forward.ops()) origin_[op.id.index()] = op.id;
  }

  Result<void> run(const std::vector<bool>& starts, const std::vector<bool>& wanting) {
    for (auto op = forward_.ops().rbegin(); op != forward_.ops().rend(); ++op) {
      std::vector<bool> wanted;
      for (TensorId id : op->inputs) wanted.push_back(wanting[id.index()]);
      std::vector<std::optional<TensorId>> incoming;
      for (TensorId id : op->outputs) incoming.push_back(gradient_[id.index()]);
      const bool reached = starts[op->id.index()] ||
                           std::any_of(incoming.begin(), incoming.end(),
                                       [](const auto& gradient) { return gradient.has_value(); });
      if (!reached || std::find(wanted.begin(), wanted.end(), true) == wanted.end()) continue;
      const GradientRule rule = schema_of(op->kind).gradient;
      if (rule == nullptr) {
        return unsupported(
            fmt::format("node {} ({}) has no gradient", op->name, to_text(op->kind)));
      }
      PLUTO_ASSIGN(const auto gradients, rule(*op, incoming, wanted, builder_));
      for (std::size_t i = 0; i < op->inputs.size() && i < gradients.size(); ++i) {
        if (wanted[i] && gradients[i]) contribute(op->inputs[i], *gradients[i]);
      }
      origin_.resize(builder_.ops(), op->id);
    }
    return {};
  }

  /// Once, after run().
  Result<Graph> take_graph() { return std::move(builder_).build(); }
  const std::optional<TensorId>& gradient(TensorId id) const { return gradient_[id.index()]; }
  const std::vector<OpId>& origin() const { return origin_; }

 private:
  // Added up as they come, so that at most two gradients of one tensor are alive.
  void contribute(TensorId tensor, TensorId gradient) {
    std::optional<TensorId>& sum = gradient_[tensor.index()];
    if (sum) {
      const int count = ++sums_[tensor.index()];
      const std::string name = fmt::format("{}.grad_sum{}", forward_.tensor(tensor).name,
                                           count == 1 ? std::string() : fmt::format("_{}", count));
      sum = builder_.forward(name, OpKind::kAdd, AddAttrs{}, {*sum, gradient});
    } else {
      sum = gradient;
    }
  }

  const Graph& forward_;
  GraphBuilder builder_;
  std::vector<OpId> origin_;                       // by OpId of the builder
  std::vector<std::optional<TensorId>> gradient_;  // by forward TensorId
  std::vector<int> sums_;
};

/// A parameter and the node output that completes its gradient.
struct FinalGradient {
  TensorId parameter, gradient;
};

Result<std::vector<FinalGradient>> final_gradients(const Graph& forward, const ReverseWalk& walk) {
  std::vector<FinalGradient> finals;
  std::vector<std::string> missing;
  for (TensorId parameter : forward.with_role(TensorRole::kParameter)) {
    if (const auto& gradient = walk.gradient(parameter)) {
      finals.push_back({parameter, *gradient});
    } else {
      missing.push_back(forward.tensor(parameter).name);
    }
  }
  if (!missing.empty()) {
    return invalid_input(
        fmt::format("the loss does not depend on {} parameter(s): {}", missing.size(),
                    fmt::join(missing.begin(),
                              missing.begin() + static_cast<std::ptrdiff_t>(
                                                    std::min<std::size_t>(missing.size(), 5)),
                              ", ")),
        "remove them from the model, or declare them as buffers");
  }
  return finals;
}

/// Gives every parameter a gradient tensor of its own, then optimizer state and an update node.
class UpdateWriter {
 public:
  UpdateWriter(const Graph& graph, const OptimizerAttrs& optimizer, std::size_t forward_ops,
               std::vector<OpId> origin)
      : graph_(graph),
        rewrite_(graph),
        optimizer_(optimizer),
        forward_ops_(forward_ops),
        origin_(std::move(origin)) {
    // Rules mark what they think is a gradient; only the final ones are.
    for (const Tensor& tensor : graph.tensors()) {
      if (tensor.role == TensorRole::kGradient) {
        rewrite_.tensor(tensor.id).role = TensorRole::kActivation;
      }
    }
  }

  Result<TrainingGraph> write(const ModelGraph& model, std::vector<FinalGradient> finals) {
    const auto finished = [this](const FinalGradient& entry) {
      const OpId producer = *graph_.tensor(entry.gradient).producer;
      const auto& outputs = graph_.op(producer).outputs;
      return std::pair(producer, std::find(outputs.begin(), outputs.end(), entry.gradient));
    };
    std::stable_sort(finals.begin(), finals.end(),
                     [&](const auto& a, const auto& b) { return finished(a) < finished(b); });
    std::vector<std::vector<OpId>> copies(graph_.ops().size());  // by the node they follow
    std::vector<bool> claimed(graph_.tensors().size());
    for (FinalGradient& entry : finals) {
      // A gradient that backward reads on (dy of an addition) or that two parameters share would be
      // changed under its other readers by synchronisation in place.
      const bool shared =
          claimed[entry.gradient.index()] || !graph_.consumers(entry.gradient).empty();
      claimed[entry.gradient.index()] = true;
      if (shared) {
        const OpId producer = *graph_.tensor(entry.gradient).producer;
        const Tensor& parameter = graph_.tensor(entry.parameter);
        const OpId copy = rewrite_.add_op(
            parameter.name + ".grad_copy", OpKind::kCast, OpPass::kForward,
            CastAttrs{to_text(parameter.type.dtype)}, {entry.gradient}, {parameter.type});
        origin_.push_back(origin_[producer.index()]);
        entry.gradient = rewrite_.op(copy).outputs.front();
        copies[producer.index()].push_back(copy);
      }
    }
    std::vector<OpId> order;
    for (const Op& op : graph_.ops()) {
      order.push_back(op.id);
      for (OpId copy : copies[op.id.index()]) order.push_back(copy);
    }
    std::vector<TrainedParameter> trained;
    for (const FinalGradient& entry : finals) {
      trained.push_back(add_update(entry));
      origin_.push_back(graph_.consumers(entry.parameter).front());
      order.push_back(trained.back().update);
    }
    std::vector<OpPhase> phase(rewrite_.ops(), OpPhase::kBackward);
    std::fill_n(phase.begin(), forward_ops_, OpPhase::kForward);
    for (const auto& entry : trained) phase[entry.update.index()] = OpPhase::kUpdate;
    PLUTO_ASSIGN(auto rewritten, rewrite_.build(order));
    return carry_over(start(model), std::move(trained), phase, std::move(rewritten));
  }

 private:
  TrainingGraph start(const ModelGraph& model) {
    TrainingGraph training;
    training.origin = std::move(origin_);
    training.model = model;
    training.loss = model.loss;
    training.logits = model.logits;
    training.labels = model.labels;
    training.inputs = model.inputs;
    return training;
  }

  TrainedParameter add_update(const FinalGradient& entry) {
    const Tensor parameter = rewrite_.tensor(entry.parameter);
    Tensor& gradient = rewrite_.tensor(entry.gradient);
    gradient.role = TensorRole::kGradient;
    gradient.name = parameter.name + ".grad";
    TrainedParameter trained{entry.parameter, entry.gradient, {}, {}};
    const auto add_state = [&](const char* suffix) {
      trained.state.push_back(rewrite_.add_tensor(
          parameter.name + suffix, TensorRole::kOptimizerState, parameter.type, Init{}));
    };
    OpKind kind = OpKind::kAdam;
    OpAttrs attrs;
    if (const auto* sgd = std::get_if<SgdAttrs>(&optimizer_)) {
      kind = OpKind::kSgd;
      attrs = *sgd;
      if (sgd->momentum > 0) add_state(".momentum");
    } else {
      attrs = std::get<AdamAttrs>(optimizer_);
      add_state(".adam_m");
      add_state(".adam_v");
    }
    std::vector<TensorId> updates = {entry.parameter};
    updates.insert(updates.end(), trained.state.begin(), trained.state.end());
    trained.update = rewrite_.add_op(parameter.name + ".update", kind, OpPass::kForward,
                                     std::move(attrs), {entry.gradient}, {}, std::move(updates));
    return trained;
  }

  const Graph& graph_;
  GraphRewrite rewrite_;
  const OptimizerAttrs& optimizer_;
  std::size_t forward_ops_;
  std::vector<OpId> origin_;  // by OpId of the rewrite
};

}  // namespace

Result<TrainingGraph> differentiate(const ModelGraph& model, const OptimizerAttrs& optimizer) {
  if (!model.loss.valid()) {
    return invalid_input(fmt::format("model {} has no loss, so it cannot be trained", model.name));
  }
  const std::string context = fmt::format("model {}", model.name);
  PLUTO_ASSIGN_AT(context, const auto starts, chain_starts(model.graph, model.loss));
  ReverseWalk walk(model.graph);
  PLUTO_TRY_AT(context, walk.run(starts, tensors_wanting_gradients(model.graph)));
  PLUTO_ASSIGN_AT(context, const Graph graph, walk.take_graph());
  PLUTO_ASSIGN_AT(context, auto finals, final_gradients(model.graph, walk));
  UpdateWriter writer(graph, optimizer, model.graph.ops().size(), walk.origin());
  return writer.write(model, std::move(finals));
}

}  // namespace pluto
