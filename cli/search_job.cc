#include "cli/search_job.h"

#include <fmt/format.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <set>

#include "base/text.h"
#include "cli/job_settings.h"
#include "costmodel/transformer_graph.h"
#include "plan/words.h"
#include "planner/convergence_table.h"
#include "runtime/host.h"

namespace pluto {

namespace {

// Set by the signal handler, which can reach nothing else.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<bool> g_interrupted{false};
extern "C" void note_interrupt(int) { g_interrupted = true; }

/// "64" or "4..64": how many GPUs; of any instance of the catalog where the job names none.
Result<void> apply_gpus(TrainingJob& job, const std::string& text) {
  const auto wrong = [&] {
    return invalid_input(fmt::format("--gpus {}: expected a number or a range", text),
                         "for example --gpus 64, or --gpus 4..64");
  };
  const auto whole = [](std::string_view word) -> std::optional<int> {
    int value = 0;
    const auto end = std::from_chars(word.data(), word.data() + word.size(), value);
    const bool read = end.ec == std::errc() && end.ptr == word.data() + word.size();
    return read && value >= 1 ? std::optional(value) : std::nullopt;
  };
  const std::string_view all = text;
  const std::size_t dots = all.find("..");
  job.ranks.reset();
  job.min_ranks.reset();
  job.max_ranks.reset();
  if (dots == std::string_view::npos) {
    job.ranks = whole(all);
    if (!job.ranks) return wrong();
  } else {
    job.min_ranks = whole(all.substr(0, dots));
    job.max_ranks = whole(all.substr(dots + 2));
    if (!job.min_ranks || !job.max_ranks || *job.min_ranks > *job.max_ranks) return wrong();
  }
  if (job.instances == std::vector<std::string>{"local"}) job.instances = {"*"};
  return {};
}

/// "all_reduce,shard": methods that plans may use. Without shard nothing is sharded (ZeRO 0),
/// without local_sgd copies are equal after every step.
Result<void> allow_sync(TrainingJob& job, const std::string& list) {
  const std::vector<std::string> known = {"all_reduce", "parameter_server", "sufficient_factor",
                                          "shard", kLocalSgd};
  std::vector<SyncMethod> methods;
  bool shard = false;
  job.local_allowed = false;
  for (const std::string& entry : split(list, ',')) {
    const std::string name(trim(entry));
    if (std::ranges::find(known, name) == known.end()) {
      return unknown_word("sync method", name, known);
    }
    if (name == kLocalSgd) {
      job.local_allowed = true;
      continue;
    }
    PLUTO_ASSIGN(const SyncMethod method, parse_sync_method(name));
    if (method == SyncMethod::kShard) {
      shard = true;
    } else {
      methods.push_back(method);
    }
  }
  if (methods.empty()) {
    return invalid_input("shard and local_sgd stand beside a method for the other steps",
                         "for example --allow-sync all_reduce,shard");
  }
  job.allowed_sync = std::move(methods);
  if (!shard) job.strategy.shard = 0;
  return {};
}

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
  if (!options.target.empty()) {
    PLUTO_ASSIGN_AT("--target", job.targets, parse_run_targets(options.target));
  }
  if (!options.allow_sync.empty())
    PLUTO_TRY_AT("--allow-sync", allow_sync(job, options.allow_sync));
  if (!options.gpus.empty()) PLUTO_TRY(apply_gpus(job, options.gpus));
  for (const std::string& setting : options.settings)
    PLUTO_TRY_AT(options.settings_flag, apply_setting(job, setting));
  return validate(job);
}

/// The arguments of Megatron-LM are those of GPT.
Result<void> check_targets(const TrainingJob& job, const ModelGraph& model, bool gpt) {
  for (const RunTarget& target : job.targets) {
    if (gpt || target.trainer != ExportTarget::kMegatron) continue;
    return invalid_input(fmt::format("--target: {} is no GPT, which {} has arguments for",
                                     model.name, to_text(target)),
                         "another target, such as deepspeed");
  }
  return {};
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

Result<JobContext> load_job(const Session& session, const SearchOptions& options) {
  PLUTO_ASSIGN(JobContext context, load_job(options.job));
  PLUTO_TRY(apply_flags(context.job, options));
  PLUTO_ASSIGN(const auto table, load_convergence_table(session.data_folder + "/convergence.json"));
  PLUTO_TRY_AT(options.job, look_up_convergence(context.job, table));
  return context;
}

Result<std::vector<TransformerPlace>> transformer_places(const Session& session,
                                                         const TrainingJob& job,
                                                         const Catalog& catalog) {
  std::vector<TransformerPlace> places;
  constexpr int kDefaultMaxRanks = 64;
  for (const std::string& name : job.instances) {
    if (name == "local") return std::vector<TransformerPlace>();
    PLUTO_ASSIGN(const auto instances, catalog.instances_like(name));
    for (const InstanceType& instance : instances) {
      if (instance.node.device.kind != DeviceKind::kGpu) return std::vector<TransformerPlace>();
      const int ranks = job.ranks.value_or(job.max_ranks.value_or(kDefaultMaxRanks));
      places.push_back({{instance, ranks, 1, "cuda"}, {}});
    }
  }
  PLUTO_ASSIGN(const auto table,
               TransformerCostTable::load(session.data_folder + "/transformer.json"));
  PLUTO_ASSIGN(const auto store, open_store(session));
  PLUTO_ASSIGN(std::vector<StoredMeasurement> stored, store->measurements(std::nullopt));
  std::vector<CalibrationPoint> measured;
  for (StoredMeasurement& one : stored) measured.push_back({one.id, std::move(one.measurement)});
  for (TransformerPlace& place : places) {
    PLUTO_ASSIGN(place.evidence,
                 transformer_evidence(measured, place.candidate.instance.node.device, table));
  }
  return places;
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
  const ModelGraph& model = searched.context.model();
  const std::int64_t samples = searched.context.dataset_samples;
  PLUTO_ASSIGN(const Catalog catalog, load_catalog(session, options));
  const SearchControl control{options.pareto,
                              [&] { return g_interrupted || elapsed() > time_limit; }};
  const auto shape = transformer_shape(model);
  PLUTO_TRY(check_targets(job, model, shape.ok() && shape->causal));
  PLUTO_ASSIGN(const auto gpus, shape.ok() ? transformer_places(session, job, catalog)
                                           : Result(std::vector<TransformerPlace>()));
  signal(SIGINT, note_interrupt);
  if (!gpus.empty()) {
    if (std::ranges::find(job.allowed_sync, SyncMethod::kAllReduce) == job.allowed_sync.end()) {
      return unsupported("sync: transformers on GPUs exchange gradients by all_reduce, or sharded",
                         "allow all_reduce");
    }
    searched.shape = *shape;
    std::set<std::string> basis;
    for (const TransformerPlace& place : gpus) {
      basis.insert(
          fmt::format("{}: {}", place.candidate.instance.node.device.name, place.evidence.basis));
    }
    searched.cost_basis.assign(basis.begin(), basis.end());
    PLUTO_ASSIGN(searched.result, search(job, model, *shape, samples, gpus, control));
  } else {
    StrategyChoice fixed = job.strategy;
    if (!options.allow_sync.empty()) fixed.shard.reset();
    if (fixed.any() || fixed.nodes) {
      return unsupported(
          "--fix: search plans data parallelism of models that are no transformers on GPUs; what "
          "else spreads them is not searched",
          "pluto-plan predict --set prices one such plan");
    }
    PLUTO_ASSIGN(const Host host, describe_host(job, session.data_folder));
    PLUTO_ASSIGN(const auto store, open_store(session));
    PLUTO_ASSIGN(searched.costs, load_costs(session, host, *store, job.precision, job.attention));
    searched.cost_basis = {
        fmt::format("{} measurements of {}", searched.costs.measurements, host.device.name),
        "datasheets where nothing was measured"};
    PLUTO_ASSIGN(const std::vector<Candidate> places, candidates(job, host, catalog));
    PLUTO_ASSIGN(searched.result,
                 search(job, model, samples, places, *searched.costs.measured, control));
  }
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
