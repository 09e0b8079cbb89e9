#pragma once
// Collectives of the transformer closed form over the two levels of a cluster.

#include "costmodel/transformer_costs.h"
#include "plan/cluster.h"

namespace pluto {

/// Times of collectives, in seconds. `group` ranks that are `stride` ranks apart take part; all
/// groups of that kind run at once and share the network of their nodes.
/// Formula: P ranks on N nodes, n bytes, B the link inside a node, W the group's share of the
///   network. gather: half of floor and hops, n (P-1) / P / min(B, W), two passes over memory.
///   all_reduce: twice that; across nodes at most 2 n max(1 / B, (N-1) / N / W) / 0.92, a tree
///   whose sums are made inside the node first.
/// Source: NCCL, src/graph/tuning.cc: the better of ring and tree, 0.92 the share a tree reaches.
/// Test: costmodel/transformer_test.cc.
class TransformerLinks {
 public:
  TransformerLinks(const ClusterSpec& cluster, const TransformerCosts& costs);
  /// Sum of `bytes` on every rank: ring or tree, which is faster.
  double all_reduce(double bytes, int group, int stride) const;
  /// all_gather to `bytes` on every rank, or reduce_scatter of `bytes`: rings.
  double gather(double bytes, int group, int stride) const;
  /// `bytes` to the rank `stride` further in a chain over `span` ranks: the slowest link of the
  /// chain.
  double send(double bytes, int stride, int span) const;

 private:
  struct Path {
    double latency;  ///< of one pass round the group
    double bandwidth;
    double nodes;
  };
  Path path(int group, int stride) const;

  int devices_;
  double floor_, send_floor_, intra_alpha_, network_alpha_, intra_, network_, copy_;
};

}  // namespace pluto
