// validate: predictions against published measurements, family by family.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>

#include "base/statistics.h"
#include "base/text.h"
#include "cli/commands.h"
#include "costmodel/transformer_memory.h"
#include "costmodel/transformer_validation.h"

namespace pluto {

namespace {

struct ValidateOptions {
  std::vector<std::string> families;
  int worst = 10;
};

/// One family under the constants that are shipped, and under constants that never saw it.
struct Validated {
  const TransformerFamily* family = nullptr;
  StepErrors shipped, held_out;
  PlanRanking ranking;
};

/// A row and how far its prediction is off.
struct Miss {
  const TransformerFamily* family = nullptr;
  const TransformerRow* row = nullptr;
  TransformerStep step;
  double error = 0;
};

std::string percent(double value) { return fmt::format("{:.1f} %", 100 * value); }

std::vector<std::string> row_of(const std::string& name, const StepErrors& errors) {
  return {name,
          std::to_string(errors.relative.size()),
          percent(errors.median),
          percent(errors.p90),
          fmt::format("{:+.1f} %", 100 * errors.bias),
          fmt::format("{:.0f} %", 100 * errors.coverage)};
}

Value value_of(const StepErrors& errors) {
  Value value = Value::object();
  value.set("steps", static_cast<std::int64_t>(errors.relative.size()))
      .set("median", errors.median)
      .set("p90", errors.p90)
      .set("bias", errors.bias)
      .set("coverage", errors.coverage);
  return value;
}

std::string describe(const TransformerRow& row) {
  const TransformerShape& shape = row.point.shape;
  const TransformerPlan& plan = row.point.plan;
  return fmt::format(
      "{} layers x {}, sequence {}, batch {}: data {} tensor {} pipeline {} micro {}", shape.layers,
      shape.hidden, shape.sequence, plan.global_batch, plan.data, plan.tensor, plan.pipeline,
      plan.micro_batch);
}

/// Largest errors first; rows of one cluster, width, tensor degree and micro-batch err alike, so
/// one of each.
std::vector<Miss> worst_of(const std::vector<Validated>& all, const CostsByGeneration& costs,
                           std::size_t most) {
  std::vector<Miss> misses;
  for (const Validated& one : all) {
    for (const TransformerRow& row : one.family->rows) {
      if (!(row.point.step.value() > 0)) continue;
      const TransformerStep step = predicted_step(row, costs);
      misses.push_back({one.family, &row, step, step.step() / row.point.step - 1});
    }
  }
  std::ranges::sort(misses, std::greater{}, [](const Miss& miss) { return std::abs(miss.error); });
  std::vector<Miss> kept;
  const auto alike = [](const Miss& a, const Miss& b) {
    const auto& p = a.row->point;
    const auto& q = b.row->point;
    return a.row->cluster == b.row->cluster && p.shape.hidden == q.shape.hidden &&
           p.plan.tensor == q.plan.tensor && p.plan.micro_batch == q.plan.micro_batch;
  };
  for (const Miss& miss : misses) {
    if (kept.size() == most) break;
    const bool seen =
        std::ranges::any_of(kept, [&](const Miss& other) { return alike(miss, other); });
    if (!seen) kept.push_back(miss);
  }
  return kept;
}

/// Where memory is stated, how far the reserved bytes are off; and plans that ran although they
/// look too large, or did not although they look small enough.
struct MemoryCheck {
  std::vector<double> errors;
  int ran = 0, refused = 0, failed = 0, allowed = 0;
};
MemoryCheck check_memory(const std::vector<Validated>& all) {
  MemoryCheck check;
  for (const Validated& one : all) {
    for (const TransformerRow& row : one.family->rows) {
      const auto memory = predict_transformer_memory(row.point.shape, row.point.plan);
      if (!memory.ok()) continue;
      const bool fits = memory->reserved() <= row.point.cluster.instance.node.device.memory;
      if (row.memory) check.errors.push_back(std::abs(memory->reserved() / *row.memory - 1));
      ++(row.out_of_memory ? check.failed : check.ran);
      if (row.out_of_memory && fits) ++check.allowed;
      if (!row.out_of_memory && !fits) ++check.refused;
    }
  }
  return check;
}

Value value_of(const MemoryCheck& check) {
  Value value = Value::object();
  value.set("stated", static_cast<std::int64_t>(check.errors.size()))
      .set("median", check.errors.empty() ? Value() : Value(median(check.errors)))
      .set("ran", check.ran)
      .set("ran_but_called_too_large", check.refused)
      .set("out_of_memory", check.failed)
      .set("out_of_memory_but_allowed", check.allowed);
  return value;
}

Result<int> validate_tables(Session& session, const ValidateOptions& options) {
  PLUTO_ASSIGN(const auto families, load_transformer_families(session.data_folder));
  PLUTO_ASSIGN(const auto table,
               TransformerCostTable::load(session.data_folder + "/transformer.json"));
  std::vector<std::string> names;
  for (const TransformerFamily& family : families) names.push_back(family.name);
  for (const std::string& wanted : options.families) {
    if (std::ranges::find(names, wanted) != names.end()) continue;
    const auto near = nearest_word(wanted, names);
    return invalid_input(fmt::format("{}: no such family of measurements", wanted),
                         near ? fmt::format("did you mean {}?", *near)
                              : fmt::format("families: {}", fmt::join(names, " ")));
  }

  const CostsByGeneration shipped = shipped_costs(families, table);
  std::vector<Validated> all;
  std::vector<TransformerRow> rows;
  for (const TransformerFamily& family : families) {
    const auto& wanted = options.families;
    if (!wanted.empty() && std::ranges::find(wanted, family.name) == wanted.end()) continue;
    const auto without = fit_without(families, system_of(family.name), table.believed());
    all.push_back({&family, errors_of(family.rows, shipped), errors_of(family.rows, without),
                   ranking_of(family.rows, shipped)});
    rows.insert(rows.end(), family.rows.begin(), family.rows.end());
  }
  const StepErrors pooled = errors_of(rows, shipped);

  Terminal& terminal = *session.terminal;
  Value document = Value::object(), list = Value::array();
  std::vector<std::vector<std::string>> lines = {{"family", "steps", "median", "p90", "bias",
                                                  "in p10..p90", "held out", "p90", "tau", "regret",
                                                  "worst"}};
  for (const Validated& one : all) {
    auto line = row_of(one.family->name, one.shipped);
    line.insert(line.end(), {percent(one.held_out.median), percent(one.held_out.p90)});
    if (one.ranking.groups > 0) {
      line.insert(line.end(),
                  {fmt::format("{:.2f}", one.ranking.tau), percent(one.ranking.mean_regret),
                   percent(one.ranking.worst_regret)});
    }
    line.resize(lines.front().size(), "-");
    lines.push_back(line);
    Value value = Value::object();
    value.set("family", one.family->name)
        .set("shipped", value_of(one.shipped))
        .set("held_out", value_of(one.held_out))
        .set("groups", one.ranking.groups)
        .set("kendall_tau", one.ranking.tau)
        .set("mean_regret", one.ranking.mean_regret)
        .set("worst_regret", one.ranking.worst_regret);
    list.push_back(std::move(value));
  }
  auto last = row_of("all", pooled);
  last.resize(lines.front().size(), "");
  lines.push_back(last);
  terminal.say(format_table(lines));
  terminal.say(
      "errors are |predicted / measured - 1| of the step; held out: constants fitted without this "
      "family;\ntau, regret: ranking of plans of one model, cluster and batch, and what choosing "
      "the first costs");

  const MemoryCheck memory = check_memory(all);
  terminal.say(fmt::format(
      "\nmemory   {} stated{}; {} of {} plans that ran are called too large; {} of {} that ran out "
      "of memory are allowed",
      memory.errors.size(),
      memory.errors.empty() ? "" : fmt::format(", median error {}", percent(median(memory.errors))),
      memory.refused, memory.ran, memory.allowed, memory.failed));

  std::vector<std::vector<std::string>> misses = {
      {"error", "where", "what ran", "compute", "comm", "bubble", "note"}};
  for (const Miss& miss : worst_of(all, shipped, static_cast<std::size_t>(options.worst))) {
    const auto share = [&](Seconds term) {
      return fmt::format("{:.0f} %", 100 * (term / miss.step.step()));
    };
    misses.push_back({fmt::format("{:+.1f} %", 100 * miss.error),
                      fmt::format("{}.csv:{}", miss.family->name, miss.row->line),
                      fmt::format("{}, {}", miss.row->cluster, describe(*miss.row)),
                      share(miss.step.compute), share(miss.step.exposed_comm()),
                      share(miss.step.bubble), miss.row->note});
  }
  if (misses.size() > 1) {
    terminal.say("");
    terminal.say(format_table(misses));
  }
  document.set("schema", "pluto.validate/1")
      .set("families", std::move(list))
      .set("all", value_of(pooled))
      .set("memory", value_of(memory));
  terminal.result(document);
  return 0;
}

}  // namespace

void add_validate(CLI::App& app, Session& session) {
  auto options = std::make_shared<ValidateOptions>();
  CLI::App* verb =
      app.add_subcommand("validate", "How far predictions are off published measurements");
  verb->footer("Examples:\n  pluto-plan validate\n  pluto-plan validate megatron --worst 3");
  verb->add_option("families", options->families, "Only these (default: all)");
  verb->add_option("--worst", options->worst, "Rows to show with the largest errors")
      ->check(CLI::NonNegativeNumber);
  verb->callback([&session, options] {
    session.action = [&session, options] { return validate_tables(session, *options); };
  });
}

}  // namespace pluto
