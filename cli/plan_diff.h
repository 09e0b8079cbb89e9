#pragma once
// What differs between two plans, and between what is expected of them.

#include <optional>
#include <string>
#include <vector>

#include "base/document.h"
#include "plan/plan.h"
#include "plan/prediction.h"

namespace pluto {

/// A field in words, as each plan has it; "-" where one has not.
struct Difference {
  std::string field;  ///< "layout", "global batch", "instance"
  std::string first, second;
  bool operator==(const Difference&) const = default;
};

/// Every field of the two documents that differs, in their order. Instances of different names are
/// told by name, devices and price alone; learning rate, optimizer, layout and buckets in words
/// (buckets by method with parameters, wire and algorithm); all else by its key. Empty exactly for
/// plans that are equal.
std::vector<Difference> plan_differences(const Plan& first, const Plan& second);

/// A number of both predictions; absent where one has no such term.
struct Change {
  std::string what;  ///< "step", "compute", "activations", "time to target"
  enum class Unit { kSeconds, kBytes, kDollars, kProbability } unit = Unit::kSeconds;
  std::optional<double> first, second;
  /// second / first - 1; nullopt where one is absent or the first is zero.
  std::optional<double> relative() const;
};

/// Step with its terms, memory with its categories, time to target and price (median and p90) with
/// the terms of the run, probabilities. What is zero or absent in both is left out.
std::vector<Change> prediction_changes(const Prediction& first, const Prediction& second);

/// Tables for format_table(); the headings are those of the two files.
std::vector<std::vector<std::string>> difference_rows(const std::vector<Difference>& differences,
                                                      const std::string& first,
                                                      const std::string& second);
std::vector<std::vector<std::string>> change_rows(const std::vector<Change>& changes,
                                                  const std::string& first,
                                                  const std::string& second);
Value to_value(const std::vector<Difference>& differences);
Value to_value(const std::vector<Change>& changes);

}  // namespace pluto
