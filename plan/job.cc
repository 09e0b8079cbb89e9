#include "plan/job.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <limits>

#include "base/text.h"
#include "plan/job_rules.h"
#include "plan/utc_time.h"
#include "plan/words.h"

namespace pluto {
namespace {

constexpr std::array<Word<Objective>, 3> kObjectives = {
    {{Objective::kCost, "cost"}, {Objective::kTime, "time"}, {Objective::kRisk, "risk"}}};

constexpr std::array<Word<SpotUse>, 3> kSpotUses = {
    {{SpotUse::kAuto, "auto"}, {SpotUse::kNever, "never"}, {SpotUse::kOnly, "only"}}};

// Reads the section `key`, when it is there, and refuses what `read` did not ask for.
template <class Read>
Result<void> read_section(ObjectReader& root, std::string_view key, Read read) {
  const Value* value = root.optional(key);
  if (value == nullptr) return {};
  PLUTO_ASSIGN(ObjectReader section, ObjectReader::open(*value, root.place(key)));
  PLUTO_TRY(read(section));
  return section.finish();
}

// An entry of a list has no key; its place is that of the list with the index.
Result<std::vector<std::string>> read_words(ObjectReader& reader, std::string_view key,
                                            std::vector<std::string> otherwise) {
  const Value* value = reader.optional(key);
  if (value == nullptr) return otherwise;
  PLUTO_ASSIGN(const Value::Array* array, reader.array(key));
  std::vector<std::string> words;
  for (const Value& entry : *array) {
    if (!entry.is_string()) {
      return reader.error(key, fmt::format("entry {}: expected a string, found {}",
                                           words.size() + 1, to_json(entry, true)));
    }
    words.push_back(entry.as_string());
  }
  return words;
}

Result<std::optional<int>> optional_int(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const std::optional<std::int64_t> number, reader.optional_integer(key));
  if (!number) return std::optional<int>();
  if (*number > std::numeric_limits<int>::max() || *number < std::numeric_limits<int>::min()) {
    return reader.error(key, fmt::format("{} is out of range", *number));
  }
  return std::optional<int>(static_cast<int>(*number));
}

// A whole number, or "auto" (unset).
Result<std::optional<std::int64_t>> integer_or_auto(ObjectReader& reader, std::string_view key) {
  const Value* value = reader.optional(key);
  if (value == nullptr) return std::optional<std::int64_t>();
  if (!value->is_string()) return reader.optional_integer(key);
  if (value->as_string() == "auto") return std::optional<std::int64_t>();
  return reader.error(key,
                      fmt::format("\"{}\": expected a whole number or auto", value->as_string()));
}

Result<std::optional<int>> int_or_auto(ObjectReader& reader, std::string_view key) {
  const Value* value = reader.optional(key);
  const bool chosen = value != nullptr && value->is_string() && value->as_string() == "auto";
  return chosen ? Result(std::optional<int>()) : optional_int(reader, key);
}

Result<void> read_model(ObjectReader& reader, TrainingJob& job) {
  PLUTO_ASSIGN(const std::optional<std::string> name, reader.optional_string("name"));
  PLUTO_ASSIGN(const std::optional<std::string> file, reader.optional_string("file"));
  if (name && file) {
    return reader.error("file", "has no meaning beside name", "give the name or the file");
  }
  if (name) {
    const std::vector<std::string>& known = zoo_names();
    if (std::find(known.begin(), known.end(), *name) == known.end()) {
      const auto near = nearest_word(*name, known);
      return reader.error("name", fmt::format("unknown model \"{}\"", *name),
                          near ? fmt::format("did you mean \"{}\"?", *near)
                               : fmt::format("built-in models: {}; for a file of your own write "
                                             "file: model.onnx",
                                             fmt::join(known, ", ")));
    }
  }
  if (name || file) job.model.source = name ? *name : *file;
  ZooOptions& options = job.model.options;
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

Result<void> read_data(ObjectReader& reader, TrainingJob& job) {
  PLUTO_ASSIGN(const std::optional<std::string> source, reader.optional_string("source"));
  if (source) job.data.source = *source;
  PLUTO_ASSIGN(job.data.path, reader.optional_string("path"));
  PLUTO_ASSIGN(job.data.samples, reader.optional_integer("samples"));
  PLUTO_ASSIGN(const std::optional<int> readers, int_or_auto(reader, "readers"));
  job.data.readers = readers.value_or(job.data.readers);
  job.readers_chosen = !readers.has_value();
  PLUTO_ASSIGN(const std::optional<int> queue, optional_int(reader, "queue"));
  job.data.queue = queue.value_or(job.data.queue);
  PLUTO_ASSIGN(const auto stored, reader.optional_integer("stored_bytes"));
  if (stored) job.data.stored_sample = Bytes(*stored);
  PLUTO_ASSIGN(const auto seconds, reader.optional_number("seconds_per_sample"));
  if (seconds) job.data.sample_time = Seconds(*seconds);
  PLUTO_ASSIGN(const auto storage, reader.optional_number("storage_bytes_per_s"));
  if (storage) job.data.storage = BytesPerSecond(*storage);
  return {};
}

Result<void> read_target(ObjectReader& reader, TrainingJob& job) {
  PLUTO_ASSIGN(job.epochs, reader.optional_number("epochs"));
  PLUTO_ASSIGN(job.target_samples, reader.optional_integer("samples"));
  PLUTO_ASSIGN(job.target_steps, reader.optional_integer("steps"));
  PLUTO_ASSIGN(const std::optional<std::string> metric, reader.optional_string("metric"));
  PLUTO_ASSIGN(const std::optional<double> value, reader.optional_number("value"));
  if (metric.has_value() != value.has_value()) {
    return reader.error(metric ? "value" : "metric", "is missing",
                        "a metric and its value belong together, for example target: {metric: "
                        "accuracy, value: 0.759}");
  }
  if (metric) job.target_metric = TargetMetric{*metric, *value};
  return {};
}

Result<void> read_optimizer(ObjectReader& reader, TrainingJob& job) {
  PLUTO_ASSIGN(const std::string name, reader.string("name"));
  const bool sgd = name == "sgd" || name == "momentum";
  if (!sgd && name != "adam" && name != "adamw") {
    return with_context(unknown_word("optimizer", name, {"sgd", "momentum", "adam", "adamw"}),
                        reader.place("name"));
  }
  for (const char* key : {"momentum", "nesterov", "beta1", "beta2", "epsilon"}) {
    const bool of_sgd = key == std::string_view("momentum") || key == std::string_view("nesterov");
    if (of_sgd != sgd && reader.optional(key) != nullptr) {
      return reader.error(key, fmt::format("has no meaning for {}", name), "remove it");
    }
  }
  PLUTO_ASSIGN(const std::optional<double> decay, reader.optional_number("weight_decay"));
  if (sgd) {
    SgdAttrs attrs;
    PLUTO_ASSIGN(const std::optional<double> momentum, reader.optional_number("momentum"));
    PLUTO_ASSIGN(const std::optional<bool> nesterov, reader.optional_boolean("nesterov"));
    attrs.momentum = momentum.value_or(name == "momentum" ? 0.9 : 0.0);
    attrs.weight_decay = decay.value_or(0);
    attrs.nesterov = nesterov.value_or(false);
    job.optimizer = attrs;
    return {};
  }
  AdamAttrs attrs;
  PLUTO_ASSIGN(const std::optional<double> beta1, reader.optional_number("beta1"));
  PLUTO_ASSIGN(const std::optional<double> beta2, reader.optional_number("beta2"));
  PLUTO_ASSIGN(const std::optional<double> epsilon, reader.optional_number("epsilon"));
  attrs.beta1 = beta1.value_or(attrs.beta1);
  attrs.beta2 = beta2.value_or(attrs.beta2);
  attrs.epsilon = epsilon.value_or(attrs.epsilon);
  attrs.weight_decay = decay.value_or(0);
  attrs.decoupled = name == "adamw";
  job.optimizer = attrs;
  return {};
}

Result<void> read_batch(ObjectReader& reader, TrainingJob& job) {
  PLUTO_ASSIGN(job.global_batch, integer_or_auto(reader, "global"));
  PLUTO_ASSIGN(job.max_global_batch, reader.optional_integer("max"));
  PLUTO_ASSIGN(job.micro_batch, integer_or_auto(reader, "micro"));
  return {};
}

// "0.1;5;3.2;30;0.32": a rate, the epoch it ends at, the next rate, ...
Result<void> read_steps(ObjectReader& reader, TrainingJob& job) {
  PLUTO_ASSIGN(const std::optional<std::string> text, reader.optional_string("steps"));
  if (!text) return {};
  for (const char* key : {"peak", "schedule", "rates", "boundaries"}) {
    if (reader.optional(key) == nullptr) continue;
    return reader.error(key, "has no meaning beside steps", "remove one of them");
  }
  const std::vector<std::string> pieces = split(*text, ';');
  constexpr const char* kExample =
      "rates and epochs by turns, for example steps: \"0.1;30;0.01;60;0.001\"";
  if (pieces.size() < 3) {
    return reader.error("steps", fmt::format("\"{}\" never changes the rate", *text), kExample);
  }
  if (pieces.size() % 2 == 0) {
    return reader.error("steps", fmt::format("\"{}\" ends with an epoch", *text), kExample);
  }
  LearningRate& rate = job.learning_rate;
  rate.schedule = ScheduleKind::kStep;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const std::optional<double> number = parse_number(trim(pieces[i]));
    if (!number) {
      return reader.error("steps", fmt::format("entry {}: \"{}\" is no number", i + 1, pieces[i]),
                          kExample);
    }
    (i % 2 == 0 ? rate.rates : job.step_epochs).push_back(*number);
  }
  rate.peak = rate.rates.front();
  return {};
}

Result<void> read_learning_rate(ObjectReader& reader, TrainingJob& job) {
  LearningRate& rate = job.learning_rate;
  PLUTO_ASSIGN(const std::optional<std::string> rule, reader.optional_string("rule"));
  if (rule) {
    PLUTO_ASSIGN_AT(reader.place("rule"), job.rate_rule, parse_rate_rule(*rule));
  }
  PLUTO_ASSIGN(const std::optional<double> peak, reader.optional_number("peak"));
  PLUTO_ASSIGN(job.learning_rate_batch, reader.optional_integer("at_batch"));
  PLUTO_ASSIGN(const std::optional<std::string> schedule, reader.optional_string("schedule"));
  if (schedule) {
    PLUTO_ASSIGN_AT(reader.place("schedule"), rate.schedule, parse_schedule_kind(*schedule));
  }
  PLUTO_ASSIGN(const auto warmup, integer_or_auto(reader, "warmup_samples"));
  rate.warmup_samples = warmup.value_or(0);
  job.warmup_chosen = !warmup.has_value();
  if (reader.optional("rates") != nullptr) {
    PLUTO_ASSIGN(const Value::Array* rates, reader.array("rates"));
    for (const Value& entry : *rates) {
      if (!entry.is_number()) return reader.error("rates", "expected a list of numbers");
      rate.rates.push_back(entry.as_number());
    }
  }
  if (reader.optional("boundaries") != nullptr) {
    PLUTO_ASSIGN(const Value::Array* boundaries, reader.array("boundaries"));
    for (const Value& entry : *boundaries) {
      if (!entry.is_integer())
        return reader.error("boundaries", "expected a list of whole numbers");
      rate.boundaries.push_back(entry.as_integer());
    }
  }
  if (peak) {
    rate.peak = *peak;
  } else if (!rate.rates.empty()) {
    rate.peak = rate.rates.front();
  }
  return read_steps(reader, job);
}

Result<void> read_convergence(ObjectReader& reader, TrainingJob& job) {
  ConvergenceChoice& choice = job.convergence;
  PLUTO_ASSIGN(const std::optional<std::string> source, reader.optional_string("source"));
  choice.source = source.value_or("");
  PLUTO_ASSIGN(choice.critical_batch, reader.optional_number("critical_batch"));
  PLUTO_ASSIGN(choice.exponent, reader.optional_number("exponent"));
  PLUTO_ASSIGN(choice.noise_scale, reader.optional_number("noise_scale"));
  PLUTO_ASSIGN(choice.noise_scale_batch, reader.optional_integer("noise_scale_batch"));
  return {};
}

Result<void> read_sync(ObjectReader& reader, TrainingJob& job) {
  if (reader.optional("allow") == nullptr) return {};
  PLUTO_ASSIGN(const std::vector<std::string> words, read_words(reader, "allow", {}));
  job.allowed_sync.clear();
  for (const std::string& word : words) {
    if (word == kLocalSgd) {
      job.local_allowed = true;
      continue;
    }
    PLUTO_ASSIGN_AT(reader.place("allow"), const SyncMethod method, parse_sync_method(word));
    job.allowed_sync.push_back(method);
  }
  return {};
}

Result<void> read_cluster(ObjectReader& reader, TrainingJob& job) {
  PLUTO_ASSIGN(job.instances, read_words(reader, "instances", job.instances));
  PLUTO_ASSIGN(job.ranks, optional_int(reader, "ranks"));
  PLUTO_ASSIGN(job.min_ranks, optional_int(reader, "min_ranks"));
  PLUTO_ASSIGN(job.max_ranks, optional_int(reader, "max_ranks"));
  PLUTO_ASSIGN(const std::optional<double> price, reader.optional_number("local_price_per_hour"));
  if (price) job.local_price = DollarsPerHour(*price);
  PLUTO_ASSIGN(const std::optional<std::string> spot, reader.optional_string("spot"));
  if (spot) {
    PLUTO_ASSIGN_AT(reader.place("spot"), job.spot, parse_spot_use(*spot));
  }
  return {};
}

Result<void> read_evaluation(ObjectReader& reader, TrainingJob& job) {
  PLUTO_ASSIGN(job.evaluation.samples, reader.integer("samples"));
  PLUTO_ASSIGN(const std::optional<std::int64_t> every, reader.optional_integer("every"));
  job.evaluation.every = every.value_or(0);
  return {};
}

Result<void> read_limits(ObjectReader& root, TrainingJob& job, double now_utc) {
  PLUTO_ASSIGN(const std::optional<double> budget, root.optional_number("budget"));
  if (budget) job.budget = Dollars(*budget);
  const Value* deadline = root.optional("deadline");
  if (deadline != nullptr && deadline->is_number()) {
    return root.error("deadline", fmt::format("{} has no unit", to_json(*deadline, true)),
                      fmt::format("write {}s, {}m or {}h", to_json(*deadline, true),
                                  to_json(*deadline, true), to_json(*deadline, true)));
  }
  PLUTO_ASSIGN(const std::optional<std::string> text, root.optional_string("deadline"));
  if (text) {
    PLUTO_ASSIGN_AT(root.place("deadline"), job.deadline, parse_deadline(*text, now_utc));
  }
  PLUTO_ASSIGN(const std::optional<double> confidence, root.optional_number("confidence"));
  job.confidence = confidence.value_or(job.confidence);
  PLUTO_ASSIGN(const std::optional<std::string> objective, root.optional_string("minimize"));
  if (objective) {
    PLUTO_ASSIGN_AT(root.place("minimize"), job.minimize, parse_objective(*objective));
  }
  return {};
}

}  // namespace

const char* to_text(SpotUse use) { return word_of(kSpotUses, use); }

Result<SpotUse> parse_spot_use(std::string_view text) {
  return parse_word(kSpotUses, "use of spot nodes", text);
}

const char* to_text(Objective objective) { return word_of(kObjectives, objective); }

Result<Objective> parse_objective(std::string_view text) {
  return parse_word(kObjectives, "objective", text);
}

Result<Seconds> parse_deadline(std::string_view text, double now_utc) {
  if (!looks_like_date(text)) return parse_duration(text);
  PLUTO_ASSIGN(const double at, parse_utc(text));
  if (at > now_utc) return Seconds(at - now_utc);
  return invalid_input(
      fmt::format("\"{}\" is in the past, {} ago", text, to_text(Seconds(now_utc - at))),
      "give a later time, or the time left, for example 6h");
}

Result<TrainingJob> job_from_value(const Value& document, const std::string& source,
                                   double now_utc) {
  PLUTO_ASSIGN(ObjectReader root, ObjectReader::open(document, source));
  TrainingJob job;
  job.warmup_chosen = job.readers_chosen = true;  // unless the sections say otherwise
  // Without a name the job is called after its file.
  PLUTO_ASSIGN(const std::optional<std::string> name, root.optional_string("name"));
  job.name = name.value_or(std::filesystem::path(source).stem().string());
  PLUTO_ASSIGN(const auto precision, root.optional_string("precision"));
  if (precision) {
    PLUTO_ASSIGN_AT(root.place("precision"), job.precision, parse_train_precision(*precision));
  }
  PLUTO_ASSIGN(const auto attention, root.optional_string("attention"));
  if (attention) {
    PLUTO_ASSIGN_AT(root.place("attention"), job.attention, parse_attention_kernel(*attention));
  }
  const auto section = [&](std::string_view key, auto read) {
    return read_section(root, key, [&](ObjectReader& reader) { return read(reader, job); });
  };
  PLUTO_TRY(section("model", read_model));
  PLUTO_TRY(section("data", read_data));
  PLUTO_TRY(section("target", read_target));
  PLUTO_TRY(read_limits(root, job, now_utc));
  PLUTO_TRY(section("optimizer", read_optimizer));
  // Adam's steps do not scale with the gradient; 0.1, SGD's default, would be a hundred times too
  // much.
  if (std::holds_alternative<AdamAttrs>(job.optimizer)) job.learning_rate.peak = 0.001;
  PLUTO_TRY(section("batch", read_batch));
  PLUTO_TRY(section("learning_rate", read_learning_rate));
  PLUTO_TRY(section("sync", read_sync));
  PLUTO_TRY(section("cluster", read_cluster));
  PLUTO_TRY(section("evaluation", read_evaluation));
  PLUTO_TRY(section("convergence", read_convergence));
  PLUTO_ASSIGN(const auto checkpoint_every, root.optional_integer("checkpoint_every"));
  job.checkpoint_every = checkpoint_every.value_or(0);
  PLUTO_ASSIGN(const std::optional<std::int64_t> seed, root.optional_integer("seed"));
  if (seed && *seed < 0) return root.error("seed", "must not be negative", "for example seed: 1");
  job.seed = static_cast<std::uint64_t>(seed.value_or(1));
  PLUTO_TRY(root.finish());

  if (const Verdict verdict = check_job(job)) return to_error(*verdict, document, source);
  return job;
}

Result<TrainingJob> read_job(const std::string& path, double now_utc) {
  PLUTO_ASSIGN(const Value document, read_document(path));
  const bool piped = path == "-";
  PLUTO_ASSIGN(TrainingJob job, job_from_value(document, piped ? "standard input" : path, now_utc));
  if (piped) {
    if (document.find("name") == nullptr) job.name = "job";
    return job;
  }

  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  const auto beside_job = [&](const std::string& name) { return (folder / name).string(); };
  const Value* file = document.find("model")->find("file");
  if (file != nullptr && file->is_string()) job.model.source = beside_job(job.model.source);
  if (job.data.path) job.data.path = beside_job(*job.data.path);
  std::string& points = job.convergence.source;
  if (points.ends_with(".csv")) points = beside_job(points);
  return job;
}

}  // namespace pluto
