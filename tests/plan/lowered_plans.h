#pragma once
// A lowered plan by the names of its tasks.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "plan/lowering.h"

namespace pluto::testing {

inline LoweredPlan lowered(const ModelGraph& model, const Plan& plan) {
  auto result = lower(model, plan);
  EXPECT_TRUE(result.ok()) << result.error().message;
  return result.ok() ? std::move(*result) : LoweredPlan{};
}

inline std::vector<std::string> names(const LoweredPlan& plan) {
  std::vector<std::string> result;
  for (const Task& task : plan.program.tasks) {
    result.push_back(task_name(plan.training, plan.program, task));
  }
  return result;
}

inline const Task& task_named(const LoweredPlan& plan, const std::string& name) {
  const auto all = names(plan);
  const auto found = std::find(all.begin(), all.end(), name);
  EXPECT_NE(found, all.end()) << name;
  return plan.program.tasks[static_cast<std::size_t>(found - all.begin())];
}

inline std::vector<std::string> predecessors(const LoweredPlan& plan, const std::string& name) {
  std::vector<std::string> result;
  for (TaskId id : task_named(plan, name).predecessors) {
    result.push_back(task_name(plan.training, plan.program, plan.program.tasks[id.index()]));
  }
  return result;
}

inline std::vector<CollectiveTask> collectives(const LoweredPlan& plan) {
  std::vector<CollectiveTask> result;
  for (const Task& task : plan.program.tasks) {
    if (const auto* collective = std::get_if<CollectiveTask>(&task.payload)) {
      result.push_back(*collective);
    }
  }
  return result;
}

}  // namespace pluto::testing
