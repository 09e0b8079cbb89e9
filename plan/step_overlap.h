#pragma once
// How a step runs into the next one when what is needed first is sent first.

#include "plan/step_program.h"

namespace pluto {

/// Predecessors in the step before: for every persistent tensor, its last writers and readers
/// there, found by walking the tasks twice; also for what collectives and unpacking nodes of a
/// bucket hold, which the next step must not overwrite. Needed by: of update, collective and
/// unpacking tasks of a bucket, the first forward node that reads one of the parameters they are
/// about.
StepOverlap overlap_of(const TrainingGraph& training, const StepProgram& program);

}  // namespace pluto
