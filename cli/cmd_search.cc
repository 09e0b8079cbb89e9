// search: the best plans for a job under its limits.

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/front_chart.h"
#include "cli/nearest_limits.h"
#include "cli/plan_table.h"
#include "cli/search_inputs.h"
#include "cli/search_job.h"
#include "cli/window.h"
#include "planner/probe_advice.h"
#include "planner/ranking.h"

namespace pluto {

namespace {

constexpr int kInfeasible = 3, kInterrupted = 130;

struct Options : SearchOptions {
  bool explain = false;
  std::string svg;  ///< the front as a picture; empty: none
};

std::string work_text(const SearchResult& result) {
  return fmt::format("{} plans costed in {}, {:.0f} a second", result.evaluated,
                     to_text(result.elapsed),
                     static_cast<double>(result.evaluated) / result.elapsed.value());
}

Value rejections_value(const Rejections& r) {
  Value value = Value::object();
  value.set("memory", r.memory)
      .set("deadline", r.deadline)
      .set("budget", r.budget)
      .set("divisibility", r.divisibility)
      .set("target", r.target);
  return value;
}

void say_infeasible(Terminal& terminal, const Searched& s, const SearchOptions& options) {
  const SearchResult& r = s.result;
  const TrainingJob& job = s.context.job;
  const auto rows = nearest_rows(job, r, options);
  if (job.budget || job.deadline) {
    terminal.say(fmt::format("no plan {}meets {}",
                             r.termination == Termination::kLimitReached ? "found in time " : "",
                             limits_text(job)));
  }
  if (rows.size() > 1) terminal.say(format_table(rows));
  for (const std::string& line : explain(job, r)) terminal.say(line);
  terminal.say(fmt::format(
      "rejected  {} out of memory   {} too slow   {} too dear   {} not divisible",
      r.rejections.memory, r.rejections.deadline, r.rejections.budget, r.rejections.divisibility));
  if (!options.target.empty()) {
    terminal.say(
        fmt::format("          {} not for --target {}", r.rejections.target, options.target));
  }
}

/// Targets that can run the chosen plan as it is.
std::vector<ExportTarget> expressible(const Searched& s) {
  if (s.result.ranked.empty()) return {};
  auto able = carried_by(knobs_of(s.result.ranked.front().plan, s.shape ? s.shape->layers : 0));
  // Its script is that of GPT.
  if (!s.shape || !s.shape->causal) std::erase(able, ExportTarget::kMegatron);
  return able;
}

Value names_of(const std::vector<ExportTarget>& targets) {
  Value names = Value::array();
  for (const ExportTarget target : targets) names.push_back(to_text(target));
  return names;
}

/// Every plan that the document has.
std::vector<const RankedPlan*> all_plans(const SearchResult& r) {
  std::vector<const RankedPlan*> plans;
  for (const auto* list : {&r.ranked, &r.front}) {
    for (const RankedPlan& one : *list) plans.push_back(&one);
  }
  for (const auto* one :
       {&r.baseline, &r.nearest_by_budget, &r.nearest_by_deadline, &r.nearest_by_confidence}) {
    if (*one) plans.push_back(&**one);
  }
  return plans;
}

Value probe_value(const TrainingJob& job, const SearchResult& result) {
  const auto advice = probe_advice(job, result);
  if (!advice) return {};
  Value value = Value::object();
  value.set("worth", advice->worth)
      .set("instance", advice->instance)
      .set("against", advice->against)
      .set("value_usd", advice->value.value())
      .set("price_usd", advice->price.value())
      .set("duration_s", kProbeDuration.value());
  return value;
}

Value closed_form_value(const TrainingJob& job, const SearchResult& result) {
  if (!result.closed_form) return {};
  const ClosedFormChoice& choice = *result.closed_form;
  const bool chosen_batch = !job.global_batch && job.samples_law;
  Value value = Value::object();
  value.set("instance", choice.instance)
      .set("devices", choice.plan.devices)
      .set("batch", choice.plan.batch)
      .set("time_s", choice.plan.time.value())
      .set("price_usd", choice.plan.price.value())
      .set("seconds_per_sample", choice.job.per_sample.value())
      .set("overhead_s", choice.job.overhead(choice.plan.devices).value())
      .set("least_samples", choice.job.least_samples)
      .set("critical_batch", chosen_batch ? Value(choice.job.critical_batch) : Value());
  return value;
}

Value search_value(const Searched& s, bool asked_for_front, Value inputs) {
  const SearchResult& r = s.result;
  Value document = Value::object();
  document.set("schema", "pluto.search/1");
  const char* ends[] = {"feasible", "infeasible", "limit_reached"};
  document.set("outcome", ends[static_cast<int>(r.termination)]);
  document.set("evaluated", r.evaluated)
      .set("cells", r.cells)
      .set("gap", r.gap)
      .set("seconds", r.elapsed.value())
      .set("measurements", s.costs.measurements);
  Value plans = Value::array();
  for (const RankedPlan& plan : r.ranked) plans.push_back(plan_value(plan));
  document.set("plans", std::move(plans));
  Value targets = Value::array();
  for (const RunTarget& target : s.context.job.targets) targets.push_back(to_text(target));
  document.set("targets", std::move(targets));
  document.set("expressible", names_of(expressible(s)));
  document.set("baseline", r.baseline ? plan_value(*r.baseline) : Value());
  document.set("nearest_by_budget",
               r.nearest_by_budget ? plan_value(*r.nearest_by_budget) : Value());
  document.set("nearest_by_deadline",
               r.nearest_by_deadline ? plan_value(*r.nearest_by_deadline) : Value());
  document.set("nearest_by_confidence",
               r.nearest_by_confidence ? plan_value(*r.nearest_by_confidence) : Value());
  Value front;
  if (asked_for_front) {
    front = Value::array();
    for (const RankedPlan& plan : r.front) front.push_back(plan_value(plan));
  }
  document.set("front", std::move(front));
  document.set("rejected", rejections_value(r.rejections));
  document.set("why", sentences_value(explain(s.context.job, r)));
  document.set("more", sentences_value(explain_more(s.context.job, r)));
  document.set("probe", probe_value(s.context.job, r));
  document.set("closed_form", closed_form_value(s.context.job, r));
  document.set("inputs", std::move(inputs));
  return document;
}

/// The chart and the table of the front; the picture where one is asked for.
Result<void> show_front(Terminal& terminal, const Searched& s, const Options& options) {
  if (!options.pareto) return {};
  const SearchResult& r = s.result;
  const FrontChart chart = front_chart(s.context.job, r);
  if (chart.points.empty()) {
    terminal.say("no plan fits, so there is no front");
    return {};
  }
  terminal.say(front_text(chart, window_width()));
  terminal.say(format_table(front_rows(chart, r)));
  if (options.svg.empty()) return {};
  PLUTO_TRY(write_file(options.svg, front_svg(chart)));
  terminal.note(fmt::format("wrote {}", options.svg));
  return {};
}

/// How to make the probe.
std::string probe_line(const SearchOptions& options, const ProbeAdvice& advice) {
  return fmt::format("probe     pluto-plan profile {} --probe-budget {:.2f}{}", options.job,
                     std::max(0.01, advice.price.value()),
                     advice.instance == "local"
                         ? std::string()
                         : fmt::format("     (on a node of {})", advice.instance));
}

/// What makes the prediction surer, or uses the plan.
std::string next_line(const SearchOptions& options, const Searched& s) {
  if (options.output.empty()) {
    return fmt::format("next      pluto-plan search {} -o plan.json     (keeps the plan)",
                       options.job);
  }
  if (s.result.ranked.front().plan.cluster.instance.name == "local" && options.target.empty()) {
    return fmt::format("next      pluto-plan run {} -o run.json", options.output);
  }
  const auto able = expressible(s);
  if (options.target.empty() && able.empty()) {
    return fmt::format("next      pluto-plan explain {}     (what binds, what a change would do)",
                       options.output);
  }
  return fmt::format("next      pluto-plan export {} --target {}     (or explain it)",
                     options.output,
                     options.target.empty() ? to_text(able.front()) : options.target);
}

/// "runs as it is on: torchrun, slurm"
std::string expressible_line(const Searched& s) {
  std::string names;
  for (const ExportTarget target : expressible(s)) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", to_text(target));
  }
  return fmt::format("exports   {}",
                     names.empty() ? "no launcher can express this plan" : "as it is to " + names);
}

Result<int> run_search(Session& session, const Options& options) {
  PLUTO_ASSIGN(JobContext context, load_job(session, options));
  PLUTO_ASSIGN(Searched s, search_job(session, options, std::move(context)));
  Terminal& terminal = *session.terminal;
  SearchResult& r = s.result;
  if (r.ranked.size() > static_cast<std::size_t>(options.top))
    r.ranked.resize(static_cast<std::size_t>(options.top));
  PLUTO_ASSIGN(Value inputs, inputs_value(session, options, s, all_plans(r)));
  terminal.result(search_value(s, options.pareto, std::move(inputs)));
  terminal.say(heading_text(s.context, work_text(r)));
  terminal.say("");
  if (r.ranked.empty() || !r.ranked.front().meets_limits) {
    say_infeasible(terminal, s, options);
    PLUTO_TRY(show_front(terminal, s, options));
    return kInfeasible;
  }
  say_tables(terminal, plan_tables(r.ranked, r.baseline ? &*r.baseline : nullptr, table_width()));
  terminal.say(
      "evidence  M measured here  I interpolated  C calibrated  D datasheet  A assumed;  P = "
      "probability of meeting the limits");
  for (const std::string& line : explain(s.context.job, r)) terminal.say(line);
  if (options.explain) {
    for (const std::string& line : explain_more(s.context.job, r)) terminal.say(line);
  }
  PLUTO_TRY(show_front(terminal, s, options));
  if (r.termination == Termination::kLimitReached)
    terminal.say(fmt::format(
        "the search was cut short: this is the best so far, at most {:.1f} % from the best",
        100 * r.gap));
  if (!options.output.empty()) {
    PLUTO_TRY(write_file(options.output, to_json(r.ranked.front().plan) + "\n"));
    terminal.note(fmt::format("wrote {}", options.output));
  }
  terminal.say(expressible_line(s));
  if (const auto advice = probe_advice(s.context.job, r); advice && advice->worth) {
    terminal.say(probe_line(options, *advice));
  }
  terminal.say(next_line(options, s));
  return was_interrupted() ? kInterrupted : 0;
}

}  // namespace

void add_search(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("search", "The best plans for a job under its budget and deadline");
  verb->footer(
      "Examples:\n  pluto-plan search job.yaml -o plan.json\n  pluto-plan search job.yaml --budget "
      "120 --deadline 6h --confidence 0.9\n"
      "  pluto-plan search job.yaml --minimize time --fix ranks=2\n"
      "  pluto-plan search gpt.yaml --gpus 8..512 --fix precision=bf16\n"
      "  pluto-plan search gpt.yaml --gpus 8..512 --target slurm,megatron\n"
      "  pluto-plan search gpt.yaml --gpus 8..512 --pareto --svg front.svg");
  add_job_options(*verb, *options, "--fix");
  verb->add_option("--gpus", options->gpus,
                   "How many, 64 or 4..64; of any GPU instance where the job names none");
  verb->add_option("--budget", options->budget,
                   "US dollars, for the whole run (default: the job's)");
  verb->add_option("--deadline", options->deadline,
                   "Time to the target, 6h or 2027-01-31T08:00Z (default: the job's)");
  verb->add_option("--confidence", options->confidence,
                   "Probability with which the limits must be met (default: the job's)");
  verb->add_option("--minimize", options->minimize, "cost, time or risk (default: the job's)")
      ->check(CLI::IsMember({"cost", "time", "risk"}));
  verb->add_option("--target", options->target,
                   "Only plans that these can run (those of export, with commas)");
  verb->add_option("--top", options->top, "Plans to show")->check(CLI::PositiveNumber);
  verb->add_option("--time-limit", options->time_limit, "Give the best plan found after this long");
  verb->add_option("--allow-sync", options->allow_sync,
                   "Methods a plan may keep its copies together by, with commas: all_reduce, "
                   "parameter_server, sufficient_factor, shard, local_sgd (default: the job's)");
  verb->add_flag("--explain", options->explain,
                 "Also what interruptions cost, how far the plan is from the closed form, and why "
                 "no probe is advised");
  verb->add_option("-o,--output", options->output, "Write the first plan here");
  verb->add_flag("--pareto", options->pareto,
                 "Also the plans that no other beats in both time and price, drawn and listed");
  verb->add_option("--svg", options->svg, "Write that picture here; asks for --pareto");
  verb->callback([&session, options] {
    if (!options->svg.empty()) options->pareto = true;
    session.action = [&session, options] { return run_search(session, *options); };
  });
}

}  // namespace pluto
