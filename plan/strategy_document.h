#pragma once
// The strategy members of plan.json. What has its default is left out, so that plain plans stay
// short and plans of before read as they did.

#include "base/document.h"
#include "base/result.h"
#include "plan/plan.h"

namespace pluto {

/// The members "layout" to "local" of a plan, each but "layout" only when it is not the default.
void set_strategies(Value& document, const Plan& plan);
/// The members "buckets", "servers", "server_nodes" and "priority".
void set_synchronization(Value& document, const Plan& plan);
/// Strict reverse. Errors: kInvalidInput with the place of the field.
Result<void> read_strategies(ObjectReader& root, Plan& plan);
Result<void> read_synchronization(ObjectReader& root, Plan& plan);

}  // namespace pluto
