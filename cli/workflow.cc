#include "cli/workflow.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "cli/environment.h"
#include "cli/launcher.h"
#include "executor/data_source.h"
#include "planner/batch_law.h"
#include "runtime/backends.h"
#include "runtime/host.h"

namespace pluto {

namespace {

constexpr const char* kHostBackend = "cpu";

/// What is assumed of a core and of the memory between ranks until profile has measured them.
struct HostAssumptions {
  FlopsPerSecond peak_per_core;
  BytesPerSecond bandwidth_per_core;
  LinkSpec link;
  std::string source;
};

Result<HostAssumptions> read_assumptions(const std::string& data_folder) {
  const std::string path = data_folder + "/catalog/host_cpu.json";
  PLUTO_ASSIGN(const Value document, read_document(path));
  PLUTO_ASSIGN(ObjectReader reader, ObjectReader::open(document, path));
  PLUTO_ASSIGN(const double peak, reader.number("peak_f32_gflops_per_core"));
  PLUTO_ASSIGN(const double bandwidth, reader.number("memory_bandwidth_GBps_per_core"));
  PLUTO_ASSIGN(const double alpha, reader.number("link_alpha_us"));
  PLUTO_ASSIGN(const double link_bandwidth, reader.number("link_bandwidth_GBps"));
  PLUTO_ASSIGN(const double cpu_share, reader.number("link_cpu_share"));
  PLUTO_ASSIGN(const std::string source, reader.string("source"));
  PLUTO_TRY(reader.finish());
  return HostAssumptions{FlopsPerSecond(peak * 1e9), BytesPerSecond(bandwidth * 1e9),
                         LinkSpec{"shared memory", Seconds(alpha * 1e-6),
                                  BytesPerSecond(link_bandwidth * 1e9), 1, cpu_share},
                         source};
}

}  // namespace

Result<JobContext> load_job(const std::string& path) {
  JobContext context;
  PLUTO_ASSIGN(context.job, read_job(path, utc_seconds()));
  PLUTO_ASSIGN_AT(path + ": model", context.imported,
                  load_model(context.job.model.source, context.job.model.options));
  if (!context.imported.model.loss.valid()) {
    return invalid_input(fmt::format("{}: model: {} has no loss, so there is nothing to train",
                                     path, context.job.model.source),
                         "pluto-plan inspect shows what it is");
  }
  PLUTO_ASSIGN_AT(path + ": data", context.dataset_samples, count_samples(context.job.data));
  return context;
}

Result<Host> describe_host(const TrainingJob& job, const std::string& data_folder) {
  PLUTO_ASSIGN(const HostAssumptions assumed, read_assumptions(data_folder));
  Host host;
  host.cores = cpu_cores();
  host.max_ranks = job.ranks.value_or(job.max_ranks.value_or(host.cores));
  const bool local =
      std::find(job.instances.begin(), job.instances.end(), "local") != job.instances.end();
  if (local && host.max_ranks > host.cores) {
    return invalid_input(
        fmt::format("cluster: {} ranks on this machine of {} core{}", host.max_ranks, host.cores,
                    host.cores == 1 ? "" : "s"),
        fmt::format("set ranks to at most {}, or name an instance type of `pluto-plan catalog`",
                    host.cores));
  }
  host.max_ranks = std::min(host.max_ranks, host.cores);
  host.threads_per_rank = std::max(1, host.cores / host.max_ranks);
  PLUTO_ASSIGN(const auto device, open_device(kHostBackend, host.threads_per_rank));
  host.fingerprint = device->fingerprint();
  host.device.name = cpu_model();
  host.device.kind = DeviceKind::kCpu;
  host.device.memory = Bytes(host_memory().value() / host.max_ranks);
  host.device.memory_bandwidth =
      BytesPerSecond(assumed.bandwidth_per_core.value() * host.threads_per_rank);
  host.device.peak[DType::kF32] =
      FlopsPerSecond(assumed.peak_per_core.value() * host.threads_per_rank);
  host.instance.name = "local";
  host.instance.node = NodeSpec{host.device, host.max_ranks, assumed.link, assumed.link};
  host.instance.price = job.local_price.value_or(DollarsPerHour(0));
  host.instance.price_date = utc_text(utc_seconds()).substr(0, 10);
  host.instance.source = job.local_price ? "job file" : "free: the job file names no price";
  return host;
}

Result<Costs> load_costs(const Session& session, const Host& host, const Store& store,
                         TrainPrecision precision, AttentionKernel attention) {
  if (precision == TrainPrecision::kFp8) {
    return unsupported(
        "precision: the simulator prices fp32, tf32, fp16 and bf16, not fp8",
        "transformers on GPU instances have a closed form for it: pluto-plan predict");
  }
  Costs costs;
  PLUTO_ASSIGN(costs.datasheet,
               make_roofline_source(session.data_folder + "/efficiency.json",
                                    {.surfaces_path = session.data_folder + "/op_surfaces.json",
                                     .tf32 = precision == TrainPrecision::kTf32,
                                     .eager_attention = attention == AttentionKernel::kScores}));
  PLUTO_ASSIGN(std::vector<StoredMeasurement> stored, store.measurements(host.fingerprint));
  std::vector<CalibrationPoint> points;
  points.reserve(stored.size());
  for (StoredMeasurement& one : stored) points.push_back({one.id, std::move(one.measurement)});
  costs.measurements = static_cast<std::int64_t>(points.size());
  costs.measured = make_measured_source(points, host.device, *costs.datasheet);
  return costs;
}

Result<std::vector<Candidate>> candidates(const TrainingJob& job, const Host& host,
                                          const Catalog& catalog) {
  std::vector<Candidate> all;
  for (const std::string& name : job.instances) {
    if (name == "local") {
      if (job.precision != TrainPrecision::kF32) {
        return invalid_input(
            fmt::format("precision: this machine trains in fp32, not {}", to_text(job.precision)),
            "name GPU instances only: cluster: {instances: [...]}, or leave precision out");
      }
      if (job.attention != TrainingJob().attention) {
        return invalid_input(fmt::format("attention: this machine has a kernel of its own, no {}",
                                         to_text(job.attention)),
                             "name GPU instances only, or leave attention out");
      }
      all.push_back({host.instance, host.max_ranks, host.threads_per_rank, kHostBackend});
      continue;
    }
    PLUTO_ASSIGN(const auto instances, catalog.instances_like(name));
    constexpr int kDefaultMaxRanks = 64;
    const int ranks = job.ranks.value_or(job.max_ranks.value_or(kDefaultMaxRanks));
    for (const InstanceType& instance : instances) {
      all.push_back({instance, ranks, 1,
                     instance.node.device.kind == DeviceKind::kGpu ? "cuda" : kHostBackend});
    }
  }
  return all;
}

Plan probe_plan(const JobContext& context, const Host& host, const ProbePoint& point) {
  const int ranks = point.ranks;
  const SyncMethod method = point.method;
  const TrainingJob& job = context.job;
  Plan plan;
  plan.job = job.name;
  plan.model = job.model;
  plan.model_fingerprint = context.model().graph.fingerprint();
  plan.data = job.data;
  plan.dataset_samples = context.dataset_samples;
  plan.cluster = ClusterSpec{host.instance, 1};
  plan.backend = kHostBackend;
  plan.threads_per_rank = host.threads_per_rank;
  plan.layout.data = ranks;
  plan.micro_batch = point.micro_batch;
  plan.accumulation = point.accumulation;
  plan.global_batch = point.micro_batch * ranks * point.accumulation;
  plan.optimizer = job.optimizer;
  plan.learning_rate = schedule_of(job, context.dataset_samples);
  plan.checkpoint_every = job.checkpoint_every;
  plan.seed = job.seed;
  if (ranks == 1) return plan;
  auto gradients = gradient_order(context.model(), plan);
  if (!gradients.ok()) return plan;
  BucketPlan plain{SyncMethod::kAllReduce, {}}, factors{SyncMethod::kSufficientFactor, {}},
      served{SyncMethod::kParameterServer, {}};
  for (const GradientInfo& gradient : *gradients) {
    if (method == SyncMethod::kSufficientFactor && gradient.sufficient_factors) {
      factors.parameters.push_back(gradient.name);
    } else if (method == SyncMethod::kParameterServer) {
      served.parameters.push_back(gradient.name);
    } else {
      plain.parameters.push_back(gradient.name);
    }
  }
  for (BucketPlan* bucket : {&factors, &served, &plain}) {
    if (!bucket->parameters.empty()) plan.buckets.push_back(*bucket);
  }
  if (method == SyncMethod::kParameterServer) {
    for (int rank = 0; rank < ranks; ++rank) plan.servers.push_back(rank);
  }
  return plan;
}

std::vector<ProbePoint> probe_points(const JobContext& context, const Host& host) {
  const TrainingJob& job = context.job;
  std::set<int> rank_counts = {1, host.max_ranks};
  if (job.ranks) rank_counts = {std::min(*job.ranks, host.max_ranks)};
  for (int ranks = 2; !job.ranks && ranks < host.max_ranks; ranks *= 2) rank_counts.insert(ranks);
  std::vector<std::int64_t> batches;
  if (job.global_batch) {
    batches.push_back(*job.global_batch);
  } else {
    constexpr std::int64_t kSmallest = 32;
    for (std::int64_t b = kSmallest; b <= job.max_global_batch.value_or(kSmallest); b *= 4)
      batches.push_back(b);
  }
  std::vector<ProbePoint> points;
  std::set<std::pair<int, std::int64_t>> seen;
  for (const int ranks : rank_counts) {
    for (const std::int64_t batch : batches) {
      for (const int parts : {1, 2}) {
        const std::int64_t micro = job.micro_batch.value_or(batch / (ranks * parts));
        if (micro < 1 || !seen.insert({ranks, micro}).second) continue;
        const auto accumulation =
            static_cast<int>(std::max<std::int64_t>(1, batch / (ranks * micro)));
        if (ranks == 1) {
          points.push_back({1, micro, accumulation, SyncMethod::kNone});
          continue;
        }
        for (const SyncMethod method : job.allowed_sync)
          points.push_back({ranks, micro, accumulation, method});
      }
    }
  }
  return points;
}

Result<ProfileTotals> profile_host(Session& session, const std::string& job_path,
                                   const JobContext& context, const Host& host, Seconds max_time) {
  ProfileTotals totals;
  std::set<int> rank_counts;
  for (const ProbePoint& point : probe_points(context, host)) rank_counts.insert(point.ranks);
  double share_done = 0;
  const double share_each = 1.0 / static_cast<double>(rank_counts.size());
  for (const int ranks : rank_counts) {
    Launch launch;
    launch.program = session.program;
    launch.arguments = {"--db",
                        session.database,
                        "--data",
                        session.data_folder,
                        "worker",
                        "profile",
                        job_path,
                        "--max-time",
                        fmt::format("{}s", max_time.value() * share_each)};
    launch.ranks = ranks;
    launch.threads_per_rank = host.threads_per_rank;
    PLUTO_TRY(launch_ranks(launch, [&](const Value& message) {
      if (const Value* share = message.find("progress")) {
        const Value* what = message.find("what");
        session.terminal->progress(share_done + share_each * share->as_number(),
                                   what && what->is_string() ? what->as_string() : "");
      }
      if (const Value* measured = message.find("measured")) {
        totals.measured += measured->as_integer();
        if (const Value* known = message.find("already_known"))
          totals.already_known += known->as_integer();
        if (const Value* complete = message.find("complete"))
          totals.complete = totals.complete && complete->as_bool();
      }
    }));
    share_done += share_each;
  }
  session.terminal->end_progress();
  return totals;
}

Result<std::unique_ptr<Store>> open_store(const Session& session) {
  const std::size_t slash = session.database.rfind('/');
  if (slash != std::string::npos && slash > 0)
    PLUTO_TRY(make_folder(session.database.substr(0, slash)));
  return Store::open(session.database);
}

RunContext run_context(const Host& host, int busy_ranks) {
  return {host_name(), host.device.name, host.fingerprint, utc_text(utc_seconds()), busy_ranks};
}

}  // namespace pluto
