#include "plan/job_rules.h"

#include <fmt/format.h>

#include <limits>
#include <set>

#include "base/text.h"
#include "plan/words.h"

namespace pluto {
namespace {

Verdict at_least_one(const std::string& path, std::int64_t value, const std::string& help) {
  if (value >= 1) return std::nullopt;
  return Finding{path, fmt::format("must be at least 1, is {}", value), help};
}

Verdict at_least_one(const std::string& path, const std::optional<std::int64_t>& value,
                     const std::string& help) {
  return value ? at_least_one(path, *value, help) : std::nullopt;
}

// A decay factor: in [0, 1).
Verdict below_one(const std::string& path, double value, const std::string& help) {
  if (value >= 0 && value < 1) return std::nullopt;
  return Finding{path, fmt::format("must be at least 0 and below 1, is {}", value), help};
}

Verdict check_model(const ModelChoice& model) {
  if (model.source.empty()) {
    return Finding{"model", "has neither name nor file",
                   "name a built-in model, for example model: {name: lenet}, or give a file"};
  }
  const ZooOptions& options = model.options;
  const std::pair<const char*, const std::optional<std::int64_t>*> sizes[] = {
      {"channels", &options.channels},
      {"height", &options.height},
      {"width", &options.width},
      {"classes", &options.classes},
      {"sequence", &options.sequence},
      {"layers", &options.layers},
      {"width_model", &options.width_model},
      {"heads", &options.heads},
      {"vocabulary", &options.vocabulary}};
  for (const auto& [name, size] : sizes) {
    PLUTO_REFUSE(at_least_one(fmt::format("model.{}", name), *size,
                              "leave it out for the model's own value"));
  }
  return std::nullopt;
}

Verdict check_target(const TrainingJob& job) {
  const int given = int{job.epochs.has_value()} + int{job.target_samples.has_value()} +
                    int{job.target_steps.has_value()} + int{job.target_metric.has_value()};
  if (given != 1) {
    return Finding{
        "target",
        given == 0 ? "does not say how long to train" : "says how long to train more than once",
        "give exactly one of epochs, samples, steps and metric, for example target: {epochs: 3}"};
  }
  if (job.target_metric) {
    PLUTO_REFUSE(must_be_positive("target.value", job.target_metric->value,
                                  "for example target: {metric: accuracy, value: 0.759}"));
    if (job.convergence.source.empty() || job.convergence.source == "fixed") {
      return Finding{"target.metric", "needs runs that reached it, and the job names none",
                     "add convergence: {source: resnet} (a task of data/convergence.json), "
                     "{source: points.csv} (own runs), or give epochs, samples or steps"};
    }
  }
  if (job.epochs) {
    PLUTO_REFUSE(must_be_positive("target.epochs", *job.epochs, "for example epochs: 3"));
  }
  PLUTO_REFUSE(at_least_one("target.samples", job.target_samples, "for example samples: 600000"));
  return at_least_one("target.steps", job.target_steps, "for example steps: 1000");
}

Verdict check_limits(const TrainingJob& job) {
  if (job.budget) {
    PLUTO_REFUSE(must_be_positive("budget", job.budget->value(),
                                  "give US dollars, for example budget: 120, or leave it out"));
  }
  if (job.deadline) {
    PLUTO_REFUSE(must_be_positive("deadline", job.deadline->value(),
                                  "give for example deadline: 6h, or leave it out"));
  }
  return check_confidence(job.confidence, "confidence");
}

Verdict check_batch(const TrainingJob& job) {
  PLUTO_REFUSE(at_least_one("batch.global", job.global_batch, "for example global: 256, or auto"));
  PLUTO_REFUSE(at_least_one("batch.max", job.max_global_batch, "for example max: 8192"));
  PLUTO_REFUSE(at_least_one("batch.micro", job.micro_batch, "for example micro: 32, or auto"));
  if (job.global_batch && job.max_global_batch) {
    return Finding{"batch.max", "has no meaning beside a fixed global batch",
                   "remove max, or write global: auto"};
  }
  const auto& largest = job.global_batch ? job.global_batch : job.max_global_batch;
  if (job.micro_batch && largest && *job.micro_batch > *largest) {
    return Finding{
        "batch.micro",
        fmt::format("is {}, more than the global batch of {}", *job.micro_batch, *largest),
        "global = ranks x micro x accumulation; write micro: auto to have it chosen"};
  }
  if (!job.global_batch && !job.convergence.given()) {
    return Finding{"batch.global",
                   "is to be chosen, but nothing says how convergence depends on it",
                   "fix it (batch: {global: 256}) or say what is known, for example convergence: "
                   "{critical_batch: 2000}, the batch at which twice the samples are needed, or "
                   "{source: resnet}, a task that is alike"};
  }
  if (!job.global_batch && !job.max_global_batch) {
    return Finding{"batch.max", "is missing, and the global batch is to be chosen",
                   "say up to where, for example max: 8192, or fix it: global: 256"};
  }
  return std::nullopt;
}

Verdict check_convergence(const ConvergenceChoice& choice) {
  const std::pair<const char*, const std::optional<double>*> numbers[] = {
      {"critical_batch", &choice.critical_batch},
      {"exponent", &choice.exponent},
      {"noise_scale", &choice.noise_scale}};
  for (const auto& [name, number] : numbers) {
    if (!*number) continue;
    const bool exponent = number == &choice.exponent;
    PLUTO_REFUSE(must_be_positive(fmt::format("convergence.{}", name), **number,
                                  exponent
                                      ? "for example exponent: 1.1"
                                      : fmt::format("in samples, for example {}: 2000", name)));
    if (!choice.source.empty() && choice.source != "auto") {
      return Finding{fmt::format("convergence.{}", name),
                     fmt::format("has no meaning beside source: {}", choice.source),
                     "remove one of them"};
    }
  }
  PLUTO_REFUSE(at_least_one("convergence.noise_scale_batch", choice.noise_scale_batch,
                            "the global batch it was measured at"));
  if (choice.critical_batch && choice.noise_scale) {
    return Finding{"convergence.noise_scale", "has no meaning beside critical_batch",
                   "keep critical_batch, which is the surer of the two, or remove it"};
  }
  if (choice.exponent && !choice.critical_batch) {
    return Finding{"convergence.exponent", "belongs to a critical_batch, which is missing",
                   "add critical_batch, or remove exponent"};
  }
  if (choice.noise_scale.has_value() != choice.noise_scale_batch.has_value()) {
    return Finding{choice.noise_scale ? "convergence.noise_scale_batch" : "convergence.noise_scale",
                   "is missing",
                   "a noise scale and the global batch it was measured at belong "
                   "together, for example noise_scale: 900 with noise_scale_batch: 64"};
  }
  return std::nullopt;
}

// A schedule in epochs, before the size of the data set is known.
Verdict check_steps(const TrainingJob& job) {
  const LearningRate& rate = job.learning_rate;
  const auto refuse = [](std::string message) {
    return Finding{"learning_rate.steps", std::move(message),
                   "rates and rising epochs by turns, for example steps: "
                   "\"0.1;30;0.01;60;0.001\""};
  };
  for (const double one : rate.rates) {
    if (!(one >= 0)) return refuse(fmt::format("a rate must not be negative, is {}", one));
  }
  if (!(rate.peak > 0)) return refuse("the first rate must be above zero");
  if (rate.rates.size() != job.step_epochs.size() + 1 || rate.peak != rate.rates.front()) {
    return refuse("another rate was set beside those of the schedule");
  }
  double last = 0;
  for (const double epoch : job.step_epochs) {
    if (!(epoch > last)) return refuse(fmt::format("epoch {} does not come after {}", epoch, last));
    last = epoch;
  }
  return std::nullopt;
}

Verdict check_rate(const TrainingJob& job) {
  if (job.step_epochs.empty()) {
    PLUTO_REFUSE(check_learning_rate(job.learning_rate, "learning_rate"));
  } else {
    PLUTO_REFUSE(check_steps(job));
  }
  if (job.rate_rule == RateRule::kGain && !job.convergence.given()) {
    return Finding{"learning_rate.rule",
                   "\"gain\" needs to know how convergence depends on the batch",
                   "add for example convergence: {critical_batch: 2000}"};
  }
  PLUTO_REFUSE(at_least_one("learning_rate.at_batch", job.learning_rate_batch,
                            "the global batch the peak was tuned for, for example at_batch: 256"));
  if (!job.global_batch && !job.learning_rate_batch) {
    return Finding{"learning_rate.at_batch", "is missing, and the global batch is to be chosen",
                   "say which global batch the peak holds for, for example at_batch: 256"};
  }
  return std::nullopt;
}

Verdict check_sync(const TrainingJob& job) {
  constexpr const char* kAll = "allow: [all_reduce, parameter_server, sufficient_factor]";
  if (job.allowed_sync.empty()) return Finding{"sync.allow", "names no method", kAll};
  std::set<SyncMethod> seen;
  for (std::size_t i = 0; i < job.allowed_sync.size(); ++i) {
    const SyncMethod method = job.allowed_sync[i];
    const std::string path = fmt::format("sync.allow[{}]", i);
    if (method == SyncMethod::kNone) {
      return Finding{path, "\"none\" synchronises nothing", kAll};
    }
    if (!seen.insert(method).second) {
      return Finding{path, fmt::format("\"{}\" is there twice", to_text(method)), "remove one"};
    }
  }
  return std::nullopt;
}

Verdict check_cluster(const TrainingJob& job) {
  if (job.instances.empty()) {
    return Finding{"cluster.instances", "is empty", "for example instances: [local]"};
  }
  std::set<std::string> seen;
  for (std::size_t i = 0; i < job.instances.size(); ++i) {
    const std::string path = fmt::format("cluster.instances[{}]", i);
    if (trim(job.instances[i]).empty()) return Finding{path, "is empty", "name an instance type"};
    if (!seen.insert(job.instances[i]).second) {
      return Finding{path, fmt::format("\"{}\" is there twice", job.instances[i]), "remove one"};
    }
  }
  const auto ranks = [](const std::optional<int>& value) {
    return value ? std::optional<std::int64_t>(*value) : std::nullopt;
  };
  PLUTO_REFUSE(at_least_one("cluster.ranks", ranks(job.ranks), "for example ranks: 2"));
  PLUTO_REFUSE(at_least_one("cluster.max_ranks", ranks(job.max_ranks), "for example max_ranks: 8"));
  PLUTO_REFUSE(at_least_one("cluster.min_ranks", ranks(job.min_ranks), "for example min_ranks: 4"));
  if (job.ranks && job.min_ranks) {
    return Finding{"cluster.min_ranks", "has no meaning beside a fixed number of ranks",
                   "remove ranks or min_ranks"};
  }
  if (job.min_ranks && job.max_ranks && *job.min_ranks > *job.max_ranks) {
    return Finding{"cluster.min_ranks",
                   fmt::format("is {}, above max_ranks = {}", *job.min_ranks, *job.max_ranks),
                   "lower min_ranks"};
  }
  if (job.ranks && job.max_ranks) {
    return Finding{"cluster.max_ranks", "has no meaning beside a fixed number of ranks",
                   "remove ranks or max_ranks"};
  }
  if (!job.local_price) return std::nullopt;
  return must_not_be_negative("cluster.local_price_per_hour", job.local_price->value(),
                              "US dollars per hour, for example local_price_per_hour: 0.40");
}

}  // namespace

Verdict check_data(const DataChoice& data, const std::string& path) {
  const std::vector<std::string> known = {"fashion-mnist", "synthetic"};
  if (std::find(known.begin(), known.end(), data.source) == known.end()) {
    const Error error = unknown_word("data source", data.source, known);
    return Finding{path + ".source", error.message, error.help};
  }
  PLUTO_REFUSE(at_least_one(path + ".samples", data.samples, "for example samples: 60000"));
  PLUTO_REFUSE(at_least_one(path + ".readers", data.readers, "for example readers: 2"));
  PLUTO_REFUSE(must_not_be_negative(path + ".queue", data.queue, "for example queue: 2"));
  if (data.stored_sample) {
    PLUTO_REFUSE(must_be_positive(path + ".stored_bytes",
                                  static_cast<double>(data.stored_sample->value()),
                                  "for example stored_bytes: 110000"));
  }
  if (data.sample_time) {
    PLUTO_REFUSE(must_not_be_negative(path + ".seconds_per_sample", data.sample_time->value(),
                                      "for example seconds_per_sample: 0.008"));
  }
  if (data.storage) {
    PLUTO_REFUSE(must_be_positive(path + ".storage_bytes_per_s", data.storage->value(),
                                  "for example storage_bytes_per_s: 500e6"));
  }
  if (data.source != "synthetic") return std::nullopt;
  if (!data.samples) {
    return Finding{path + ".samples", "is missing: synthetic data has no size of its own",
                   "say how many samples an epoch has, for example samples: 60000"};
  }
  if (data.path) {
    return Finding{path + ".path", "has no meaning for synthetic data", "remove it"};
  }
  return std::nullopt;
}

Verdict check_optimizer(const OptimizerAttrs& optimizer, const std::string& path) {
  if (const auto* sgd = std::get_if<SgdAttrs>(&optimizer)) {
    PLUTO_REFUSE(below_one(path + ".momentum", sgd->momentum, "for example momentum: 0.9"));
    PLUTO_REFUSE(must_not_be_negative(path + ".weight_decay", sgd->weight_decay,
                                      "for example weight_decay: 0.0005"));
    if (sgd->nesterov && sgd->momentum == 0) {
      return Finding{path + ".nesterov", "needs a momentum above zero", "add momentum: 0.9"};
    }
    return std::nullopt;
  }
  const AdamAttrs& adam = std::get<AdamAttrs>(optimizer);
  PLUTO_REFUSE(below_one(path + ".beta1", adam.beta1, "for example beta1: 0.9"));
  PLUTO_REFUSE(below_one(path + ".beta2", adam.beta2, "for example beta2: 0.999"));
  PLUTO_REFUSE(must_be_positive(path + ".epsilon", adam.epsilon, "for example epsilon: 1.0e-8"));
  return must_not_be_negative(path + ".weight_decay", adam.weight_decay,
                              "for example weight_decay: 0.01");
}

Verdict check_learning_rate(const LearningRate& rate, const std::string& path) {
  PLUTO_REFUSE(must_be_positive(path + ".peak", rate.peak, "for example peak: 0.1"));
  if (rate.warmup_samples < 0) {
    return Finding{path + ".warmup_samples",
                   fmt::format("must not be negative, is {}", rate.warmup_samples),
                   "for example warmup_samples: 50000"};
  }
  if (rate.schedule != ScheduleKind::kStep) {
    const bool rates = !rate.rates.empty();
    if (!rates && rate.boundaries.empty()) return std::nullopt;
    return Finding{path + (rates ? ".rates" : ".boundaries"),
                   fmt::format("has no meaning for the {} schedule", to_text(rate.schedule)),
                   "remove it, or write schedule: step"};
  }
  if (rate.boundaries.empty()) {
    return Finding{path + ".boundaries", "is missing: a step schedule needs rates and boundaries",
                   "for example rates: [0.1, 0.01] with boundaries: [300000] (in samples)"};
  }
  if (rate.rates.size() != rate.boundaries.size() + 1) {
    return Finding{
        path + ".rates",
        fmt::format("has {} entries, but {} boundaries separate {} rates", rate.rates.size(),
                    rate.boundaries.size(), rate.boundaries.size() + 1),
        "give one rate more than boundaries"};
  }
  for (std::size_t i = 0; i < rate.rates.size(); ++i) {
    PLUTO_REFUSE(must_not_be_negative(fmt::format("{}.rates[{}]", path, i), rate.rates[i],
                                      "for example rates: [0.1, 0.01]"));
  }
  std::int64_t last = 0;
  for (std::size_t i = 0; i < rate.boundaries.size(); ++i) {
    if (rate.boundaries[i] <= last) {
      return Finding{fmt::format("{}.boundaries[{}]", path, i),
                     fmt::format("must be above {}, is {}", last, rate.boundaries[i]),
                     "list the boundaries in rising order, in samples"};
    }
    last = rate.boundaries[i];
  }
  if (rate.peak != rate.rates.front()) {
    return Finding{path + ".peak",
                   fmt::format("is {}, but the first rate is {}", rate.peak, rate.rates.front()),
                   "leave peak out of a step schedule"};
  }
  return std::nullopt;
}

Verdict check_evaluation(const Evaluation& evaluation, const std::string& path) {
  PLUTO_REFUSE(must_not_be_negative(path + ".samples", static_cast<double>(evaluation.samples),
                                    "for example samples: 10000"));
  PLUTO_REFUSE(must_not_be_negative(path + ".every", static_cast<double>(evaluation.every),
                                    "steps; 0 is only at the end"));
  if (evaluation.every == 0 || evaluation.samples > 0) return std::nullopt;
  return Finding{path + ".samples", "is 0, so nothing would be evaluated",
                 "say how many samples, for example samples: 10000"};
}

Verdict check_confidence(double confidence, const std::string& path) {
  if (confidence >= 0.5 && confidence <= 0.999) return std::nullopt;
  return Finding{path, fmt::format("must be between 0.5 and 0.999, is {}", confidence),
                 "a probability: 0.9 means that nine runs of ten keep the limits"};
}

Verdict check_seed(std::uint64_t seed, const std::string& path) {
  if (seed <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return std::nullopt;
  }
  return Finding{path, "must be below 2^63", "for example seed: 1"};
}

Verdict check_job(const TrainingJob& job) {
  PLUTO_REFUSE(check_model(job.model));
  PLUTO_REFUSE(check_data(job.data, "data"));
  PLUTO_REFUSE(check_target(job));
  PLUTO_REFUSE(check_limits(job));
  PLUTO_REFUSE(check_optimizer(job.optimizer, "optimizer"));
  PLUTO_REFUSE(check_batch(job));
  PLUTO_REFUSE(check_convergence(job.convergence));
  PLUTO_REFUSE(check_rate(job));
  PLUTO_REFUSE(check_sync(job));
  PLUTO_REFUSE(check_cluster(job));
  PLUTO_REFUSE(must_not_be_negative("checkpoint_every", static_cast<double>(job.checkpoint_every),
                                    "for example checkpoint_every: 1000"));
  PLUTO_REFUSE(check_evaluation(job.evaluation, "evaluation"));
  return check_seed(job.seed, "seed");
}

Result<void> validate(const TrainingJob& job) {
  if (const Verdict verdict = check_job(job)) return to_error(*verdict);
  return {};
}

}  // namespace pluto
