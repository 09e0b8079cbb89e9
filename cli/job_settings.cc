#include "cli/job_settings.h"

#include <fmt/format.h>

#include <cstdlib>

#include "base/text.h"

namespace pluto {

namespace {

/// A setting as typed, and its value in one kind or another.
struct Setting {
  std::string text, key, value;

  Error wrong(const std::string& wanted, const std::string& example) const {
    return invalid_input(fmt::format("{}: expected {}", text, wanted),
                         fmt::format("for example {}={}", key, example));
  }
  /// Whole, at least `least`.
  Result<std::int64_t> whole(std::int64_t least) const {
    constexpr std::int64_t kMost = 1'000'000'000;
    const auto number = parse_integer(value);
    if (number && *number >= least && *number <= kMost) return *number;
    return wrong(least == 0 ? "a whole number" : "a positive whole number", "2");
  }
  Result<int> count() const {
    PLUTO_ASSIGN(const std::int64_t number, whole(1));
    return static_cast<int>(number);
  }
  Result<bool> flag() const {
    if (value == "1" || value == "true" || value == "yes") return true;
    if (value == "0" || value == "false" || value == "no") return false;
    return wrong("1 or 0", "1");
  }
};

Result<void> apply_size(TrainingJob& job, const Setting& setting) {
  if (setting.key == "ranks") {
    PLUTO_ASSIGN(job.ranks, setting.count());
    job.max_ranks.reset();
  } else if (setting.key == "global_batch") {
    PLUTO_ASSIGN(job.global_batch, setting.whole(1));
    job.max_global_batch.reset();
  } else {
    PLUTO_ASSIGN(job.micro_batch, setting.whole(1));
  }
  return {};
}

Result<void> apply_strategy(TrainingJob& job, const Setting& setting) {
  StrategyChoice& choice = job.strategy;
  const std::pair<const char*, std::optional<int>*> degrees[] = {
      {"nodes", &choice.nodes},     {"data", &choice.data},
      {"tensor", &choice.tensor},   {"pipeline", &choice.pipeline},
      {"context", &choice.context}, {"interleave", &choice.interleave}};
  for (const auto& [name, degree] : degrees) {
    if (setting.key != name) continue;
    PLUTO_ASSIGN(*degree, setting.count());
    return {};
  }
  if (setting.key == "shard") {
    PLUTO_ASSIGN(const std::int64_t stage, setting.whole(0));
    if (stage > 3) return setting.wrong("a stage of ZeRO, 0 to 3", "1");
    choice.shard = static_cast<int>(stage);
  } else if (setting.key == "sequence_parallel") {
    PLUTO_ASSIGN(choice.sequence_parallel, setting.flag());
  } else if (setting.key == "recompute") {
    PLUTO_ASSIGN_AT("recompute", choice.recompute, parse_recompute(setting.value));
  } else if (setting.key == "precision") {
    PLUTO_ASSIGN_AT("precision", job.precision, parse_train_precision(setting.value));
  } else {
    PLUTO_ASSIGN_AT("attention", job.attention, parse_attention_kernel(setting.value));
  }
  return {};
}

Result<void> apply_choice(TrainingJob& job, const Setting& setting) {
  if (setting.key == "instance") {
    if (setting.value.empty()) return setting.wrong("the name of an instance type", "local");
    job.instances = {setting.value};
    return {};
  }
  if (setting.key == "spot") {
    PLUTO_ASSIGN_AT("spot", job.spot, parse_spot_use(setting.value));
    return {};
  }
  if (setting.key == "convergence") {
    if (setting.value.empty())
      return setting.wrong("fixed, auto, a family or a CSV file", "resnet");
    job.convergence = {};
    job.convergence.source = setting.value;
    return {};
  }
  if (setting.key == "critical_batch") {
    const auto batch = parse_number(setting.value);
    if (!batch || *batch <= 0) return setting.wrong("a positive number of samples", "2000");
    job.convergence = {};
    job.convergence.critical_batch = *batch;
    return {};
  }
  if (setting.key == "learning_rate") {
    const auto rate = parse_number(setting.value);
    if (!rate || *rate <= 0) return setting.wrong("a positive number", "0.1");
    job.learning_rate.peak = *rate;
    return {};
  }
  std::vector<SyncMethod> methods;
  for (const std::string& name : split(setting.value, ',')) {
    PLUTO_ASSIGN_AT("sync", const SyncMethod method, parse_sync_method(name));
    methods.push_back(method);
  }
  job.allowed_sync = std::move(methods);
  return {};
}

using Apply = Result<void> (*)(TrainingJob&, const Setting&);
struct Key {
  const char* name;
  Apply apply;
};
constexpr Key kKeys[] = {{"ranks", apply_size},
                         {"nodes", apply_strategy},
                         {"global_batch", apply_size},
                         {"micro_batch", apply_size},
                         {"data", apply_strategy},
                         {"tensor", apply_strategy},
                         {"pipeline", apply_strategy},
                         {"context", apply_strategy},
                         {"interleave", apply_strategy},
                         {"shard", apply_strategy},
                         {"sequence_parallel", apply_strategy},
                         {"recompute", apply_strategy},
                         {"precision", apply_strategy},
                         {"attention", apply_strategy},
                         {"sync", apply_choice},
                         {"instance", apply_choice},
                         {"spot", apply_choice},
                         {"learning_rate", apply_choice},
                         {"convergence", apply_choice},
                         {"critical_batch", apply_choice}};

}  // namespace

const std::vector<std::string>& setting_keys() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    for (const Key& key : kKeys) names.emplace_back(key.name);
    return names;
  }();
  return kNames;
}

Result<void> apply_setting(TrainingJob& job, const std::string& setting) {
  const std::size_t equals = setting.find('=');
  Setting typed;
  typed.text = setting;
  typed.key = setting.substr(0, equals);
  if (equals != std::string::npos) typed.value = setting.substr(equals + 1);
  for (const Key& key : kKeys) {
    if (typed.key == key.name) return key.apply(job, typed);
  }
  const auto near = nearest_word(typed.key, setting_keys());
  return invalid_input(fmt::format("{}: no such key", setting),
                       near ? fmt::format("did you mean {}?", *near)
                            : fmt::format("keys: {}", fmt::join(setting_keys(), " ")));
}

}  // namespace pluto
