// Predicted step time and memory against measured ones, on this machine, for a few models on 1 and
// 2 ranks. Each case starts with an empty database: profile, search (the plan and its prediction),
// run, compare. Prints each error, then the medians. Usage: step_accuracy [--only NAME] [--max-time
// 40s]

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/document.h"
#include "base/statistics.h"
#include "base/text.h"
#include "base/units.h"

namespace pluto {
namespace {

struct Case {
  std::string name;
  std::string model;  // the job's model mapping
  std::int64_t global_batch;
  std::int64_t steps;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> kCases = {
      {"lenet", "{name: lenet}", 128, 300},
      {"alexnet", "{name: alexnet}", 32, 14},
      {"resnet18", "{name: resnet18}", 16, 20},
      {"gpt-small", "{name: gpt-small}", 16, 60},
  };
  return kCases;
}

/// Runs pluto-plan in `folder` and parses what it prints.
Result<Value> pluto_plan(const std::string& folder, const std::string& arguments) {
  const std::string command =
      fmt::format("cd '{0}' && PLUTO_DB='{0}/profiles.db' '{1}' --json {2} 2>'{0}/stderr'", folder,
                  PLUTO_PLAN_PROGRAM, arguments);
  std::FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return device_error("cannot start " + command);
  std::string text;
  char bytes[65536];
  for (std::size_t got; (got = std::fread(bytes, 1, sizeof(bytes), pipe)) > 0;)
    text.append(bytes, got);
  const int status = pclose(pipe);
  if (status != 0)
    return worker_error(fmt::format("{} ended with status {}: {}", arguments, status, text));
  return parse_json(text, arguments);
}

double number_at(const Value& value, const std::vector<const char*>& path) {
  const Value* at = &value;
  for (const char* key : path) {
    at = at ? at->find(key) : nullptr;
  }
  return at && at->is_number() ? at->as_number() : std::nan("");
}

struct Row {
  double predicted = 0, measured = 0, arena_predicted = 0, arena = 0, resident_predicted = 0,
         resident = 0;
  double compute[2] = {0, 0}, comm[2] = {0, 0};
};

Result<Row> measure(const Case& one, int ranks, const std::string& max_time) {
  std::string folder = (std::filesystem::temp_directory_path() / "pluto-accuracy-XXXXXX").string();
  if (!mkdtemp(folder.data())) return io_error("cannot make a temporary folder");
  const std::string job = fmt::format(
      "name: {}\nmodel: {}\ndata: {{source: synthetic, samples: {}}}\ntarget: {{steps: "
      "{}}}\nbatch: {{global: {}}}\n"
      "optimizer: {{name: momentum, momentum: 0.9}}\nlearning_rate: {{peak: 0.001, at_batch: "
      "{}}}\ncluster: {{instances: [local], ranks: {}}}\n",
      one.name, one.model, std::max<std::int64_t>(256, one.global_batch * 4), one.steps,
      one.global_batch, one.global_batch, ranks);
  PLUTO_TRY(write_file(folder + "/job.yaml", job));
  PLUTO_TRY(pluto_plan(folder, "profile job.yaml --max-time " + max_time));
  PLUTO_TRY(pluto_plan(folder, "search job.yaml -o plan.json"));
  PLUTO_TRY(pluto_plan(
      folder,
      fmt::format("run plan.json -o run.json --folder '{}/checkpoints' --no-evaluation", folder)));
  PLUTO_ASSIGN(const Value report, pluto_plan(folder, "report run.json"));
  Row row;
  for (const Value& term : report.find("terms")->as_array()) {
    const std::string name = term.find("term")->as_string();
    const double predicted = number_at(term, {"predicted"}),
                 measured = number_at(term, {"measured"});
    if (name == "step") row.predicted = predicted, row.measured = measured;
    if (name == "arena") row.arena_predicted = predicted, row.arena = measured;
    if (name == "resident") row.resident_predicted = predicted, row.resident = measured;
    if (name == "compute") row.compute[0] = predicted, row.compute[1] = measured;
    if (name == "exposed_comm") row.comm[0] = predicted, row.comm[1] = measured;
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return row;
}

int run(const std::optional<std::string>& only, const std::string& max_time) {
  std::vector<std::vector<std::string>> rows = {{"model", "ranks", "batch", "predicted", "measured",
                                                 "error", "compute p/m", "exposed comm p/m",
                                                 "arena", "resident error"}};
  std::vector<double> step_errors, resident_errors;
  bool arenas_equal = true;
  for (const Case& one : cases()) {
    if (only && *only != one.name) continue;
    for (const int ranks : {1, 2}) {
      const Result<Row> row = measure(one, ranks, max_time);
      if (!row.ok()) {
        std::fprintf(stderr, "%s on %d ranks: %s\n", one.name.c_str(), ranks,
                     row.error().message.c_str());
        return 1;
      }
      const double error = (row->predicted - row->measured) / row->measured;
      const double resident_error = (row->resident_predicted - row->resident) / row->resident;
      step_errors.push_back(std::abs(error));
      resident_errors.push_back(std::abs(resident_error));
      arenas_equal = arenas_equal && row->arena_predicted == row->arena;
      rows.push_back(
          {one.name, std::to_string(ranks), std::to_string(one.global_batch),
           to_text(Seconds(row->predicted)), to_text(Seconds(row->measured)),
           fmt::format("{:+.1f} %", 100 * error),
           fmt::format("{} / {}", to_text(Seconds(row->compute[0])),
                       to_text(Seconds(row->compute[1]))),
           fmt::format("{} / {}", to_text(Seconds(row->comm[0])), to_text(Seconds(row->comm[1]))),
           row->arena_predicted == row->arena
               ? "equal"
               : fmt::format("{:+.0f} B", row->arena_predicted - row->arena),
           fmt::format("{:+.1f} %", 100 * resident_error)});
      std::fprintf(stderr, "%s on %d ranks: %+.1f %%\n", one.name.c_str(), ranks, 100 * error);
    }
  }
  std::fputs(format_table(rows).c_str(), stdout);
  std::printf(
      "median absolute error: step %.1f %%, resident memory %.1f %%; predicted arena %s\n",
      100 * median(step_errors), 100 * median(resident_errors),
      arenas_equal ? "equal to the allocated one byte for byte" : "differs from the allocated one");
  return 0;
}

}  // namespace
}  // namespace pluto

int main(int argc, char** argv) {
  std::optional<std::string> only;
  std::string max_time = "40s";
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--only") {
      only = argv[i + 1];
    } else if (flag == "--max-time") {
      max_time = argv[i + 1];
    } else {
      std::fprintf(stderr, "usage: step_accuracy [--only NAME] [--max-time 40s]\n");
      return 2;
    }
  }
  return pluto::run(only, max_time);
}
