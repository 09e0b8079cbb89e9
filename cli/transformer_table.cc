#include "cli/transformer_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/plan_table.h"

namespace pluto {

namespace {

std::string key_of(const std::string& setting) { return setting.substr(0, setting.find('=')); }

std::string probability(const Prediction& p) {
  const auto found = p.p_both ? p.p_both : p.p_deadline ? p.p_deadline : p.p_budget;
  return found ? fmt::format("{:.2f}", *found) : "-";
}

}  // namespace

std::vector<std::vector<std::string>> transformer_rows(const PricedTransformer& priced) {
  const Plan& plan = priced.plan;
  const Prediction& p = priced.predicted.prediction;
  return {{"instance", "nodes", "ranks", "layout", "batch", "precision", "step", "time p50 (p90)",
           "price p50 (p90)", "MFU", "P"},
          {place_text(plan), std::to_string(plan.cluster.nodes),
           std::to_string(plan.layout.ranks()), layout_text(plan),
           fmt::format("{} = {}x{}x{}", plan.global_batch, plan.layout.data, plan.micro_batch,
                       plan.accumulation),
           to_text(plan.precision), to_text(p.step_time.p50), with_p90(p.time_to_target),
           with_p90(p.price), fmt::format("{:.1f} %", 100 * priced.predicted.mfu), probability(p)}};
}

std::vector<std::vector<std::string>> transformer_memory_rows(const PricedTransformer& priced) {
  const Prediction& p = priced.predicted.prediction;
  const MemoryBreakdown& m = p.memory;
  return {{"memory of the fullest rank", "bytes"},
          {"weights", to_text(m.parameters)},
          {"gradients", to_text(m.gradients)},
          {"optimizer state", to_text(m.optimizer_state)},
          {"activations", to_text(m.activations)},
          {"workspace", to_text(m.workspace)},
          {"gathered parameters", to_text(m.communication)},
          {"allocated", to_text(priced.predicted.allocated)},
          {"framework besides", to_text(p.process_overhead)},
          {"reserved", to_text(priced.predicted.reserved)},
          {"the device has", to_text(priced.plan.cluster.instance.node.device.memory)}};
}

Value transformer_value(const PricedTransformer& priced) {
  const Plan& plan = priced.plan;
  Value value = Value::object();
  value.set("instance", plan.cluster.instance.name)
      .set("market", to_text(plan.cluster.market))
      .set("price_date", plan.cluster.instance.price_date)
      .set("nodes", plan.cluster.nodes)
      .set("ranks", plan.layout.ranks())
      .set("layout", layout_value(plan))
      .set("global_batch", plan.global_batch)
      .set("micro_batch", plan.micro_batch)
      .set("accumulation", plan.accumulation)
      .set("precision", to_text(plan.precision))
      .set("attention", to_text(plan.attention))
      .set("steps", plan.steps)
      .set("prediction", to_value(priced.predicted.prediction))
      .set("allocated_bytes", priced.predicted.allocated.value())
      .set("reserved_bytes", priced.predicted.reserved.value())
      .set("fits", priced.predicted.fits)
      .set("mfu", priced.predicted.mfu);
  return value;
}

std::string nearest_command(const std::string& job, const std::vector<std::string>& typed,
                            const NearestFit& nearest) {
  std::vector<std::string> changed;
  for (const std::string& setting : nearest.settings) changed.push_back(key_of(setting));
  std::string command = fmt::format("pluto-plan predict {}", job);
  bool fixed_data = false;
  for (const std::string& setting : typed) {
    const std::string key = key_of(setting);
    // Data follows from the ranks; a fixed number of nodes is in the way of more of them.
    if (key == "data") fixed_data = true;
    if (key == "data" || std::ranges::find(changed, key) != changed.end()) continue;
    if (key == "nodes" && std::ranges::find(changed, "ranks") != changed.end()) continue;
    command += " --set " + setting;
  }
  for (const std::string& setting : nearest.settings) command += " --set " + setting;
  const auto names_ranks = [](const std::string& setting) { return key_of(setting) == "ranks"; };
  const bool ranks_known =
      std::ranges::any_of(typed, names_ranks) || std::ranges::any_of(nearest.settings, names_ranks);
  if (fixed_data && !ranks_known) {
    command += fmt::format(" --set ranks={}", nearest.priced.plan.layout.ranks());
  }
  return command;
}

}  // namespace pluto
