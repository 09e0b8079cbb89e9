#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <utility>

#include "costmodel/collective_time.h"
#include "costmodel/efficiency.h"
#include "costmodel/interference.h"
#include "costmodel/nccl_model.h"
#include "costmodel/server_exchange.h"
#include "costmodel/sources.h"
#include "costmodel/surface_table.h"
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

constexpr std::array<const char*, 4> kOrigins = {
    "measured on this device", "measured on its generation", "measured on a generation like it",
    "measured on other devices"};

class RooflineSource : public CostSource {
 public:
  RooflineSource(EfficiencyTable table, SurfaceTable surfaces, NcclTable nccl,
                 InterferenceTable interference, const RooflineOptions& options)
      : table_(std::move(table)),
        surfaces_(std::move(surfaces)),
        nccl_(std::move(nccl)),
        interference_(std::move(interference)),
        tf32_(options.tf32),
        eager_attention_(options.eager_attention),
        channels_last_(options.channels_last) {}

  OpCost op(const OpSignature& signature, const DeviceSpec& device, int busy_ranks) const override {
    if (schema_of(signature.kind).alias == OpSchema::Alias::kSameBytes) {
      return {.evidence = Evidence::kDatasheet};  // another view of the same bytes
    }
    if (eager_attention_ && signature.kind == OpKind::kAttention) {
      OpCost sum{.evidence = Evidence::kMeasured};
      for (const auto& part : eager_attention(signature)) {
        const auto cost = op(part, device, busy_ranks);
        sum.time += cost.time;
        sum.relative_spread = std::max(sum.relative_spread, cost.relative_spread);
        sum.evidence = std::max(sum.evidence, cost.evidence);
      }
      return sum;
    }
    if (const auto fitted = convolution_of_few_channels(signature, device)) return *fitted;
    if (const auto fitted = by_surface(signature, device)) return *fitted;
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
    CollectiveCost cost = alone(call, cluster);
    const auto& node = cluster.instance.node;
    const double stated =
        call.server_nodes > 0 ? node.network.cpu_share : cluster.bottleneck(call.ranks).cpu_share;
    cost.sharing_evidence = cost.evidence;
    if (node.device.kind == DeviceKind::kGpu) {
      interference_.apply(BesideStream::kCollective, node, placement_of(cluster, call).nodes, cost);
    }
    if (stated > 0) cost.cpu_share = stated;
    cost.beside_other = 1 / interference_.directions;
    return cost;
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

  std::string op_basis(const DeviceSpec& device) const override {
    if (device.kind != DeviceKind::kGpu || surfaces_.surfaces().empty()) return {};
    std::array<std::string, kOrigins.size()> classes;
    for (std::size_t i = 0; i < kOpClassCount; ++i) {
      const auto op_class = static_cast<OpClass>(i);
      std::size_t nearest = kOrigins.size();
      for (const auto arithmetic : {Arithmetic::kF32, Arithmetic::kHalf}) {
        if (!surface_device(device, arithmetic)) continue;
        const auto found = surfaces_.find(op_class, arithmetic, device);
        if (found) nearest = std::min(nearest, static_cast<std::size_t>(found->origin));
      }
      if (nearest == kOrigins.size()) continue;
      classes[nearest] += (classes[nearest].empty() ? "" : ", ") + std::string(to_text(op_class));
    }
    std::string text;
    for (std::size_t i = 0; i < kOrigins.size(); ++i) {
      if (classes[i].empty()) continue;
      text += (text.empty() ? "" : "; ") + classes[i] + " " + kOrigins[i];
    }
    return text.empty() ? text : "operator times of " + device.name + ": " + text;
  }

 private:
  CollectiveCost alone(const CollectiveCall& call, const ClusterSpec& cluster) const {
    const auto& node = cluster.instance.node;
    // NCCL has no parameter servers (fewer owners than ranks are direct messages) and neither
    // halves nor doubles.
    const bool sharded =
        call.kind == CollectiveKind::kReduceScatter || call.kind == CollectiveKind::kAllGather;
    const bool own = goes_to_servers(call) || (sharded && call.servers < call.ranks) ||
                     call.algorithm == CollectiveAlgorithm::kHalvingDoubling ||
                     call.algorithm == CollectiveAlgorithm::kRecursiveDoubling;
    if (node.device.kind == DeviceKind::kGpu && !own) {
      const auto cost = nccl_time(call, cluster, nccl_);
      const auto evidence = cost.fitted ? Evidence::kCalibrated : Evidence::kDatasheet;
      return {.time = cost.time,
              .relative_spread = std::max(cost.fitted ? cost.spread : 0, least_spread(evidence)),
              .evidence = evidence};
    }
    return {.time = collective_time(call, cluster).total(),
            .relative_spread = least_spread(Evidence::kDatasheet),
            .evidence = Evidence::kDatasheet};
  }

  /// Tensor cores want channels in eights. With channels last they are filled up with zeros, else a
  /// library falls back to kernels for single precision. nullopt: of other ops.
  std::optional<OpCost> convolution_of_few_channels(const OpSignature& signature,
                                                    const DeviceSpec& device) const {
    const auto* attrs = std::get_if<ConvAttrs>(&signature.attrs);
    if (attrs == nullptr || attrs->groups != 1 || attrs->out_channels % 8 != 0 ||
        element_size(arithmetic_type(signature)) != 2) {
      return std::nullopt;
    }
    if (shape_of(signature).aligned) return std::nullopt;
    OpSignature other = signature;
    for (auto* types : {&other.inputs, &other.outputs}) {
      for (TensorType& type : *types) {
        if (!channels_last_) {
          type.dtype =
              type.dtype == DType::kF16 || type.dtype == DType::kBF16 ? DType::kF32 : type.dtype;
          continue;
        }
        const bool image = type.batch_multiple > 0 && type.shape.rank() == 3;
        const bool weight = type.batch_multiple == 0 && type.shape.rank() == 4;
        if (image || weight) {
          auto& channels = type.shape.dims[image ? 0 : 1];
          channels = (channels + 7) / 8 * 8;
        }
      }
    }
    const auto single = by_surface(other, device);
    const auto half = by_surface(signature, device);
    if (!single || !half) return std::nullopt;
    return single->time < half->time ? single : half;
  }

  // nullopt: the class was never measured, or the datasheet lacks what a surface needs.
  std::optional<OpCost> by_surface(const OpSignature& signature, const DeviceSpec& device) const {
    if (device.kind != DeviceKind::kGpu) return std::nullopt;
    OpShape shape = shape_of(signature, tf32_ && device.tf32_peak.has_value());
    if (shape.products.empty()) shape.arithmetic = Arithmetic::kF32;  // only bytes count
    const bool product = channels_last_ && shape.op_class == OpClass::kConv &&
                         shape.arithmetic == Arithmetic::kHalf && shape.aligned;
    if (product) shape.op_class = OpClass::kGemm;
    const auto datasheet = surface_device(device, shape.arithmetic);
    const auto found = surfaces_.find(shape.op_class, shape.arithmetic, device);
    if (!datasheet || !found) return std::nullopt;
    const auto& fitted = *found->fitted;
    const bool borrowed =
        product || fitted.op_class != shape.op_class;  // attention as gemm, and so on
    return OpCost{
        .time = Seconds(surface_seconds(shape, *datasheet, fitted.surface, Load::kSteady)),
        .relative_spread =
            borrowed ? std::max(fitted.spread, least_spread(Evidence::kDatasheet)) : fitted.spread,
        .evidence = found->origin == SurfaceOrigin::kDevice && !borrowed ? Evidence::kCalibrated
                                                                         : Evidence::kDatasheet};
  }

  EfficiencyTable table_;
  SurfaceTable surfaces_;
  NcclTable nccl_;
  InterferenceTable interference_;
  bool tf32_ = false;
  bool eager_attention_ = false;
  bool channels_last_ = false;
};

}  // namespace

Result<std::unique_ptr<CostSource>> make_roofline_source(const std::string& efficiency_path,
                                                         const RooflineOptions& options) {
  PLUTO_ASSIGN(auto table, load_efficiency(efficiency_path));
  SurfaceTable surfaces;
  if (!options.surfaces_path.empty()) {
    PLUTO_ASSIGN(surfaces, load_surfaces(options.surfaces_path));
  }
  const auto folder = std::filesystem::path(efficiency_path).parent_path();
  PLUTO_ASSIGN(auto nccl, load_nccl((folder / "nccl.json").string()));
  PLUTO_ASSIGN(auto interference, load_interference((folder / "interference.json").string()));
  return std::unique_ptr<CostSource>(std::make_unique<RooflineSource>(
      std::move(table), std::move(surfaces), std::move(nccl), std::move(interference), options));
}

}  // namespace pluto
