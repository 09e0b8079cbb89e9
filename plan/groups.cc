#include "plan/groups.h"

#include <algorithm>

namespace pluto {

GroupShape group_shape(const Plan& plan, RankGroup group) {
  const Layout& layout = plan.layout;
  switch (group) {
    case RankGroup::kTensor:
      return {layout.tensor, 1};
    case RankGroup::kContext:
      return {layout.context, layout.tensor};
    case RankGroup::kData:
      return {layout.data, layout.tensor * layout.context};
    case RankGroup::kExpert:
      return {plan.expert, layout.tensor * layout.context};
  }
  return {};
}

GroupShape sync_group(const Layout& layout) {
  return {layout.data * layout.context, layout.tensor};
}

GroupPlacement placement_of(const GroupShape& group, int ranks, int devices) {
  const int busy = std::clamp(devices, 1, std::max(1, ranks));
  const int per_node = std::clamp(busy / group.stride, 1, std::max(1, group.ranks));
  return {per_node, std::max(1, busy / per_node)};
}

}  // namespace pluto
