// export: a saved plan as the files that other programs run it with.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "base/text.h"
#include "cli/plan_commands.h"
#include "cli/price_plan.h"
#include "plan/export.h"
#include "planner/ranking.h"

namespace pluto {

namespace {

struct Options {
  std::string plan, targets, folder = "export", image;
  std::vector<std::string> hosts;
};

/// A plan for one target, predicted and written out.
struct Made {
  RunTarget target;
  std::string folder;
  Projection projection;
  Prediction planned, exported;
  bool fits = true;
  std::vector<ExportedFile> files;
};

std::string folder_name(const RunTarget& target) {
  if (!target.place) return to_text(target.trainer);
  return fmt::format("{}-{}", to_text(*target.place), to_text(target.trainer));
}

Result<Made> make(const PlanPricer& pricer, const RunTarget& target, const Options& options) {
  const Plan& plan = pricer.plan();
  Made made;
  made.target = target;
  PLUTO_ASSIGN(const auto gradients, gradient_order(pricer.model(), plan));
  const int layers = pricer.shape() ? pricer.shape()->layers : 0;
  PLUTO_ASSIGN_AT(options.plan, made.projection, project(plan, target, gradients, layers));
  PLUTO_ASSIGN_AT(options.plan, made.planned, pricer.predict());
  PLUTO_ASSIGN_AT(options.plan, made.exported, pricer.predict_other(made.projection.plan));
  made.fits = fits_memory(made.projection.plan, made.exported);
  ExportFacts facts;
  facts.shape = pricer.shape();
  facts.hosts = options.hosts;
  facts.image = options.image;
  facts.planned_step = made.planned.step_time.p50;
  facts.exported_step = made.exported.step_time.p50;
  facts.planned = fingerprint(plan);
  PLUTO_ASSIGN_AT(options.plan, made.files, export_plan(target, made.projection, facts));
  return made;
}

Result<void> write(const Made& made) {
  std::error_code problem;
  std::filesystem::create_directories(made.folder, problem);
  if (problem) {
    return io_error(fmt::format("{}: {}", made.folder, problem.message()), "another -o FOLDER");
  }
  for (const ExportedFile& file : made.files) {
    const std::string path = made.folder + "/" + file.path;
    PLUTO_TRY(write_file(path, file.text));
    if (!file.executable) continue;
    using std::filesystem::perms;
    std::filesystem::permissions(path, perms::owner_exec | perms::group_exec | perms::others_exec,
                                 std::filesystem::perm_options::add, problem);
    if (problem) return io_error(fmt::format("{}: {}", path, problem.message()));
  }
  return {};
}

Value value_of(const Made& made) {
  Value value = Value::object();
  value.set("target", to_text(made.target)).set("trainer", to_text(made.target.trainer));
  value.set("place", made.target.place ? Value(to_text(*made.target.place)) : Value());
  value.set("folder", made.folder);
  Value files = Value::array();
  for (const ExportedFile& file : made.files) files.push_back(file.path);
  value.set("files", std::move(files));
  value.set("planned_step_s", made.planned.step_time.p50.value());
  value.set("exported_step_s", made.exported.step_time.p50.value());
  value.set("planned_price_usd", made.planned.price.p50.value());
  value.set("exported_price_usd", made.exported.price.p50.value());
  Value dropped = Value::array();
  for (const Gap& gap : made.projection.dropped) {
    Value one = Value::object();
    one.set("field", gap.field).set("value", gap.value);
    dropped.push_back(std::move(one));
  }
  value.set("left_out", std::move(dropped)).set("fits", made.fits);
  return value;
}

/// What a person types now.
std::string start_of(const Made& made) {
  const std::string in = fmt::format("cd {} && ", made.folder);
  if (!made.target.place) {
    const bool nodes =
        made.projection.plan.layout.ranks() > made.projection.plan.cluster.instance.node.devices;
    const bool once =
        made.target.trainer == ExportTarget::kMpi || made.target.trainer == ExportTarget::kHorovod;
    if (!nodes || once) return in + "./launch.sh";
    return in + "MASTER_ADDR=FIRST_NODE NODE_RANK=0 ./launch.sh     (on every node, with its rank)";
  }
  switch (*made.target.place) {
    case ExportTarget::kSlurm:
      return in + "sbatch job.sbatch";
    case ExportTarget::kSkypilot:
      return in + "sky launch task.yaml";
    default:
      return in +
             fmt::format("kubectl apply -f configmap.yaml -f {}.yaml", to_text(*made.target.place));
  }
}

void say(Terminal& terminal, const std::vector<Made>& all) {
  std::vector<std::vector<std::string>> rows = {
      {"target", "step planned", "step exported", "price planned", "price exported", "left out"}};
  for (const Made& made : all) {
    std::string left;
    for (const Gap& gap : made.projection.dropped) {
      left += fmt::format("{}{} = {}", left.empty() ? "" : "; ", gap.field, gap.value);
    }
    rows.push_back({to_text(made.target), to_text(made.planned.step_time.p50),
                    to_text(made.exported.step_time.p50), to_text(made.planned.price.p50),
                    to_text(made.exported.price.p50), left.empty() ? "nothing" : left});
  }
  terminal.say(format_table(rows));
  for (const Made& made : all) {
    std::string names;
    for (const ExportedFile& file : made.files) names += " " + file.path;
    terminal.say(fmt::format("wrote     {}:{}", made.folder, names));
    if (!made.fits) {
      terminal.say(fmt::format("warning   {}: as exported it does not fit the device's memory",
                               to_text(made.target)));
    }
  }
  for (const Made& made : all) terminal.say("next      " + start_of(made));
}

Result<int> export_files(Session& session, const Options& options) {
  PLUTO_ASSIGN_AT("--target", const auto targets, parse_run_targets(options.targets));
  PLUTO_ASSIGN(const PlanPricer pricer, PlanPricer::open(session, options.plan));
  std::vector<Made> all;
  for (const RunTarget& target : targets) {
    PLUTO_ASSIGN(Made made, make(pricer, target, options));
    made.folder = targets.size() == 1 ? options.folder : options.folder + "/" + folder_name(target);
    all.push_back(std::move(made));
  }
  // All or none: what cannot be exported is said before anything is written.
  Value exports = Value::array();
  for (const Made& made : all) {
    PLUTO_TRY(write(made));
    exports.push_back(value_of(made));
  }
  Value document = Value::object();
  document.set("schema", "pluto.export/1").set("plan", options.plan);
  document.set("exports", std::move(exports));
  session.terminal->result(document);
  say(*session.terminal, all);
  return 0;
}

}  // namespace

void add_export(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("export", "The files that other launchers run a saved plan with");
  std::string names;
  for (const ExportTarget target : all_export_targets()) {
    names += fmt::format("{}{}", names.empty() ? "" : " ", to_text(target));
  }
  verb->footer(
      "What a launcher cannot express is refused, or left out and both step times printed;\n"
      "search --target plans with what it can from the start. docs/exports.md has the table.\n"
      "Examples:\n  pluto-plan export plan.json --target torchrun -o ddp\n"
      "  pluto-plan export plan.json --target slurm,megatron\n"
      "  pluto-plan export plan.json --target mpi --hosts alpha,beta\n"
      "  pluto-plan export plan.json --target pytorchjob,fsdp --image registry/mine:1");
  verb->add_option("plan", options->plan, "Plan file written by search")->required();
  verb->add_option(
          "--target", options->targets,
          "One or several, with commas: a trainer, a place that starts it, or both: " + names)
      ->required();
  verb->add_option("-o,--output", options->folder, "Folder of the files (default: export)");
  verb->add_option("--hosts", options->hosts, "Names of the nodes, for hostfiles")->delimiter(',');
  verb->add_option("--image", options->image, "Container image, for Kubernetes");
  verb->callback([&session, options] {
    session.action = [&session, options] { return export_files(session, *options); };
  });
}

}  // namespace pluto
