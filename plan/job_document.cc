#include "plan/job_document.h"

#include <fmt/format.h>

#include <algorithm>

#include "plan/document_parts.h"

namespace pluto {

namespace {

Value model_section(const ModelChoice& model) {
  const auto& known = zoo_names();
  const bool built_in = std::ranges::find(known, model.source) != known.end();
  Value value = Value::object();
  value.set(built_in ? "name" : "file", model.source);
  const ZooOptions& options = model.options;
  set_if(value, "channels", options.channels);
  set_if(value, "height", options.height);
  set_if(value, "width", options.width);
  set_if(value, "classes", options.classes);
  set_if(value, "sequence", options.sequence);
  set_if(value, "layers", options.layers);
  set_if(value, "width_model", options.width_model);
  set_if(value, "heads", options.heads);
  set_if(value, "vocabulary", options.vocabulary);
  return value;
}

Value data_section(const TrainingJob& job) {
  const DataChoice& data = job.data;
  Value value = Value::object();
  value.set("source", data.source);
  set_if(value, "path", data.path);
  set_if(value, "samples", data.samples);
  if (!job.readers_chosen) value.set("readers", data.readers);
  value.set("queue", data.queue);
  if (data.stored_sample) value.set("stored_bytes", data.stored_sample->value());
  if (data.sample_time) value.set("seconds_per_sample", data.sample_time->value());
  if (data.storage) value.set("storage_bytes_per_s", data.storage->value());
  return value;
}

Value target_section(const TrainingJob& job) {
  Value value = Value::object();
  if (job.target_metric) {
    value.set("metric", job.target_metric->name).set("value", job.target_metric->value);
    return value;
  }
  set_if(value, "epochs", job.epochs);
  set_if(value, "samples", job.target_samples);
  set_if(value, "steps", job.target_steps);
  return value;
}

Value batch_section(const TrainingJob& job) {
  Value value = Value::object();
  set_if(value, "global", job.global_batch);
  set_if(value, "max", job.max_global_batch);
  set_if(value, "micro", job.micro_batch);
  return value;
}

std::string steps_text(const TrainingJob& job) {
  std::string text;
  for (std::size_t i = 0; i < job.learning_rate.rates.size(); ++i) {
    text += fmt::format("{}{}", i > 0 ? ";" : "", job.learning_rate.rates[i]);
    if (i < job.step_epochs.size()) text += fmt::format(";{}", job.step_epochs[i]);
  }
  return text;
}

Value numbers(const auto& list) {
  Value value = Value::array();
  for (const auto& one : list) value.push_back(one);
  return value;
}

Value rate_section(const TrainingJob& job) {
  const LearningRate& rate = job.learning_rate;
  Value value = Value::object();
  set_if(value, "at_batch", job.learning_rate_batch);
  value.set("rule", to_text(job.rate_rule));
  if (!job.warmup_chosen) value.set("warmup_samples", rate.warmup_samples);
  if (!job.step_epochs.empty()) {
    value.set("steps", steps_text(job));
    return value;
  }
  value.set("schedule", to_text(rate.schedule));
  if (rate.schedule == ScheduleKind::kStep) {
    value.set("rates", numbers(rate.rates)).set("boundaries", numbers(rate.boundaries));
  } else {
    value.set("peak", rate.peak);
  }
  return value;
}

Value convergence_section(const ConvergenceChoice& choice) {
  Value value = Value::object();
  if (!choice.source.empty()) value.set("source", choice.source);
  set_if(value, "critical_batch", choice.critical_batch);
  set_if(value, "exponent", choice.exponent);
  set_if(value, "noise_scale", choice.noise_scale);
  set_if(value, "noise_scale_batch", choice.noise_scale_batch);
  return value;
}

Value sync_section(const TrainingJob& job) {
  Value allowed = Value::array();
  for (const SyncMethod method : job.allowed_sync) allowed.push_back(to_text(method));
  if (job.local_allowed) allowed.push_back(kLocalSgd);
  Value value = Value::object();
  value.set("allow", std::move(allowed));
  return value;
}

Value cluster_section(const TrainingJob& job) {
  Value instances = Value::array();
  for (const std::string& name : job.instances) instances.push_back(name);
  Value value = Value::object();
  value.set("instances", std::move(instances));
  set_if(value, "ranks", job.ranks);
  set_if(value, "min_ranks", job.min_ranks);
  set_if(value, "max_ranks", job.max_ranks);
  value.set("spot", to_text(job.spot));
  if (job.local_price) value.set("local_price_per_hour", job.local_price->value());
  return value;
}

}  // namespace

Value to_value(const TrainingJob& job) {
  Value value = Value::object();
  value.set("name", job.name)
      .set("model", model_section(job.model))
      .set("data", data_section(job))
      .set("target", target_section(job));
  if (job.budget) value.set("budget", job.budget->value());
  if (job.deadline) value.set("deadline", fmt::format("{}s", job.deadline->value()));
  value.set("confidence", job.confidence)
      .set("minimize", to_text(job.minimize))
      .set("precision", to_text(job.precision))
      .set("attention", to_text(job.attention))
      .set("optimizer", optimizer_value(job.optimizer))
      .set("batch", batch_section(job))
      .set("learning_rate", rate_section(job));
  if (job.convergence.given()) value.set("convergence", convergence_section(job.convergence));
  value.set("sync", sync_section(job)).set("cluster", cluster_section(job));
  if (job.evaluation != Evaluation{}) {
    Value evaluation = Value::object();
    evaluation.set("samples", job.evaluation.samples).set("every", job.evaluation.every);
    value.set("evaluation", std::move(evaluation));
  }
  value.set("checkpoint_every", job.checkpoint_every)
      .set("seed", static_cast<std::int64_t>(job.seed));
  return value;
}

}  // namespace pluto
