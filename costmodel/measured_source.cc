#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "costmodel/collective_calibration.h"
#include "costmodel/op_calibration.h"
#include "costmodel/sources.h"
#include "costmodel/uncertainty.h"

namespace pluto {

namespace {

class MeasuredSource : public CostSource {
 public:
  MeasuredSource(std::span<const CalibrationPoint> points, DeviceSpec device,
                 const CostSource& fallback)
      : device_(std::move(device)), fallback_(fallback), watermark_(fallback.watermark()) {
    for (const auto& point : points) {
      std::visit([&](const auto& what) { take(point.id, point.measurement.context, what); },
                 point.measurement.what);
    }
    ops_.finish();
    collectives_.finish();
  }

  OpCost op(const OpSignature& signature, const DeviceSpec& device, int busy_ranks) const override {
    const auto fallback = [&] { return fallback_.op(signature, device, busy_ranks); };
    if (device.name != device_.name) return fallback();
    const auto known = ops_.lookup(signature, busy_ranks, fallback);
    return known ? *known : fallback();
  }

  CollectiveCost collective(const CollectiveCall& call, const ClusterSpec& cluster) const override {
    if (call.ranks > 1 && cluster.instance.node.device.name == device_.name) {
      auto known = collectives_.lookup(call, cluster);
      if (known && device_.kind == DeviceKind::kGpu) return on_gpu(*known, call, cluster);
      if (known) return *known;
    }
    return fallback_.collective(call, cluster);
  }

  OpCost input_sample(const std::string& source, Bytes bytes) const override {
    const auto found = inputs_.find(source);
    if (found == inputs_.end()) return fallback_.input_sample(source, bytes);
    const auto& input = found->second.second;
    OpCost cost{input.time_per_sample.median, input.time_per_sample.relative_spread,
                Evidence::kMeasured};
    if (input.bytes_per_sample != bytes && input.bytes_per_sample.value() > 0) {
      cost.time = cost.time * (bytes / input.bytes_per_sample);
      cost.relative_spread = std::max(cost.relative_spread, least_spread(Evidence::kCalibrated));
      cost.evidence = Evidence::kCalibrated;
    }
    return cost;
  }

  std::optional<Bytes> process_overhead() const override {
    return process_ ? std::optional(process_->second) : fallback_.process_overhead();
  }
  std::int64_t watermark() const override { return watermark_; }
  std::string op_basis(const DeviceSpec& device) const override {
    return fallback_.op_basis(device);
  }

 private:
  /// The processor time of the thread that communicates is no share of a GPU.
  CollectiveCost on_gpu(const CollectiveCost& known, const CollectiveCall& call,
                        const ClusterSpec& cluster) const {
    CollectiveCost cost = fallback_.collective(call, cluster);
    cost.time = known.time;
    cost.relative_spread = known.relative_spread;
    cost.evidence = known.evidence;
    return cost;
  }
  void take(std::int64_t id, const RunContext& context, const OpMeasurement& what) {
    if (what.time.median.value() < 0) return;
    ops_.add(id, what.signature, context.busy_ranks, what.time.median, what.time.relative_spread,
             what.workspace, fallback_.op(what.signature, device_, context.busy_ranks).time);
    rests_on(id);
  }
  void take(std::int64_t id, const RunContext& context, const CollectiveMeasurement& what) {
    collectives_.add(id, what, context.busy_ranks);
    rests_on(id);
  }
  void take(std::int64_t id, const RunContext&, const InputMeasurement& what) {
    auto& newest = inputs_[what.source];
    if (id >= newest.first) newest = {id, what};
    rests_on(id);
  }
  void take(std::int64_t id, const RunContext&, const ProcessMeasurement& what) {
    if (!process_ || id >= process_->first) process_ = {id, what.overhead};
    rests_on(id);
  }
  // Whole steps and training curves are what predictions are compared with, not what they are made
  // from.
  void take(std::int64_t, const RunContext&, const StepMeasurement&) {}
  void take(std::int64_t, const RunContext&, const ConvergencePoint&) {}
  void take(std::int64_t, const RunContext&, const TransformerStepMeasurement&) {}
  void rests_on(std::int64_t id) { watermark_ = std::max(watermark_, id); }

  DeviceSpec device_;
  const CostSource& fallback_;
  OpCalibration ops_;
  CollectiveCalibration collectives_;
  std::map<std::string, std::pair<std::int64_t, InputMeasurement>> inputs_;
  std::optional<std::pair<std::int64_t, Bytes>> process_;
  std::int64_t watermark_ = 0;
};

}  // namespace

std::unique_ptr<CostSource> make_measured_source(std::span<const CalibrationPoint> points,
                                                 const DeviceSpec& device,
                                                 const CostSource& fallback) {
  return std::make_unique<MeasuredSource>(points, device, fallback);
}

}  // namespace pluto
