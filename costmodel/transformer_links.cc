#include "costmodel/transformer_links.h"

#include <algorithm>
#include <cmath>

namespace pluto {

namespace {

constexpr double kTreeShare = 0.92;  // of the bandwidth, by NCCL's tuning model

}  // namespace

TransformerLinks::TransformerLinks(const ClusterSpec& cluster, const TransformerCosts& costs) {
  const auto& node = cluster.instance.node;
  devices_ = node.devices;
  floor_ = costs[TransformerConstant::kCollectiveFloor];
  send_floor_ = costs[TransformerConstant::kSendFloor];
  intra_alpha_ = node.intra.alpha.value();
  network_alpha_ = node.network.alpha.value();
  intra_ = node.intra.bandwidth.value() * costs[TransformerConstant::kIntraFraction];
  network_ = node.network.bandwidth.value() * costs[TransformerConstant::kNetworkFraction];
  copy_ = node.device.memory_bandwidth.value() / 4;
}

TransformerLinks::Path TransformerLinks::path(int group, int stride) const {
  const int local = std::clamp(devices_ / stride, 1, group);
  const double intra_steps = local - 1;
  if (group <= local) return {floor_ / 2 + intra_steps * intra_alpha_, intra_, 1};
  const double nodes = std::ceil(static_cast<double>(group) / local);
  // Trees across nodes; the groups of a node share its network evenly.
  return {floor_ / 2 + intra_steps * intra_alpha_ + std::ceil(std::log2(nodes)) * network_alpha_,
          std::min(local > 1 ? intra_ : network_, network_ * local / devices_), nodes};
}

double TransformerLinks::all_reduce(double bytes, int group, int stride) const {
  if (group < 2) return 0;
  const Path one = path(group, stride);
  const double ring = bytes * (group - 1) / group / one.bandwidth;
  // Where nodes have several of the ranks, a tree sends each sum once: less than a ring.
  const double tree =
      one.nodes > 1
          ? bytes / kTreeShare * std::max((one.nodes - 1) / one.nodes / one.bandwidth, 1 / intra_)
          : ring;
  // What arrives is read, added and written, at both ends: twice two passes over the buffer.
  return 2 * (one.latency + std::min(ring, tree)) + bytes / copy_;
}

double TransformerLinks::gather(double bytes, int group, int stride) const {
  if (group < 2) return 0;
  const Path one = path(group, stride);
  return one.latency + bytes * (group - 1) / group / one.bandwidth + bytes / copy_ / 2;
}

double TransformerLinks::send(double bytes, int stride, int span) const {
  if (span <= devices_) return send_floor_ + intra_alpha_ + bytes / intra_;
  // The last `stride` ranks of a node all send to the next one.
  return send_floor_ + network_alpha_ + bytes * std::min(stride, devices_) / network_;
}

}  // namespace pluto
