#pragma once
// The loop, closed in one place by passing values: load, profile what is missing, cost, plan, run,
// compare.

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/commands.h"
#include "costmodel/sources.h"
#include "db/store.h"
#include "executor/run.h"
#include "model/model_source.h"
#include "plan/catalog.h"
#include "plan/job.h"
#include "plan/plan.h"
#include "planner/planner.h"

namespace pluto {

/// A job with the model and the size of the data it names.
struct JobContext {
  TrainingJob job;
  ImportedModel imported;
  std::int64_t dataset_samples = 0;
  const ModelGraph& model() const { return imported.model; }
};
Result<JobContext> load_job(const std::string& path);
/// This machine as something that can be rented: "local", priced by the job.
struct Host {
  DeviceSpec device;        ///< of one rank: its threads' share of the machine
  std::string fingerprint;  ///< of the backend at that many threads
  int cores = 1;
  int max_ranks = 1;
  int threads_per_rank = 1;
  InstanceType instance;
};
/// `max_ranks` from the job, else the cores. Errors: kInvalidInput when the job wants more ranks
/// than cores.
Result<Host> describe_host(const TrainingJob& job, const std::string& data_folder);

/// What everything costs: measurements of this host in front of datasheets.
struct Costs {
  std::unique_ptr<CostSource> datasheet;
  std::unique_ptr<CostSource> measured;
  std::int64_t measurements = 0;
};
/// Errors also: kUnsupported for a precision that the simulator does not price.
Result<Costs> load_costs(const Session& session, const Host& host, const Store& store,
                         TrainPrecision precision, AttentionKernel attention);

/// Where the job may run: one candidate per instance name of the job.
Result<std::vector<Candidate>> candidates(const TrainingJob& job, const Host& host,
                                          const Catalog& catalog);

/// A point whose ops a search of this job will ask for on this
/// host.
struct ProbePoint {
  int ranks = 1;
  std::int64_t micro_batch = 1;
  int accumulation = 1;
  SyncMethod method = SyncMethod::kNone;
};
std::vector<ProbePoint> probe_points(const JobContext& context, const Host& host);
/// A data-parallel plan for measuring at that point: everything the job fixes, one method for all
/// parameters that can use it.
Plan probe_plan(const JobContext& context, const Host& host, const ProbePoint& point);

struct ProfileTotals {
  std::int64_t measured = 0, already_known = 0;
  bool complete = true;  ///< false: the time limit ended it
};
/// Measures on this host what the database lacks for the job; ranks are started as needed. Returns
/// how many measurements were added.
Result<ProfileTotals> profile_host(Session& session, const std::string& job_path,
                                   const JobContext& context, const Host& host, Seconds max_time);

/// Opens the session's database, making its folder.
Result<std::unique_ptr<Store>> open_store(const Session& session);

/// Run context of this process on `host`.
RunContext run_context(const Host& host, int busy_ranks);

}  // namespace pluto
