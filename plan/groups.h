#pragma once
// Which ranks talk to each other: the groups of a layout and where their ranks sit.

#include "model/op_attrs.h"
#include "plan/plan.h"

namespace pluto {

/// `ranks` ranks, each `stride` after the one before. Ranks are numbered tensor first, then
/// context, data, pipeline.
struct GroupShape {
  int ranks = 1;
  int stride = 1;
  bool operator==(const GroupShape&) const = default;
};

/// The group a node of the model names. expert: the first plan.expert of consecutive data ranks.
GroupShape group_shape(const Plan& plan, RankGroup group);
/// The ranks whose gradients are summed: data ranks, and context ranks, which hold the same
/// parameters.
GroupShape sync_group(const Layout& layout);

/// How one of the groups sits on nodes of `devices` devices when `ranks` ranks fill node after
/// node.
struct GroupPlacement {
  int per_node = 1;  ///< ranks of the group on one node
  int groups = 1;    ///< groups of a node that do the same at once
  bool operator==(const GroupPlacement&) const = default;
};
/// Formula: per_node = clamp(devices / stride, 1, group ranks), groups = busy devices / per_node.
/// Valid for: degrees that divide the devices of a node or are multiples of them. Ignores: groups
/// whose ranks begin in the middle of a node. Test: plan/groups_test.cc.
GroupPlacement placement_of(const GroupShape& group, int ranks, int devices);

}  // namespace pluto
