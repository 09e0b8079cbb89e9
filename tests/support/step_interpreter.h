#pragma once
// All ranks of a lowered plan in one thread, on planned arenas: kernels of a host device,
// collectives by their definition, network tasks as early or as late as their order allows.

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <vector>

#include "plan/groups.h"
#include "plan/lowering.h"
#include "plan/memory_plan.h"
#include "tests/support/group_exchange.h"
#include "tests/support/run_kernel.h"

namespace pluto::testing {

enum class NetworkPace { kEager, kLazy };

class StepInterpreter {
 public:
  StepInterpreter(const LoweredPlan& lowered, const Plan& plan, Device& device,
                  const MemoryOptions& options = {})
      : lowered_(lowered), plan_(plan), device_(device) {
    for (const Op& op : graph().ops()) {
      if (is_exchange(op)) continue;
      kernels_[{op.id, 0}] = compile(op, std::nullopt);
    }
    memory_ = plan_memory(
        lowered.training, lowered.program,
        [this](const Op& op) {
          return is_exchange(op) ? Bytes(0) : kernels_.at({op.id, 0})->workspace();
        },
        options);
    for (int rank = 0; rank < plan.layout.ranks(); ++rank) {
      arenas_.push_back(std::make_unique<Workspace>(memory_.breakdown.total()));
    }
  }

  const MemoryPlan& memory() const { return memory_; }

  Values get(int rank, TensorId id, int set = 0) const {
    Values values(count(id));
    if (graph().tensor(id).type.dtype == DType::kF32) {
      std::memcpy(values.data(), at(rank, id, set), values.size() * sizeof(float));
    } else if (graph().tensor(id).type.dtype == DType::kI32) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        std::int32_t value = 0;
        std::memcpy(&value, at(rank, id, set) + i * sizeof(value), sizeof(value));
        values[i] = static_cast<float>(value);
      }
    }
    return values;
  }
  void set(int rank, TensorId id, const Values& values, int set = 0) {
    ASSERT_EQ(values.size(), count(id));
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (graph().tensor(id).type.dtype == DType::kI32) {
        store(at(rank, id, set), i, static_cast<std::int32_t>(values[i]));
      } else {
        store(at(rank, id, set), i, values[i]);
      }
    }
  }

  /// Values of the input tensors of one rank and micro-batch, in the order of with_role(kInput).
  using Batch = std::function<std::vector<Values>(int rank, int micro_index)>;
  using Scalars = std::function<StepScalars(int rank, int micro_index)>;

  /// One step. Returns the losses by rank, then micro-batch.
  std::vector<std::vector<float>> step(const Batch& batch, const Scalars& scalars,
                                       NetworkPace pace) {
    losses_.assign(arenas_.size(), {});
    for (TaskId id : schedule(pace)) {
      const Task& task = lowered_.program.tasks[id.index()];
      for (int rank = 0; rank < plan_.layout.ranks(); ++rank) {
        if (const auto* input = std::get_if<BatchTask>(&task.payload)) {
          const auto tensors = graph().with_role(TensorRole::kInput);
          const auto values = batch(data_rank(rank), input->micro_index);
          for (std::size_t i = 0; i < tensors.size(); ++i) {
            set(rank, tensors[i], values[i], input->micro_index % 2);
          }
        } else if (const auto* op = std::get_if<OpTask>(&task.payload)) {
          if (is_exchange(graph().op(op->op))) continue;
          StepScalars own = scalars(data_rank(rank), op->micro_index);
          own.sequence_part = rank / plan_.layout.tensor % plan_.layout.context;
          own.expert_part = data_rank(rank) % plan_.expert;
          run(rank, *op, own);
        }
      }
      if (const auto* collective = std::get_if<CollectiveTask>(&task.payload)) run(*collective);
      const auto* local = std::get_if<OpTask>(&task.payload);
      if (local != nullptr && is_exchange(graph().op(local->op))) {
        exchange(graph().op(local->op), local->micro_index);
      }
    }
    return losses_;
  }

 private:
  const Graph& graph() const { return lowered_.training.graph; }
  /// Has no kernel: what its ranks hold is exchanged, or depends on their place in a group.
  static bool is_exchange(const Op& op) {
    return std::holds_alternative<CommAttrs>(op.attrs) ||
           std::holds_alternative<GroupAttrs>(op.attrs);
  }
  /// The place of a rank among those that have micro-batches of their own.
  int data_rank(int rank) const {
    return rank / (plan_.layout.tensor * plan_.layout.context) % plan_.layout.data;
  }
  std::size_t count(TensorId id) const {
    return static_cast<std::size_t>(graph().tensor(id).type.elements(plan_.micro_batch));
  }
  std::byte* at(int rank, TensorId id, int set) const {
    Bytes offset = memory_.offset[id.index()];
    if (graph().tensor(id).role == TensorRole::kInput && set == 1)
      offset += memory_.input_set_stride;
    return static_cast<std::byte*>(arenas_[static_cast<std::size_t>(rank)]->data()) +
           offset.value();
  }
  template <class T>
  static void store(std::byte* to, std::size_t i, T value) {
    std::memcpy(to + i * sizeof(T), &value, sizeof(T));
  }

  std::unique_ptr<Kernel> compile(const Op& op, std::optional<std::int64_t> elements) {
    KernelRequest request{signature_of(graph(), op, plan_.micro_batch), {}};
    for (TensorId id : op.updates) request.updates.push_back(graph().tensor(id).type);
    if (elements) {
      for (TensorType& type : request.signature.inputs) type.shape = Shape{{*elements}};
      for (TensorType& type : request.updates) type.shape = Shape{{*elements}};
    }
    auto kernel = device_.compile(request);
    EXPECT_TRUE(kernel.ok()) << op.name << ": " << (kernel.ok() ? "" : kernel.error().message);
    return kernel.ok() ? std::move(*kernel) : nullptr;
  }

  /// A lawful order: each resource in issue order, a task after its predecessors.
  std::vector<TaskId> schedule(NetworkPace pace) const {
    const auto& tasks = lowered_.program.tasks;
    std::array<std::vector<TaskId>, kResourceCount> queues;
    for (const Task& task : tasks)
      queues[static_cast<std::size_t>(task.resource)].push_back(task.id);
    std::array<std::size_t, kResourceCount> next{};
    std::vector<bool> done(tasks.size());
    const std::array<Resource, 3> eager = {Resource::kNetwork, Resource::kInput,
                                           Resource::kCompute};
    const std::array<Resource, 3> lazy = {Resource::kCompute, Resource::kNetwork, Resource::kInput};
    std::vector<TaskId> order;
    while (order.size() < tasks.size()) {
      bool moved = false;
      for (Resource resource : pace == NetworkPace::kEager ? eager : lazy) {
        const auto r = static_cast<std::size_t>(resource);
        if (next[r] == queues[r].size()) continue;
        const Task& task = tasks[queues[r][next[r]].index()];
        const bool ready = std::all_of(task.predecessors.begin(), task.predecessors.end(),
                                       [&](TaskId id) { return done[id.index()]; });
        if (!ready) continue;
        done[task.id.index()] = true;
        order.push_back(task.id);
        ++next[r];
        moved = true;
        break;
      }
      PLUTO_CHECK(moved, "a program without dead-lock");
    }
    return order;
  }

  void run(int rank, const OpTask& task, const StepScalars& scalars) {
    const Op& op = graph().op(task.op);
    const int set = task.micro_index % 2;
    const bool same_bytes =
        schema_of(op.kind).alias == OpSchema::Alias::kSameBytes &&
        memory_.offset[op.inputs[0].index()] == memory_.offset[op.outputs[0].index()];
    std::int64_t begin = 0;
    Kernel* kernel = kernels_.at({op.id, 0}).get();
    if (!task.shards.empty()) {
      const auto server = std::find(plan_.servers.begin(), plan_.servers.end(), rank);
      if (server == plan_.servers.end()) return;
      const ElementRange range =
          task.shards[static_cast<std::size_t>(server - plan_.servers.begin())];
      if (range.empty()) return;
      begin = range.begin * static_cast<std::int64_t>(sizeof(float));
      auto& shard = kernels_[{op.id, range.end - range.begin}];
      if (!shard) shard = compile(op, range.end - range.begin);
      kernel = shard.get();
    }
    if (kernel == nullptr) return;
    std::vector<const void*> inputs;
    std::vector<void*> outputs, updates;
    for (TensorId id : op.inputs) inputs.push_back(at(rank, id, set) + begin);
    for (TensorId id : op.outputs) outputs.push_back(at(rank, id, set) + begin);
    for (TensorId id : op.updates) updates.push_back(at(rank, id, set) + begin);
    void* workspace = static_cast<std::byte*>(arenas_[static_cast<std::size_t>(rank)]->data()) +
                      memory_.workspace_offset.value();
    if (!same_bytes) kernel->run({inputs, outputs, updates, workspace, scalars});
    device_.synchronize();
    for (TensorId id : op.outputs) {
      if (id == lowered_.training.loss)
        losses_[static_cast<std::size_t>(rank)].push_back(get(rank, id)[0]);
    }
    // What is free must not matter: NaN over it.
    for (const Tensor& tensor : graph().tensors()) {
      if (memory_.free_after[tensor.id.index()] == op.id) {
        std::memset(at(rank, tensor.id, 0), 0xFF,
                    static_cast<std::size_t>(memory_.size[tensor.id.index()].value()));
      }
    }
  }

  float* floats(int rank, TensorId id) const { return reinterpret_cast<float*>(at(rank, id, 0)); }

  /// The groups of ranks: each `stride` after the one before.
  std::vector<std::vector<int>> groups_of(const GroupShape& shape) const {
    std::vector<std::vector<int>> groups;
    for (int rank = 0; rank < plan_.layout.ranks(); ++rank) {
      if (rank / shape.stride % shape.ranks != 0) continue;
      groups.emplace_back();
      for (int i = 0; i < shape.ranks; ++i) groups.back().push_back(rank + i * shape.stride);
    }
    return groups;
  }

  void exchange(const Op& op, int micro_index) {
    const auto& attrs = std::get<GroupAttrs>(op.attrs);
    const TensorId from = op.inputs[0], to = op.outputs[0];
    for (const auto& group : groups_of(group_shape(plan_, attrs.group))) {
      std::vector<Values> before;
      for (const int rank : group) before.push_back(get(rank, from, micro_index % 2));
      const auto after = exchanged(op.kind, attrs, graph().tensor(from).type,
                                   graph().tensor(to).type, plan_.micro_batch, before);
      for (std::size_t i = 0; i < group.size(); ++i) set(group[i], to, after[i]);
    }
  }

  void run(const CollectiveTask& task) {
    const Op& op = graph().op(task.op);
    if (std::holds_alternative<GroupAttrs>(op.attrs)) return exchange(op, task.micro_index);
    for (const auto& group : groups_of({task.ranks, task.stride})) run(task, op, group);
  }

  void run(const CollectiveTask& task, const Op& op, const std::vector<int>& ranks) {
    if (op.kind == OpKind::kFactorGather) {
      const TensorId from = op.inputs[0], to = op.outputs[0];
      const auto block = static_cast<std::size_t>(memory_.size[from.index()].value());
      for (const int rank : ranks) {
        for (std::size_t source = 0; source < ranks.size(); ++source) {
          std::memcpy(at(rank, to, 0) + source * block,
                      at(ranks[source], from, task.micro_index % 2), block);
        }
      }
      return;
    }
    // One slice of floats, from the first updated tensor to the last.
    std::int64_t elements = 0;
    for (TensorId id : op.updates) elements += graph().tensor(id).type.elements(1);
    EXPECT_EQ(task.bytes.value(), elements * 4);
    const TensorId first = op.updates.front();
    for (std::int64_t i = 0; i < elements; ++i) {
      float sum = 0;
      for (const int rank : ranks) sum += floats(rank, first)[i];
      const int owner = op.kind == OpKind::kAllReduce ? -1 : owner_of(i, elements);
      const float owned = owner < 0 ? 0 : floats(owner, first)[i];
      for (const int rank : ranks) {
        float& value = floats(rank, first)[i];
        if (op.kind == OpKind::kAllReduce) value = sum;
        // Outside the owner's shard a reduce_scatter leaves anything.
        if (op.kind == OpKind::kServerPush) {
          value = rank == owner ? sum : std::numeric_limits<float>::quiet_NaN();
        }
        if (op.kind == OpKind::kServerPull) value = owned;
      }
    }
  }

  int owner_of(std::int64_t element, std::int64_t elements) const {
    const int servers = static_cast<int>(plan_.servers.size());
    for (int server = 0; server < servers; ++server) {
      const ElementRange shard = shard_range(elements, server, servers);
      if (element >= shard.begin && element < shard.end) {
        return plan_.servers[static_cast<std::size_t>(server)];
      }
    }
    return -1;
  }

  const LoweredPlan& lowered_;
  const Plan& plan_;
  Device& device_;
  MemoryPlan memory_;
  std::map<std::pair<OpId, std::int64_t>, std::unique_ptr<Kernel>> kernels_;  // whole: 0 elements
  std::vector<std::unique_ptr<Workspace>> arenas_;                            // by rank
  std::vector<std::vector<float>> losses_;
};

}  // namespace pluto::testing
