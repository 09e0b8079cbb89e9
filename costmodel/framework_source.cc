#include "costmodel/framework_source.h"

#include <algorithm>

#include "costmodel/collective_time.h"
#include "costmodel/efficiency.h"
#include "costmodel/uncertainty.h"

namespace pluto {

namespace {

void halve(std::vector<TensorType>& types) {
  for (TensorType& type : types) {
    if (type.dtype == DType::kF32) type.dtype = DType::kF16;
  }
}

/// Reads and writes the tensor once.
OpSignature moved(const TensorType& type, std::int64_t batch) {
  OpSignature signature;
  signature.kind = OpKind::kRelu;
  signature.attrs = NoAttrs{};
  signature.inputs = {type};
  signature.outputs = {type};
  signature.micro_batch = batch;
  return signature;
}

/// What attention out of separate operators moves beside its products and softmax: queries, keys,
/// values and result to and from one matrix per head, and the dropout of the scores.
std::vector<TensorType> attention_moves(const OpSignature& attention) {
  const auto* attrs = std::get_if<AttentionAttrs>(&attention.attrs);
  const std::size_t first = attention.pass == OpPass::kForward ? 0 : 1;
  if (attrs == nullptr || attention.inputs.size() < first + 2) return {};
  const TensorType& q = attention.inputs[first];
  const TensorType& k = attention.inputs[first + 1];
  if (q.shape.rank() < 2 || k.shape.rank() < 2) return {};
  const TensorType scores{Shape{{attrs->heads, q.shape[0], k.shape[0]}}, q.dtype, q.batch_multiple};
  return {q, k, k, q, scores};
}

}  // namespace

OpCost FrameworkSource::op(const OpSignature& signature, const DeviceSpec& device,
                           int busy_ranks) const {
  const OpClass op_class = class_of(signature.kind);
  const bool mixed = run_.precision == StepPrecision::kMixed;
  OpSignature asked = signature;
  const bool half = mixed && op_class != OpClass::kUpdate && op_class != OpClass::kLoss;
  if (half) {
    halve(asked.inputs);
    halve(asked.outputs);
  }
  OpCost cost = source_.op(asked, device, busy_ranks);
  const bool product = op_class == OpClass::kGemm || op_class == OpClass::kAttention ||
                       (half && op_class == OpClass::kConv && run_.framework.channels_last);
  if (product) cost.time = cost.time * run_.generation.products;
  if (op_class == OpClass::kUpdate) cost.time = cost.time * run_.framework.update_passes;
  if (half && run_.framework.transposes && signature.kind == OpKind::kConv2d) {
    for (const auto* types : {&asked.inputs, &asked.outputs}) {
      for (const TensorType& type : *types) {
        if (type.batch_multiple == 0) continue;
        cost.time += source_.op(moved(type, signature.micro_batch), device, busy_ranks).time;
      }
    }
  }
  if (run_.framework.eager_attention && signature.kind == OpKind::kAttention) {
    for (const auto& type : attention_moves(asked)) {
      cost.time += source_.op(moved(type, signature.micro_batch), device, busy_ranks).time;
    }
  }
  if (mixed && op_class == OpClass::kUpdate && !signature.inputs.empty()) {
    cost.time +=
        source_.op(moved(signature.inputs.front(), signature.micro_batch), device, busy_ranks)
            .time *
        0.75;  // 6 bytes of 8
  }
  cost.time = cost.time * (mixed ? run_.framework.half_kernels : run_.framework.kernels) *
              run_.generation.kernels * run_.slower;
  return cost;
}

double FrameworkSource::lost_share(double share) const {
  return std::max(0.0, 1 - run_.slower * (1 - share));
}

CollectiveCost FrameworkSource::collective(const CollectiveCall& call,
                                           const ClusterSpec& cluster) const {
  const bool in_host = run_.sync == StepSync::kServerCpu || run_.sync == StepSync::kServerHosts;
  const bool served =
      call.kind == CollectiveKind::kReduceScatter || call.kind == CollectiveKind::kAllGather;
  const RankPlacement placement = placement_of(cluster, call);
  if (!in_host || !served || call.ranks <= 1) {
    CollectiveCall asked = call;
    if (run_.interleaved && placement.nodes > 1) asked.groups = placement.per_node;
    CollectiveCost cost = source_.collective(asked, cluster);
    cost.cpu_share = lost_share(cost.cpu_share);
    return cost;
  }
  const NodeSpec& node = cluster.instance.node;
  const auto bytes = static_cast<double>(call.bytes.value());
  double seconds =
      node.intra.alpha.value() + bytes * std::max(1 / node.intra.bandwidth.value(),
                                                  placement.per_node / run_.host_bandwidth.value());
  if (placement.nodes > 1) {
    seconds += node.network.alpha.value() +
               bytes * (placement.nodes - 1) / placement.nodes / node.network.bandwidth.value();
  }
  CollectiveCost cost{.time = Seconds(seconds),
                      .relative_spread = least_spread(Evidence::kDatasheet),
                      .evidence = Evidence::kDatasheet};
  if (run_.interference != nullptr) {
    const bool pushed = call.kind == CollectiveKind::kReduceScatter;
    run_.interference->apply(pushed ? BesideStream::kToHost : BesideStream::kToDevice, node,
                             placement.nodes, cost);
    cost.cpu_share = lost_share(cost.cpu_share);
  }
  return cost;
}

// StepPredictor counts reading per process; here it is free.
OpCost FrameworkSource::input_sample(const std::string&, Bytes) const {
  return {.evidence = Evidence::kMeasured};
}

}  // namespace pluto
