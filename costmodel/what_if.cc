#include "costmodel/what_if.h"

#include <algorithm>
#include <cmath>

namespace pluto {

namespace {

/// Every node of a cluster.
template <class Change>
ClusterSpec with_nodes(ClusterSpec cluster, Change change) {
  change(cluster.instance);
  for (NodeGroup& group : cluster.more) change(group.instance);
  return cluster;
}

ClusterSpec with_links(const ClusterSpec& cluster, double node, double network) {
  return with_nodes(cluster, [&](InstanceType& instance) {
    LinkSpec& intra = instance.node.intra;
    LinkSpec& outside = instance.node.network;
    intra.bandwidth = BytesPerSecond(intra.bandwidth.value() * node);
    outside.bandwidth = BytesPerSecond(outside.bandwidth.value() * network);
  });
}

ClusterSpec with_devices(const ClusterSpec& cluster, double speed) {
  return with_nodes(cluster, [&](InstanceType& instance) {
    DeviceSpec& device = instance.node.device;
    device.memory_bandwidth = BytesPerSecond(device.memory_bandwidth.value() * speed);
    for (auto& [dtype, peak] : device.peak) peak = FlopsPerSecond(peak.value() * speed);
    for (auto* peak : {&device.tf32_peak, &device.f8_peak}) {
      if (*peak) *peak = FlopsPerSecond((*peak)->value() * speed);
    }
  });
}

/// Answers for the cluster as it is changed, from what is known of it as it is.
class ChangedSource : public CostSource {
 public:
  ChangedSource(const CostSource& costs, const CostSource& datasheet, const WhatIf& what_if)
      : costs_(costs), datasheet_(datasheet), what_if_(what_if) {}

  OpCost op(const OpSignature& signature, const DeviceSpec& device, int busy_ranks) const override {
    OpCost cost = costs_.op(signature, device, busy_ranks);
    cost.time = cost.time / what_if_.device_speed;
    return cost;
  }
  CollectiveCost collective(const CollectiveCall& call, const ClusterSpec& cluster) const override {
    const ClusterSpec known =
        with_links(cluster, 1 / what_if_.node_bandwidth, 1 / what_if_.network_bandwidth);
    CollectiveCost cost = costs_.collective(call, known);
    const Seconds before = datasheet_.collective(call, known).time;
    if (before > Seconds(0)) {
      cost.time = cost.time * (datasheet_.collective(call, cluster).time / before);
    }
    return cost;
  }
  OpCost input_sample(const std::string& source, Bytes bytes) const override {
    return costs_.input_sample(source, bytes);
  }
  std::optional<Bytes> process_overhead() const override { return costs_.process_overhead(); }
  std::int64_t watermark() const override { return costs_.watermark(); }
  std::string op_basis(const DeviceSpec& device) const override { return costs_.op_basis(device); }

 private:
  const CostSource& costs_;
  const CostSource& datasheet_;
  const WhatIf what_if_;
};

std::int64_t times(std::int64_t count, double factor) {
  return std::llround(static_cast<double>(count) * factor);
}

}  // namespace

Plan changed(const Plan& plan, const WhatIf& what_if) {
  Plan other = plan;
  other.cluster = with_links(plan.cluster, what_if.node_bandwidth, what_if.network_bandwidth);
  other.cluster = with_nodes(other.cluster, [&](InstanceType& instance) {
    instance.price = DollarsPerHour(instance.price.value() * what_if.price);
    if (instance.spot_price)
      instance.spot_price = DollarsPerHour(instance.spot_price->value() * what_if.price);
  });
  other.steps = std::max<std::int64_t>(1, times(plan.steps, what_if.samples));
  other.local.synchronous_samples = times(plan.local.synchronous_samples, what_if.samples);
  return other;
}

Result<Prediction> predict_if(const ModelGraph& model, const Plan& plan, const CostSource& costs,
                              const CostSource& datasheet, const WhatIf& what_if) {
  const ChangedSource source(costs, datasheet, what_if);
  PLUTO_ASSIGN(PredictedPlan predicted, predict(model, changed(plan, what_if), source));
  return std::move(predicted.prediction);
}

Result<Prediction> predict_if(const TransformerShape& shape, const Plan& plan,
                              const TransformerEvidence& evidence, const WhatIf& what_if) {
  Plan other = changed(plan, what_if);
  other.cluster = with_devices(other.cluster, what_if.device_speed);
  PLUTO_ASSIGN(PredictedTransformer predicted, predict_transformer_plan(shape, other, evidence));
  return std::move(predicted.prediction);
}

}  // namespace pluto
