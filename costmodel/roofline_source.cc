#include <algorithm>
#include <filesystem>
#include <utility>

#include "costmodel/collective_time.h"
#include "costmodel/efficiency.h"
#include "costmodel/nccl_model.h"
#include "costmodel/sources.h"
#include "costmodel/uncertainty.h"

namespace pluto {

namespace {

/// The type the arithmetic is done in: of the first operand that is no index.
DType arithmetic_type(const OpSignature& signature) {
  for (const auto* types : {&signature.inputs, &signature.outputs}) {
    for (const auto& type : *types) {
      if (type.dtype != DType::kI32 && type.dtype != DType::kU8) return type.dtype;
    }
  }
  return DType::kF32;
}

class RooflineSource : public CostSource {
 public:
  RooflineSource(EfficiencyTable table, NcclTable nccl)
      : table_(std::move(table)), nccl_(std::move(nccl)) {}

  OpCost op(const OpSignature& signature, const DeviceSpec& device, int busy_ranks) const override {
    if (schema_of(signature.kind).alias == OpSchema::Alias::kSameBytes) {
      return {.evidence = Evidence::kDatasheet};  // another view of the same bytes
    }
    const auto& kind = table_.of(device.kind);
    const auto& efficiency = kind.classes[static_cast<std::size_t>(class_of(signature.kind))];
    OpCost cost{.relative_spread = efficiency.relative_spread,
                .evidence = efficiency.fitted ? Evidence::kDatasheet : Evidence::kAssumed};
    const auto assume = [&](auto value) {
      cost.evidence = Evidence::kAssumed;
      return value;
    };

    const auto type = arithmetic_type(signature);
    auto peak = device.peak.find(type);
    const FlopsPerSecond flops_rate = peak != device.peak.end() ? peak->second
                                      : device.peak.contains(DType::kF32)
                                          ? assume(device.peak.at(DType::kF32))
                                          : assume(kind.assumed_peak);
    const BytesPerSecond bytes_rate = device.memory_bandwidth.value() > 0
                                          ? device.memory_bandwidth
                                          : assume(kind.assumed_bandwidth);
    const double contention = 1 + kind.bandwidth_contention * (std::max(1, busy_ranks) - 1);

    const auto work = op_work(signature);
    const Seconds arithmetic = work.flops / (flops_rate * efficiency.flops);
    const Seconds traffic =
        (work.read + work.written) / (bytes_rate * (efficiency.bandwidth / contention));
    cost.time = std::max(arithmetic, traffic) + efficiency.floor;
    return cost;
  }

  CollectiveCost collective(const CollectiveCall& call, const ClusterSpec& cluster) const override {
    if (call.ranks <= 1) return {.evidence = Evidence::kMeasured};
    const auto& node = cluster.instance.node;
    // NCCL has no parameter servers: fewer owners than ranks are direct messages.
    const bool sharded =
        call.kind == CollectiveKind::kReduceScatter || call.kind == CollectiveKind::kAllGather;
    if (node.device.kind == DeviceKind::kGpu && (!sharded || call.servers >= call.ranks)) {
      const auto cost = nccl_time(call, cluster, nccl_);
      const auto evidence = cost.fitted ? Evidence::kCalibrated : Evidence::kDatasheet;
      return {.time = cost.time,
              .relative_spread = std::max(cost.fitted ? cost.spread : 0, least_spread(evidence)),
              .evidence = evidence,
              .cpu_share = cluster.bottleneck(call.ranks).cpu_share};
    }
    return {.time = collective_time(call, cluster).total(),
            .relative_spread = least_spread(Evidence::kDatasheet),
            .evidence = Evidence::kDatasheet,
            .cpu_share = cluster.bottleneck(call.ranks).cpu_share};
  }

  OpCost input_sample(const std::string& source, Bytes bytes) const override {
    const auto found = table_.inputs.find(source);
    const auto& input = found != table_.inputs.end() ? found->second : table_.inputs.at("other");
    return {.time = input.per_sample + bytes / input.rate,
            .relative_spread = least_spread(Evidence::kAssumed),
            .evidence = Evidence::kAssumed};
  }

  std::optional<Bytes> process_overhead() const override { return std::nullopt; }
  std::int64_t watermark() const override { return 0; }

 private:
  EfficiencyTable table_;
  NcclTable nccl_;
};

}  // namespace

Result<std::unique_ptr<CostSource>> make_roofline_source(const std::string& efficiency_path) {
  PLUTO_ASSIGN(auto table, load_efficiency(efficiency_path));
  const auto folder = std::filesystem::path(efficiency_path).parent_path();
  PLUTO_ASSIGN(auto nccl, load_nccl((folder / "nccl.json").string()));
  return std::unique_ptr<CostSource>(
      std::make_unique<RooflineSource>(std::move(table), std::move(nccl)));
}

}  // namespace pluto
