// What the constants of the closed form of transformer steps rest on: errors per family with the
// shipped ones, with ones that never saw the family and with those believed before any
// measurement; what twenty short runs give; predictions per second. Single rows and memory:
// pluto-plan validate. Usage: validate_transformer [DATA_FOLDER]

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "base/statistics.h"
#include "costmodel/transformer_layer_factor.h"
#include "costmodel/transformer_validation.h"

namespace pluto::bench {
namespace {

constexpr std::size_t kRuns = 20;
constexpr int kMostDevices = 4;
constexpr int kMostLayers = 16;

void print_header() {
  fmt::print("{:<34} {:>5} {:>7} {:>7} {:>7} {:>9} {:>6} {:>6} {:>13}\n", "family", "n", "median",
             "p90", "bias", "p10..p90", "groups", "tau", "regret (worst)");
}

void print_family(const std::string& name, std::span<const TransformerRow> rows,
                  const CostsByGeneration& costs) {
  const StepErrors errors = errors_of(rows, costs);
  if (errors.relative.empty()) return;
  const PlanRanking ranking = ranking_of(rows, costs);
  fmt::print("{:<34} {:>5} {:>5.1f} % {:>5.1f} % {:>+5.1f} % {:>7.0f} %", name,
             errors.relative.size(), 100 * errors.median, 100 * errors.p90, 100 * errors.bias,
             100 * errors.coverage);
  if (ranking.groups > 0) {
    fmt::print(" {:>6} {:>6.2f} {:>5.1f} ({:.1f}) %", ranking.groups, ranking.tau,
               100 * ranking.mean_regret, 100 * ranking.worst_regret);
  }
  fmt::print("\n");
}

/// Errors on rows whose layers run the kernels of one of `points`, and on the others: rows of one
/// kind of layer tell each other's answer.
void print_by_kind(const std::vector<TransformerPoint>& points,
                   const std::vector<TransformerRow>& rows, const TransformerCosts& costs) {
  const LayerFactors factors(points, costs);
  const auto print = [&](const char* name, bool seen, const LayerFactors& used) {
    std::vector<double> sizes;
    for (const auto& row : rows) {
      const auto& one = row.point;
      if (factors.factors().contains(layer_kernels(one.shape, one.plan)) != seen) continue;
      const auto step = predict_measured_layers(one.shape, one.plan, one.cluster, costs, used);
      sizes.push_back(std::abs(step.step() / one.step - 1));
    }
    if (sizes.empty()) return;
    fmt::print("{:<34} {:>5} {:>5.1f} % {:>5.1f} %\n", name, sizes.size(), 100 * median(sizes),
               100 * quantile(sizes, 0.9));
  };
  print("of a kind of layer that ran", true, {});
  print("  with factors of measured layers", true, factors);
  print("of no kind that ran", false, {});
}

/// `found` of a calibration from `runs`, on everything else of both tables of the system.
void print_calibrated(const std::vector<std::size_t>& runs, const std::vector<TransformerRow>& pool,
                      const TransformerFamily& node, const TransformerFamily& cluster,
                      const TransformerCosts& start) {
  std::vector<TransformerPoint> points;
  std::vector<int> used;
  for (const std::size_t i : runs) {
    points.push_back(pool[i].point);
    used.push_back(pool[i].line);
  }
  const auto found = calibrate_transformer(points, start);
  if (!found.ok()) {
    fmt::print("{}\n", found.error().message);
    return;
  }
  const CostsByGeneration costs{{"A100", found->costs}};
  fmt::print("{} runs, {} iterations: their median error {:.1f} -> {:.1f} %\n", found->points,
             found->iterations, 100 * found->before, 100 * found->after);
  std::vector<TransformerRow> rest, eight, deeper;
  for (const auto& row : node.rows) {
    if (std::ranges::find(used, row.line) != used.end()) continue;
    rest.push_back(row);
    if (row.point.plan.devices() == 8) eight.push_back(row);
    if (row.point.shape.layers > kMostLayers) deeper.push_back(row);
  }
  print_header();
  print_family("other points of the node", rest, costs);
  print_family("  of them on 8 devices", eight, costs);
  print_family("  of them with more layers", deeper, costs);
  print_by_kind(points, rest, found->costs);
  print_family("across nodes (64 devices)", cluster.rows, costs);
  for (std::size_t c = 0; c < kTransformerConstants; ++c) {
    if (found->costs.spread[c] < 0.6 * start.spread[c]) {
      fmt::print("  {} {:.3g} -> {:.3g}\n", to_text(static_cast<TransformerConstant>(c)),
                 start.value[c], found->costs.value[c]);
    }
  }
}

void print_calibration(const std::vector<TransformerFamily>& families,
                       const TransformerCosts& believed) {
  const auto of = [&](const char* name) {
    return *std::ranges::find(families, name, &TransformerFamily::name);
  };
  const TransformerFamily node = of("vtrain_node");
  const TransformerFamily cluster = of("vtrain_cluster");
  const TransformerCosts start = fit_without(families, "vtrain", believed).at("A100");
  std::vector<TransformerRow> pool;
  for (const auto& row : node.rows) {
    if (row.point.plan.devices() <= kMostDevices && row.point.shape.layers <= kMostLayers) {
      pool.push_back(row);
    }
  }
  fmt::print(
      "\ncalibration: {} of {} runs of vtrain_node on at most {} devices with at most {} layers, "
      "from constants that never saw vTrain\nrule: each next run is the one whose prediction is "
      "least certain\n",
      kRuns, pool.size(), kMostDevices, kMostLayers);
  print_calibrated(informative(pool, kRuns, start, 0.05), pool, node, cluster, start);

  std::vector<double> inside, across;
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    std::vector<TransformerRow> shuffled = pool;
    std::ranges::shuffle(shuffled, random);
    std::vector<TransformerPoint> points;
    for (std::size_t i = 0; i < kRuns; ++i) points.push_back(shuffled[i].point);
    const auto found = calibrate_transformer(points, start);
    if (!found.ok()) continue;
    const CostsByGeneration costs{{"A100", found->costs}};
    inside.push_back(errors_of(node.rows, costs).median);
    across.push_back(errors_of(cluster.rows, costs).median);
  }
  fmt::print(
      "rule: drawn at random, 20 draws: median error in the node {:.1f} % (worst draw {:.1f} %), "
      "across nodes {:.1f} % ({:.1f} %)\n",
      100 * median(inside), 100 * *std::ranges::max_element(inside), 100 * median(across),
      100 * *std::ranges::max_element(across));

  std::vector<TransformerPoint> points;
  for (const std::size_t i : informative(pool, kRuns - 4, start, 0.05)) {
    points.push_back(pool[i].point);
  }
  for (const std::size_t i : informative(cluster.rows, 4, start, 0.05)) {
    points.push_back(cluster.rows[i].point);
  }
  if (const auto found = calibrate_transformer(points, start); found.ok()) {
    const CostsByGeneration costs{{"A100", found->costs}};
    fmt::print("with 4 of the {} runs on 64 devices: in the node {:.1f} %, across nodes {:.1f} %\n",
               kRuns, 100 * errors_of(node.rows, costs).median,
               100 * errors_of(cluster.rows, costs).median);
  }
}

void print_speed(const TransformerFamily& family, const TransformerCosts& costs) {
  // GPT-3 175B on 1,024 devices of the first cluster: every split, micro-batch and sharding.
  const auto shape = TransformerShape::gpt(96, 12288, 96, 2048, 51200);
  ClusterSpec cluster = family.rows.front().point.cluster;
  cluster.nodes = 1024 / cluster.instance.node.devices;
  using Clock = std::chrono::steady_clock;
  std::int64_t count = 0;
  double sum = 0;
  const auto start = Clock::now();
  double seconds = 0;
  while (seconds < 1) {
    for (int tensor = 1; tensor <= 32; tensor *= 2) {
      for (int micro_batch = 1; micro_batch <= 8; micro_batch *= 2) {
        for (const auto recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
          TransformerPlan plan;
          plan.tensor = tensor;
          plan.micro_batch = micro_batch;
          plan.recompute = recompute;
          plan.precision = TrainPrecision::kFp16;
          const auto layer = layer_cost(shape, plan, cluster, costs);
          for (int pipeline = 1; pipeline <= 32; pipeline *= 2) {
            plan.pipeline = pipeline;
            plan.data = 1024 / tensor / pipeline;
            for (plan.interleave = 1; plan.interleave * pipeline <= 96; ++plan.interleave) {
              for (plan.shard = 0; plan.shard <= 2; ++plan.shard) {
                plan.global_batch = plan.data * micro_batch * 8;
                sum += predict_transformer(layer, shape, plan, cluster, costs).step().value();
                ++count;
              }
            }
          }
        }
      }
    }
    seconds = std::chrono::duration<double>(Clock::now() - start).count();
  }
  fmt::print(
      "\nGPT-3 175B on 1024 devices: {:.2f} million predictions per second on one core (mean "
      "step {:.1f} s)\n",
      static_cast<double>(count) / seconds / 1e6, sum / static_cast<double>(count));
}

int run(const std::string& root) {
  const auto families = load_transformer_families(root);
  if (!families.ok()) {
    fmt::print(stderr, "error: {}\n", families.error().message);
    return 2;
  }
  const auto table = TransformerCostTable::load(root + "/transformer.json");
  if (!table.ok()) {
    fmt::print(stderr, "error: {}\n", table.error().message);
    return 2;
  }
  const CostsByGeneration shipped = shipped_costs(*families, *table);
  fmt::print("shipped constants (fitted to these families together)\n");
  print_header();
  for (const TransformerFamily& family : *families) print_family(family.name, family.rows, shipped);
  std::map<std::string, std::vector<TransformerRow>> by_cluster;
  for (const TransformerFamily& family : *families) {
    for (const auto& row : family.rows) {
      if (family.name == "megatron" || family.name == "mosaic") {
        by_cluster[row.cluster].push_back(row);
      }
    }
  }
  for (const auto& [name, rows] : by_cluster) print_family("  " + name, rows, shipped);

  fmt::print("\nconstants fitted without the family (vTrain: without both of its tables)\n");
  print_header();
  for (const TransformerFamily& family : *families) {
    print_family(family.name, family.rows,
                 fit_without(*families, system_of(family.name), table->believed()));
  }
  fmt::print("\nconstants believed before any measurement\n");
  print_header();
  for (const TransformerFamily& family : *families) {
    print_family(family.name, family.rows, {{"A100", table->believed()}});
  }
  print_calibration(*families, table->believed());
  print_speed(families->front(), shipped.at("A100"));
  return 0;
}

}  // namespace
}  // namespace pluto::bench

int main(int argc, char** argv) { return pluto::bench::run(argc > 1 ? argv[1] : "data"); }
