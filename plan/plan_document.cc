#include <fmt/format.h>

#include "base/fingerprint.h"
#include "plan/document_parts.h"
#include "plan/plan.h"
#include "plan/plan_rules.h"
#include "plan/strategy_document.h"

namespace pluto {
namespace {

Value model_value(const ModelChoice& model) {
  Value value = Value::object();
  value.set("source", model.source);
  set_if(value, "channels", model.options.channels);
  set_if(value, "height", model.options.height);
  set_if(value, "width", model.options.width);
  set_if(value, "classes", model.options.classes);
  set_if(value, "sequence", model.options.sequence);
  set_if(value, "layers", model.options.layers);
  set_if(value, "width_model", model.options.width_model);
  set_if(value, "heads", model.options.heads);
  set_if(value, "vocabulary", model.options.vocabulary);
  return value;
}

Value data_value(const DataChoice& data) {
  Value value = Value::object();
  value.set("source", data.source);
  set_if(value, "path", data.path);
  set_if(value, "samples", data.samples);
  value.set("readers", data.readers);
  if (data.queue != DataChoice{}.queue) value.set("queue", data.queue);
  if (data.stored_sample) value.set("stored_bytes", data.stored_sample->value());
  if (data.sample_time) value.set("seconds_per_sample", data.sample_time->value());
  if (data.storage) value.set("storage_bytes_per_s", data.storage->value());
  return value;
}

Value rate_value(const LearningRate& rate) {
  Value value = Value::object();
  value.set("peak", rate.peak)
      .set("schedule", to_text(rate.schedule))
      .set("warmup_samples", rate.warmup_samples);
  if (rate.schedule != ScheduleKind::kStep) return value;
  Value rates = Value::array();
  for (const double entry : rate.rates) rates.push_back(entry);
  Value boundaries = Value::array();
  for (const std::int64_t entry : rate.boundaries) boundaries.push_back(entry);
  value.set("rates", std::move(rates)).set("boundaries", std::move(boundaries));
  return value;
}

Value basis_value(const RateBasis& basis) {
  Value value = Value::object();
  value.set("rule", to_text(basis.rule))
      .set("tuned_batch", basis.tuned_batch)
      .set("tuned_peak", basis.tuned_peak)
      .set("low", basis.low)
      .set("high", basis.high);
  return value;
}

// Opens the member `key`, lets `read` take what it knows and refuses the rest.
template <class Read>
Result<void> read_member(ObjectReader& outer, std::string_view key, Read read) {
  PLUTO_ASSIGN(const Value* value, outer.object(key));
  PLUTO_ASSIGN(ObjectReader reader, ObjectReader::open(*value, outer.place(key)));
  PLUTO_TRY(read(reader));
  return reader.finish();
}

Result<void> read_model(ObjectReader& reader, ModelChoice& model) {
  PLUTO_ASSIGN(model.source, reader.string("source"));
  ZooOptions& options = model.options;
  PLUTO_ASSIGN(options.channels, reader.optional_integer("channels"));
  PLUTO_ASSIGN(options.height, reader.optional_integer("height"));
  PLUTO_ASSIGN(options.width, reader.optional_integer("width"));
  PLUTO_ASSIGN(options.classes, reader.optional_integer("classes"));
  PLUTO_ASSIGN(options.sequence, reader.optional_integer("sequence"));
  PLUTO_ASSIGN(options.layers, reader.optional_integer("layers"));
  PLUTO_ASSIGN(options.width_model, reader.optional_integer("width_model"));
  PLUTO_ASSIGN(options.heads, reader.optional_integer("heads"));
  PLUTO_ASSIGN(options.vocabulary, reader.optional_integer("vocabulary"));
  return {};
}

Result<void> read_data(ObjectReader& reader, DataChoice& data) {
  PLUTO_ASSIGN(data.source, reader.string("source"));
  PLUTO_ASSIGN(data.path, reader.optional_string("path"));
  PLUTO_ASSIGN(data.samples, reader.optional_integer("samples"));
  PLUTO_ASSIGN(data.readers, read_int(reader, "readers"));
  if (reader.optional("queue") != nullptr) {
    PLUTO_ASSIGN(data.queue, read_int(reader, "queue"));
  }
  PLUTO_ASSIGN(const auto stored, reader.optional_integer("stored_bytes"));
  if (stored) data.stored_sample = Bytes(*stored);
  PLUTO_ASSIGN(const auto seconds, reader.optional_number("seconds_per_sample"));
  if (seconds) data.sample_time = Seconds(*seconds);
  PLUTO_ASSIGN(const auto storage, reader.optional_number("storage_bytes_per_s"));
  if (storage) data.storage = BytesPerSecond(*storage);
  return {};
}

Result<void> read_optimizer(ObjectReader& reader, OptimizerAttrs& optimizer) {
  PLUTO_ASSIGN(const std::string name, reader.string("name"));
  if (name == "sgd") {
    SgdAttrs sgd;
    PLUTO_ASSIGN(sgd.momentum, reader.number("momentum"));
    PLUTO_ASSIGN(sgd.nesterov, reader.boolean("nesterov"));
    PLUTO_ASSIGN(sgd.weight_decay, reader.number("weight_decay"));
    optimizer = sgd;
    return {};
  }
  if (name != "adam" && name != "adamw") {
    return reader.error("name", fmt::format("unknown optimizer \"{}\"", name),
                        "one of sgd, adam, adamw");
  }
  AdamAttrs adam;
  PLUTO_ASSIGN(adam.beta1, reader.number("beta1"));
  PLUTO_ASSIGN(adam.beta2, reader.number("beta2"));
  PLUTO_ASSIGN(adam.epsilon, reader.number("epsilon"));
  PLUTO_ASSIGN(adam.weight_decay, reader.number("weight_decay"));
  adam.decoupled = name == "adamw";
  optimizer = adam;
  return {};
}

Value convergence_value(const Convergence& convergence) {
  Value value = Value::object();
  value.set("spread", convergence.spread)
      .set("evidence", to_text(convergence.evidence))
      .set("source", convergence.source);
  return value;
}

Result<void> read_convergence(ObjectReader& reader, Convergence& convergence) {
  PLUTO_ASSIGN(convergence.spread, reader.number("spread"));
  PLUTO_ASSIGN(const std::string evidence, reader.string("evidence"));
  PLUTO_ASSIGN_AT(reader.place("evidence"), convergence.evidence, parse_evidence(evidence));
  PLUTO_ASSIGN(convergence.source, reader.string("source"));
  return {};
}

Result<void> read_evaluation(ObjectReader& reader, Evaluation& evaluation) {
  PLUTO_ASSIGN(evaluation.samples, reader.integer("samples"));
  PLUTO_ASSIGN(evaluation.every, reader.integer("every"));
  return {};
}

Result<void> read_rate(ObjectReader& reader, LearningRate& rate) {
  PLUTO_ASSIGN(rate.peak, reader.number("peak"));
  PLUTO_ASSIGN(const std::string schedule, reader.string("schedule"));
  PLUTO_ASSIGN_AT(reader.place("schedule"), rate.schedule, parse_schedule_kind(schedule));
  PLUTO_ASSIGN(rate.warmup_samples, reader.integer("warmup_samples"));
  if (rate.schedule != ScheduleKind::kStep) return {};
  PLUTO_ASSIGN(const Value::Array* rates, reader.array("rates"));
  for (const Value& entry : *rates) {
    if (!entry.is_number()) return reader.error("rates", "expected a list of numbers");
    rate.rates.push_back(entry.as_number());
  }
  PLUTO_ASSIGN(const Value::Array* boundaries, reader.array("boundaries"));
  for (const Value& entry : *boundaries) {
    if (!entry.is_integer()) return reader.error("boundaries", "expected a list of whole numbers");
    rate.boundaries.push_back(entry.as_integer());
  }
  return {};
}

Result<void> read_basis(ObjectReader& reader, RateBasis& basis) {
  PLUTO_ASSIGN(const std::string rule, reader.string("rule"));
  PLUTO_ASSIGN_AT(reader.place("rule"), basis.rule, parse_rate_rule(rule));
  PLUTO_ASSIGN(basis.tuned_batch, reader.integer("tuned_batch"));
  PLUTO_ASSIGN(basis.tuned_peak, reader.number("tuned_peak"));
  PLUTO_ASSIGN(basis.low, reader.number("low"));
  PLUTO_ASSIGN(basis.high, reader.number("high"));
  return {};
}

Result<void> check_schema(ObjectReader& root) {
  PLUTO_ASSIGN(const std::int64_t schema, root.integer("schema"));
  if (schema == Plan::kSchema) return {};
  if (schema > Plan::kSchema) {
    return unsupported(
        fmt::format("{}: {}: a newer Pluto wrote this plan; this one reads schema {}",
                    root.place("schema"), schema, Plan::kSchema),
        "use that Pluto, or search the plan again with this one");
  }
  return root.error("schema", fmt::format("there is no schema {}", schema),
                    fmt::format("plans have \"schema\": {}", Plan::kSchema));
}

Result<void> read_plan(ObjectReader& root, Plan& plan) {
  // First of all: the other keys mean something only under a known schema.
  PLUTO_TRY(check_schema(root));
  const auto member = [&](std::string_view key, auto read, auto& target) {
    return read_member(root, key, [&](ObjectReader& reader) { return read(reader, target); });
  };
  PLUTO_ASSIGN(plan.job, root.string("job"));
  PLUTO_TRY(member("model", read_model, plan.model));
  PLUTO_ASSIGN(plan.model_fingerprint, read_fingerprint(root, "model_fingerprint"));
  PLUTO_TRY(member("data", read_data, plan.data));
  PLUTO_ASSIGN(plan.dataset_samples, root.integer("dataset_samples"));
  PLUTO_ASSIGN(const Value* cluster, root.object("cluster"));
  PLUTO_ASSIGN(plan.cluster, cluster_from_value(*cluster, root.place("cluster")));
  PLUTO_ASSIGN(plan.backend, root.string("backend"));
  PLUTO_ASSIGN(plan.threads_per_rank, read_int(root, "threads_per_rank"));
  PLUTO_TRY(read_strategies(root, plan));
  PLUTO_ASSIGN(plan.global_batch, root.integer("global_batch"));
  PLUTO_ASSIGN(plan.micro_batch, root.integer("micro_batch"));
  PLUTO_ASSIGN(plan.accumulation, root.integer("accumulation"));
  PLUTO_ASSIGN(plan.steps, root.integer("steps"));
  if (root.optional("convergence") != nullptr) {
    PLUTO_TRY(member("convergence", read_convergence, plan.convergence));
  }
  PLUTO_TRY(member("optimizer", read_optimizer, plan.optimizer));
  PLUTO_TRY(member("learning_rate", read_rate, plan.learning_rate));
  if (root.optional("rate_basis") != nullptr) {
    PLUTO_TRY(member("rate_basis", read_basis, plan.rate_basis.emplace()));
  }
  PLUTO_ASSIGN(plan.fuse, root.boolean("fuse"));
  PLUTO_TRY(read_synchronization(root, plan));
  PLUTO_ASSIGN(const auto checkpoint_every, root.optional_integer("checkpoint_every"));
  plan.checkpoint_every = checkpoint_every.value_or(0);
  if (root.optional("evaluation") != nullptr) {
    PLUTO_TRY(member("evaluation", read_evaluation, plan.evaluation));
  }
  PLUTO_ASSIGN(plan.on_demand_after, root.optional_number("on_demand_after"));
  PLUTO_ASSIGN(const std::int64_t seed, root.integer("seed"));
  if (seed < 0) return root.error("seed", "must not be negative");
  plan.seed = static_cast<std::uint64_t>(seed);
  PLUTO_ASSIGN(const std::optional<double> budget, root.optional_number("budget_usd"));
  if (budget) plan.budget = Dollars(*budget);
  PLUTO_ASSIGN(const std::optional<double> deadline, root.optional_number("deadline_s"));
  if (deadline) plan.deadline = Seconds(*deadline);
  PLUTO_ASSIGN(plan.confidence, root.number("confidence"));
  return root.finish();
}

}  // namespace

std::string to_json(const Plan& plan) {
  Value value = Value::object();
  value.set("schema", Plan::kSchema)
      .set("job", plan.job)
      .set("model", model_value(plan.model))
      .set("model_fingerprint", to_hex(plan.model_fingerprint))
      .set("data", data_value(plan.data))
      .set("dataset_samples", plan.dataset_samples)
      .set("cluster", to_value(plan.cluster))
      .set("backend", plan.backend)
      .set("threads_per_rank", plan.threads_per_rank);
  set_strategies(value, plan);
  value.set("global_batch", plan.global_batch)
      .set("micro_batch", plan.micro_batch)
      .set("accumulation", plan.accumulation)
      .set("steps", plan.steps);
  if (plan.convergence != Convergence{}) {
    value.set("convergence", convergence_value(plan.convergence));
  }
  value.set("optimizer", optimizer_value(plan.optimizer))
      .set("learning_rate", rate_value(plan.learning_rate));
  if (plan.rate_basis) value.set("rate_basis", basis_value(*plan.rate_basis));
  value.set("fuse", plan.fuse);
  set_synchronization(value, plan);
  if (plan.checkpoint_every > 0) value.set("checkpoint_every", plan.checkpoint_every);
  if (plan.evaluation != Evaluation{}) {
    Value evaluation = Value::object();
    evaluation.set("samples", plan.evaluation.samples).set("every", plan.evaluation.every);
    value.set("evaluation", std::move(evaluation));
  }
  set_if(value, "on_demand_after", plan.on_demand_after);
  value.set("seed", static_cast<std::int64_t>(plan.seed));
  if (plan.budget) value.set("budget_usd", plan.budget->value());
  if (plan.deadline) value.set("deadline_s", plan.deadline->value());
  value.set("confidence", plan.confidence);
  return to_json(value);
}

Result<Plan> plan_from_json(std::string_view text, const std::string& source) {
  PLUTO_ASSIGN(const Value document, parse_json(text, source));
  PLUTO_ASSIGN(ObjectReader root, ObjectReader::open(document, source));
  Plan plan;
  PLUTO_TRY(read_plan(root, plan));
  if (const Verdict verdict = check_plan(plan)) return to_error(*verdict, document, source);
  return plan;
}

}  // namespace pluto
