// doctor: what this machine can do, each line with its fix.

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "cli/commands.h"
#include "cli/workflow.h"
#include "executor/data_source.h"
#include "runtime/backends.h"
#include "runtime/communicator.h"
#include "runtime/host.h"

namespace pluto {

namespace {

struct Finding {
  std::string what, state, detail;  // state: ok, absent, problem
};

bool on_path(const std::string& program) {
  if (program.find('/') != std::string::npos) return access(program.c_str(), X_OK) == 0;
  const char* path = std::getenv("PATH");
  const std::string folders = path ? path : "";
  for (std::size_t begin = 0; begin <= folders.size();) {
    const std::size_t end = std::min(folders.find(':', begin), folders.size());
    if (access((folders.substr(begin, end - begin) + "/" + program).c_str(), X_OK) == 0)
      return true;
    begin = end + 1;
  }
  return false;
}

std::vector<Finding> examine(const Session& session) {
  std::vector<Finding> all;
  all.push_back(
      {"processor", "ok",
       fmt::format("{}, {} cores, {}", cpu_model(), cpu_cores(), to_text(host_memory()))});
  for (const BackendStatus& backend : probe_backends()) {
    const bool needed = backend.name != "cuda";
    all.push_back({"backend " + backend.name,
                   backend.available ? "ok"
                   : needed          ? "problem"
                                     : "absent",
                   backend.detail});
  }
  const std::string launcher = PLUTO_MPIEXEC;
  all.push_back(on_path(launcher)
                    ? Finding{"launcher", "ok", fmt::format("{} ({})", launcher, mpi_version())}
                    : Finding{"launcher", "problem",
                              fmt::format("{} is missing: apt-get install openmpi-bin", launcher)});
  auto catalog = Catalog::load(session.data_folder + "/catalog");
  all.push_back(
      catalog.ok()
          ? Finding{"catalog", "ok",
                    fmt::format("{} devices, {} instance types in {}", catalog->devices().size(),
                                catalog->instances().size(), session.data_folder)}
          : Finding{"catalog", "problem", catalog.error().message});
  auto store = open_store(session);
  if (store.ok()) {
    const auto summary = (*store)->summary();
    all.push_back(summary.ok()
                      ? Finding{"database", "ok",
                                fmt::format("{}, journal {}, {} op measurements", summary->path,
                                            summary->journal_mode, summary->operators)}
                      : Finding{"database", "problem", summary.error().message});
  } else {
    all.push_back(
        {"database", "problem",
         store.error().message + (store.error().help.empty() ? "" : "; " + store.error().help)});
  }
  DataChoice fashion;
  fashion.source = "fashion-mnist";
  auto samples = count_samples(fashion);
  all.push_back(samples.ok()
                    ? Finding{"Fashion-MNIST", "ok", fmt::format("{} training samples", *samples)}
                    : Finding{"Fashion-MNIST", "absent", samples.error().help});
  return all;
}

}  // namespace

void add_doctor(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("doctor", "What this machine can do, and what to fix");
  verb->callback([&session] {
    session.action = [&session]() -> Result<int> {
      const std::vector<Finding> findings = examine(session);
      bool healthy = true;
      Value list = Value::array();
      for (const Finding& finding : findings) {
        session.terminal->say(
            fmt::format("{:<8} {:<18} {}", finding.state, finding.what, finding.detail));
        healthy = healthy && finding.state != "problem";
        Value one = Value::object();
        one.set("what", finding.what).set("state", finding.state).set("detail", finding.detail);
        list.push_back(std::move(one));
      }
      Value document = Value::object();
      document.set("schema", "pluto.doctor/1")
          .set("healthy", healthy)
          .set("findings", std::move(list));
      session.terminal->result(document);
      constexpr int kEnvironment = 5;
      return healthy ? 0 : kEnvironment;
    };
  });
}

}  // namespace pluto
