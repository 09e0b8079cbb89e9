#pragma once
// The StepProgram compiled for one rank: kernels with bound pointers, collectives with bound spans,
// and what each waits for. Running it looks nothing up.

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "plan/lowering.h"
#include "plan/memory_plan.h"
#include "runtime/communicator.h"
#include "runtime/device.h"

namespace pluto {

/// Pointers of one kernel call, in operand order.
struct BoundPointers {
  std::vector<const void*> inputs;
  std::vector<void*> outputs, updates;
};

/// One thing the compute thread does. Input sets alternate by micro-batch; `bound` is by set.
struct ComputeEntry {
  TaskId task;
  bool acquire = false;  ///< the micro-batch is made available here; else `kernel` runs
  int micro_index = 0;
  Kernel* kernel = nullptr;  ///< null: nothing to do (same bytes, or another rank's shard)
  std::array<BoundPointers, 2> bound;
  OpPhase phase = OpPhase::kForward;
  bool makes_loss = false;         ///< output 0 is the loss of the micro-batch
  bool makes_logits = false;       ///< an output is the model's answer
  std::size_t network_before = 0;  ///< network entries that must be done
  bool awaited = false;            ///< a network entry waits for this
};

/// One collective, on the communication thread.
struct NetworkEntry {
  TaskId task;
  OpKind kind = OpKind::kAllReduce;
  int micro_index = 0;
  std::span<float> values;                          ///< all_reduce, server_push, server_pull
  std::array<std::span<const std::byte>, 2> block;  ///< factor_gather, by input set
  std::span<std::byte> gathered;                    ///< factor_gather
  std::size_t compute_before = 0;                   ///< compute entries that must be done
};

/// A tensor's place in the arena.
struct Place {
  std::byte* data = nullptr;
  Bytes size;
};

/// Owns kernels and arena. Immutable once made; the arena's content is what a step changes. Refers
/// to the lowered plan it was compiled from.
class StepCode {
 public:
  /// Compiles every kernel of this rank first, so that their workspaces enter the memory plan, then
  /// allocates the arena: MemoryPlan's total in one buffer, zero-filled.
  /// `servers`: Plan::servers. Errors: kUnsupported and kDevice of the device; kInternal when the
  /// lowered plan is inconsistent.
  static Result<StepCode> compile(const LoweredPlan& lowered, std::span<const int> servers,
                                  int rank, Device& device, const MemoryOptions& options);

  const TrainingGraph& training() const { return lowered_->training; }
  const StepProgram& program() const { return lowered_->program; }
  const MemoryPlan& memory() const { return memory_; }
  Bytes arena_size() const { return arena_->size(); }
  const std::vector<ComputeEntry>& compute() const { return compute_; }
  const std::vector<NetworkEntry>& network() const { return network_; }
  const std::vector<int>& servers() const { return servers_; }
  void* workspace() const { return at(memory_.workspace_offset); }
  std::span<std::byte> staging() const;
  /// Place of a tensor; of inputs in set 0 or 1.
  Place place(TensorId tensor, int set = 0) const;
  /// How servers share the update of trained[i]; empty when every rank runs the whole.
  const ShardSplit& shards(std::size_t trained) const { return shards_[trained]; }
  /// Network entries that must be done before the input set of micro-batch i of a step is
  /// overwritten.
  std::size_t input_readers(int micro_index) const {
    return input_readers_[static_cast<std::size_t>(micro_index)];
  }
  /// What holds nothing at the beginning of a micro-batch: activations, workspace, staging.
  std::vector<Place> dead_places() const;
  /// Activations that are dead once compute entry i has run.
  std::vector<Place> dying(std::size_t entry) const;

 private:
  StepCode() = default;
  std::byte* at(Bytes offset) const { return base_ + offset.value(); }
  Result<void> compile_kernels(std::optional<std::size_t> server, Device& device);
  Result<void> bind(std::optional<std::size_t> server);
  void bind_compute(const OpTask& task, std::optional<std::size_t> server,
                    ComputeEntry& entry) const;
  Result<void> bind_network(const CollectiveTask& task, NetworkEntry& entry);
  Result<void> check_input_sets(std::span<const std::size_t> acquired_at) const;
  Result<std::span<float>> slice(const Op& op) const;

  const LoweredPlan* lowered_ = nullptr;
  std::vector<int> servers_;
  std::vector<std::unique_ptr<Kernel>> kernels_;  ///< by OpId
  MemoryPlan memory_;
  std::unique_ptr<DeviceBuffer> arena_;
  std::byte* base_ = nullptr;
  std::vector<ComputeEntry> compute_;
  std::vector<NetworkEntry> network_;
  std::vector<ShardSplit> shards_;          ///< by position in TrainingGraph::trained
  std::vector<std::size_t> input_readers_;  ///< by micro index
};

}  // namespace pluto
