#pragma once
// A cost source that answers what a test tells it to.

#include <functional>
#include <string>

#include "costmodel/cost_source.h"

namespace pluto::testing {

class TableCosts : public CostSource {
 public:
  std::function<double(const OpSignature&)> op_seconds = [](const OpSignature&) { return 0.0; };
  std::function<double(const CollectiveCall&, const ClusterSpec&)> collective_seconds =
      [](const CollectiveCall&, const ClusterSpec&) { return 0.0; };
  double cpu_share = 0;
  double input_seconds = 0;  ///< per sample
  Evidence evidence = Evidence::kMeasured;
  double relative_spread = 0;
  Bytes workspace;
  std::optional<Bytes> overhead = Bytes(0);
  std::int64_t last_id = 0;
  std::string basis;  ///< of analytic op times

  OpCost op(const OpSignature& signature, const DeviceSpec&, int) const override {
    return {Seconds(op_seconds(signature)), relative_spread, evidence, workspace};
  }
  CollectiveCost collective(const CollectiveCall& call, const ClusterSpec& cluster) const override {
    return {Seconds(collective_seconds(call, cluster)), relative_spread, evidence, cpu_share};
  }
  OpCost input_sample(const std::string&, Bytes) const override {
    return {Seconds(input_seconds), relative_spread, evidence, {}};
  }
  std::optional<Bytes> process_overhead() const override { return overhead; }
  std::int64_t watermark() const override { return last_id; }
  std::string op_basis(const DeviceSpec&) const override { return basis; }
};

/// `nodes` nodes of `devices` equal devices, 1 dollar an hour each; alpha and bandwidth of both
/// links as given.
inline ClusterSpec test_cluster(int nodes, int devices, double alpha = 1e-6,
                                double bandwidth = 1e9) {
  ClusterSpec cluster;
  cluster.nodes = nodes;
  auto& node = cluster.instance.node;
  cluster.instance.name = "test:node";
  cluster.instance.price = DollarsPerHour(1);
  cluster.instance.price_date = "2026-01-01";
  node.devices = devices;
  node.device.name = "test device";
  node.device.kind = DeviceKind::kGpu;
  node.device.memory = Bytes(std::int64_t{16} << 30);
  node.device.memory_bandwidth = BytesPerSecond(1e11);
  node.device.peak[DType::kF32] = FlopsPerSecond(1e12);
  node.intra = {"intra", Seconds(alpha), BytesPerSecond(bandwidth), 1, 0};
  node.network = {"network", Seconds(alpha), BytesPerSecond(bandwidth), 1, 0};
  return cluster;
}

}  // namespace pluto::testing
