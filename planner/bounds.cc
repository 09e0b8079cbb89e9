#include "planner/bounds.h"

#include <algorithm>
#include <utility>

#include "costmodel/collective_time.h"
#include "costmodel/input_pipeline.h"

namespace pluto {

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
                            const std::vector<SyncMethod>& allowed, const CostSource& costs) {
  PLUTO_ASSIGN(auto lowered, lower(model, alone(plan, 1, 1)));
  return Bounds(model, std::move(lowered), allowed, costs);
}

Bounds::Bounds(const ModelGraph& model, LoweredPlan alone, const std::vector<SyncMethod>& allowed,
               const CostSource& costs)
    : model_(model),
      alone_(std::move(alone)),
      costs_(costs),
      factors_allowed_(std::ranges::count(allowed, SyncMethod::kSufficientFactor) > 0),
      servers_allowed_(std::ranges::count(allowed, SyncMethod::kParameterServer) > 0),
      replaceable_(alone_.training.graph.ops().size()) {
  for (const auto& trained : alone_.training.trained) {
    if (!has_sufficient_factors(alone_.training, trained.parameter)) continue;
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
    if (alone_.training.phase[op.id.index()] == OpPhase::kUpdate) {
      parts.update += time;
    } else if (replaceable_[op.id.index()]) {
      parts.replaceable += time;
    } else {
      parts.fixed += time;
    }
  }
  return parts;
}

Seconds Bounds::compute(const Plan& plan) {
  const auto& part = parts(plan);
  const int ranks = plan.layout.ranks();
  const auto micro_batches = static_cast<double>(plan.accumulation);
  Seconds compute = part.fixed * micro_batches;
  if (ranks == 1 || !factors_allowed_) compute += part.replaceable * micro_batches;
  return compute + part.update / (servers_allowed_ ? ranks : 1);
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
  const Seconds computing = compute(plan);
  const auto samples = static_cast<double>(plan.accumulation * plan.micro_batch);
  return computing + exposed_input(plan.data, reading(plan).per_sample * samples, computing);
}

int Bounds::readers(const Plan& plan) {
  if (plan.data.queue == 0) return plan.data.readers;
  const Seconds computing = compute(plan);
  const auto samples = static_cast<double>(plan.accumulation * plan.micro_batch);
  Plan one = plan;
  Seconds sample = reading(one).per_sample;
  while (one.data.readers < kMostReaders && sample * samples > computing) {
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
  PLUTO_ASSIGN(const auto lowered, lower(model_, alone(plan, plan.micro_batch, micro_batches)));
  const auto memory = plan_memory(lowered.training, lowered.program, {});
  const auto& parts = memory.breakdown;
  found->second = parts.total() - parts.activations + memory.peak_live;
  return found->second;
}

}  // namespace pluto
