#include "costmodel/checkpoint_time.h"

#include <algorithm>

namespace pluto {

std::optional<Seconds> checkpoint_time(const Plan& plan, const MemoryBreakdown& rank) {
  if (!plan.data.storage) return std::nullopt;
  const Layout& layout = plan.layout;
  const int parts = layout.tensor * layout.pipeline * (plan.shard > 0 ? layout.data : 1);
  const int devices = std::max(1, plan.cluster.instance.node.devices);
  // A stage's parts stand together; stages are apart by all of a stage's ranks.
  const int apart = layout.ranks() / layout.pipeline;
  const int in_stage = parts / layout.pipeline;
  const int writers =
      std::clamp(apart >= devices ? layout.pipeline * ((in_stage + devices - 1) / devices)
                                  : (layout.ranks() + devices - 1) / devices,
                 1, std::max(1, plan.cluster.nodes));
  const Bytes whole = (rank.parameters + rank.optimizer_state + rank.buffers) * parts;
  return whole / (*plan.data.storage * static_cast<double>(writers));
}

}  // namespace pluto
