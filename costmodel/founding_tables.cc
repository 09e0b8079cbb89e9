#include "costmodel/founding_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>

#include "costmodel/collective_time.h"
#include "costmodel/simulator.h"
#include "costmodel/sources.h"
#include "model/zoo.h"
#include "plan/catalog.h"

namespace pluto {
namespace {

constexpr double kMiB = 1 << 20;
/// A plan for `ranks` ranks with one bucket of `method`; `factors` go by sufficient factors.
Result<Plan> plan_for(const ModelGraph& model, int ranks, std::int64_t micro_batch,
                      const std::vector<std::string>& sharded, bool factors = false) {
  Plan plan;
  plan.job = "founding";
  plan.model.source = model.name;
  plan.model_fingerprint = model.graph.fingerprint();
  plan.data.samples = plan.dataset_samples = micro_batch * ranks;
  plan.cluster.instance.name = "founding";
  plan.cluster.nodes = ranks;
  plan.layout.data = ranks;
  plan.micro_batch = micro_batch;
  plan.global_batch = micro_batch * ranks;
  plan.optimizer = SgdAttrs{0.9, 0, false};
  if (ranks == 1) return plan;
  plan.sharded = sharded;
  PLUTO_ASSIGN(const auto order, gradient_order(model, plan));
  BucketPlan reduced, factored;
  factored.method = SyncMethod::kSufficientFactor;
  for (const GradientInfo& info : order) {
    auto& bucket = factors && info.sufficient_factors ? factored : reduced;
    bucket.parameters.push_back(info.name);
  }
  for (BucketPlan* bucket : {&factored, &reduced}) {
    if (!bucket->parameters.empty()) plan.buckets.push_back(std::move(*bucket));
  }
  return plan;
}

/// Times from functions; no reading.
class Costs : public CostSource {
 public:
  OpCost op(const OpSignature& signature, const DeviceSpec&, int) const override {
    return {Seconds(compute(signature)), 0, Evidence::kAssumed, Bytes(0)};
  }
  CollectiveCost collective(const CollectiveCall& call, const ClusterSpec& cluster) const override {
    return {Seconds(exchange(call, cluster)), 0, Evidence::kAssumed, 0};
  }
  OpCost input_sample(const std::string&, Bytes) const override { return {}; }
  std::optional<Bytes> process_overhead() const override { return std::nullopt; }
  std::int64_t watermark() const override { return 0; }

  std::function<double(const OpSignature&)> compute;
  std::function<double(const CollectiveCall&, const ClusterSpec&)> exchange;
};

Result<double> step_seconds(const ModelGraph& model, const Plan& plan, const Costs& costs) {
  PLUTO_ASSIGN(const LoweredPlan lowered, lower(model, plan));
  PLUTO_ASSIGN(const SimulatedStep step,
               simulate(lowered, plan.cluster, plan.data, costs, {.timeline = false}));
  return step.makespan.value();
}

Result<double> step_flops(const ModelGraph& model, const Plan& plan) {
  PLUTO_ASSIGN(const LoweredPlan lowered, lower(model, plan));
  double flops = 0;
  for (const Op& op : lowered.training.graph.ops()) {
    flops += op_work(lowered.training.graph, op, plan.micro_batch).flops.value();
  }
  return flops;
}

double bytes(const CollectiveCall& call) { return static_cast<double>(call.bytes.value()); }

}  // namespace

Result<FoundingTable> alexnet_volumes(const FoundingData& data, bool hybrid) {
  const auto& alexnet = data.alexnet;
  PLUTO_ASSIGN(const ModelGraph model, build_model("alexnet"));
  FoundingTable table{
      fmt::format("AlexNet, batch {}, {}", alexnet.batch, hybrid ? "hybrid" : "data parallel"),
      "MiB moved",
      alexnet.assumed,
      {}};
  for (const auto& [gpus, golden] : hybrid ? alexnet.hybrid : alexnet.data) {
    const auto sharded = hybrid ? alexnet.sharded : std::vector<std::string>{};
    PLUTO_ASSIGN(const Plan plan, plan_for(model, gpus, alexnet.batch / gpus, sharded));
    PLUTO_ASSIGN(const LoweredPlan lowered, lower(model, plan));
    double moved = 0;
    bool entered = false;
    for (const Task& task : lowered.program.tasks) {
      const auto* collective = std::get_if<CollectiveTask>(&task.payload);
      if (collective == nullptr) continue;
      const auto size = static_cast<double>(collective->bytes.value());
      if (collective->kind == CollectiveKind::kAllReduce) moved += 2 * gpus * size;
      if (collective->kind == CollectiveKind::kAllGather && !entered) {
        entered = true;
        moved += size;
      }
    }
    table.rows.push_back({fmt::format("{} GPUs", gpus), golden, moved / kMiB});
  }
  return table;
}

Result<FoundingTable> alexnet_speed_ups(const FoundingData& data, const HostMachine& machine) {
  const auto& alexnet = data.alexnet;
  const double one_gpu = machine.one_gpu.value();
  const auto& [anchor_gpus, anchor] = machine.data.front();
  PLUTO_ASSIGN(const ModelGraph model, build_model("alexnet"));
  PLUTO_ASSIGN(const Plan alone, plan_for(model, 1, alexnet.batch, {}));
  PLUTO_ASSIGN(const double flops, step_flops(model, alone));
  const double gradients = static_cast<double>(parameter_count(model.graph)) * 4;
  // 1 / s = 1 / P + 2 P G / (sums T): what the host adds up per second.
  const double sums = 2 * anchor_gpus * gradients / (one_gpu * (1 / anchor - 1.0 / anchor_gpus));
  Costs costs;
  costs.compute = [&](const OpSignature& op) {
    return op_work(op).flops.value() / flops * one_gpu;
  };
  costs.exchange = [&](const CollectiveCall& call, const ClusterSpec& cluster) {
    if (call.kind == CollectiveKind::kAllReduce) return 2 * call.ranks * bytes(call) / sums;
    return collective_time(call, cluster, false).total().value();
  };
  FoundingTable table{
      fmt::format("AlexNet, batch {}, {} GPUs in one node", alexnet.batch, machine.name),
      "speed-up",
      fmt::format("one GPU takes {:.2f} s; the host adds up {:.0f} MiB/s; {}", one_gpu, sums / kMiB,
                  data.machines_assumed),
      {}};
  for (const bool hybrid : {false, true}) {
    for (const auto& [gpus, golden] : hybrid ? machine.hybrid : machine.data) {
      const auto sharded = hybrid ? alexnet.sharded : std::vector<std::string>{};
      PLUTO_ASSIGN(Plan plan, plan_for(model, gpus, alexnet.batch / gpus, sharded));
      plan.cluster.nodes = 1;
      plan.cluster.instance.node.devices = gpus;
      plan.cluster.instance.node.intra = data.bus;
      PLUTO_ASSIGN(const double step, step_seconds(model, plan, costs));
      table.rows.push_back({fmt::format("{} on {} GPUs", hybrid ? "hybrid" : "data parallel", gpus),
                            golden, one_gpu / step, !hybrid && gpus == anchor_gpus});
    }
  }
  return table;
}

Result<FoundingTable> late_multiplication(const FoundingData& data) {
  PLUTO_ASSIGN(const ModelGraph model, build_model("alexnet"));
  const auto& given = data.late;
  FoundingTable table{"late multiplication", "ms", given.assumed, {}};
  for (const FoundingData::Network& network : given.networks) {
    const double gradients = static_cast<double>(parameter_count(model.graph)) * 4;
    const double bandwidth = gradients / (network.reduced.front().second * 1e-3);
    Costs costs;
    costs.compute = [&](const OpSignature& op) {
      const bool late = op.kind == OpKind::kLinear && op.pass == OpPass::kBackwardWeight &&
                        op.inputs[0].batch_multiple > 1;
      return late ? op_work(op).flops.value() / given.rebuild.value() : 0.0;
    };
    costs.exchange = [](const CollectiveCall& call, const ClusterSpec& cluster) {
      return collective_time(call, cluster, false).total().value();
    };
    for (const bool factors : {false, true}) {
      const ByGpus& published = factors ? network.multiplied : network.reduced;
      for (const auto& [gpus, golden] : published) {
        PLUTO_ASSIGN(Plan plan, plan_for(model, gpus, given.per_gpu, {}, factors));
        plan.cluster.instance.node.devices = 1;
        plan.cluster.instance.node.network = {network.name, given.alpha, BytesPerSecond(bandwidth),
                                              1};
        plan.cluster.instance.node.intra = plan.cluster.instance.node.network;
        PLUTO_ASSIGN(const double step, step_seconds(model, plan, costs));
        table.rows.push_back({fmt::format("{}, {} GPUs, {}", network.name, gpus,
                                          factors ? "late multiplication" : "all_reduce"),
                              golden, step * 1e3, !factors && gpus == published.front().first});
      }
    }
  }
  return table;
}

namespace {

/// Plans on the machines of the convolutional networks, and their steps.
class NetworkedGpus {
 public:
  static Result<NetworkedGpus> load(const FoundingData& data, const std::string& data_folder) {
    PLUTO_ASSIGN(const Catalog catalog, Catalog::load(data_folder + "/catalog"));
    PLUTO_ASSIGN(DeviceSpec device, catalog.device(data.convnets.device));
    PLUTO_ASSIGN(auto source,
                 make_roofline_source(data_folder + "/efficiency.json",
                                      {.surfaces_path = data_folder + "/op_surfaces.json"}));
    return NetworkedGpus(data, std::move(device), std::move(source));
  }

  Result<Plan> plan(const ModelGraph& model, int ranks, int nodes, std::int64_t per_gpu) const {
    PLUTO_ASSIGN(Plan plan, plan_for(model, ranks, per_gpu, {}));
    auto& node = plan.cluster.instance.node;
    plan.cluster.nodes = nodes;
    node.device = device_;
    node.devices = std::max(1, ranks / nodes);
    node.intra = data_.convnets.bus;
    node.network = data_.convnets.network;
    node.network.shared_by = node.devices;
    return plan;
  }
  /// One parameter server on each of as many nodes.
  Result<Plan> served(const ModelGraph& model, int nodes, std::int64_t per_gpu) const {
    PLUTO_ASSIGN(Plan plan, this->plan(model, nodes, nodes, per_gpu));
    plan.buckets[0].method = SyncMethod::kParameterServer;
    for (int n = 0; n < nodes; ++n) plan.servers.push_back(n);
    return plan;
  }
  /// Ring in buckets as they become ready.
  Result<Plan> fused(const ModelGraph& model, int ranks, int nodes, std::int64_t per_gpu,
                     DType wire = DType::kF32) const {
    PLUTO_ASSIGN(Plan plan, this->plan(model, ranks, nodes, per_gpu));
    plan.buckets.clear();
    PLUTO_ASSIGN(const auto order, gradient_order(model, plan));
    Bytes open = data_.convnets.bucket;
    for (const GradientInfo& info : order) {
      if (open >= data_.convnets.bucket) {
        plan.buckets.emplace_back().wire = wire;
        open = Bytes(0);
      }
      plan.buckets.back().parameters.push_back(info.name);
      open += info.bytes;
    }
    return plan;
  }
  Result<double> seconds(const ModelGraph& model, const Plan& plan) const {
    PLUTO_ASSIGN(const LoweredPlan lowered, lower(model, plan));
    PLUTO_ASSIGN(const SimulatedStep step,
                 simulate(lowered, plan.cluster, plan.data, *source_, {.timeline = false}));
    return step.makespan.value();
  }

  /// Steps of a model of the convolutional networks' table.
  struct Steps {
    double alone = 0, exchanged = 0, after = 0;
  };
  Result<Steps> convnet(const std::string& name) const {
    const auto& given = data_.convnets;
    PLUTO_ASSIGN(const ModelGraph model, build_model(name));
    PLUTO_ASSIGN(const Plan single, plan(model, 1, 1, given.per_gpu));
    PLUTO_ASSIGN(const Plan servers, served(model, given.nodes, given.per_gpu));
    PLUTO_ASSIGN(const Plan ring,
                 fused(model, given.nodes * given.devices, given.nodes, given.per_gpu));
    Steps steps;
    PLUTO_ASSIGN(steps.alone, seconds(model, single));
    PLUTO_ASSIGN(steps.exchanged, seconds(model, servers));
    PLUTO_ASSIGN(steps.after, seconds(model, ring));
    return steps;
  }
  /// How much longer the servers' exchange takes than the closed form says, from the first row.
  Result<double> slowness() const {
    const auto& [name, gain] = data_.convnets.gains.front();
    PLUTO_ASSIGN(const Steps steps, convnet(name));
    return ((1 + gain / 100) * steps.after - steps.alone) / (steps.exchanged - steps.alone);
  }

 private:
  NetworkedGpus(const FoundingData& data, DeviceSpec device, std::unique_ptr<CostSource> source)
      : data_(data), device_(std::move(device)), source_(std::move(source)) {}

  const FoundingData& data_;
  DeviceSpec device_;
  std::unique_ptr<CostSource> source_;
};

}  // namespace

Result<FoundingTable> convnet_gains(const FoundingData& data, const std::string& data_folder) {
  PLUTO_ASSIGN(const auto gpus, NetworkedGpus::load(data, data_folder));
  FoundingTable table{
      "128 P100: ring, fusion and overlap", "% more images/s", data.convnets.assumed, {}};
  PLUTO_ASSIGN(const double slowness, gpus.slowness());
  for (const auto& [name, golden] : data.convnets.gains) {
    PLUTO_ASSIGN(const auto steps, gpus.convnet(name));
    const double before = steps.alone + slowness * (steps.exchanged - steps.alone);
    table.rows.push_back({name, golden, (before / steps.after - 1) * 100, table.rows.empty()});
  }
  return table;
}

Result<FoundingTable> recommender_gains(const FoundingData& data, const std::string& data_folder) {
  const auto& given = data.recommender;
  PLUTO_ASSIGN(const auto gpus, NetworkedGpus::load(data, data_folder));
  ZooOptions options;
  options.vocabulary = given.rows;
  PLUTO_ASSIGN(const ModelGraph model, build_model(given.model, options));
  PLUTO_ASSIGN(const Plan single, gpus.plan(model, 1, 1, given.per_gpu));
  PLUTO_ASSIGN(const Plan servers, gpus.served(model, given.nodes, given.per_gpu));
  PLUTO_ASSIGN(const Plan ring, gpus.fused(model, given.nodes, given.nodes, given.per_gpu));
  PLUTO_ASSIGN(const Plan half,
               gpus.fused(model, given.nodes, given.nodes, given.per_gpu, DType::kF16));
  PLUTO_ASSIGN(const double alone, gpus.seconds(model, single));
  PLUTO_ASSIGN(const double exchanged, gpus.seconds(model, servers));
  PLUTO_ASSIGN(const double ringed, gpus.seconds(model, ring));
  PLUTO_ASSIGN(const double halved, gpus.seconds(model, half));
  PLUTO_ASSIGN(const double slowness, gpus.slowness());
  const double served = alone + slowness * (exchanged - alone);
  const double sample = given.reading * served / static_cast<double>(given.per_gpu);
  return FoundingTable{fmt::format("recommender, {} nodes", given.nodes),
                       "times faster",
                       fmt::format("{} ({:.0f} us)", given.assumed, sample * 1e6),
                       {{"reading in parallel", given.reading, given.reading, true},
                        {"ring all_reduce for parameter servers", given.ring, served / ringed},
                        {"fp16 on the wire", given.half, ringed / halved}}};
}

std::string to_text(const FoundingTable& table) {
  std::string text =
      fmt::format("{} ({})\n  assumed: {}\n", table.name, table.unit, table.assumptions);
  for (const FoundingRow& row : table.rows) {
    text += fmt::format("  {:<44} {:>9.2f} {:>9.2f}  {:>+6.1f} %{}\n", row.what, row.published,
                        row.predicted, 100 * row.relative_error(), row.anchor ? "  anchor" : "");
  }
  return text;
}

}  // namespace pluto
