#include <algorithm>
#include <utility>

#include "plan/export_trainers.h"

namespace pluto {
namespace {

constexpr const char* kVersions = "DeepSpeed 0.16 on";

Value optimizer_value(const Plan& plan) {
  Value parameters = Value::object();
  parameters.set("lr", plan.learning_rate.peak);
  std::string type = "SGD";
  if (const auto* sgd = std::get_if<SgdAttrs>(&plan.optimizer)) {
    parameters.set("momentum", sgd->momentum).set("weight_decay", sgd->weight_decay);
    if (sgd->nesterov) parameters.set("nesterov", true);
  } else {
    const auto& adam = std::get<AdamAttrs>(plan.optimizer);
    Value betas = Value::array();
    betas.push_back(adam.beta1);
    betas.push_back(adam.beta2);
    parameters.set("betas", std::move(betas)).set("eps", adam.epsilon);
    parameters.set("weight_decay", adam.weight_decay);
    type = adam.decoupled ? "AdamW" : "Adam";
  }
  Value value = Value::object();
  value.set("type", type).set("params", std::move(parameters));
  return value;
}

/// The schedules DeepSpeed has; the others are for pluto_plan.schedule(), a scheduler of the
/// client. Warm-up is in steps there.
Value scheduler_value(const Plan& plan) {
  const LearningRate& rate = plan.learning_rate;
  const std::int64_t warmup = rate.warmup_samples / plan.global_batch;
  if (rate.schedule == ScheduleKind::kStep || rate.warmup_samples % plan.global_batch != 0) {
    return Value();
  }
  Value parameters = Value::object();
  std::string type = "WarmupLR";
  if (rate.schedule == ScheduleKind::kCosine) {
    type = "WarmupCosineLR";
    parameters.set("total_num_steps", plan.steps).set("warmup_min_ratio", 0.0);
    parameters.set("cos_min_ratio", 0.0);
  } else {
    if (rate.schedule == ScheduleKind::kLinear) {
      type = "WarmupDecayLR";
      parameters.set("total_num_steps", plan.steps);
    }
    parameters.set("warmup_min_lr", 0.0).set("warmup_max_lr", rate.peak);
  }
  parameters.set("warmup_num_steps", warmup).set("warmup_type", "linear");
  // Without warm-up a constant rate is the optimizer's own.
  if (warmup == 0 && rate.schedule == ScheduleKind::kConstant) return Value();
  Value value = Value::object();
  value.set("type", type).set("params", std::move(parameters));
  return value;
}

Value enabled() {
  Value value = Value::object();
  value.set("enabled", true);
  return value;
}

Value configuration(const Exported& e) {
  const Plan& plan = e.plan();
  Value value = Value::object();
  // All three: the launcher checks that they agree.
  value.set("train_batch_size", plan.global_batch)
      .set("train_micro_batch_size_per_gpu", plan.micro_batch)
      .set("gradient_accumulation_steps", plan.accumulation);
  value.set("optimizer", optimizer_value(plan));
  if (Value scheduler = scheduler_value(plan); !scheduler.is_null()) {
    value.set("scheduler", std::move(scheduler));
  }
  if (plan.precision == TrainPrecision::kFp16) value.set("fp16", enabled());
  if (plan.precision == TrainPrecision::kBf16) value.set("bf16", enabled());
  const std::string wire = wire_of(plan);
  value.set("communication_data_type", wire == "f16" ? "fp16" : wire == "bf16" ? "bf16" : "fp32");
  Value types = Value::object();
  types.set("grad_accum_dtype", "fp32");
  value.set("data_types", std::move(types));
  Value zero = Value::object();
  zero.set("stage", plan.shard);
  if (plan.shard > 0) {
    zero.set("overlap_comm", true).set("contiguous_gradients", true);
    const std::int64_t elements = bucket_elements(e.projection);
    zero.set("reduce_bucket_size", elements);
    // Stage 3 gathers parameters as they are needed, so many at a time.
    zero.set(plan.shard == 3 ? "stage3_prefetch_bucket_size" : "allgather_bucket_size", elements);
  }
  value.set("zero_optimization", std::move(zero));
  value.set("gradient_clipping", 0.0);
  return value;
}

}  // namespace

Result<Files> write_deepspeed(const Exported& e) {
  const LaunchSize size = launch_size(e.plan());
  ShellScript nodes = node_script(e, std::string(kVersions) + ", started on every node");
  add_rendezvous(nodes, size);
  const auto script = ShellWord::expression("\"${TRAIN:-train.py}\"");
  const auto config = ShellWord::expression("--deepspeed_config \"$here/ds_config.json\" \"$@\"");
  auto words = torchrun_words(e);
  words.insert(words.end(), {script, "--deepspeed", config});
  nodes.command(words);

  ShellScript one = node_script(e, std::string(kVersions) + ", started once, over ssh");
  std::vector<ShellWord> start = {"exec", "deepspeed"};
  if (size.nodes > 1) start.push_back(ShellWord::expression("--hostfile \"$here/hostfile\""));
  start.emplace_back("--num_nodes=" + std::to_string(size.nodes));
  start.emplace_back("--num_gpus=" + std::to_string(size.ranks_per_node));
  start.insert(start.end(), {script, "--deepspeed", config});
  one.command(start);

  PLUTO_ASSIGN(std::string hosts, slots_hostfile(e, kVersions));
  Files files = {{"launch.sh", nodes.text(), true},
                 {"deepspeed.sh", one.text(), true},
                 {"hostfile", std::move(hosts), false},
                 {"ds_config.json", to_json(configuration(e)) + "\n", false}};
  for (ExportedFile& file : python_module(e)) files.push_back(std::move(file));
  return files;
}

}  // namespace pluto
