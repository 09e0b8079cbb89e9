#include "costmodel/checkpoint_time.h"

#include <algorithm>

namespace pluto {

namespace {

/// Ranks that hold different parts of the model.
int parts_of(const Plan& plan) {
  return plan.layout.tensor * plan.layout.pipeline * (plan.shard > 0 ? plan.layout.data : 1);
}

}  // namespace

Bytes checkpoint_bytes(const Plan& plan, const MemoryBreakdown& rank) {
  return (rank.parameters + rank.optimizer_state + rank.buffers) * parts_of(plan);
}

std::optional<Seconds> checkpoint_time(const Plan& plan, const MemoryBreakdown& rank) {
  std::optional<BytesPerSecond> storage = plan.data.storage;
  if (!storage && plan.cluster.instance.rental) storage = plan.cluster.instance.rental->storage;
  if (!storage) return std::nullopt;
  const Layout& layout = plan.layout;
  const int parts = parts_of(plan);
  const int devices = std::max(1, plan.cluster.instance.node.devices);
  // A stage's parts stand together; stages are apart by all of a stage's ranks.
  const int apart = layout.ranks() / layout.pipeline;
  const int in_stage = parts / layout.pipeline;
  const int writers =
      std::clamp(apart >= devices ? layout.pipeline * ((in_stage + devices - 1) / devices)
                                  : (layout.ranks() + devices - 1) / devices,
                 1, std::max(1, plan.cluster.nodes));
  return checkpoint_bytes(plan, rank) / (*storage * static_cast<double>(writers));
}

}  // namespace pluto
