#include "planner/bounds.h"

#include <algorithm>
#include <optional>
#include <ranges>
#include <set>
#include <utility>

#include "costmodel/collective_time.h"
#include "costmodel/input_pipeline.h"
#include "planner/layer_split.h"

namespace pluto {

namespace {

bool on_gpus(const Plan& plan) { return plan.backend == "cuda"; }

}  // namespace

Plan alone(Plan plan, std::int64_t micro_batch, std::int64_t accumulation) {
  plan.layout = Layout{};
  plan.buckets.clear();
  plan.servers.clear();
  plan.micro_batch = micro_batch;
  plan.accumulation = accumulation;
  plan.global_batch = micro_batch * accumulation;
  plan.cluster.nodes = 1;
  return plan;
}

Result<Bounds> Bounds::make(const ModelGraph& model, const Plan& plan,
                            const std::vector<SyncMethod>& allowed, const CostSource& costs,
                            bool local_allowed) {
  PLUTO_ASSIGN(auto lowered, lower(model, alone(plan, 1, 1)));
  Bounds bounds(model, std::move(lowered), allowed, costs);
  bounds.local_allowed_ = local_allowed;
  return bounds;
}

Bounds::Bounds(const ModelGraph& model, LoweredPlan alone, const std::vector<SyncMethod>& allowed,
               const CostSource& costs)
    : model_(model),
      alone_(std::move(alone)),
      costs_(costs),
      factors_allowed_(std::ranges::count(allowed, SyncMethod::kSufficientFactor) > 0),
      servers_allowed_(std::ranges::count(allowed, SyncMethod::kParameterServer) > 0),
      replaceable_(alone_.training.graph.ops().size()),
      splittable_(alone_.training.graph.ops().size()) {
  const Graph& graph = alone_.training.graph;
  std::set<TensorId> large;  // parameters and their gradients
  for (const Op& op : graph.ops()) {
    if (op.kind != OpKind::kLinear || op.pass != OpPass::kForward) continue;
    const Tensor& weight = graph.tensor(op.inputs[1]);
    if (weight.type.shape.elements() < kLargeLayer) continue;
    large.insert(op.inputs.begin() + 1, op.inputs.end());
  }
  const auto of_large = [&](const std::vector<TensorId>& ids) {
    return std::ranges::any_of(ids, [&](TensorId id) { return large.contains(id); });
  };
  // In 16 bits too, and added up over micro-batches.
  const auto is_copy = [](const Op& op) {
    return op.kind == OpKind::kCast || op.kind == OpKind::kAccumulate;
  };
  const auto add_sources = [&] {
    for (const Op& op : std::views::reverse(graph.ops())) {
      if (is_copy(op) && of_large(op.outputs)) large.insert(op.inputs.begin(), op.inputs.end());
    }
  };
  add_sources();
  for (const auto& trained : alone_.training.trained) {
    if (large.contains(trained.parameter)) large.insert(trained.gradient);
  }
  add_sources();
  for (const Op& op : graph.ops()) {
    splittable_[op.id.index()] = (op.kind == OpKind::kLinear || is_copy(op)) &&
                                 (of_large(op.inputs) || of_large(op.outputs));
  }
  for (const auto& trained : alone_.training.trained) {
    if (!has_sufficient_factors(alone_.training, trained.parameter)) {
      const Bytes bytes = graph.tensor(trained.parameter).type.bytes(1);
      (large.contains(trained.parameter) ? split_gradients_ : unavoidable_) += bytes;
      continue;
    }
    const auto producer = alone_.training.graph.tensor(trained.gradient).producer;
    if (producer) replaceable_[producer->index()] = true;
  }
}

const Bounds::Parts& Bounds::parts(const Plan& plan) {
  const auto& device = plan.cluster.instance.node.device;
  const int busy = placement_of(plan.cluster, plan.layout.ranks()).per_node;
  const auto [found, is_new] = parts_.try_emplace(std::tuple(device.name, busy, plan.micro_batch));
  auto& parts = found->second;
  if (!is_new) return parts;
  for (const auto& op : alone_.training.graph.ops()) {
    const auto signature = signature_of(alone_.training.graph, op, plan.micro_batch);
    const auto time = costs_.op(signature, device, busy).time;
    const OpPhase phase = alone_.training.phase[op.id.index()];
    if (splittable_[op.id.index()]) {
      (replaceable_[op.id.index()] ? parts.either : parts.splittable) += time;
      continue;
    }
    if (phase == OpPhase::kForward) parts.forward += time;
    if (phase == OpPhase::kUpdate) {
      parts.update += time;
    } else if (replaceable_[op.id.index()]) {
      parts.replaceable += time;
    } else {
      parts.fixed += time;
    }
  }
  return parts;
}

Seconds Bounds::exchange(const Plan& plan) const {
  const bool halves = on_gpus(plan) && element_type(plan.precision) != DType::kF32;
  const Bytes whole = on_gpus(plan) ? unavoidable_ : unavoidable_ + split_gradients_;
  const std::int64_t bytes = whole.value() / (halves ? 2 : 1);
  std::optional<Seconds> least;
  for (const std::int64_t parts : {1, 8, 64}) {
    CollectiveCall call;
    call.ranks = call.servers = plan.layout.data;
    call.bytes = Bytes(bytes / parts);
    const auto time = [&](CollectiveKind kind) {
      call.kind = kind;
      return costs_.collective(call, plan.cluster).time;
    };
    const Seconds reduced = time(CollectiveKind::kAllReduce);
    const Seconds halved = time(CollectiveKind::kReduceScatter) + time(CollectiveKind::kAllGather);
    const Seconds all = std::min(reduced, halved) * static_cast<double>(parts);
    if (!least || all < *least) least = all;
  }
  return *least;
}

Seconds Bounds::compute(const Plan& plan) {
  const auto& part = parts(plan);
  const bool alone = plan.layout.ranks() == 1;
  const bool replaced = !alone && factors_allowed_, split = !alone && on_gpus(plan);
  Seconds least = part.fixed;
  if (!replaced) least += part.replaceable;
  if (!split) least += part.splittable;
  if (!replaced && !split) least += part.either;
  return least * static_cast<double>(plan.accumulation);
}

Seconds Bounds::busy(const Plan& plan) {
  const auto& part = parts(plan);
  const bool shared = servers_allowed_ || on_gpus(plan);
  const Seconds busy = compute(plan) + part.update / (shared ? plan.layout.ranks() : 1);
  if (plan.layout.data == 1 || (local_allowed_ && on_gpus(plan))) return busy;
  return std::max(busy, part.forward + exchange(plan));
}

InputTime Bounds::reading(const Plan& plan) const {
  Bytes sample;
  for (const auto& tensor : alone_.training.graph.tensors()) {
    if (tensor.role == TensorRole::kInput) sample += tensor.type.bytes(1);
  }
  return input_time(plan.data, sample, plan.cluster.instance.node,
                    placement_of(plan.cluster, plan.layout.ranks()).per_node, costs_);
}

Seconds Bounds::step(const Plan& plan) {
  const Seconds makespan = busy(plan);
  const auto samples = static_cast<double>(plan.accumulation * plan.micro_batch);
  return makespan + exposed_input(plan.data, reading(plan).per_sample * samples, makespan);
}

int Bounds::readers(const Plan& plan) {
  if (plan.data.queue == 0) return plan.data.readers;
  const Seconds makespan = busy(plan);
  const auto samples = static_cast<double>(plan.accumulation * plan.micro_batch);
  Plan one = plan;
  Seconds sample = reading(one).per_sample;
  while (one.data.readers < kMostReaders && sample * samples > makespan) {
    ++one.data.readers;
    const Seconds next = reading(one).per_sample;
    if (!(next < sample)) {
      --one.data.readers;
      break;
    }
    sample = next;
  }
  return one.data.readers;
}

Result<Bytes> Bounds::memory(const Plan& plan) {
  // From the third on, micro-batches repeat: they use the same two sets of inputs.
  const auto micro_batches = std::min<std::int64_t>(plan.accumulation, 3);
  const auto [found, is_new] = memory_.try_emplace(std::pair(plan.micro_batch, micro_batches));
  if (!is_new) return found->second;
  const Plan one = alone(plan, plan.micro_batch, micro_batches);
  auto training = trainings_.find(micro_batches);
  if (training == trainings_.end()) {
    PLUTO_ASSIGN(auto made, unsynchronized(model_, one));
    training = trainings_.emplace(micro_batches, std::move(made)).first;
  }
  PLUTO_ASSIGN(const auto lowered, lower(training->second, one));
  const auto memory = plan_memory(lowered.training, lowered.program, {});
  const auto& parts = memory.breakdown;
  found->second = parts.total() - parts.activations + memory.peak_live;
  return found->second;
}

}  // namespace pluto
