#pragma once
// How far a plan is from the closed form, told.

#include <string>
#include <vector>

#include "planner/planner.h"

namespace pluto {

/// A figure is far from another beyond this ratio.
inline constexpr double kFarRatio = 1.25;

/// "closed form: 16 devices of aws:p3dn.24xlarge with global batch 2131, 2h08m and $6.50; the
/// plan has 16, 2048, 2h38m and $7.46". Where one of the four is further than kFarRatio, a second
/// sentence with what the closed form does not know of this plan: another instance type, what the
/// memory holds, communication, stages, start-up and interruptions; and what its own devices and
/// batch take in it; each with its figure. Test: planner/explain_closed_form_test.cc.
std::vector<std::string> closed_form_sentences(const ClosedFormChoice& choice,
                                               const RankedPlan& chosen);

}  // namespace pluto
