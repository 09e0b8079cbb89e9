#pragma once
// A plan with pipeline stages as what each stage runs: one role per stage.

#include <vector>

#include "plan/lowering.h"
#include "plan/memory_plan.h"

namespace pluto {

/// One chunk of a stage over one micro-batch, forward or backward.
struct StagePass {
  bool forward = true;
  int chunk = 0;  ///< of the whole pipeline, 0 to stages x interleave - 1
  int micro_batch = 0;
  bool operator==(const StagePass&) const = default;
};

/// What a stage runs in one step. With one chunk each: 1F1B (Narayanan et al. 2019), stages - stage
/// - 1 forward passes ahead, then one backward after each forward. With more: Megatron-LM's
/// interleaved order (Narayanan et al. 2021, section 2.2), micro-batches in groups of `stages`, 2
/// (stages - stage - 1) + (interleave - 1) stages forward passes ahead. Precondition: with
/// interleave > 1 the micro-batches are a multiple of the stages.
std::vector<StagePass> pipeline_order(int stage, int stages, int interleave, int micro_batches);

/// The role of one stage. A step repeats the passes of one micro-batch, so `lowered` holds each
/// task once: forward and backward of one micro-batch, then what runs once a step. The executor and
/// the simulator run `order` and take from `lowered` the tasks of the pass's chunk and phase; the
/// network and update tasks of the step follow the last backward pass of their chunk.
struct PipelineStage {
  LoweredPlan lowered;
  std::vector<int> chunk;        ///< by OpId of lowered.training.graph
  std::vector<StagePass> order;  ///< of one step
  /// The first stage that costs the same: equal nodes, wiring, phases and chunks but for names and
  /// stage numbers. Itself for the first of a kind.
  std::size_t like = 0;
};

struct LoweredPipeline {
  std::vector<PipelineStage> stages;
  int interleave = 1;
};

/// shard, fuse -> cut -> untie -> differentiate -> accumulate -> split, then recompute ->
/// insert_sync per stage. Works for one stage too. Errors: those of lower(), of cuts and of tied
/// parameters.
Result<LoweredPipeline> lower_pipeline(const ModelGraph& model, const Plan& plan);

/// Memory of one rank of the stage. Formula: that of one micro-batch (plan_memory), and for every
/// further micro-batch in flight what its chunk keeps from forward to backward, inputs included. In
/// flight: forward passes of a chunk minus its backward passes, at the worst point of `order`.
/// Ignores: gaps between the kept tensors. Test: plan/pipeline_test.cc.
MemoryBreakdown stage_memory(const PipelineStage& stage, const WorkspaceOf& workspace);

}  // namespace pluto
