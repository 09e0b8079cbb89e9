#pragma once
// What a collective of NCCL costs on GPUs: the protocols and algorithms it chooses from, with
// constants per generation of link from data/nccl.json.

#include <array>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "costmodel/cost_source.h"

namespace pluto {

/// How bytes are handed over: small flagged words, flagged lines of 128 bytes, or plain chunks.
enum class NcclProtocol : std::uint8_t { kLL, kLL128, kSimple };
constexpr std::size_t kNcclProtocolCount = 3;
enum class NcclAlgorithm : std::uint8_t { kRing, kTree, kNvls, kPairs };
const char* to_text(NcclProtocol protocol);
const char* to_text(NcclAlgorithm algorithm);

struct NcclProtocolCost {
  Seconds start;                 ///< beyond the link's base
  double steps = 1;              ///< time of a step inside a node, in steps of the link
  double bandwidth = 1;          ///< fraction of what Simple reaches inside a node
  double network_bandwidth = 1;  ///< and across
};

/// A generation of links inside a node.
struct NcclLink {
  Seconds base;  ///< of any call: launch and meeting
  Seconds step;  ///< per hop of the LL protocol, on a link of latency `reference_alpha`
  Seconds reference_alpha;
  double bandwidth = 1;       ///< fraction of the datasheet
  double local = 0;           ///< work on the GPU's own side: seconds per byte * link bandwidth
  double nvls = 0;            ///< fraction of the datasheet for sums in the switch; 0: none
  std::vector<double> rings;  ///< share of a GPU's links rings over 1, 2 ... GPUs use; empty: all
  bool fitted = false;
  double spread = 0;  ///< relative, of systems that were left out of the fit
};

/// Steps across nodes, on a network of latency `reference_alpha`.
struct NcclNetwork {
  double bandwidth = 1;  ///< fraction of the interface
  Seconds reference_alpha;
  std::array<Seconds, kNcclProtocolCount> ring, tree;
  double tree_bandwidth = 1;  ///< fraction of what a ring reaches
};

/// Pairwise messages (all_to_all, send).
struct NcclPairs {
  Seconds start, simple_start;
  BytesPerSecond ll_rate;  ///< to each peer
  double bandwidth = 1;    ///< fraction of what a ring reaches
};

struct NcclTable {
  std::array<NcclProtocolCost, kNcclProtocolCount> protocols;
  Seconds nvls_start;
  double own_copy = 0, own_copy_pairs = 0;  ///< copying a rank's own part, in `local`
  NcclPairs pairs;
  NcclNetwork network;
  std::map<std::string, NcclLink> links;
  std::string other;  ///< the generation that stands for every unknown one, then not fitted
  /// By name, else by the longest name that begins `link`, else `other`.
  const NcclLink& of(const std::string& link) const;
  bool knows(const std::string& link) const;
};

/// Strict. Errors: kNotFound, kInvalidInput with file:line.
Result<NcclTable> load_nccl(const std::string& path);

struct NcclCost {
  Seconds time;
  NcclAlgorithm algorithm = NcclAlgorithm::kRing;
  NcclProtocol protocol = NcclProtocol::kSimple;
  bool fitted = false;  ///< the link was, and nothing leaves the node
  double spread = 0;    ///< of the fit
};

/// Symbols: P ranks, L per node on N nodes, n bytes (CollectiveMeasurement's convention), B the
/// datasheet bandwidth of the link inside, W that of the network divided by the groups that share
/// it, a and A latencies of the two over their reference, h and H a protocol's step inside and
/// across, r(L) the share of links that rings over L GPUs use.
///
/// Formula: least over algorithm and protocol of base + start + latency + transfer.
///   transfer  max(n V / (f B r(L) phi) + local (v + w / P) n / (B phi), n V / (0.95 W phi')), f
///   the
///             link's fraction, phi and phi' the protocol's; the first part without its wire for
///             one rank per node, the second only across nodes: the interface has an engine of its
///             own. v = 1 for all_reduce else 1/2, w = 0 for all_reduce else the copy of a rank's
///             own part. LL has no local part: its rate is what limits it.
///   ring      S steps, S = 2 (P-1) for all_reduce, of which 2 (N-1) across; P-1 and N-1 for
///             reduce_scatter, all_gather and broadcast; latency a h each inside, A H across.
///             V = S / P, broadcast 1.
///   tree      across nodes, all_reduce only: latency 2 ((L-1) a h + ceil(log2 N) A H), V = 2 at
///             0.92 of the bandwidths.
///   nvls      in one node, all_reduce only: start a + n (1 + 1/P) / (nvls B).
///   An all_reduce that is asked for as tree, across nodes, or as hierarchical (reduce_scatter
///   inside, all_reduce of each shard across, all_gather inside) is priced as that; ring leaves the
///   choice to NCCL, as NCCL does.
///   pairs     (all_to_all, send) base + start a + min(n/p / LL rate, simple start + the slower of
///             bytes over the link and over the interface + local copies), p the parts of n.
/// Source: the form and the network's constants are NCCL's tuning model (src/graph/tuning.cc);
///   constants inside a node are fitted. That a transfer costs a part of local work beside the wire
///   is ours: it explains why few GPUs reach less of the bus than many.
/// Valid for: 2 to 8 GPUs in a node, 512 bytes to 1 GiB; across nodes nothing was fitted.
/// Ignores: the choice of a protocol that is not the fastest (NCCL's model errs by up to a factor 2
///   near its switching points), collectives that run at once with kernels, congestion.
/// Calibrated by: bench/validate_collectives (fits again, leaving systems out).
/// Test: costmodel/nccl_model_test.cc.
/// Precondition: call.ranks > 1, the intra link has a bandwidth, so has the network when used.
NcclCost nccl_time(const CollectiveCall& call, const ClusterSpec& cluster, const NcclTable& table);

}  // namespace pluto
