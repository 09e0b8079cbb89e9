#include "plan/bucket_slots.h"

#include "plan/groups.h"

namespace pluto {

std::vector<BucketSlot> bucket_slots(const TrainingGraph& training, const Plan& plan) {
  std::vector<BucketSlot> slots;
  if (sync_group(plan.layout).ranks == 1) return slots;
  for (std::size_t b = 0; b < plan.buckets.size(); ++b) {
    const std::size_t first = slots.size();
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < plan.buckets[b].parameters.size(); ++i) {
      const TensorId id = training.trained[slots.size()].parameter;
      const std::int64_t elements = training.graph.tensor(id).type.shape.elements();
      slots.push_back({b, offset, elements, 0});
      offset += elements;
    }
    for (std::size_t i = first; i < slots.size(); ++i) slots[i].bucket_elements = offset;
  }
  return slots;
}

std::optional<std::size_t> bucket_of(const Op& op) {
  if (const auto* communication = std::get_if<CommAttrs>(&op.attrs)) {
    return static_cast<std::size_t>(communication->bucket);
  }
  if (const auto* wire = std::get_if<WireAttrs>(&op.attrs)) {
    return static_cast<std::size_t>(wire->bucket);
  }
  return std::nullopt;
}

int owners_of(const Plan& plan, std::size_t bucket) {
  switch (plan.buckets[bucket].method) {
    case SyncMethod::kParameterServer:
      return static_cast<int>(plan.servers.size());
    case SyncMethod::kFactorServer:
      return 1;
    default:
      return sync_group(plan.layout).ranks;
  }
}

int factor_server(const Plan& plan, std::size_t bucket) {
  return static_cast<int>(bucket % plan.servers.size());
}

}  // namespace pluto
