#pragma once
// What search and predict share: a job with its flags, where it may run, and what that costs.

#include <optional>
#include <string>
#include <vector>

#include "cli/workflow.h"

namespace CLI {
class App;
}

namespace pluto {

struct SearchOptions {
  std::string job, budget, deadline, minimize, output, gpus, time_limit = "30s";
  bool pareto = false;
  std::string spot;                       ///< auto, never, only; empty: the job's
  std::string target;                     ///< list of export targets; empty: the plan may be any
  std::string allow_sync;                 ///< "all_reduce,shard"; empty: the job's
  std::string prices, provider = "user";  ///< a price list beside the catalog's, and its prefix
  std::optional<double> confidence;
  std::vector<std::string> settings;
  std::string settings_flag;  ///< how this verb calls them
  int top = 5;
};

/// The job argument, the settings flag and those of prices of a verb.
void add_job_options(CLI::App& verb, SearchOptions& options, const char* settings_flag);

/// The installed catalog with the price list of the flags. Errors: those of Catalog.
Result<Catalog> load_catalog(const Session& session, const SearchOptions& options);

/// The job file under the flags, by the same rules; what it says of convergence looked up.
Result<JobContext> load_job(const Session& session, const SearchOptions& options);

/// The GPU instances a job names, with what is known of steps of transformers there; empty when it
/// names another place as well.
Result<std::vector<TransformerPlace>> transformer_places(const Session& session,
                                                         const TrainingJob& job,
                                                         const Catalog& catalog);

struct Searched {
  JobContext context;
  SearchResult result;
  Costs costs;                            ///< of the simulator
  std::optional<TransformerShape> shape;  ///< set: priced by the closed form of transformers
  std::vector<std::string> cost_basis;    ///< what the costs rest on, a line each
};

/// Searches: transformers on GPUs over all layouts by the closed form, all else over data-parallel
/// plans by the simulator. An interrupt ends it early with what it has.
Result<Searched> search_job(Session& session, const SearchOptions& options, JobContext context);
/// Whether an interrupt ended a search.
bool was_interrupted();

/// "$120 and 6h at confidence 0.90", "no limits".
std::string limits_text(const TrainingJob& job);
/// "gpt2  124.44 M parameters  1000 samples  no limits  `work`".
std::string heading_text(const JobContext& context, const std::string& work);

}  // namespace pluto
