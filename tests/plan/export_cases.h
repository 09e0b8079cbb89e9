#pragma once
// Plans to export, and ways to look into what was written.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "base/document.h"
#include "model/model_source.h"
#include "plan/export_trainers.h"
#include "tests/support/sample_documents.h"
#include "tests/support/temporary_folder.h"

namespace pluto::testing {

/// Two nodes of eight A100, 16 data-parallel ranks of 2 x 4 samples, AdamW with a cosine, buckets
/// of 25 MiB by all_reduce.
struct ExportCase {
  ModelGraph model = load_model("mlp", {}).value().model;
  Plan plan;
  ExportFacts facts;
  std::vector<GradientInfo> gradients;

  ExportCase() {
    plan = sample_plan();
    plan.job = "My job: 1";
    plan.model = {"mlp", {}};
    plan.model_fingerprint = model.graph.fingerprint();
    plan.layout.data = 16;
    plan.micro_batch = 4;
    plan.accumulation = 2;
    plan.global_batch = 128;
    plan.steps = 1000;
    plan.optimizer = AdamAttrs{0.9, 0.95, 1e-8, 0.1, true};
    plan.learning_rate = {3e-4, ScheduleKind::kCosine, 12800, {}, {}};
    plan.servers.clear();
    plan.buckets.clear();
    gradients = gradient_order(model, plan).value();
    BucketPlan bucket;
    for (const GradientInfo& one : gradients) bucket.parameters.push_back(one.name);
    plan.buckets = {bucket};
    facts.planned = fingerprint(plan);
    facts.planned_step = Seconds(0.010);
    facts.exported_step = Seconds(0.012);
  }

  Projection projected(const RunTarget& target) const {
    const int layers = facts.shape ? facts.shape->layers : 0;
    auto made = project(plan, target, gradients, layers);
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
    return made.ok() ? *made : Projection{plan, {}, {}};
  }
  std::vector<ExportedFile> files(const RunTarget& target) const {
    const Projection projection = projected(target);
    auto made = export_plan(target, projection, facts);
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
    return made.ok() ? *made : std::vector<ExportedFile>{};
  }
};

inline std::string file_of(const std::vector<ExportedFile>& files, const std::string& path) {
  for (const ExportedFile& file : files) {
    if (file.path == path) return file.text;
  }
  ADD_FAILURE() << "no file " << path;
  return {};
}

inline const Value& at(const Value& value, const std::string& key) {
  static const Value kNothing;
  const Value* found = value.find(key);
  EXPECT_NE(found, nullptr) << "no key " << key << " in " << to_json(value);
  return found != nullptr ? *found : kNothing;
}

inline Value yaml_of(const std::vector<ExportedFile>& files, const std::string& path) {
  auto read = parse_yaml(file_of(files, path), path);
  EXPECT_TRUE(read.ok()) << (read.ok() ? "" : read.error().message);
  return read.ok() ? *read : Value();
}

inline Value json_of(const std::vector<ExportedFile>& files, const std::string& path) {
  auto read = parse_json(file_of(files, path), path);
  EXPECT_TRUE(read.ok()) << (read.ok() ? "" : read.error().message);
  return read.ok() ? *read : Value();
}

/// The words of a command of a shell script that begins with `first`, continued lines joined.
inline std::vector<std::string> command_of(const std::string& script, const std::string& first) {
  const std::size_t begin = script.find("\n" + first);
  EXPECT_NE(begin, std::string::npos) << "no " << first << " in\n" << script;
  if (begin == std::string::npos) return {};
  std::vector<std::string> words(1);
  for (std::size_t i = begin + 1; i < script.size(); ++i) {
    const bool joined = script.compare(i, 2, "\\\n") == 0;
    if (joined) ++i;
    if (!joined && script[i] == '\n') break;
    if (joined || script[i] == ' ') {
      if (!words.back().empty()) words.emplace_back();
    } else {
      words.back() += script[i];
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

/// What stands behind "--option=" among the words; a failure where there is none.
inline std::string option_of(const std::vector<std::string>& words, const std::string& option) {
  for (const std::string& word : words) {
    if (word.starts_with(option + "=")) return word.substr(option.size() + 1);
  }
  ADD_FAILURE() << "no " << option;
  return {};
}
inline bool has_word(const std::vector<std::string>& words, const std::string& word) {
  return std::ranges::count(words, word) > 0;
}

/// Writes the files into a folder.
inline void write_all(const TemporaryFolder& folder, const std::vector<ExportedFile>& files) {
  for (const ExportedFile& file : files) folder.write(file.path, file.text);
}

/// Whether this machine has a command.
inline bool has_command(const std::string& name) {
  return std::system(("command -v " + name + " > /dev/null 2>&1").c_str()) == 0;
}
inline int run_in(const TemporaryFolder& folder, const std::string& command) {
  return std::system(("cd " + folder.path() + " && " + command).c_str());
}

}  // namespace pluto::testing
