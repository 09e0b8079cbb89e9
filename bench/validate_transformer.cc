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
#include "costmodel/transformer_design.h"
#include "costmodel/transformer_evidence.h"
#include "costmodel/transformer_layer_factor.h"
#include "costmodel/transformer_validation.h"

namespace pluto::bench {
namespace {

constexpr std::size_t kRuns = 20;
constexpr int kMostLayers = 16;
constexpr unsigned kSeeds = 20;

void print_header() {
  fmt::print("{:<34} {:>5} {:>7} {:>7} {:>7} {:>9} {:>6} {:>6} {:>15}\n", "family", "n", "median",
             "p90", "bias", "p10..p90", "groups", "tau", "regret (worst)");
}

void print_family(const std::string& name, std::span<const TransformerRow> rows,
                  const CostsByGeneration& costs, const LayerFactors& factors = {}) {
  const StepErrors errors = errors_of(rows, costs, factors);
  if (errors.relative.empty()) return;
  const PlanRanking ranking = ranking_of(rows, costs, factors);
  fmt::print("{:<34} {:>5} {:>5.1f} % {:>5.1f} % {:>+5.1f} % {:>7.0f} %", name,
             errors.relative.size(), 100 * errors.median, 100 * errors.p90, 100 * errors.bias,
             100 * errors.coverage);
  if (ranking.groups > 0) {
    fmt::print(" {:>6} {:>6.3f} {:>6.2f} ({:.1f}) %", ranking.groups, ranking.tau,
               100 * ranking.mean_regret, 100 * ranking.worst_regret);
  }
  fmt::print("\n");
}

/// One system measured in one node and across nodes, and what is known before.
struct System {
  std::vector<TransformerRow> node, cluster;
  TransformerCosts start;  ///< never saw the system
};

/// Rows of the node that a calibration may choose its runs from.
std::vector<TransformerRow> pool_of(const System& system, int most_devices) {
  std::vector<TransformerRow> pool;
  for (const auto& row : system.node) {
    if (row.point.plan.devices() <= most_devices && row.point.shape.layers <= kMostLayers) {
      pool.push_back(row);
    }
  }
  return pool;
}

std::vector<TransformerPoint> points_of(std::span<const TransformerRow> rows) {
  std::vector<TransformerPoint> points;
  for (const auto& row : rows) points.push_back(row.point);
  return points;
}

/// The runs that `pluto-plan calibrate --suggest` would name to tell the node's plans apart.
std::vector<TransformerRow> chosen_from(std::span<const TransformerRow> pool, std::size_t count,
                                        const System& system) {
  std::vector<TransformerRow> chosen;
  for (const std::size_t i :
       choose_runs(points_of(pool), points_of(system.node), {}, count, system.start)) {
    chosen.push_back(pool[i]);
  }
  return chosen;
}

struct Calibrated {
  std::vector<TransformerRow> rest;  ///< of the node
  CostsByGeneration costs;
  LayerFactors factors;
};

Calibrated calibrated(std::span<const TransformerRow> runs, const System& system) {
  Calibrated one;
  const auto points = points_of(runs);
  const auto found = calibrate_transformer(points, system.start);
  one.costs["A100"] = found.ok() ? found->costs : system.start;
  one.factors = LayerFactors(points, one.costs["A100"]);
  for (const auto& row : system.node) {
    if (std::ranges::find(runs, row.line, &TransformerRow::line) == runs.end()) {
      one.rest.push_back(row);
    }
  }
  return one;
}

void print_calibrated(const std::string& name, std::span<const TransformerRow> runs,
                      const System& system) {
  const Calibrated found = calibrated(runs, system);
  const auto& kinds = found.factors.factors();
  std::vector<TransformerRow> eight, deeper, ran, unseen;
  for (const auto& row : found.rest) {
    if (row.point.plan.devices() == 8) eight.push_back(row);
    if (row.point.shape.layers > kMostLayers) deeper.push_back(row);
    const bool known = kinds.contains(layer_kernels(row.point.shape, row.point.plan));
    (known ? ran : unseen).push_back(row);
  }
  fmt::print("\n{} runs {}, {} kinds of layers\n", runs.size(), name, kinds.size());
  print_header();
  print_family("other points, constants alone", found.rest, found.costs);
  print_family("other points of the node", found.rest, found.costs, found.factors);
  print_family("  of them on 8 devices", eight, found.costs, found.factors);
  print_family("  of them with more layers", deeper, found.costs, found.factors);
  print_family("  of a kind of layer that ran", ran, found.costs, found.factors);
  print_family("  of no kind that ran", unseen, found.costs, found.factors);
  print_family("across nodes (64 devices)", system.cluster, found.costs, found.factors);
}

/// Median and worst over seeds of what a choice of runs gives.
template <class Choose>
void print_seeds(const std::string& name, const System& system, Choose choose) {
  std::vector<double> inside, p90, tau, regret, worst, across;
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    std::mt19937 random(seed);
    const Calibrated found = calibrated(choose(random), system);
    const StepErrors errors = errors_of(found.rest, found.costs, found.factors);
    const PlanRanking ranking = ranking_of(found.rest, found.costs, found.factors);
    inside.push_back(100 * errors.median);
    p90.push_back(100 * errors.p90);
    tau.push_back(ranking.tau);
    regret.push_back(100 * ranking.mean_regret);
    worst.push_back(100 * ranking.worst_regret);
    across.push_back(100 * errors_of(system.cluster, found.costs, found.factors).median);
  }
  const auto text = [](const std::vector<double>& values, double bad) {
    return fmt::format("{:.1f} ({:.1f})", median(values), bad);
  };
  using std::ranges::max;
  fmt::print("{:<44} {:>11} {:>12} {:.2f} ({:.2f}) {:>12} {:>12} {:>11}\n", name,
             text(inside, max(inside)), text(p90, max(p90)), median(tau), std::ranges::min(tau),
             text(regret, max(regret)), text(worst, max(worst)), text(across, max(across)));
}

void print_calibration(const std::vector<TransformerFamily>& families,
                       const TransformerCostTable& table) {
  const auto of = [&](const char* name) {
    return std::ranges::find(families, name, &TransformerFamily::name)->rows;
  };
  const System system{of("vtrain_node"), of("vtrain_cluster"),
                      fit_without(families, "vtrain", table).at("A100")};
  fmt::print(
      "\ncalibration with {} runs of vtrain_node with at most {} layers, from constants that never "
      "saw vTrain\n",
      kRuns, kMostLayers);
  for (const int devices : {4, 8}) {
    const auto pool = pool_of(system, devices);
    print_calibrated(fmt::format("chosen from {} on at most {} devices", pool.size(), devices),
                     chosen_from(pool, kRuns, system), system);
  }
  fmt::print("\nall rows: the least that factors of layers leave\n");
  const Calibrated all = calibrated(system.node, system);
  print_header();
  print_family("vtrain_node", system.node, all.costs);
  print_family("  with factors of all kinds", system.node, all.costs, all.factors);
  if (const auto errors = left_out_errors(points_of(system.node), system.start, 32); errors.ok()) {
    std::vector<double> sizes;
    for (const double error : *errors) sizes.push_back(100 * std::abs(std::expm1(error)));
    fmt::print("  each kind of layer left out: median {:.1f} %, p90 {:.1f} %\n", median(sizes),
               quantile(sizes, 0.9));
  }
  fmt::print("\n{} seeds, median (worst), %\n{:<44} {:>11} {:>12} {:>11} {:>12} {:>12} {:>11}\n",
             kSeeds, "runs", "in the node", "p90", "tau", "mean regret", "worst regret", "across");
  for (const int devices : {4, 8}) {
    const auto pool = pool_of(system, devices);
    const auto drawn = [&](std::mt19937& random, std::size_t count) {
      auto rows = pool;
      std::ranges::shuffle(rows, random);
      rows.resize(count);
      return rows;
    };
    print_seeds(fmt::format("chosen from a random half, {} devices", devices), system,
                [&](std::mt19937& random) {
                  return chosen_from(drawn(random, pool.size() / 2), kRuns, system);
                });
    print_seeds(fmt::format("drawn at random, {} devices", devices), system,
                [&](std::mt19937& random) { return drawn(random, kRuns); });
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
  std::vector<ScoredStep> held_out;
  for (const TransformerFamily& family : *families) {
    const auto costs = fit_without(*families, system_of(family.name), *table);
    print_family(family.name, family.rows, costs);
    for (const auto& row : family.rows) {
      if (row.point.step.value() > 0) held_out.push_back(scored(row, costs));
    }
  }
  const StepErrors all = summarize_errors(held_out);
  fmt::print("{:<34} {:>5} {:>5.1f} % {:>5.1f} %\n", "all rows", held_out.size(), 100 * all.median,
             100 * all.p90);
  fmt::print("\nconstants believed before any measurement\n");
  print_header();
  for (const TransformerFamily& family : *families) {
    print_family(family.name, family.rows, {{"A100", table->believed()}});
  }
  print_calibration(*families, *table);
  print_speed(families->front(), shipped.at("A100"));
  return 0;
}

}  // namespace
}  // namespace pluto::bench

int main(int argc, char** argv) { return pluto::bench::run(argc > 1 ? argv[1] : "data"); }
