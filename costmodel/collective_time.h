#pragma once
// Closed forms: how long a collective takes on links of known latency and bandwidth.
// They price the algorithms of runtime/point_to_point.cc, message by message.

#include "base/units.h"
#include "costmodel/cost_source.h"
#include "plan/cluster.h"

namespace pluto {

/// Where ranks sit: rank r on node r / devices, so a node holds at most `per_node` of them.
struct RankPlacement {
  int ranks = 1;
  int per_node = 1;
  int nodes = 1;
};
RankPlacement placement_of(const ClusterSpec& cluster, int ranks);

/// Time of one collective, split because each part scales differently when calibrated: `latency` by
/// the number of messages, `transfer` by bytes.
struct CollectiveTime {
  Seconds latency;
  Seconds transfer;
  Seconds total() const { return latency + transfer; }
};

/// Time of a collective over `call.ranks` ranks. One rank: zero.
///
/// Symbols: P ranks, L of them per node on N nodes, S servers, n bytes (CollectiveMeasurement's
/// convention), alpha and b (bytes per second, one direction) of a link, k its shared_by, i =
/// inside a node, e = between nodes.
///
/// Formula, all_reduce (ring):   2 (P-1) max(alpha_i + n/P min(k_i, L) / b_i, alpha_e + n/P / b_e);
///   one rank of a node sends across, so the ring never shares the network interface.
/// Formula, reduce_scatter to S owners, and its mirror image all_gather from S owners (direct
///   messages of one shard, distance 1, 2 ... P-1; o = min(L, ceil(S/N)) owners on a node): at
///   P-1-(L-o) distances some message crosses between nodes, alpha_e + n/S min(k_e, d, P-d, o) /
///   b_e; the other L-o stay inside, alpha_i + n/S min(k_i, o) / b_i; at least what 2 (L-1)
///   messages inside take. One node: (P-1) (alpha_i + n/S min(k_i, S) / b_i).
/// Formula, broadcast (binomial): ceil(log2 P) (alpha + n / b).
/// With `reduce`, sums add 3 bytes of memory traffic per byte added: (P-1)/P n (ring), (P-1) n/S
/// (owner). Source: Patarasuk and Yuan 2009 (ring); Thakur, Rabenseifner, Gropp 2005, section 3
/// (alpha-beta form). Valid for: steps that wait for each other, as ours do. Ignores: congestion
/// beyond the interface, message
///   pipelining inside a step. Calibrated by: CollectiveMeasurement. Test:
///   costmodel/collective_time_test.cc; costmodel/simgrid_test.cc against an independent simulator.
CollectiveTime collective_time(const CollectiveCall& call, const ClusterSpec& cluster,
                               bool reduce = true);

/// Bytes the busiest rank puts out, which is what it takes in: ring all_reduce 2 n (P-1)/P;
/// reduce_scatter and all_gather with S servers n (P-1)/S; broadcast n. Source: as above; with n =
/// the gradient and S = P the sum of a push and a pull is Poseidon's 2MN (P1+P2-2)/P2 halved (one
/// direction), and with n = P V the gathers of sufficient factors are its 2K(P-1)(M+N), halved
/// likewise (Zhang et al. 2017, table 1).
double bytes_per_direction(const CollectiveCall& call);

}  // namespace pluto
