// run: train a plan with the bundled executor.

#include <fmt/format.h>
#include <signal.h>

#include <CLI/CLI.hpp>

#include "base/fingerprint.h"
#include "cli/commands.h"
#include "cli/environment.h"
#include "cli/launcher.h"
#include "cli/run_document.h"
#include "cli/workflow.h"
#include "executor/checkpoint.h"
#include "runtime/host.h"

namespace pluto {

namespace {

constexpr int kStoppedByGuard = 6;

struct TrainOptions {
  std::string plan, output = "run.json", folder;
  std::optional<std::int64_t> checkpoint_every;
  std::int64_t report_every = 50, stop_after = 0;
  bool fresh = false, no_evaluation = false;
};

void show(Terminal& terminal, const Plan& plan, const Value& message) {
  auto number = [&](const char* key) {
    const Value* value = message.find(key);
    return value && value->is_number() ? value->as_number() : 0.0;
  };
  const double elapsed = number("elapsed_s");
  const Dollars spent = plan.cluster.price() * Seconds(elapsed);
  terminal.progress(
      number("step") / std::max(1.0, number("steps")),
      fmt::format("step {:.0f}/{:.0f}  loss {:.4f}  {:.0f} samples/s  {}  {} left", number("step"),
                  number("steps"), number("loss"), number("samples_per_s"), to_text(spent),
                  to_text(Seconds(number("left_s")))));
}

Result<PredictedPlan> predict_now(const Session& session, const Plan& plan, const ModelGraph& model,
                                  const Store& store) {
  TrainingJob job;
  job.ranks = plan.layout.ranks();
  PLUTO_ASSIGN(const Host host, describe_host(job, session.data_folder));
  PLUTO_ASSIGN(const Costs costs, load_costs(session, host, store, plan.precision, plan.attention));
  return predict(model, plan, *costs.measured);
}

/// The plan, if this machine can run it.
Result<Plan> read_plan(const std::string& path) {
  PLUTO_ASSIGN(const std::string text, read_file(path));
  PLUTO_ASSIGN(const Plan plan, plan_from_json(text, path));
  PLUTO_TRY_AT(path, validate(plan));
  if (plan.cluster.instance.name != "local") {
    return unsupported(
        fmt::format("{}: this plan rents {}; the bundled executor runs on this machine only", path,
                    plan.cluster.instance.name),
        "search with cluster: {instances: [local]} for a plan that runs here");
  }
  if (plan.layout.ranks() > cpu_cores()) {
    return invalid_input(fmt::format("{}: {} ranks, but this machine has {} cores", path,
                                     plan.layout.ranks(), cpu_cores()),
                         fmt::format("pluto-plan search JOB --fix ranks={}", cpu_cores()));
  }
  return plan;
}

/// What the output file says of the same training, when a checkpoint in `folder` ends it: nothing
/// is left to train.
std::optional<RunDocument> finished_earlier(const TrainOptions& options, const Plan& plan,
                                            const std::string& folder) {
  const std::uint64_t trajectory = trajectory_fingerprint(plan);
  const auto found = find_checkpoint(folder, trajectory);
  if (options.fresh || !found.ok() || !found->path) return std::nullopt;
  const auto header = verify_checkpoint(*found->path);
  const auto text = read_file(options.output);
  if (!header.ok() || header->step < plan.steps || !text.ok()) return std::nullopt;
  auto earlier = run_from_json(*text, options.output);
  if (!earlier.ok() || trajectory_fingerprint(earlier->plan) != trajectory ||
      earlier->report.last_step != header->step) {
    return std::nullopt;
  }
  return std::move(*earlier);
}

Launch launch_of(const Session& session, const TrainOptions& options, const Plan& plan,
                 const std::string& folder) {
  Launch launch;
  launch.program = session.program;
  launch.arguments = {"--db",
                      session.database,
                      "--data",
                      session.data_folder,
                      "worker",
                      "run",
                      folder + "/plan.json",
                      "--folder",
                      folder,
                      "--checkpoint-every",
                      std::to_string(options.checkpoint_every.value_or(plan.checkpoint_every)),
                      "--report-every",
                      std::to_string(options.report_every),
                      "--stop-after",
                      std::to_string(options.stop_after)};
  if (options.fresh) launch.arguments.push_back("--fresh");
  if (options.no_evaluation) launch.arguments.push_back("--no-evaluation");
  launch.ranks = plan.layout.ranks();
  launch.threads_per_rank = plan.threads_per_rank;
  return launch;
}

/// Starts the ranks, shows their progress, and keeps what happened in `document` and the database.
Result<void> train(Session& session, const TrainOptions& options, const std::string& folder,
                   Store& store, RunDocument& document) {
  const Plan& plan = document.plan;
  const int ranks = plan.layout.ranks();
  PLUTO_TRY(store.save_plan(plan, document.prediction));
  PLUTO_ASSIGN(const std::int64_t run, store.start_run(fingerprint(plan), document.started_at));
  PLUTO_TRY(make_folder(folder));
  PLUTO_TRY(write_file(folder + "/plan.json", to_json(plan) + "\n"));
  session.terminal->say(fmt::format(
      "{} rank{} of {} thread{}, {} steps of {} samples, predicted {} ({} at p90)", ranks,
      ranks == 1 ? "" : "s", plan.threads_per_rank, plan.threads_per_rank == 1 ? "" : "s",
      plan.steps, plan.global_batch, to_text(document.prediction.time_to_target.p50),
      to_text(document.prediction.time_to_target.p90)));

  std::optional<Result<RunReport>> report;
  const Result<void> ran =
      launch_ranks(launch_of(session, options, plan, folder), [&](const Value& message) {
        if (message.find("step")) show(*session.terminal, plan, message);
        if (const Value* body = message.find("run")) report = report_from_value(*body, "rank 0");
      });
  session.terminal->end_progress();
  if (!ran.ok() || !report) {
    PLUTO_TRY(store.finish_run(run, "failed", ""));
    if (!ran.ok()) return ran.error();
    return worker_error("the ranks ended without a report",
                        "pluto-plan run " + options.plan + " continues from the last checkpoint");
  }
  if (!report->ok()) return report->error();
  document.report = report->value();
  const bool finished = document.report.end == RunEnd::kFinished;
  return store.finish_run(run, finished ? "finished" : "stopped", options.output);
}

Result<int> run(Session& session, const TrainOptions& options) {
  PLUTO_ASSIGN(const Plan plan, read_plan(options.plan));
  PLUTO_ASSIGN(const ImportedModel imported, load_model(plan.model.source, plan.model.options));
  PLUTO_ASSIGN(const auto store, open_store(session));
  const std::string folder = options.folder.empty()
                                 ? default_runs_folder() + "/" + to_hex(fingerprint(plan))
                                 : options.folder;
  const std::optional<RunDocument> earlier = finished_earlier(options, plan, folder);
  RunDocument document;
  if (earlier && (earlier->report.test_accuracy || options.no_evaluation)) {
    document = *earlier;
  } else {
    document.plan = plan;
    document.started_at = utc_text(utc_seconds());
    document.host = host_name();
    PLUTO_ASSIGN_AT(options.plan, const PredictedPlan predicted,
                    predict_now(session, plan, imported.model, *store));
    document.prediction = predicted.prediction;
    document.predicted_timeline = predicted.step.timeline;
    PLUTO_TRY(train(session, options, folder, *store, document));
    if (earlier) {  // only the evaluation was left to do
      const auto accuracy = document.report.test_accuracy;
      document = *earlier;
      document.report.test_accuracy = accuracy;
    }
    PLUTO_TRY(write_file(options.output, to_json(document)));
  }

  Terminal& terminal = *session.terminal;
  const RunReport& r = document.report;
  const char* ends[] = {"finished", "stopped by signal; checkpoint kept",
                        "stopped by the budget guard; checkpoint kept",
                        "stopped by the deadline guard; checkpoint kept"};
  terminal.say(fmt::format(
      "{} at step {} of {}: loss {:.4f}{}",
      earlier ? "was finished before, " + document.started_at + "," : ends[static_cast<int>(r.end)],
      r.last_step, plan.steps, r.final_loss,
      r.test_accuracy ? fmt::format(", test accuracy {:.2f} %", *r.test_accuracy * 100) : ""));
  if (earlier) {
    terminal.say(fmt::format("--fresh trains it again; {} and {} stay until then", options.output,
                             r.checkpoint));
  } else {
    terminal.say(fmt::format("wrote {}{}", options.output,
                             r.checkpoint.empty() ? "" : " and " + r.checkpoint));
  }
  terminal.say(fmt::format("next  pluto-plan report {}", options.output));
  if (terminal.json()) {
    Value result = Value::object();
    result.set("schema", "pluto.run/1")
        .set("run", to_value(r))
        .set("prediction", to_value(document.prediction))
        .set("finished_earlier", earlier.has_value())
        .set("written", options.output);
    terminal.result(result);
  }
  if (r.end == RunEnd::kStopped) return 128 + (stop_signal() ? stop_signal() : SIGINT);
  return r.end == RunEnd::kFinished ? 0 : kStoppedByGuard;
}

}  // namespace

void add_run(CLI::App& app, Session& session) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* verb = app.add_subcommand("run", "Train a plan with the bundled executor");
  verb->footer(
      "Examples:\n  pluto-plan run plan.json -o run.json\n  pluto-plan run plan.json "
      "--checkpoint-every 200\n"
      "A run continues from the newest checkpoint of the same plan; --fresh starts over. Ctrl-C "
      "keeps a checkpoint.");
  verb->add_option("plan", options->plan, "Plan file written by search")->required();
  verb->add_option("-o,--output", options->output, "Report file");
  verb->add_option("--folder", options->folder,
                   "Folder of checkpoints (default: one per plan in the user's state folder)");
  verb->add_option(
          "--checkpoint-every", options->checkpoint_every,
          "Steps between checkpoints (0: at the end and when stopped; default: the plan's)")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--report-every", options->report_every,
                   "Steps between progress lines and recorded measurements")
      ->check(CLI::PositiveNumber);
  verb->add_option("--stop-after", options->stop_after, "End after this many steps (0: the plan's)")
      ->check(CLI::NonNegativeNumber);
  verb->add_flag("--fresh", options->fresh, "Ignore checkpoints");
  verb->add_flag("--no-evaluation", options->no_evaluation, "Skip the accuracy on the test set");
  verb->callback([&session, options] {
    session.action = [&session, options] { return run(session, *options); };
  });
}

}  // namespace pluto
