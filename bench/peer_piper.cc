#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "base/csv.h"
#include "base/document.h"
#include "bench/peer_cases.h"
#include "planner/device_stages.h"
#include "planner/layer_strategies.h"

namespace pluto::bench {
namespace {

constexpr std::array kTensor = {1, 2, 4, 8};

struct Way {
  double time = 0, parameters = 0;
  std::int64_t kept = 0, fixed = 0;
};
struct Node {
  std::array<std::vector<Way>, kTensor.size()> ways;  // by tensor degree: without, with recompute
};
struct Edge {
  std::size_t from = 0, to = 0;
  double bytes = 0, gather = 0, scatter = 0;
};

/// Sets of nodes that hold what they read, by size; one bit per node.
using NodeSet = std::uint64_t;

struct Model {
  std::vector<Node> nodes;
  std::vector<Edge> edges;
  std::vector<NodeSet> sets;
};

Result<CsvTable> read_table(const std::string& path) {
  PLUTO_ASSIGN(const std::string text, read_file(path));
  return CsvTable::parse(text, path);
}

Result<Model> read_model(const std::string& folder) {
  PLUTO_ASSIGN(const CsvTable layers, read_table(folder + "/piper_bert32_layers.csv"));
  PLUTO_ASSIGN(const CsvTable edges, read_table(folder + "/piper_bert32_edges.csv"));
  const auto number = [](const CsvTable& table, std::size_t row, const char* column) {
    return table.number(row, column).value_or(0);
  };
  Model model;
  for (std::size_t i = 0; i < layers.rows(); ++i) {
    const auto node = static_cast<std::size_t>(number(layers, i, "layer"));
    if (node >= model.nodes.size()) model.nodes.resize(node + 1);
    const auto tensor = std::ranges::find(kTensor, static_cast<int>(number(layers, i, "tensor")));
    model.nodes[node].ways[static_cast<std::size_t>(tensor - kTensor.begin())].push_back(
        {number(layers, i, "time_s"), number(layers, i, "parameter_bytes"),
         static_cast<std::int64_t>(number(layers, i, "kept_bytes")),
         static_cast<std::int64_t>(number(layers, i, "fixed_bytes"))});
  }
  std::vector<NodeSet> reads(model.nodes.size(), 0);
  for (std::size_t i = 0; i < edges.rows(); ++i) {
    const auto from = static_cast<std::size_t>(number(edges, i, "from"));
    const auto to = static_cast<std::size_t>(number(edges, i, "to"));
    model.edges.push_back({from, to, number(edges, i, "bytes"), number(edges, i, "gather_bytes"),
                           number(edges, i, "scatter_bytes")});
    reads[to] |= NodeSet{1} << from;
  }
  std::map<NodeSet, bool> known{{0, true}};
  model.sets = {0};
  for (std::size_t at = 0; at < model.sets.size(); ++at) {
    const NodeSet set = model.sets[at];
    for (std::size_t node = 0; node < model.nodes.size(); ++node) {
      const NodeSet bit = NodeSet{1} << node;
      if ((set & bit) != 0 || (reads[node] & ~set) != 0) continue;
      if (known.try_emplace(set | bit, true).second) model.sets.push_back(set | bit);
    }
  }
  return model;
}

struct Limits {
  double memory_gib = 0;
  int devices = 0, micro_batches = 0;
};

/// Piper's cost of a stage: per node compute / d, 2 (bytes + resharding) / d for each edge that
/// leaves or enters the stage, and 4 (d - 1) / d parameters / micro-batches, over the bandwidth;
/// memory kept * in_flight + fixed. Which nodes recompute: exactly.
class Stages {
 public:
  Stages(const Model& model, const Limits& limits) : model_(model), limits_(limits) {
    for (int t : kTensor) {
      for (int d = 1; d * t <= limits.devices; ++d) {
        if (limits.micro_batches % d == 0) ways_.push_back({d * t, d});
      }
    }
  }
  const std::vector<StageWay>& ways() const { return ways_; }
  std::int64_t knapsacks() const { return knapsacks_; }

  std::optional<Seconds> time(std::size_t begin, std::size_t end, std::size_t way, int in_flight) {
    constexpr double kBandwidth = 25.0 * (std::int64_t{1} << 30);
    const NodeSet before = model_.sets[begin], after = model_.sets[end];
    if ((before & ~after) != 0) return std::nullopt;
    const NodeSet own = after & ~before;
    const auto [devices, d] = ways_[way];
    const auto t =
        static_cast<std::size_t>(std::ranges::find(kTensor, devices / d) - kTensor.begin());
    const Bytes limit(static_cast<std::int64_t>(limits_.memory_gib * (std::int64_t{1} << 30)));
    double fastest = 0, common = 0;
    std::int64_t memory = 0;
    for (std::size_t n = 0; n < model_.nodes.size(); ++n) {
      if ((own >> n & 1) == 0) continue;
      const Way& way_of = *std::ranges::min_element(model_.nodes[n].ways[t], {}, &Way::time);
      fastest += way_of.time / d;
      memory += way_of.kept * in_flight + way_of.fixed;
      common += 4.0 * (d - 1) * way_of.parameters / d / limits_.micro_batches;
    }
    common += crossing(begin, end, own, t) / d;
    common /= kBandwidth;
    if (memory <= limit.value()) return Seconds(fastest + common);
    std::vector<LayerRun> runs;
    for (std::size_t n = 0; n < model_.nodes.size(); ++n) {
      if ((own >> n & 1) == 0) continue;
      LayerRun run;
      for (const Way& one : model_.nodes[n].ways[t]) {
        run.choices.push_back({Seconds(one.time / d), Bytes(one.kept * in_flight + one.fixed)});
      }
      runs.push_back(std::move(run));
    }
    ++knapsacks_;
    const auto chosen = choose_strategies(runs, limit);
    if (!chosen.ok() || !chosen->has_value()) return std::nullopt;
    return (*chosen)->time + Seconds(common);
  }

 private:
  double crossing(std::size_t begin, std::size_t end, NodeSet own, std::size_t t) {
    double& bytes = crossing_.try_emplace({begin, end, t}, -1.0).first->second;
    if (bytes >= 0) return bytes;
    bytes = 0;
    for (const Edge& edge : model_.edges) {
      const bool from = (own >> edge.from & 1) != 0, to = (own >> edge.to & 1) != 0;
      if (from == to) continue;
      bytes += 2 * (edge.bytes + (t == 0 ? 0.0 : to ? edge.gather : edge.scatter));
    }
    return bytes;
  }

  const Model& model_;
  const Limits& limits_;
  std::vector<StageWay> ways_;
  std::map<std::tuple<std::size_t, std::size_t, std::size_t>, double> crossing_;
  std::int64_t knapsacks_ = 0;
};

Result<PeerCase> solve(const Model& model, const Limits& limits, double their_seconds,
                       double their_objective) {
  const double start = cpu_seconds();
  Stages stages(model, limits);
  DeviceRules rules;
  rules.positions = model.sets.size() - 1;
  rules.ways = stages.ways();
  rules.devices = limits.devices;
  rules.replicas = std::min(limits.devices, limits.micro_batches);
  const StageTime time = [&](std::size_t begin, std::size_t end, std::size_t way, int in_flight) {
    return stages.time(begin, end, way, in_flight);
  };
  PLUTO_ASSIGN(const auto found, device_stages(rules, time));
  PeerCase one;
  one.seconds = cpu_seconds() - start;
  one.name = fmt::format("Piper, BERT-32 on {} GPUs of {} GiB, {} micro-batches", limits.devices,
                         limits.memory_gib, limits.micro_batches);
  one.their_seconds = their_seconds;
  one.their_objective = their_objective * 1e3;
  one.unit = "ms per micro-batch";
  if (!found) return one;
  one.objective = found->slowest.value() * 1e3;
  one.note = fmt::format(
      "{} stages on {} GPUs; {} recompute choices solved exactly, by a greedy heuristic there",
      found->stages.size(), found->devices, stages.knapsacks());
  return one;
}

}  // namespace

Result<std::vector<PeerCase>> piper_cases(const std::string& folder) {
  PLUTO_ASSIGN(const Model model, read_model(folder));
  std::vector<PeerCase> cases;
  // Their answers: algo.cpp at d7fc8cf910, with these limits and 25 GiB/s.
  PLUTO_ASSIGN(cases.emplace_back(), solve(model, {40, 64, 64}, 0.20, 0.021960615331053736));
  PLUTO_ASSIGN(cases.emplace_back(), solve(model, {8, 512, 1920}, 3.3, 0.0025611278460125134));
  PLUTO_ASSIGN(cases.emplace_back(), solve(model, {40, 2048, 512}, 15.0, 0.0011852683803394901));
  return cases;
}

}  // namespace pluto::bench
