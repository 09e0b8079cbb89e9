#include <fmt/format.h>

#include <utility>

#include "base/yaml_writer.h"
#include "plan/export_places.h"

namespace pluto {

Result<Files> write_skypilot(const Exported& e) {
  const Plan& plan = e.plan();
  const std::string& name = plan.cluster.instance.name;
  const std::size_t colon = name.find(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == name.size()) {
    return invalid_input(fmt::format("cluster.instance: {} is not of the form cloud:type", name),
                         "plan for an instance of pluto-plan catalog");
  }
  constexpr const char* kVersions = "SkyPilot 0.9 on; sky launch task.yaml in this folder";
  Value down = Value::object();
  // Nobody pays for a cluster that has finished.
  down.set("idle_minutes", 5).set("down", true);
  Value resources = Value::object();
  resources.set("infra", name.substr(0, colon)).set("instance_type", name.substr(colon + 1));
  resources.set("use_spot", plan.cluster.market == Market::kSpot);
  resources.set("autostop", std::move(down));
  ShellScript run({});
  run.line("cd ~/sky_workdir");
  run.line("MASTER_ADDR=\"$(echo \"$SKYPILOT_NODE_IPS\" | sed -n 1p)\"");
  run.line("export MASTER_ADDR NODE_RANK=\"$SKYPILOT_NODE_RANK\"");
  run.line("exec bash launch.sh");
  Value environment = Value::object();
  environment.set("TRAIN",
                  e.target.trainer == ExportTarget::kMegatron ? "pretrain_gpt.py" : "train.py");
  Value task = Value::object();
  task.set("name", label_of(plan)).set("num_nodes", launch_size(plan).nodes);
  task.set("resources", std::move(resources)).set("workdir", ".");
  task.set("envs", std::move(environment)).set("run", run.text());
  return Files{{"task.yaml", comments(about(e, kVersions)) + to_yaml(task), false}};
}

}  // namespace pluto
