#include "costmodel/transformer_validation.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "plan/catalog.h"

namespace pluto {

namespace {

constexpr double kNoise = 0.07;
constexpr std::size_t kThinning = 12;  // 1440 rows of one node must not outvote the others

const TransformerCosts& costs_for(const TransformerRow& row, const CostsByGeneration& costs) {
  const auto found = costs.find(generation(row));
  return found == costs.end() ? costs.at("A100") : found->second;
}

double kendall(const std::vector<std::pair<double, double>>& pairs) {
  double score = 0, left = 0, right = 0;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const double a = pairs[i].first - pairs[j].first;
      const double b = pairs[i].second - pairs[j].second;
      if (a != 0) ++left;
      if (b != 0) ++right;
      if (a * b != 0) score += a * b > 0 ? 1 : -1;
    }
  }
  return left > 0 && right > 0 ? score / std::sqrt(left * right) : 1;
}

}  // namespace

std::string generation(const TransformerRow& row) {
  const auto& name = row.point.cluster.instance.node.device.name;
  return name.substr(0, name.find(' '));
}

std::string system_of(const std::string& family) { return family.substr(0, family.find('_')); }

Result<std::vector<TransformerFamily>> load_transformer_families(const std::string& data_folder) {
  const std::string measured = data_folder + "/measured/";
  PLUTO_ASSIGN(const Catalog catalog, Catalog::load(data_folder + "/catalog"));
  PLUTO_ASSIGN(const auto nodes,
               read_transformer_nodes(measured + "clusters.csv", catalog.devices()));
  std::vector<TransformerFamily> families;
  for (const char* name : {"vtrain_node", "vtrain_cluster", "bigscience", "megatron", "mosaic"}) {
    PLUTO_ASSIGN(auto rows, read_transformer_points(measured + name + ".csv", nodes));
    families.push_back({name, std::move(rows)});
  }
  return families;
}

CostsByGeneration shipped_costs(std::span<const TransformerFamily> families,
                                const TransformerCostTable& table) {
  CostsByGeneration costs;
  for (const TransformerFamily& family : families) {
    for (const auto& row : family.rows) {
      costs[generation(row)] = table.costs_for(row.point.cluster.instance.node.device);
    }
  }
  return costs;
}

CostsByGeneration fit_without(std::span<const TransformerFamily> families,
                              const std::string& system, const TransformerCostTable& table) {
  std::map<std::string, std::vector<TransformerPoint>> points;
  std::map<std::string, DeviceSpec> devices;
  for (const TransformerFamily& family : families) {
    for (const auto& row : family.rows) {
      devices.try_emplace(generation(row), row.point.cluster.instance.node.device);
    }
    if (system_of(family.name) == system) continue;
    const std::size_t thinning = family.rows.size() > 1000 ? kThinning : 1;
    for (std::size_t i = 0; i < family.rows.size(); i += thinning) {
      const auto& row = family.rows[i];
      if (row.point.step.value() > 0) points[generation(row)].push_back(row.point);
    }
  }
  CostsByGeneration costs;
  const auto fit = [&](const std::string& name, const TransformerCosts& start) {
    const auto found = calibrate_transformer(points[name], start, kNoise);
    costs[name] = found.ok() ? found->costs : start;
    costs[name].spread = start.spread;
    costs[name].step_spread = start.step_spread;
  };
  fit("A100", table.believed());
  for (const auto& [name, device] : devices) {
    if (name != "A100") fit(name, table.with_beliefs(costs["A100"], device));
  }
  return costs;
}

TransformerStep predicted_step(const TransformerRow& row, const CostsByGeneration& costs,
                               const LayerFactors& factors) {
  const auto& [shape, plan, cluster, measured] = row.point;
  const TransformerCosts& used = costs_for(row, costs);
  const auto step = predict_transformer(shape, plan, cluster, used);
  if (!step.ok()) return TransformerStep{};
  return predict_measured_layers(shape, plan, cluster, used, factors);
}

ScoredStep scored(const TransformerRow& row, const CostsByGeneration& costs,
                  const LayerFactors& factors) {
  return {predicted_step(row, costs, factors).step().value(), row.point.step.value(),
          costs_for(row, costs).step_spread};
}

StepErrors errors_of(std::span<const TransformerRow> rows, const CostsByGeneration& costs,
                     const LayerFactors& factors) {
  std::vector<ScoredStep> steps;
  for (const auto& row : rows) {
    if (row.point.step.value() > 0) steps.push_back(scored(row, costs, factors));
  }
  return summarize_errors(steps);
}

PlanRanking ranking_of(std::span<const TransformerRow> rows, const CostsByGeneration& costs,
                       const LayerFactors& factors) {
  using Key = std::tuple<std::string, int, int, int, int, int, int>;
  std::map<Key, std::vector<std::pair<double, double>>> groups;  // predicted, measured
  for (const auto& row : rows) {
    if (!(row.point.step.value() > 0)) continue;
    const auto& shape = row.point.shape;
    groups[{row.cluster, shape.layers, shape.hidden, shape.heads, shape.sequence,
            row.point.plan.devices(), row.point.plan.global_batch}]
        .emplace_back(predicted_step(row, costs, factors).step().value(), row.point.step.value());
  }
  PlanRanking ranking;
  for (const auto& [key, pairs] : groups) {
    if (pairs.size() < 2) continue;
    ++ranking.groups;
    ranking.tau += kendall(pairs);
    const double chosen = std::ranges::min(pairs).second;
    const double best = std::ranges::min(pairs, {}, &std::pair<double, double>::second).second;
    ranking.mean_regret += chosen / best - 1;
    ranking.worst_regret = std::max(ranking.worst_regret, chosen / best - 1);
  }
  if (ranking.groups > 0) {
    ranking.tau /= ranking.groups;
    ranking.mean_regret /= ranking.groups;
  }
  return ranking;
}

}  // namespace pluto
