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
constexpr std::int64_t kBatch = 512;
const std::vector<std::string>& linear_layers() {
  static const std::vector<std::string> kLayers = {"fc6", "fc7", "fc8"};
  return kLayers;
}

/// A plan for `ranks` ranks with one bucket of `method`; `factors` go by sufficient factors.
Result<Plan> plan_for(const ModelGraph& model, int ranks, std::int64_t micro_batch,
                      const std::vector<std::string>& sharded, bool factors = false) {
  Plan plan;
  plan.job = "founding";
  plan.model.source = model.name;
  plan.model_fingerprint = model.graph.fingerprint();
  plan.data.samples = kBatch;
  plan.dataset_samples = kBatch;
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

HostMachine k40_machine() {
  return {"K40", 2.95, 0.84, {{2, 0.84}, {4, 0.51}, {8, 0.41}}, {{8, 4.33}}};
}

// Its step on one GPU is not published: the K40's by the ratio of the peaks, 4.29 and 6.84 TFLOP/s.
HostMachine m40_machine() {
  return {"M40",
          2.95 * 4.29 / 6.84,
          0.79,
          {{2, 0.79}, {4, 0.63}, {8, 0.42}},
          {{2, 1.86}, {4, 3.47}, {8, 5.19}}};
}

Result<FoundingTable> alexnet_volumes(bool hybrid) {
  PLUTO_ASSIGN(const ModelGraph model, build_model("alexnet"));
  FoundingTable table{fmt::format("AlexNet, batch 512, {}", hybrid ? "hybrid" : "data parallel"),
                      "MiB moved",
                      "the grouped AlexNet of 2012; gradients count 2 P G, features that enter the "
                      "first sharded layer once, exchanges behind it not",
                      {}};
  const std::vector<std::pair<int, double>> published =
      hybrid ? std::vector<std::pair<int, double>>{{2, 54}, {4, 89}, {8, 161}}
             : std::vector<std::pair<int, double>>{{2, 930}, {4, 1861}, {8, 3722}};
  for (const auto& [gpus, golden] : published) {
    const auto sharded = hybrid ? linear_layers() : std::vector<std::string>{};
    PLUTO_ASSIGN(const Plan plan, plan_for(model, gpus, kBatch / gpus, sharded));
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

Result<FoundingTable> alexnet_speed_ups(const HostMachine& machine) {
  PLUTO_ASSIGN(const ModelGraph model, build_model("alexnet"));
  PLUTO_ASSIGN(const Plan alone, plan_for(model, 1, kBatch, {}));
  PLUTO_ASSIGN(const double flops, step_flops(model, alone));
  const double gradients = static_cast<double>(parameter_count(model.graph)) * 4;
  // 1 / s = 1 / 2 + 2 P G / (sums T): what the host adds up per second.
  const double sums =
      4 * gradients / (machine.one_gpu_seconds * (1 / machine.speed_up_of_two - 0.5));
  Costs costs;
  costs.compute = [&](const OpSignature& op) {
    return op_work(op).flops.value() / flops * machine.one_gpu_seconds;
  };
  costs.exchange = [&](const CollectiveCall& call, const ClusterSpec& cluster) {
    if (call.kind == CollectiveKind::kAllReduce) return 2 * call.ranks * bytes(call) / sums;
    return collective_time(call, cluster, false).total().value();
  };
  FoundingTable table{
      fmt::format("AlexNet, batch 512, {} GPUs in one node", machine.name),
      "speed-up",
      fmt::format("one GPU takes {:.2f} s; time goes with FLOPs; gradients meet in host memory "
                  "after backward, where {:.0f} MiB/s are added up (from the first row); features "
                  "go over PCIe 3 (10 GB/s a direction, 10 us, two GPUs to a switch) and are added "
                  "up on the GPUs; data are generated",
                  machine.one_gpu_seconds, sums / kMiB),
      {}};
  for (const bool hybrid : {false, true}) {
    for (const auto& [gpus, golden] : hybrid ? machine.hybrid : machine.data) {
      const auto sharded = hybrid ? linear_layers() : std::vector<std::string>{};
      PLUTO_ASSIGN(Plan plan, plan_for(model, gpus, kBatch / gpus, sharded));
      plan.cluster.nodes = 1;
      plan.cluster.instance.node.devices = gpus;
      plan.cluster.instance.node.intra = {"PCIe 3", Seconds(10e-6), BytesPerSecond(10e9), 2};
      PLUTO_ASSIGN(const double step, step_seconds(model, plan, costs));
      table.rows.push_back({fmt::format("{} on {} GPUs", hybrid ? "hybrid" : "data parallel", gpus),
                            golden, machine.one_gpu_seconds / step, !hybrid && gpus == 2});
    }
  }
  return table;
}

Result<FoundingTable> late_multiplication() {
  PLUTO_ASSIGN(const ModelGraph model, build_model("alexnet"));
  constexpr std::int64_t kPerGpu = 256;
  constexpr double kProducts = 4.29e12 / 3;
  struct Network {
    const char* name;
    double reduced[2], multiplied[2];
  };
  const std::vector<Network> networks = {{"10 GbE", {894, 1287}, {164, 399}},
                                         {"56 Gb InfiniBand", {90, 185}, {51, 136}}};
  FoundingTable table{
      "late multiplication",
      "ms",
      "AlexNet, 256 images per GPU, one GPU per node; the time of synchronisation alone, ring "
      "all_reduce of all gradients against factors of the linear layers; the link carries what its "
      "first row says; rebuilding runs at a third of a K40's peak",
      {}};
  for (const Network& network : networks) {
    const double gradients = static_cast<double>(parameter_count(model.graph)) * 4;
    const double bandwidth = gradients / (network.reduced[0] * 1e-3);
    Costs costs;
    costs.compute = [&](const OpSignature& op) {
      const bool late = op.kind == OpKind::kLinear && op.pass == OpPass::kBackwardWeight &&
                        op.inputs[0].batch_multiple > 1;
      return late ? op_work(op).flops.value() / kProducts : 0.0;
    };
    costs.exchange = [](const CollectiveCall& call, const ClusterSpec& cluster) {
      return collective_time(call, cluster, false).total().value();
    };
    for (const bool factors : {false, true}) {
      for (const int i : {0, 1}) {
        const int gpus = i == 0 ? 2 : 4;
        PLUTO_ASSIGN(Plan plan, plan_for(model, gpus, kPerGpu, {}, factors));
        plan.cluster.instance.node.devices = 1;
        plan.cluster.instance.node.network = {network.name, Seconds(30e-6),
                                              BytesPerSecond(bandwidth), 1};
        plan.cluster.instance.node.intra = plan.cluster.instance.node.network;
        PLUTO_ASSIGN(const double step, step_seconds(model, plan, costs));
        table.rows.push_back({fmt::format("{}, {} GPUs, {}", network.name, gpus,
                                          factors ? "late multiplication" : "all_reduce"),
                              factors ? network.multiplied[i] : network.reduced[i], step * 1e3,
                              !factors && i == 0});
      }
    }
  }
  return table;
}

Result<FoundingTable> convnet_gains(const std::string& data_folder) {
  PLUTO_ASSIGN(const Catalog catalog, Catalog::load(data_folder + "/catalog"));
  PLUTO_ASSIGN(const DeviceSpec device, catalog.device("P100 PCIe"));
  RooflineOptions options;
  options.surfaces_path = data_folder + "/op_surfaces.json";
  PLUTO_ASSIGN(const auto source, make_roofline_source(data_folder + "/efficiency.json", options));
  FoundingTable table{
      "128 P100: ring, fusion and overlap",
      "% more images/s",
      "16 nodes of 8 P100 on PCIe 3 and 25 Gb/s Ethernet, 32 images per GPU; before: the GPUs of a "
      "node sum up, then 16 parameter servers on the nodes that train exchange all gradients after "
      "backward, at the fraction of the link that the first row implies; after: ring in buckets of "
      "25 MB as they become ready",
      {}};
  constexpr int kRanks = 128, kNodes = 16;
  constexpr std::int64_t kPerGpu = 32;
  constexpr double kBucket = 25e6;
  const std::vector<std::pair<std::string, double>> published = {
      {"resnet50", 63}, {"resnet101", 70}, {"inception-v3", 50}, {"vgg16", 80}};
  std::optional<double> slowness;  // of the servers' exchange, against the closed form
  for (const auto& [name, golden] : published) {
    PLUTO_ASSIGN(const ModelGraph model, build_model(name));
    const auto on_cluster = [&](int ranks, int nodes) -> Result<Plan> {
      PLUTO_ASSIGN(Plan plan, plan_for(model, ranks, kPerGpu, {}));
      auto& node = plan.cluster.instance.node;
      plan.cluster.nodes = nodes;
      node.device = device;
      node.devices = std::max(1, ranks / nodes);
      node.intra = {"PCIe 3", Seconds(10e-6), BytesPerSecond(10e9), 2};
      node.network = {"25 GbE", Seconds(30e-6), BytesPerSecond(25e9 / 8), node.devices};
      return plan;
    };
    const auto seconds = [&](const Plan& one) -> Result<double> {
      PLUTO_ASSIGN(const LoweredPlan lowered, lower(model, one));
      PLUTO_ASSIGN(const SimulatedStep step,
                   simulate(lowered, one.cluster, one.data, *source, {.timeline = false}));
      return step.makespan.value();
    };
    PLUTO_ASSIGN(const Plan single, on_cluster(1, 1));
    PLUTO_ASSIGN(const double alone, seconds(single));
    PLUTO_ASSIGN(Plan served, on_cluster(kNodes, kNodes));
    served.buckets[0].method = SyncMethod::kParameterServer;
    for (int n = 0; n < kNodes; ++n) served.servers.push_back(n);
    PLUTO_ASSIGN(const double exchanged, seconds(served));
    PLUTO_ASSIGN(Plan fused, on_cluster(kRanks, kNodes));
    fused.buckets.clear();
    PLUTO_ASSIGN(const auto order, gradient_order(model, fused));
    double open = kBucket;
    for (const GradientInfo& info : order) {
      if (open >= kBucket) {
        fused.buckets.emplace_back();
        open = 0;
      }
      fused.buckets.back().parameters.push_back(info.name);
      open += static_cast<double>(info.bytes.value());
    }
    PLUTO_ASSIGN(const double after, seconds(fused));
    const bool anchor = !slowness;
    if (anchor) slowness = ((1 + golden / 100) * after - alone) / (exchanged - alone);
    const double before = alone + *slowness * (exchanged - alone);
    table.rows.push_back({name, golden, (before / after - 1) * 100, anchor});
  }
  return table;
}

FoundingTable recommender_gains() {
  return {"recommender, 64 nodes",
          "times faster",
          "not predicted: model, batch, number of servers and network are unsaid; 16-bit floats "
          "alone halve the bytes, so 2.5 holds more than they do",
          {{"reading in parallel", 2.1, std::nullopt},
           {"ring all_reduce for parameter servers", 2.7, std::nullopt},
           {"fp16 on the wire", 2.5, std::nullopt}}};
}

std::string to_text(const FoundingTable& table) {
  std::string text =
      fmt::format("{} ({})\n  assumed: {}\n", table.name, table.unit, table.assumptions);
  for (const FoundingRow& row : table.rows) {
    if (!row.predicted) {
      text += fmt::format("  {:<44} {:>9.2f}         -\n", row.what, row.published);
      continue;
    }
    text += fmt::format("  {:<44} {:>9.2f} {:>9.2f}  {:>+6.1f} %{}\n", row.what, row.published,
                        *row.predicted, 100 * row.relative_error(), row.anchor ? "  anchor" : "");
  }
  return text;
}

}  // namespace pluto
