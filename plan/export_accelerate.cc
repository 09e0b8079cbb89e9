#include <utility>

#include "base/yaml_writer.h"
#include "plan/export_trainers.h"

namespace pluto {
namespace {

constexpr const char* kVersions = "Accelerate 1.7 to 1.15";

const char* mixed_precision(TrainPrecision precision) {
  switch (precision) {
    case TrainPrecision::kFp16:
      return "fp16";
    case TrainPrecision::kBf16:
      return "bf16";
    case TrainPrecision::kFp8:
      return "fp8";
    case TrainPrecision::kF32:
    case TrainPrecision::kTf32:
      return "no";
  }
  return "no";
}

Value fsdp_value(const Exported& e) {
  const Plan& plan = e.plan();
  Value value = Value::object();
  value.set("fsdp_version", 2).set("fsdp_reshard_after_forward", plan.shard == 3);
  value.set("fsdp_auto_wrap_policy", "SIZE_BASED_WRAP");
  value.set("fsdp_min_num_params", bucket_elements(e.projection));
  value.set("fsdp_activation_checkpointing", plan.recompute == Recompute::kFull);
  value.set("fsdp_offload_params", false).set("fsdp_state_dict_type", "SHARDED_STATE_DICT");
  return value;
}

// Only keys that ClusterConfig of these versions has: an unknown one is an error there.
Value configuration(const Exported& e) {
  const Plan& plan = e.plan();
  const LaunchSize size = launch_size(plan);
  const bool one = plan.layout.ranks() == 1;
  const bool fsdp = plan.shard >= 2 && !one;
  Value value = Value::object();
  value.set("compute_environment", "LOCAL_MACHINE");
  value.set("distributed_type", one             ? "NO"
                                : fsdp          ? "FSDP"
                                : on_gpus(plan) ? "MULTI_GPU"
                                                : "MULTI_CPU");
  value.set("num_machines", size.nodes).set("num_processes", plan.layout.ranks());
  value.set("machine_rank", 0).set("rdzv_backend", size.nodes > 1 ? "c10d" : "static");
  value.set("same_network", true).set("main_training_function", "main");
  value.set("mixed_precision", mixed_precision(plan.precision)).set("use_cpu", !on_gpus(plan));
  value.set("debug", false);
  if (fsdp) value.set("fsdp_config", fsdp_value(e));
  return value;
}

}  // namespace

Result<Files> write_accelerate(const Exported& e) {
  const LaunchSize size = launch_size(e.plan());
  ShellScript script = node_script(e, kVersions);
  add_rendezvous(script, size);
  std::vector<ShellWord> words = {"exec", "accelerate", "launch"};
  words.push_back(ShellWord::expression("--config_file=\"$here/accelerate.yaml\""));
  if (size.nodes > 1) {
    words.push_back(ShellWord::expression("--machine_rank=\"$NODE_RANK\""));
    words.push_back(ShellWord::expression("--main_process_ip=\"$MASTER_ADDR\""));
    words.push_back(ShellWord::expression("--main_process_port=\"$MASTER_PORT\""));
  }
  words.push_back(ShellWord::expression("\"${TRAIN:-train.py}\" \"$@\""));
  script.command(words);
  const std::string yaml = comments(about(e, kVersions)) + to_yaml(configuration(e));
  Files files = {{"launch.sh", script.text(), true}, {"accelerate.yaml", yaml, false}};
  for (ExportedFile& file : python_module(e)) files.push_back(std::move(file));
  return files;
}

}  // namespace pluto
