// search: the best plans for a job under its limits; predict: the price of one given configuration.

#include <fmt/format.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/plan_table.h"
#include "cli/workflow.h"
#include "planner/ranking.h"
#include "runtime/host.h"

namespace pluto {

namespace {

// Set by the signal handler, which can reach nothing else.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<bool> g_interrupted{false};
extern "C" void note_interrupt(int) { g_interrupted = true; }

constexpr int kInfeasible = 3, kInterrupted = 130;

struct SearchOptions {
  std::string job, budget, deadline, minimize, output, time_limit = "30s";
  std::optional<double> confidence;
  std::vector<std::string> settings;
  std::string settings_flag;  ///< how this verb calls them
  int top = 5;
};

/// The flags' word over the job file's, under the same rules.
Result<void> apply_flags(TrainingJob& job, const SearchOptions& options) {
  if (!options.budget.empty()) {
    char* end = nullptr;
    const double dollars = std::strtod(options.budget.c_str(), &end);
    if (*end != '\0' || !(dollars > 0))
      return invalid_input(
          fmt::format("--budget {}: expected US dollars above zero", options.budget),
          "for example --budget 120");
    job.budget = Dollars(dollars);
  }
  if (!options.deadline.empty()) {
    PLUTO_ASSIGN_AT("--deadline", job.deadline, parse_deadline(options.deadline, utc_seconds()));
  }
  if (options.confidence) {
    if (*options.confidence < 0.5 || *options.confidence >= 1)
      return invalid_input("--confidence: expected a probability from 0.5 up to 0.999",
                           "for example --confidence 0.9");
    job.confidence = *options.confidence;
  }
  if (options.minimize == "cost") job.minimize = Objective::kCost;
  if (options.minimize == "time") job.minimize = Objective::kTime;
  if (options.minimize == "risk") job.minimize = Objective::kRisk;
  for (const std::string& setting : options.settings)
    PLUTO_TRY_AT(options.settings_flag, apply_setting(job, setting));
  return validate(job);
}

struct Searched {
  JobContext context;
  SearchResult result;
  Costs costs;
};

Result<Searched> search_job(Session& session, const SearchOptions& options) {
  const auto started = std::chrono::steady_clock::now();
  auto elapsed = [started] {
    return Seconds(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
  };
  PLUTO_ASSIGN_AT("--time-limit", const Seconds time_limit, parse_duration(options.time_limit));
  Searched searched;
  PLUTO_ASSIGN(searched.context, load_job(options.job));
  PLUTO_TRY(apply_flags(searched.context.job, options));
  const TrainingJob& job = searched.context.job;
  PLUTO_ASSIGN(const Host host, describe_host(job, session.data_folder));
  PLUTO_ASSIGN(const Catalog catalog, Catalog::load(session.data_folder + "/catalog"));
  PLUTO_ASSIGN(const auto store, open_store(session));
  PLUTO_ASSIGN(searched.costs, load_costs(session, host, *store));
  PLUTO_ASSIGN(const std::vector<Candidate> places, candidates(job, host, catalog));
  signal(SIGINT, note_interrupt);
  PLUTO_ASSIGN(
      searched.result,
      search(job, searched.context.model(), searched.context.dataset_samples, places,
             *searched.costs.measured, [&] { return g_interrupted || elapsed() > time_limit; }));
  signal(SIGINT, SIG_DFL);
  searched.result.elapsed = elapsed();
  return searched;
}

std::string limits_text(const TrainingJob& job) {
  std::string text;
  if (job.budget) text += to_text(*job.budget);
  if (job.deadline) text += (text.empty() ? "" : " and ") + to_text(*job.deadline);
  return text.empty() ? "no limits" : fmt::format("{} at confidence {:.2f}", text, job.confidence);
}

void say_heading(Terminal& terminal, const Searched& s) {
  const Graph& graph = s.context.model().graph;
  terminal.say(fmt::format(
      "{}  {:.2f} M parameters  {} samples  {}  {} plans costed in {}", s.context.model().name,
      static_cast<double>(parameter_count(graph)) / 1e6, s.context.dataset_samples,
      limits_text(s.context.job), s.result.evaluated, to_text(s.result.elapsed)));
}

Value rejections_value(const Rejections& r) {
  Value value = Value::object();
  value.set("memory", r.memory)
      .set("deadline", r.deadline)
      .set("budget", r.budget)
      .set("divisibility", r.divisibility);
  return value;
}

void say_infeasible(Terminal& terminal, const Searched& s, const std::string& job_path) {
  const SearchResult& r = s.result;
  const TrainingJob& job = s.context.job;
  terminal.say(fmt::format("no plan {}meets {}",
                           r.termination == Termination::kLimitReached ? "found in time " : "",
                           limits_text(job)));
  const std::string quantile = fmt::format("p{:.3g}", 100 * job.confidence);
  std::vector<std::vector<std::string>> rows = {
      {"nearest", "time " + quantile, "price " + quantile, "P", "type this"}};
  auto time_at = [&](const RankedPlan& plan) {
    return plan.prediction.time_to_target.p50 * quantile_factor(job, plan.prediction);
  };
  auto price_at = [&](const RankedPlan& plan) {
    return plan.prediction.price.p50 * quantile_factor(job, plan.prediction);
  };
  auto add = [&](const char* what, const std::optional<RankedPlan>& plan, const std::string& flag) {
    if (!plan) return;
    const auto& p = plan->prediction;
    const auto probability = p.p_both ? p.p_both : p.p_deadline ? p.p_deadline : p.p_budget;
    rows.push_back({what, to_text(time_at(*plan)), to_text(price_at(*plan)),
                    probability ? fmt::format("{:.2f}", *probability) : "-",
                    fmt::format("pluto-plan search {} {}", job_path, flag)});
  };
  // Rounded up, so that the command typed is feasible.
  auto up = [](double value) { return value * 1.005; };
  if (r.nearest_by_budget)
    add("by budget", r.nearest_by_budget,
        fmt::format("--budget {:.3g}", up(price_at(*r.nearest_by_budget).value())));
  if (r.nearest_by_deadline)
    add("by deadline", r.nearest_by_deadline,
        fmt::format("--deadline {:.0f}s", up(time_at(*r.nearest_by_deadline).value()) + 1));
  if (r.nearest_by_confidence) {
    const auto& p = r.nearest_by_confidence->prediction;
    const auto probability = p.p_both ? p.p_both : p.p_deadline ? p.p_deadline : p.p_budget;
    if (probability && *probability >= 0.5)
      add("by confidence", r.nearest_by_confidence,
          fmt::format("--confidence {:.2f}", *probability - 0.005));
  }
  terminal.say(format_table(rows));
  terminal.say(fmt::format(
      "rejected  {} out of memory   {} too slow   {} too dear   {} not divisible",
      r.rejections.memory, r.rejections.deadline, r.rejections.budget, r.rejections.divisibility));
}

Value search_value(const Searched& s) {
  const SearchResult& r = s.result;
  Value document = Value::object();
  document.set("schema", "pluto.search/1");
  const char* ends[] = {"feasible", "infeasible", "limit_reached"};
  document.set("outcome", ends[static_cast<int>(r.termination)]);
  document.set("evaluated", r.evaluated)
      .set("seconds", r.elapsed.value())
      .set("measurements", s.costs.measurements);
  Value plans = Value::array();
  for (const RankedPlan& plan : r.ranked) plans.push_back(plan_value(plan));
  document.set("plans", std::move(plans));
  document.set("baseline", r.baseline ? plan_value(*r.baseline) : Value());
  document.set("nearest_by_budget",
               r.nearest_by_budget ? plan_value(*r.nearest_by_budget) : Value());
  document.set("nearest_by_deadline",
               r.nearest_by_deadline ? plan_value(*r.nearest_by_deadline) : Value());
  document.set("nearest_by_confidence",
               r.nearest_by_confidence ? plan_value(*r.nearest_by_confidence) : Value());
  document.set("rejected", rejections_value(r.rejections));
  Value reasons = Value::array();
  for (const std::string& line : explain(s.context.job, r)) reasons.push_back(line);
  document.set("why", std::move(reasons));
  return document;
}

Result<int> run_search(Session& session, const SearchOptions& options) {
  PLUTO_ASSIGN(Searched s, search_job(session, options));
  Terminal& terminal = *session.terminal;
  SearchResult& r = s.result;
  if (r.ranked.size() > static_cast<std::size_t>(options.top))
    r.ranked.resize(static_cast<std::size_t>(options.top));
  terminal.result(search_value(s));
  say_heading(terminal, s);
  terminal.say("");
  if (r.ranked.empty() || !r.ranked.front().meets_limits) {
    say_infeasible(terminal, s, options.job);
    return kInfeasible;
  }
  terminal.say(format_table(plan_rows(r.ranked, r.baseline ? &*r.baseline : nullptr)));
  terminal.say(
      "evidence  M measured here  I interpolated  C calibrated  D datasheet  A assumed;  P = "
      "probability of meeting the limits");
  for (const std::string& line : explain(s.context.job, r)) terminal.say(line);
  if (r.termination == Termination::kLimitReached)
    terminal.say("the search was cut short: this is the best so far");
  if (!options.output.empty()) {
    PLUTO_TRY(write_file(options.output, to_json(r.ranked.front().plan) + "\n"));
    terminal.note(fmt::format("wrote {}", options.output));
    terminal.say(fmt::format("next      pluto-plan run {} -o run.json", options.output));
  } else {
    terminal.say(fmt::format("next      pluto-plan search {} -o plan.json     (keeps the plan)",
                             options.job));
  }
  return g_interrupted ? kInterrupted : 0;
}

Result<int> run_predict(Session& session, SearchOptions options) {
  PLUTO_ASSIGN(Searched s, search_job(session, options));
  Terminal& terminal = *session.terminal;
  const SearchResult& r = s.result;
  if (r.ranked.empty())
    return unsupported("no lawful plan has these settings",
                       "leave one --set out, or run search, which says what was rejected");
  const RankedPlan& best = r.ranked.front();
  // Frameworks keep a caching allocator on GPUs; on CPUs they use the system's.
  const bool gpu = best.plan.cluster.instance.node.device.kind == DeviceKind::kGpu;
  std::optional<FrameworkMemory> framework;
  if (gpu) {
    PLUTO_ASSIGN(framework,
                 predict_framework_memory(s.context.model(), best.plan, *s.costs.measured));
  }
  Value document = Value::object();
  document.set("schema", "pluto.predict/1")
      .set("plan", plan_value(best))
      .set("measurements", s.costs.measurements);
  Value held;
  if (framework) {
    held = Value::object();
    held.set("allocated_bytes", framework->allocated.value())
        .set("reserved_bytes", framework->reserved.value());
  }
  document.set("framework_memory", std::move(held));
  terminal.result(document);
  say_heading(terminal, s);
  terminal.say("");
  terminal.say(format_table(plan_rows({best}, nullptr)));
  terminal.say(format_table(term_rows(best.prediction)));
  const MemoryBreakdown& m = best.prediction.memory;
  std::vector<std::vector<std::string>> memory = {
      {"memory per rank", "bytes"},
      {"parameters", to_text(m.parameters + m.buffers)},
      {"gradients", to_text(m.gradients)},
      {"optimizer state", to_text(m.optimizer_state)},
      {"activations", to_text(m.activations)},
      {"inputs", to_text(m.inputs)},
      {"workspace", to_text(m.workspace)},
      {"communication", to_text(m.communication)},
      {"arena", to_text(m.total())},
      {"process besides", to_text(best.prediction.process_overhead)}};
  if (framework) {
    memory.push_back({"PyTorch allocates", to_text(framework->allocated)});
    memory.push_back({"PyTorch reserves", to_text(framework->reserved)});
  } else if (gpu) {
    memory.push_back({"PyTorch", "out of memory"});
  }
  terminal.say(format_table(memory));
  for (const std::string& line : best.prediction.assumptions) terminal.say("assumes   " + line);
  terminal.say(fmt::format("next      pluto-plan search {}", options.job));
  return 0;
}

void add_common(CLI::App& verb, SearchOptions& options, const char* settings_flag) {
  verb.add_option("job", options.job, "Job file (YAML or JSON; - reads standard input)")
      ->required();
  options.settings_flag = settings_flag;
  verb.add_option(settings_flag, options.settings,
                  "KEY=VALUE held fixed: ranks global_batch micro_batch sync instance "
                  "learning_rate (repeatable)");
}

}  // namespace

void add_search(CLI::App& app, Session& session) {
  auto options = std::make_shared<SearchOptions>();
  CLI::App* verb =
      app.add_subcommand("search", "The best plans for a job under its budget and deadline");
  verb->footer(
      "Examples:\n  pluto-plan search job.yaml -o plan.json\n  pluto-plan search job.yaml --budget "
      "120 --deadline 6h --confidence 0.9\n"
      "  pluto-plan search job.yaml --minimize time --fix ranks=2");
  add_common(*verb, *options, "--fix");
  verb->add_option("--budget", options->budget,
                   "US dollars, for the whole run (default: the job's)");
  verb->add_option("--deadline", options->deadline,
                   "Time to the target, 6h or 2027-01-31T08:00Z (default: the job's)");
  verb->add_option("--confidence", options->confidence,
                   "Probability with which the limits must be met (default: the job's)");
  verb->add_option("--minimize", options->minimize, "cost, time or risk (default: the job's)")
      ->check(CLI::IsMember({"cost", "time", "risk"}));
  verb->add_option("--top", options->top, "Plans to show")->check(CLI::PositiveNumber);
  verb->add_option("--time-limit", options->time_limit, "Give the best plan found after this long");
  verb->add_option("-o,--output", options->output, "Write the first plan here");
  verb->callback([&session, options] {
    session.action = [&session, options] { return run_search(session, *options); };
  });
}

void add_predict(CLI::App& app, Session& session) {
  auto options = std::make_shared<SearchOptions>();
  CLI::App* verb = app.add_subcommand("predict", "Price one configuration of a job, term by term");
  verb->footer(
      "Examples:\n  pluto-plan predict job.yaml --set ranks=2 --set micro_batch=64\n  pluto-plan "
      "predict job.yaml --set instance=aws:p3.2xlarge");
  add_common(*verb, *options, "--set");
  verb->callback([&session, options] {
    session.action = [&session, options] { return run_predict(session, *options); };
  });
}

}  // namespace pluto
