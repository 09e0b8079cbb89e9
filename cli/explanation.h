#pragma once
// What binds a plan, and how far its prediction moves with what it rests on.

#include <optional>
#include <string>
#include <vector>

#include "base/document.h"
#include "costmodel/what_if.h"
#include "plan/plan.h"
#include "plan/prediction.h"

namespace pluto {

/// How much of a limit a plan takes; of deadline and budget at the plan's confidence.
struct LimitUse {
  std::string name;  ///< "memory", "deadline", "budget"
  std::string unit;  ///< "bytes", "s", "usd"
  double limit = 0, used = 0;
  std::string limit_text, used_text;
  double share() const { return used / limit; }  ///< above 1: exceeded
};

/// Memory of the device always; deadline and budget where the plan has them.
std::vector<LimitUse> limit_uses(const Plan& plan, const Prediction& prediction);

/// "a step is 62 % compute, 20 % exposed_comm", "of the memory most is activations: 12.0 GiB",
/// "the deadline has least room: 96 % of 6h00m is used".
std::vector<std::string> binding_sentences(const Prediction& prediction,
                                           const std::vector<LimitUse>& uses);

/// One assumption, less and more by kSensitivityStep.
struct Sensitivity {
  std::string what;  ///< "network bandwidth"
  Prediction less, more;
};
inline constexpr double kSensitivityStep = 0.1;

/// An assumption that matters to the plan, and the world in which it is `factor` times itself.
struct Assumption {
  std::string what;
  WhatIf (*world)(double factor);
};
/// Device speed, price and samples to the target; the bandwidth within nodes and between them where
/// ranks are so placed.
std::vector<Assumption> assumptions_of(const Plan& plan);

std::vector<std::vector<std::string>> limit_rows(const std::vector<LimitUse>& uses);
/// Time and price at -10 % and +10 %, each with its change; P where the plan has limits.
std::vector<std::vector<std::string>> sensitivity_rows(const Prediction& now,
                                                       const std::vector<Sensitivity>& all);
Value to_value(const std::vector<LimitUse>& uses);
Value to_value(const std::vector<Sensitivity>& all);

}  // namespace pluto
