// The ranks' side of profile and run: one JSON object per line on stdout, rank 0 speaks for all,
// errors from whoever has one.

#include <fmt/format.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <set>

#include "cli/run_document.h"
#include "cli/workflow.h"
#include "profiler/profile.h"
#include "runtime/backends.h"
#include "runtime/host.h"

namespace pluto {

namespace {

std::atomic<bool> g_stop{false};  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): set
                                  // by the signal handler
extern "C" void request_stop(int) { g_stop = true; }

void speak(const Value& message) {
  const std::string line = to_json(message, true) + "\n";
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fflush(stdout);
}

Value error_message(const Error& error, int rank) {
  Value body = Value::object();
  body.set("code", static_cast<int>(error.code)).set("rank", rank);
  body.set("message", rank >= 0 ? fmt::format("rank {}: {}", rank, error.message) : error.message)
      .set("help", error.help);
  Value message = Value::object();
  message.set("error", std::move(body));
  return message;
}

Result<std::unique_ptr<Communicator>> world() {
  // Started by mpirun or alone: an MPI of one rank costs start-up time and gains nothing.
  if (std::getenv("OMPI_COMM_WORLD_SIZE") || std::getenv("PMI_SIZE"))
    return make_mpi_communicator();
  return std::move(make_in_process_communicators(1).front());
}

/// Texts of rank 0, on every rank.
Result<std::vector<std::string>> share(Communicator& communicator,
                                       const std::vector<std::string>& mine) {
  std::string blob;
  for (const std::string& text : mine) blob += text + "\n";
  std::int64_t size = static_cast<std::int64_t>(blob.size());
  PLUTO_TRY(communicator.broadcast(std::as_writable_bytes(std::span(&size, 1)), 0));
  blob.resize(static_cast<std::size_t>(size));
  if (size > 0) PLUTO_TRY(communicator.broadcast(std::as_writable_bytes(std::span(blob)), 0));
  std::vector<std::string> all;
  for (std::size_t begin = 0, end; (end = blob.find('\n', begin)) != std::string::npos;
       begin = end + 1) {
    all.push_back(blob.substr(begin, end - begin));
  }
  return all;
}

/// What the database knows of this host at this rank count, as the profiler's texts.
struct Known {
  std::vector<std::string> operators, collectives;
  bool input = false, process = false;
};

Known known_at(const std::vector<StoredMeasurement>& stored, int ranks,
               const std::string& data_source) {
  Known known;
  for (const StoredMeasurement& one : stored) {
    const auto& what = one.measurement.what;
    if (const auto* op = std::get_if<OpMeasurement>(&what);
        op && one.measurement.context.busy_ranks == ranks) {
      known.operators.push_back(to_text(op->signature));
    } else if (const auto* collective = std::get_if<CollectiveMeasurement>(&what);
               collective && collective->ranks == ranks) {
      known.collectives.push_back(
          fmt::format("{} {}", to_text(collective->kind), collective->bytes.value()));
    } else if (const auto* input = std::get_if<InputMeasurement>(&what);
               input && input->source == data_source) {
      known.input = true;
    } else if (const auto* process = std::get_if<ProcessMeasurement>(&what);
               process && process->ranks == ranks) {
      known.process = true;
    }
  }
  return known;
}

/// Every measurement goes to the database on rank 0 and nowhere on the others.
class NowhereSink : public MeasurementSink {
 public:
  Result<void> record(const Measurement&) override { return {}; }
};

struct WorkerOptions {
  std::string path;  // job.yaml or plan.json
  std::string max_time = "60s";
  std::string folder;  // checkpoints of a run
  std::int64_t checkpoint_every = 0, report_every = 50, stop_after = 0;
  bool fresh = false, no_evaluation = false;
};

/// Times what a reader thread does for one sample.
Result<ProfileOutcome> measure_reading(const JobContext& context, const DataSet& data,
                                       const RunContext& run, const ProfileLimits& limits,
                                       MeasurementSink& sink) {
  const Graph& graph = context.model().graph;
  std::vector<std::vector<std::byte>> sample;
  auto add_slot = [&](TensorId id) {
    sample.emplace_back(static_cast<std::size_t>(graph.tensor(id).type.bytes(1).value()));
  };
  for (const TensorId id : context.model().inputs) add_slot(id);
  add_slot(context.model().labels);
  std::vector<void*> slots;
  for (auto& bytes : sample) slots.push_back(bytes.data());
  return profile_input(
      context.job.data.source, data.train->bytes_per_sample(),
      [&](std::int64_t index) { data.train->read(index, slots); }, data.train->size(), run, limits,
      sink);
}

Result<void> profile_rank(Session& session, const WorkerOptions& options,
                          Communicator& communicator) {
  PLUTO_ASSIGN(const Seconds max_time, parse_duration(options.max_time));
  PLUTO_ASSIGN(const JobContext context, load_job(options.path));
  PLUTO_ASSIGN(const Host host, describe_host(context.job, session.data_folder));
  PLUTO_ASSIGN(const auto device, open_device("cpu", host.threads_per_rank));
  PLUTO_ASSIGN(const DataSet data, open_data(context.job.data, context.model(), context.job.seed));
  const bool leader = communicator.rank() == 0;
  const int ranks = communicator.size();

  std::unique_ptr<Store> store;
  NowhereSink nowhere;
  Known known;
  if (leader) {
    PLUTO_ASSIGN(store, open_store(session));
    PLUTO_ASSIGN(const auto stored, store->measurements(host.fingerprint));
    known = known_at(stored, ranks, context.job.data.source);
  }
  MeasurementSink& sink = leader ? static_cast<MeasurementSink&>(*store) : nowhere;
  const RunContext run = run_context(host, ranks);
  PLUTO_ASSIGN(known.operators, share(communicator, known.operators));
  PLUTO_ASSIGN(known.collectives, share(communicator, known.collectives));

  std::vector<ProbePoint> points;
  for (const ProbePoint& point : probe_points(context, host)) {
    if (point.ranks == ranks) points.push_back(point);
  }
  const double units = static_cast<double>(points.size()) + 1;
  double unit = 0;
  auto progress = [&](double done, const std::string& what) {
    if (!leader) return;
    Value message = Value::object();
    message.set("progress", (unit + done) / units)
        .set("what", fmt::format("{} rank{}: {}", ranks, ranks == 1 ? "" : "s", what));
    speak(message);
  };
  ProfileOutcome total;
  auto add = [&](const ProfileOutcome& outcome) {
    total.measured += outcome.measured;
    total.already_known += outcome.already_known;
    total.complete = total.complete && outcome.complete;
    unit += 1;
  };
  ProfileLimits limits;
  limits.max_time = max_time / units;
  Bytes largest(0);
  for (const ProbePoint& point : points) {
    const Plan plan = probe_plan(context, host, point);
    PLUTO_ASSIGN(const LoweredPlan lowered, lower(context.model(), plan));
    for (const Task& task : lowered.program.tasks) {
      if (const auto* collective = std::get_if<CollectiveTask>(&task.payload))
        largest = std::max(largest, collective->bytes);
    }
    PLUTO_ASSIGN(const ProfileOutcome outcome, profile_ops(*device, lowered, known.operators, run,
                                                           limits, &communicator, sink, progress));
    add(outcome);
    // What this point recorded need not be measured again at the next one.
    for (const Op& op : lowered.training.graph.ops()) {
      known.operators.push_back(
          to_text(signature_of(lowered.training.graph, op, point.micro_batch)));
    }
  }
  if (ranks > 1) {
    PLUTO_ASSIGN(
        const ProfileOutcome outcome,
        profile_collectives(communicator, largest, known.collectives, run, limits, sink, progress));
    add(outcome);
  }
  if (leader && !known.input) {
    PLUTO_ASSIGN(const ProfileOutcome outcome, measure_reading(context, data, run, limits, sink));
    add(outcome);
  }
  if (leader) {
    // Kernels are compiled and the data is open, as in a run; the arena is gone again.
    if (!known.process || total.measured > 0) {
      malloc_trim(0);  // what measuring several plans left in the heap is not a run's
      PLUTO_TRY(sink.record({run, ProcessMeasurement{resident_memory(), ranks}}));
      total.measured += 1;
    }
    Value message = Value::object();
    message.set("measured", total.measured)
        .set("already_known", total.already_known)
        .set("complete", total.complete);
    speak(message);
  }
  return {};
}

Result<void> run_rank(Session& session, const WorkerOptions& options, Communicator& communicator) {
  PLUTO_ASSIGN(const std::string text, read_file(options.path));
  PLUTO_ASSIGN(const Plan plan, plan_from_json(text, options.path));
  if (communicator.size() != plan.layout.ranks()) {
    return invalid_input(fmt::format("{}: made for {} ranks, started with {}", options.path,
                                     plan.layout.ranks(), communicator.size()));
  }
  PLUTO_ASSIGN(const ImportedModel imported, load_model(plan.model.source, plan.model.options));
  PLUTO_ASSIGN(const LoweredPlan lowered, lower(imported.model, plan));
  PLUTO_ASSIGN(const auto device, open_device(plan.backend, plan.threads_per_rank));
  PLUTO_ASSIGN(const DataSet data, open_data(plan.data, imported.model, plan.seed));
  const bool leader = communicator.rank() == 0;
  std::unique_ptr<Store> store;
  if (leader) {
    PLUTO_ASSIGN(store, open_store(session));
  }

  RunOptions run;
  run.checkpoint_folder = options.folder;
  run.checkpoint_every = options.checkpoint_every;
  run.report_every = options.report_every;
  run.stop_after_steps = options.stop_after;
  run.resume = !options.fresh;
  run.evaluate = !options.no_evaluation;
  run.stop = &g_stop;
  run.progress = [&](const RunProgress& at) {
    Value message = Value::object();
    message.set("step", at.step)
        .set("steps", at.steps)
        .set("loss", at.loss)
        .set("samples_per_s", at.samples_per_second);
    message.set("elapsed_s", at.elapsed.value()).set("left_s", at.expected_left.value());
    speak(message);
  };
  const RunContext context{host_name(), device->name(), device->fingerprint(),
                           utc_text(utc_seconds()), communicator.size()};
  PLUTO_ASSIGN(const RunReport report,
               run_plan(plan, lowered, *device, communicator, data, context, run, store.get()));
  if (leader) {
    Value message = Value::object();
    message.set("run", to_value(report));
    speak(message);
  }
  return {};
}

int run_worker(Session& session, const WorkerOptions& options,
               Result<void> (*body)(Session&, const WorkerOptions&, Communicator&)) {
  struct sigaction action = {};
  action.sa_handler = request_stop;
  sigaction(SIGUSR1, &action, nullptr);
  auto communicator = world();
  if (!communicator.ok()) {
    speak(error_message(communicator.error(), -1));
    return exit_code(communicator.error().code);
  }
  const int ranks = (*communicator)->size();
  const Result<void> done = body(session, options, **communicator);
  if (done.ok()) return 0;
  speak(error_message(done.error(), ranks > 1 ? (*communicator)->rank() : -1));
  if (ranks > 1) (*communicator)->abort(done.error().message);
  return exit_code(done.error().code);
}

}  // namespace

void add_worker(CLI::App& app, Session& session) {
  auto options = std::make_shared<WorkerOptions>();
  CLI::App* worker =
      app.add_subcommand("worker", "The ranks that profile and run start")->group("");
  worker->require_subcommand(1);
  CLI::App* profile = worker->add_subcommand("profile", "");
  profile->add_option("job", options->path)->required();
  profile->add_option("--max-time", options->max_time);
  profile->callback([&session, options] {
    session.action = [&session, options]() -> Result<int> {
      return run_worker(session, *options, profile_rank);
    };
  });
  CLI::App* run = worker->add_subcommand("run", "");
  run->add_option("plan", options->path)->required();
  run->add_option("--folder", options->folder);
  run->add_option("--checkpoint-every", options->checkpoint_every);
  run->add_option("--report-every", options->report_every);
  run->add_option("--stop-after", options->stop_after);
  run->add_flag("--fresh", options->fresh);
  run->add_flag("--no-evaluation", options->no_evaluation);
  run->callback([&session, options] {
    session.action = [&session, options]() -> Result<int> {
      return run_worker(session, *options, run_rank);
    };
  });
}

}  // namespace pluto
