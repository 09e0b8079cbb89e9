#pragma once
// A step of all pipeline stages: each stage's passes in its own order, tied by what they send.

#include "costmodel/simulator.h"
#include "plan/pipeline.h"

namespace pluto {

/// What one chunk of one stage takes for one micro-batch.
struct PassTime {
  Seconds compute;   ///< busy time of its compute tasks
  Seconds makespan;  ///< with what it waits for inside (collectives of tensor groups)
  Seconds slowed;    ///< of compute, by collectives beside it
};

/// Simulates one step of a pipeline in two levels. Formula: the tasks of each pass (chunk,
/// direction) run once as schedule() does, which gives its makespan; passes then run on their
/// stages in PipelineStage::order, each when its stage is free and every message it receives has
/// come, a message being sent when its pass ends. The last backward pass of a chunk carries the
/// chunk's synchronisation, the last of a stage the update too. step = the last stage's end.
///   compute, update   mean over the stages
///   exposed_comm      mean over the stages of what passes wait for inside, and of what
///                     synchronisation adds to the last
///   bubble            the rest: stages that wait for each other, messages on their way
/// Source: 1F1B: Narayanan et al. 2019 (PipeDream-Flush: 2021); with equal stages and no messages
/// the step is (m + p - 1)(f + b), interleaved v (m + (p - 1)/v)(f + b) with f, b of one chunk
/// (Narayanan et al. 2021, section 2.2).
/// Valid for: passes that send at their end. Ignores: that messages slow what their stages compute
/// meanwhile, that messages of both directions share a
/// network interface with synchronisation, and that a pass could start before all it receives is
/// there. Test: costmodel/pipeline_simulator_test.cc. Pure, thread-safe.
Result<SimulatedStep> simulate(const LoweredPipeline& pipeline, const Plan& plan,
                               const CostSource& costs, const SimulateOptions& options = {});

}  // namespace pluto
