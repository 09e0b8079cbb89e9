#include "cli/search_job.h"

#include <fmt/format.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdlib>

#include "base/text.h"
#include "cli/job_settings.h"
#include "runtime/host.h"

namespace pluto {

namespace {

// Set by the signal handler, which can reach nothing else.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<bool> g_interrupted{false};
extern "C" void note_interrupt(int) { g_interrupted = true; }

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
  if (!options.spot.empty()) {
    PLUTO_ASSIGN_AT("--spot", job.spot, parse_spot_use(options.spot));
  }
  for (const std::string& setting : options.settings)
    PLUTO_TRY_AT(options.settings_flag, apply_setting(job, setting));
  return validate(job);
}

}  // namespace

void add_job_options(CLI::App& verb, SearchOptions& options, const char* settings_flag) {
  verb.add_option("job", options.job, "Job file (YAML or JSON; - reads standard input)")
      ->required();
  options.settings_flag = settings_flag;
  verb.add_option(
      settings_flag, options.settings,
      fmt::format("KEY=VALUE held fixed (repeatable): {}", fmt::join(setting_keys(), " ")));
  verb.add_option("--spot", options.spot,
                  "Nodes that can be taken back: auto, never or only (default: the job's)")
      ->check(CLI::IsMember({"auto", "never", "only"}));
  verb.add_option("--prices", options.prices,
                  "Also offer the instance types of this CSV with SkyPilot's columns");
  verb.add_option("--provider", options.provider, "Prefix of the names read from --prices");
}

Result<Catalog> load_catalog(const Session& session, const SearchOptions& options) {
  PLUTO_ASSIGN(Catalog catalog, Catalog::load(session.data_folder + "/catalog"));
  if (!options.prices.empty()) {
    PLUTO_TRY_AT("--prices", catalog.add_prices(options.prices, options.provider));
  }
  return catalog;
}

Result<JobContext> load_job(const SearchOptions& options) {
  PLUTO_ASSIGN(JobContext context, load_job(options.job));
  PLUTO_TRY(apply_flags(context.job, options));
  return context;
}

Result<Searched> search_job(Session& session, const SearchOptions& options, JobContext context) {
  const auto started = std::chrono::steady_clock::now();
  auto elapsed = [started] {
    return Seconds(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
  };
  PLUTO_ASSIGN_AT("--time-limit", const Seconds time_limit, parse_duration(options.time_limit));
  Searched searched;
  searched.context = std::move(context);
  const TrainingJob& job = searched.context.job;
  PLUTO_ASSIGN(const Host host, describe_host(job, session.data_folder));
  PLUTO_ASSIGN(const Catalog catalog, load_catalog(session, options));
  PLUTO_ASSIGN(const auto store, open_store(session));
  PLUTO_ASSIGN(searched.costs, load_costs(session, host, *store, job.precision, job.attention));
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

bool was_interrupted() { return g_interrupted; }

std::string limits_text(const TrainingJob& job) {
  std::string text;
  if (job.budget) text += to_text(*job.budget);
  if (job.deadline) text += (text.empty() ? "" : " and ") + to_text(*job.deadline);
  return text.empty() ? "no limits" : fmt::format("{} at confidence {:.2f}", text, job.confidence);
}

std::string heading_text(const JobContext& context, const std::string& work) {
  return fmt::format("{}  {:.2f} M parameters  {} samples  {}  {}", context.model().name,
                     static_cast<double>(parameter_count(context.model().graph)) / 1e6,
                     context.dataset_samples, limits_text(context.job), work);
}

}  // namespace pluto
