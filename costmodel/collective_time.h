#pragma once
// Closed forms: how long a collective takes on links of known latency and bandwidth.
// Ring all_reduce, reduce_scatter, all_gather and broadcast are those of
// runtime/point_to_point.cc, message by message.

#include "base/units.h"
#include "costmodel/cost_source.h"
#include "plan/cluster.h"

namespace pluto {

/// Where ranks sit: rank r on node r / per_node, so a node holds at most `per_node` of them.
struct RankPlacement {
  int ranks = 1;
  int per_node = 1;
  int nodes = 1;
};
/// Of a group that fills node after node.
RankPlacement placement_of(const ClusterSpec& cluster, int ranks);
/// Of the group of a call: call.per_node ranks on each node, where that is stated.
RankPlacement placement_of(const ClusterSpec& cluster, const CollectiveCall& call);

/// Time of one collective, split because each part scales differently when calibrated: `latency` by
/// the number of messages, `transfer` by bytes.
struct CollectiveTime {
  Seconds latency;
  Seconds transfer;
  Seconds total() const { return latency + transfer; }
};

/// By how much `senders` ranks of a node that use the link at once divide its bandwidth: s(c)
/// below.
double link_sharing(const LinkSpec& link, int senders);

/// Time of a collective over `call.ranks` ranks. One rank: zero. To and from servers with nodes of
/// their own, and gather: costmodel/server_exchange.h.
///
/// Symbols: P ranks, L of them per node on N nodes, S servers, n bytes (CollectiveMeasurement's
/// convention), alpha and b (bytes per second, one direction) of a link, i = inside a node, e =
/// between nodes. s(c) = max(min(q, k), min(k, c g)) divides b when c ranks of a group send at
/// once: k the link's shared_by, q its interfaces, g the groups of the node that do the same.
///
/// Formula, all_reduce:
///   ring                2 (P-1) max(alpha_i + n/P s_i(L) / b_i, alpha_e + n/P s_e(1) / b_e): one
///                       rank of a node sends across, so a single ring shares no interface.
///   tree                min over chunks m = 1, 2, 4 ... of 2 (sum over hops of t + (m-1) max t),
///                       t = alpha + n/m s / b, ceil(log2 L) hops inside and ceil(log2 N) across;
///                       two trees, each rank inner in one, keep both directions of a port busy.
///   halving_doubling    2 sum over distances d = 1, 2 .. P/2 of (alpha + n/(2d) s / b), inside
///                       while 2 d divides L, else across with all L ranks; P no power of two folds
///                       the rest first and last: + 2 (alpha + n s(L) / b).
///   recursive_doubling  as halving_doubling with n at every distance, once.
///   hierarchical        2 (L-1) (alpha_i + n/L s_i(L) / b_i) + 2 (N-1) (alpha_e + n/(L N) s_e(L) /
///                       b_e): every rank takes its shard across.
/// Formula, reduce_scatter to S owners, and its mirror image all_gather from S owners (direct
///   messages of one shard, distance 1, 2 ... P-1; all_to_all is this with S = P; o = min(L,
///   ceil(S/N)) owners on a node): at P-1-(L-o) distances some message crosses between nodes,
///   alpha_e + n/S s(min(d, P-d, o)) / b_e; the other L-o stay inside, alpha_i + n/S s(o) / b_i; at
///   least what 2 (L-1) messages inside take. One node: (P-1) (alpha_i + n/S s(S) / b_i).
/// Formula, broadcast (binomial): ceil(log2 P) (alpha + n / b). send: alpha + n s(1) / b.
/// With `reduce`, sums add 3 bytes of memory traffic per byte added: ring and halving_doubling
/// (P-1)/P n, tree 2 n (n for two ranks), recursive_doubling n per distance, hierarchical
/// ((L-1)/L + (N-1)/(L N)) n, owner (P-1) n/S.
/// Source: Patarasuk and Yuan 2009 (ring); Thakur, Rabenseifner, Gropp 2005, section 3 (alpha-beta
///   form, halving and doubling); Sanders, Speck, Traeff 2009 (two trees); Goyal et al. 2017,
///   section 4 (hierarchical).
/// Valid for: steps that wait for each other, as ours do; powers of two for doubling. Ignores:
///   congestion beyond the interface, message pipelining inside a step, that steps of different
///   distance differ in reach when L is no power of two. Calibrated by: CollectiveMeasurement
///   (ring, reduce_scatter, all_gather). Test: costmodel/collective_time_test.cc,
///   costmodel/collective_algorithms_test.cc; costmodel/simgrid_test.cc against an independent
///   simulator.
CollectiveTime collective_time(const CollectiveCall& call, const ClusterSpec& cluster,
                               bool reduce = true);

/// Bytes the busiest rank puts out, which is what it takes in: all_reduce by ring, tree at most (an
/// inner node) 2 n, halving_doubling 2 n (P-1)/P (folding: + n), recursive_doubling n log2 P
/// (+ n), hierarchical 2 n (L-1)/L + 2 n/L (N-1)/N with L = call.per_node (0: all in one node);
/// reduce_scatter and all_gather with S servers n (P-1)/S; all_to_all n (P-1)/P; broadcast and
/// send n. Source: as above; with n = the gradient and S = P the sum of a push and a pull is
/// Poseidon's 2MN (P1+P2-2)/P2 halved (one direction), and with n = P V the gathers of sufficient
/// factors are its 2K(P-1)(M+N), halved likewise (Zhang et al. 2017, table 1).
double bytes_per_direction(const CollectiveCall& call);

}  // namespace pluto
