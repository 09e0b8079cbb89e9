#include "plan/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <unordered_map>

#include "base/fingerprint.h"
#include "model/passes/split_stages.h"
#include "plan/lifetimes.h"
#include "plan/task_emitter.h"

namespace pluto {
namespace {

/// The stage's own buckets: of each bucket the parameters it holds. A copy of a tied parameter
/// follows its original.
std::vector<BucketPlan> buckets_of(const TrainingGraph& training,
                                   const std::vector<BucketPlan>& buckets,
                                   const std::vector<std::pair<std::string, std::string>>& copies) {
  std::map<std::string, std::string> original;
  for (const auto& [copy, name] : copies) original[copy] = name;
  std::map<std::string, std::size_t> bucket_of;
  for (std::size_t b = 0; b < buckets.size(); ++b) {
    for (const std::string& name : buckets[b].parameters) bucket_of[name] = b;
  }
  std::vector<BucketPlan> own = buckets;
  for (BucketPlan& bucket : own) bucket.parameters.clear();
  for (const TrainedParameter& entry : training.trained) {
    const std::string& name = training.graph.tensor(entry.parameter).name;
    const auto tied = original.find(name);
    const auto found = bucket_of.find(tied == original.end() ? name : tied->second);
    if (found != bucket_of.end()) own[found->second].parameters.push_back(name);
  }
  std::erase_if(own, [](const BucketPlan& bucket) { return bucket.parameters.empty(); });
  return own;
}

/// Copies run with the node they copy.
Result<void> recompute_stage(StageGraph& part, Recompute how) {
  std::unordered_map<std::string, int> known;
  for (const Op& op : part.training.graph.ops()) known[op.name] = part.chunk[op.id.index()];
  PLUTO_ASSIGN(part.training, recompute(part.training, how));
  const TrainingGraph& training = part.training;
  part.chunk.clear();
  for (const Op& op : training.graph.ops()) {
    const auto found = known.find(op.name);
    part.chunk.push_back(found != known.end()
                             ? found->second
                             : known.at(training.graph.op(training.origin[op.id.index()]).name));
  }
  return {};
}

/// Chunks of the synchronised nodes: known ones by name; what synchronisation added belongs to the
/// lowest chunk it works for, which backward reaches last.
std::vector<int> chunks_after_sync(const StageGraph& before, const TrainingGraph& after) {
  std::unordered_map<std::string, int> known;
  for (const Op& op : before.training.graph.ops()) known[op.name] = before.chunk[op.id.index()];
  std::unordered_map<TensorId, int> owner;  // gradients and parameters
  for (const TrainedParameter& entry : after.trained) {
    const int chunk = known.at(after.graph.op(entry.update).name);
    owner[entry.gradient] = owner[entry.parameter] = chunk;
  }
  std::vector<int> chunks;
  for (const Op& op : after.graph.ops()) {
    const auto found = known.find(op.name);
    if (found != known.end()) {
      chunks.push_back(found->second);
      continue;
    }
    int lowest = std::numeric_limits<int>::max();
    for (TensorId id : op.updates) {
      if (owner.contains(id)) lowest = std::min(lowest, owner.at(id));
    }
    for (TensorId id : op.inputs) {
      const auto producer = after.graph.tensor(id).producer;
      if (producer) lowest = std::min(lowest, chunks[producer->index()]);
    }
    chunks.push_back(lowest == std::numeric_limits<int>::max() ? 0 : lowest);
  }
  return chunks;
}

/// What a stage costs depends on: everything but names and stage numbers.
std::uint64_t structure_of(const PipelineStage& stage, int stages) {
  const TrainingGraph& training = stage.lowered.training;
  Fingerprint print;
  for (const Op& op : training.graph.ops()) {
    print.add(to_text(op.kind)).add(to_text(op.pass));
    if (!std::holds_alternative<StageAttrs>(op.attrs)) print.add(to_text(op.attrs));
    print.add(static_cast<std::int64_t>(training.phase[op.id.index()]));
    print.add(static_cast<std::int64_t>(stage.chunk[op.id.index()] / stages));
    for (const auto* operands : {&op.inputs, &op.outputs, &op.updates}) {
      for (TensorId id : *operands) {
        print.add(static_cast<std::int64_t>(id.index()));
        print.add(to_text(training.graph.tensor(id).type));
      }
      print.add(std::int64_t{-1});
    }
  }
  return print.value();
}

}  // namespace

std::vector<StagePass> pipeline_order(int stage, int stages, int interleave, int micro_batches) {
  const int passes = micro_batches * interleave;
  const int group = stages * interleave;
  const auto pass = [&](int k, bool forward) {
    const int turn = (k % group) / stages;
    const int local = forward ? turn : interleave - 1 - turn;
    const int micro = interleave == 1 ? k : k / group * stages + k % stages;
    return StagePass{forward, local * stages + stage, micro};
  };
  int ahead = stages - stage - 1;
  if (interleave > 1) ahead = 2 * ahead + (interleave - 1) * stages;
  ahead = std::min(ahead, passes);
  std::vector<StagePass> order;
  order.reserve(2 * static_cast<std::size_t>(passes));
  for (int k = 0; k < ahead; ++k) order.push_back(pass(k, true));
  for (int k = ahead; k < passes; ++k) {
    order.push_back(pass(k, true));
    order.push_back(pass(k - ahead, false));
  }
  for (int k = passes - ahead; k < passes; ++k) order.push_back(pass(k, false));
  return order;
}

Result<LoweredPipeline> lower_pipeline(const ModelGraph& model, const Plan& plan) {
  const int stages = plan.layout.pipeline;
  LoweredPipeline result;
  result.interleave = plan.pipeline.interleave;
  for (std::size_t b = 0; stages > 1 && b < plan.buckets.size(); ++b) {
    if (plan.buckets[b].method != SyncMethod::kParameterServer) continue;
    return unsupported(
        fmt::format("plan: buckets[{}].method is parameter_server, whose servers would be ranks of "
                    "one stage, and layout.pipeline is {}",
                    b, stages),
        "method: all_reduce");
  }
  PLUTO_ASSIGN(const ModelGraph forward, transformed(model, plan));
  std::vector<std::string> cuts = plan.pipeline.cuts;
  if (cuts.empty()) {
    PLUTO_ASSIGN_AT("pipeline", cuts, even_cuts(forward.graph, stages * result.interleave));
  }
  PLUTO_ASSIGN_AT("pipeline", const std::vector<int> chunk_of, chunks_of(forward.graph, cuts));
  PLUTO_ASSIGN(const UntiedModel untied, untie_stages(forward, chunk_of, stages));
  PLUTO_ASSIGN(const TrainingGraph training, derived(untied.model, plan));
  PLUTO_ASSIGN_AT("pipeline", auto parts,
                  split_stages(training, untied.model.graph, chunk_of, stages, untied.copies));
  std::map<std::uint64_t, std::size_t> first_like;
  for (int stage = 0; stage < stages; ++stage) {
    StageGraph& part = parts[static_cast<std::size_t>(stage)];
    PLUTO_TRY(recompute_stage(part, plan.recompute));
    Plan own = plan;
    own.accumulation = 1;  // one micro-batch of tasks; `order` repeats them
    own.buckets = buckets_of(part.training, plan.buckets, untied.copies);
    PipelineStage role;
    PLUTO_ASSIGN_AT(fmt::format("stage {}", stage), role.lowered, lower(part.training, own));
    role.lowered.program.accumulation = static_cast<int>(plan.accumulation);
    role.chunk = chunks_after_sync(part, role.lowered.training);
    role.order =
        pipeline_order(stage, stages, result.interleave, static_cast<int>(plan.accumulation));
    role.like =
        first_like.try_emplace(structure_of(role, stages), result.stages.size()).first->second;
    result.stages.push_back(std::move(role));
  }
  return result;
}

MemoryBreakdown stage_memory(const PipelineStage& stage, const WorkspaceOf& workspace) {
  const TrainingGraph& training = stage.lowered.training;
  MemoryBreakdown sizes = plan_memory(training, stage.lowered.program, workspace).breakdown;
  // By chunk: nodes of forward and backward as intervals of the compute order.
  struct Span {
    std::int64_t last_forward = -1;
    std::int64_t first_backward = std::numeric_limits<std::int64_t>::max();
  };
  std::map<int, Span> spans;
  for (const Op& op : training.graph.ops()) {
    Span& span = spans[stage.chunk[op.id.index()]];
    const auto at = static_cast<std::int64_t>(op.id.index());
    const OpPhase phase = training.phase[op.id.index()];
    if (phase == OpPhase::kForward) span.last_forward = std::max(span.last_forward, at);
    if (phase == OpPhase::kBackward) span.first_backward = std::min(span.first_backward, at);
  }
  std::map<int, std::int64_t> kept;  // by chunk, bytes of one micro-batch
  const auto lives = activation_lifetimes(training, stage.lowered.program);
  for (const Tensor& tensor : training.graph.tensors()) {
    const Lifetime& life = lives[tensor.id.index()];
    if (life.empty() || !tensor.producer) continue;
    const int chunk = stage.chunk[tensor.producer->index()];
    const Span& span = spans[chunk];
    if (training.phase[tensor.producer->index()] == OpPhase::kForward &&
        life.begin <= span.last_forward && life.end >= span.first_backward) {
      kept[chunk] += tensor.type.bytes(stage.lowered.program.micro_batch).value();
    }
  }
  // A micro-batch whose input backward reads again holds an input set until then.
  std::set<int> rereading;
  for (TensorId id : training.graph.with_role(TensorRole::kInput)) {
    for (OpId reader : training.graph.consumers(id)) {
      if (training.phase[reader.index()] == OpPhase::kBackward) {
        rereading.insert(stage.chunk[reader.index()]);
      }
    }
  }
  std::int64_t live = 0, most = 0, once = 0, waiting = 0, sets = 0;
  for (const auto& [chunk, bytes] : kept) once += bytes;
  for (const StagePass& pass : stage.order) {
    live += (pass.forward ? 1 : -1) * kept[pass.chunk];
    most = std::max(most, live);
    if (rereading.contains(pass.chunk)) waiting += pass.forward ? 1 : -1;
    sets = std::max(sets, waiting);
  }
  sizes.activations += Bytes(std::max<std::int64_t>(0, most - once));
  // Of two sets one is being filled.
  const Bytes set(sizes.inputs.value() / 2);
  sizes.inputs = set * std::max<std::int64_t>(2, sets + 1);
  return sizes;
}

}  // namespace pluto
