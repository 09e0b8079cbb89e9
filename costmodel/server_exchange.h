#pragma once
// Closed forms of what goes to servers and comes back: push and pull of shards, factors to one
// server.

#include "costmodel/collective_time.h"

namespace pluto {

/// reduce_scatter and all_gather with server_nodes > 0 (push, pull), and gather.
bool goes_to_servers(const CollectiveCall& call);

/// Time of one. Precondition: goes_to_servers(call).
///
/// Symbols: P ranks, L of them per node; S servers, T = ceil(S / M) of them on each of M nodes of
/// their own; n bytes (CollectiveMeasurement's convention); alpha, b and s(c) as in
/// collective_time.h, of the network.
///
/// Formula, push: max(P, S) alpha + max(n s(L), P n/S s(T)) / b: every rank sends n/S to every
///   server; a node's ranks share its interface, and so do a node's servers, at which P messages
///   meet (incast). pull: the same, the other way. With `reduce` a push adds 3 n/S (P-1) bytes of
///   memory traffic.
/// Formula, gather of P blocks of n/P bytes to one of the ranks: on one node (P-1) (alpha_i +
///   n/P s_i(1) / b_i); else the slower of (L-1) of these inside and of P - L across. To a server
///   with a node of its own: P (alpha + n/P s(1) / b).
/// Source: Li et al. 2014 (parameter server); counted as in Zhang et al. 2017, table 1; Chilimbi et
///   al. 2014, section 3.3 (factors to the server).
/// Valid for: shards of one size, ranks that send in turn. Ignores: lost packets and
///   retransmission under incast, a switch with less than the sum of its ports, gathers to
///   different servers at the same time. Test: costmodel/server_exchange_test.cc.
CollectiveTime server_exchange_time(const CollectiveCall& call, const ClusterSpec& cluster,
                                    bool reduce);

/// Bytes through the port of one rank or server.
struct PortVolume {
  double out = 0, in = 0;
  double both() const { return out + in; }
};
/// Of a rank that owns nothing, and of an owner (as a rank of the group it also sends and takes
/// what the others own; apart it does not). Formula, push: rank n out; apart, owner P n/S in; else
/// owner n (S-1)/S out and (P-1) n/S in. pull, all_gather: the reverse. gather of P blocks to one:
/// rank n/P out; apart, owner n in; else (P-1) n/P in. Other kinds: 0. Source: counted; times 1 /
/// bytes per parameter the rows of Zhang et al. 2017, table 1.
PortVolume rank_volume(const CollectiveCall& call);
PortVolume owner_volume(const CollectiveCall& call);

}  // namespace pluto
