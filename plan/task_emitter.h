#pragma once
// A synchronised training graph as the tasks of one step.

#include "plan/plan.h"
#include "plan/step_program.h"

namespace pluto {

/// Precondition: `training` is what lower() made of the plan: its communication nodes are the
/// plan's.
StepProgram emit_tasks(const TrainingGraph& training, const Plan& plan);

}  // namespace pluto
