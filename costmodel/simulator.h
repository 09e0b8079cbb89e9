#pragma once
// Runs a StepProgram against a CostSource: when does each task start and end, and what is exposed?

#include "costmodel/cost_source.h"
#include "costmodel/input_pipeline.h"
#include "plan/lowering.h"
#include "plan/timeline.h"

namespace pluto {

/// What one step of one rank takes. makespan = compute + update + exposed_comm + bubble.
struct SimulatedStep {
  Timeline timeline;  ///< of one step, its micro-batches already waiting; the reading in it is for
                      ///< the next one
  Seconds makespan;   ///< compute stream start to the last task's end
  Seconds compute;    ///< busy time of all compute tasks but updates, were they alone
  Seconds update;     ///< busy time of update ops, were they alone
  Seconds
      exposed_comm;  ///< makespan - compute - update: waiting for communication, and what it steals
  Seconds bubble;    ///< pipeline stages that wait for each other; 0 without stages
  Seconds exposed_input;  ///< what reading adds in steady state: max(0, input time of a step -
                          ///< makespan)
  InputBound input_bound = InputBound::kReaders;  ///< what sets the pace of reading
  Seconds step() const { return makespan + exposed_input; }
  double relative_spread = 0;  ///< of step()
  Evidence compute_evidence = Evidence::kMeasured, comm_evidence = Evidence::kMeasured,
           update_evidence = Evidence::kMeasured, input_evidence = Evidence::kMeasured;
  double compute_spread = 0, comm_spread = 0, update_spread = 0, input_spread = 0;
};

struct SimulateOptions {
  bool timeline = true;  ///< false: leaves the timeline empty, for a caller that wants only times
};

/// Costs each task of the program and runs them as schedule() does: issue order per resource,
/// compute and collectives that run at once slowed as CollectiveCost says. `data` says what is read
/// per sample and by how many readers per rank.
///
/// A program whose steps overlap (Plan::priority): steady_state(), and makespan is from one step's
/// start to the next's. Local steps: every term is the mean over the H steps from one average to
/// the next, makespan = ((H-1) of a step without the average + one with it) / H; the timeline is of
/// the step with it. Servers with nodes of their own: their updates count as exposed_comm. A task
/// on a part of a node takes that part of its time: Ignores that a small kernel has its start all
/// the same. Factors that go to one of several servers are multiplied as if by one (no shorter).
///
/// Update nodes sharded over servers cost what the busiest server's shards cost (their elements'
/// share of the whole update); the sums of a push are inside its reduce_scatter. Busy ranks of a
/// host: as many as the placement puts on a node. Formula, input of a step: accumulation *
/// micro_batch * time per sample (input_pipeline.h); it overlaps with the whole step. Ignores: that
/// two input sets bound how far reading runs ahead (uneven micro-batches wait a little more).
/// Evidence and spread of a term: EvidenceTally; of exposed_comm: of all collectives, exposed or
/// not, and what compute loses to them. Laws: makespan >= critical path; makespan <= sum of all
/// tasks; one rank has no communication; more bandwidth and a faster device are never slower. Test:
/// costmodel/simulator_test.cc. Pure, thread-safe, no clock.
Result<SimulatedStep> simulate(const LoweredPlan& lowered, const ClusterSpec& cluster,
                               const DataChoice& data, const CostSource& costs,
                               const SimulateOptions& options = {});

}  // namespace pluto
