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
#include <optional>
#include <vector>

#include "plan/groups.h"
#include "plan/lowering.h"
#include "plan/memory_plan.h"
#include "runtime/reference/short_float.h"
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
      if (by_definition(op)) continue;
      kernels_[{op.id, 0}] = compile(op, std::nullopt);
    }
    // Every process holds whole tensors, so that shards are slices of them; what it does not own is
    // NaN when somebody could read it by mistake.
    StepProgram whole = lowered.program;
    whole.shard = whole.server_nodes = 0;
    memory_ = plan_memory(
        lowered.training, whole,
        [this](const Op& op) {
          return by_definition(op) ? Bytes(0) : kernels_.at({op.id, 0})->workspace();
        },
        options);
    const int apart = plan.server_nodes > 0 ? static_cast<int>(plan.servers.size()) : 0;
    for (int process = 0; process < plan.layout.ranks() + apart; ++process) {
      arenas_.push_back(std::make_unique<Workspace>(memory_.breakdown.total()));
    }
  }

  const MemoryPlan& memory() const { return memory_; }
  /// Ranks, then servers with nodes of their own.
  int processes() const { return static_cast<int>(arenas_.size()); }
  /// The process that is owner number `position` of a shard, among those that have the parameters
  /// of `rank`.
  int owner_process(std::size_t position, int rank = 0) const {
    if (plan_.shard > 0) {
      const GroupShape group = sync_group(plan_.layout);
      return rank % group.stride + static_cast<int>(position) * group.stride;
    }
    if (plan_.server_nodes > 0) return plan_.layout.ranks() + static_cast<int>(position);
    return plan_.servers[position];
  }

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

  /// Whether nodes that average run in the steps to come.
  void average(bool now) { average_ = now; }

  /// One step. Returns the losses by rank, then micro-batch.
  std::vector<std::vector<float>> step(const Batch& batch, const Scalars& scalars,
                                       NetworkPace pace) {
    losses_.assign(static_cast<std::size_t>(plan_.layout.ranks()), {});
    pieces_left_.clear();
    for (const Task& task : lowered_.program.tasks) {
      const auto* op = std::get_if<OpTask>(&task.payload);
      if (op != nullptr) ++pieces_left_[{op->op, op->micro_index}];
    }
    for (TaskId id : schedule(pace)) {
      const Task& task = lowered_.program.tasks[id.index()];
      if (!average_ && averages(task)) continue;
      const bool server = task.resource == Resource::kServer;
      const int begin = server ? plan_.layout.ranks() : 0;
      for (int rank = begin; rank < (server ? processes() : plan_.layout.ranks()); ++rank) {
        if (const auto* input = std::get_if<BatchTask>(&task.payload)) {
          const auto tensors = graph().with_role(TensorRole::kInput);
          const auto values = batch(data_rank(rank), input->micro_index);
          for (std::size_t i = 0; i < tensors.size(); ++i) {
            set(rank, tensors[i], values[i], input->micro_index % 2);
          }
        } else if (const auto* op = std::get_if<OpTask>(&task.payload)) {
          if (rank == begin) --pieces_left_[{op->op, op->micro_index}];
          if (is_exchange(graph().op(op->op))) continue;
          StepScalars own = scalars(server ? 0 : data_rank(rank), op->micro_index);
          own.sequence_part = rank / plan_.layout.tensor % plan_.layout.context;
          own.expert_part = data_rank(rank) % plan_.expert;
          own.tensor_part = rank % plan_.layout.tensor;
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

  /// A lawful order: each queue in issue order, a task after its predecessors. Where steps overlap
  /// the network and what it feeds have no order of their own.
  std::vector<TaskId> schedule(NetworkPace pace) const {
    const auto& tasks = lowered_.program.tasks;
    std::vector<bool> done(tasks.size());
    const auto queues_of = [](const Task& task) {
      std::array<bool, kResourceCount + 1> queues{};
      queues[static_cast<std::size_t>(task.resource)] = true;
      if (const auto* collective = std::get_if<CollectiveTask>(&task.payload)) {
        queues[static_cast<std::size_t>(Resource::kNetwork)] =
            collective->direction != Direction::kDown;
        queues[kResourceCount] = collective->direction != Direction::kUp;
      }
      return queues;
    };
    const auto network = [](const Task& task) { return task.resource == Resource::kNetwork; };
    std::vector<TaskId> order;
    while (order.size() < tasks.size()) {
      std::array<bool, kResourceCount + 1> blocked{};
      std::optional<TaskId> best;
      for (const Task& task : tasks) {
        if (done[task.id.index()]) continue;
        const auto queues = queues_of(task);
        bool turn = true;
        for (std::size_t q = 0; q < queues.size(); ++q) turn = turn && !(queues[q] && blocked[q]);
        const bool free_order =
            lowered_.program.overlap &&
            (network(task) || lowered_.program.overlap->needed_by[task.id.index()].has_value());
        if (!free_order) {
          for (std::size_t q = 0; q < queues.size(); ++q) blocked[q] = blocked[q] || queues[q];
        }
        const bool ready = std::all_of(task.predecessors.begin(), task.predecessors.end(),
                                       [&](TaskId id) { return done[id.index()]; });
        if (!ready || (!turn && !free_order)) continue;
        const bool wanted = (pace == NetworkPace::kEager) == network(task);
        // The last of the tasks without order, so that they come out reversed.
        if (!best || wanted) best = task.id;
        if (wanted && !free_order) break;
      }
      PLUTO_CHECK(best.has_value(), "a program without dead-lock");
      done[best->index()] = true;
      order.push_back(*best);
    }
    return order;
  }

  void run(int rank, const OpTask& task, const StepScalars& scalars) {
    const Op& op = graph().op(task.op);
    const int set = task.micro_index % 2;
    const bool same_bytes =
        schema_of(op.kind).alias == OpSchema::Alias::kSameBytes &&
        memory_.offset[op.inputs[0].index()] == memory_.offset[op.outputs[0].index()];
    if (task.server && rank != owner_process(static_cast<std::size_t>(*task.server))) return;
    ElementRange range = task.part;
    if (!task.shards.empty()) {
      std::optional<ElementRange> own;
      for (std::size_t owner = 0; owner < task.shards.size(); ++owner) {
        if (owner_process(owner, rank) == rank) own = task.shards[owner];
      }
      if (!own || own->empty()) return;
      range = {task.part.begin + own->begin, task.part.begin + own->end};
    }
    if (by_definition(op)) return run_here(rank, op, task, range);
    std::int64_t begin = 0;
    Kernel* kernel = kernels_.at({op.id, 0}).get();
    if (!range.empty()) {
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
    // What is free when all of the node has run must not matter: NaN over it.
    if (pieces_left_.at({task.op, task.micro_index}) > 0) return;
    for (const Tensor& tensor : graph().tensors()) {
      if (memory_.free_after[tensor.id.index()] == op.id) {
        std::memset(at(rank, tensor.id, 0), 0xFF,
                    static_cast<std::size_t>(memory_.size[tensor.id.index()].value()));
      }
    }
  }

  bool averages(const Task& task) const {
    const auto* op = std::get_if<OpTask>(&task.payload);
    const auto* collective = std::get_if<CollectiveTask>(&task.payload);
    if (op == nullptr && collective == nullptr) return false;
    const OpId id = op != nullptr ? op->op : collective->op;
    return lowered_.training.phase[id.index()] == OpPhase::kAverage;
  }

  // ---- what has no kernel: by its definition

  static bool by_definition(const Op& op) {
    return is_exchange(op) || op.kind == OpKind::kPack || op.kind == OpKind::kUnpack ||
           op.kind == OpKind::kAverage;
  }

  /// Element `index` of tensors that follow each other.
  struct Element {
    std::byte* place = nullptr;
    DType dtype = DType::kF32;
    float load() const {
      if (dtype == DType::kF32) {
        float value = 0;
        std::memcpy(&value, place, sizeof value);
        return value;
      }
      std::uint16_t bits = 0;
      std::memcpy(&bits, place, sizeof bits);
      return static_cast<float>(reference::decode(format(), bits));
    }
    void save(float value) const {
      if (dtype == DType::kF32) {
        std::memcpy(place, &value, sizeof value);
        return;
      }
      const std::uint16_t bits = reference::encode(format(), value);
      std::memcpy(place, &bits, sizeof bits);
    }
    reference::ShortFloat format() const {
      return dtype == DType::kF16 ? reference::kHalf : reference::kBrainFloat;
    }
  };
  Element element(int rank, const std::vector<TensorId>& list, std::int64_t index,
                  int set = 0) const {
    for (TensorId id : list) {
      const auto size = static_cast<std::int64_t>(count(id));
      if (index < size) {
        const DType dtype = graph().tensor(id).type.dtype;
        return {at(rank, id, set) + index * element_size(dtype), dtype};
      }
      index -= size;
    }
    ADD_FAILURE() << "no such element";
    return {};
  }
  std::int64_t count(const std::vector<TensorId>& list) const {
    std::int64_t sum = 0;
    for (TensorId id : list) sum += static_cast<std::int64_t>(count(id));
    return sum;
  }

  void run_here(int rank, const Op& op, const OpTask& task, ElementRange range) {
    const int set = task.micro_index % 2;
    if (op.kind == OpKind::kAverage) {
      const auto& attrs = std::get<AverageAttrs>(op.attrs);
      for (std::int64_t i = 0; i < count(op.inputs); ++i) {
        const Element w = element(rank, {op.updates[0]}, i);
        const float mean = w.load() / static_cast<float>(attrs.ranks);
        if (attrs.momentum == 0) {
          w.save(mean);
          continue;
        }
        const Element anchor = element(rank, {op.updates[1]}, i);
        const Element velocity = element(rank, {op.updates[2]}, i);
        velocity.save(static_cast<float>(attrs.momentum) * velocity.load() + mean - anchor.load());
        anchor.save(anchor.load() + velocity.load());
        w.save(anchor.load());
      }
      return;
    }
    const auto scale = static_cast<float>(std::get<WireAttrs>(op.attrs).scale);
    const auto& results = op.updates.empty() ? op.outputs : op.updates;
    if (range.empty()) range = {0, count(op.inputs)};
    for (std::int64_t i = range.begin; i < range.end; ++i) {
      const bool parameter = graph().tensor(results.front()).role == TensorRole::kParameter;
      if (parameter && holder_of(op, task.part, i, rank) == rank)
        continue;  // it has the number itself
      const float value = element(rank, op.inputs, i, set).load();
      element(rank, results, i).save(op.kind == OpKind::kPack ? value * scale : value / scale);
    }
  }

  /// The process that owns element `index` of the slice of a bucket of `rank`, of which `part` is
  /// one chunk.
  int holder_of(const Op& op, const ElementRange& part, std::int64_t index, int rank) const {
    const auto bucket = static_cast<std::size_t>(std::holds_alternative<CommAttrs>(op.attrs)
                                                     ? std::get<CommAttrs>(op.attrs).bucket
                                                     : std::get<WireAttrs>(op.attrs).bucket);
    const SyncMethod method = plan_.buckets[bucket].method;
    if (method == SyncMethod::kFactorServer) {
      return owner_process(bucket % plan_.servers.size());
    }
    if (method != SyncMethod::kParameterServer && method != SyncMethod::kShard) return -1;
    const std::int64_t all = count(op.updates.empty() ? op.inputs : op.updates);
    const std::int64_t length = part.empty() ? all : part.end - part.begin;
    const int owners = method == SyncMethod::kShard ? sync_group(plan_.layout).ranks
                                                    : static_cast<int>(plan_.servers.size());
    for (int owner = 0; owner < owners; ++owner) {
      const ElementRange shard = shard_range(length, owner, owners);
      if (index - part.begin >= shard.begin && index - part.begin < shard.end) {
        return owner_process(static_cast<std::size_t>(owner), rank);
      }
    }
    return -1;
  }

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

  /// Between `ranks`, and the servers with nodes of their own.
  void run(const CollectiveTask& task, const Op& op, const std::vector<int>& ranks) {
    std::vector<int> members = ranks;
    for (int server = plan_.layout.ranks(); server < processes(); ++server) {
      members.push_back(server);
    }
    const int set = task.micro_index % 2;
    ElementRange range = task.part;
    if (op.kind == OpKind::kFactorGather || op.kind == OpKind::kFactorPush) {
      const std::int64_t block = count(op.inputs);
      if (range.empty()) range = {0, count(op.outputs)};
      EXPECT_EQ(task.bytes.value(),
                (range.end - range.begin) * element_size(graph().tensor(op.outputs[0]).type.dtype));
      for (const int rank : op.kind == OpKind::kFactorGather ? ranks : members) {
        if (op.kind == OpKind::kFactorPush && rank != holder_of(op, {}, 0, ranks[0])) continue;
        for (std::int64_t i = range.begin; i < range.end; ++i) {
          const int source = ranks[static_cast<std::size_t>(i / block)];
          element(rank, op.outputs, i).save(element(source, op.inputs, i % block, set).load());
        }
      }
      return;
    }
    const bool packed = op.updates.empty() && op.kind != OpKind::kParameterGather;
    const auto& from = op.inputs.empty() ? op.updates : op.inputs;
    const auto& to = packed || op.updates.empty() ? op.outputs : op.updates;
    if (range.empty()) range = {0, count(from)};
    EXPECT_EQ(task.bytes.value(), (range.end - range.begin) * (packed ? 2 : 4));
    if (op.inputs.empty()) expect_slice(op);
    constexpr float kNothing = std::numeric_limits<float>::quiet_NaN();
    for (std::int64_t i = range.begin; i < range.end; ++i) {
      const int owner = op.kind == OpKind::kAllReduce ? -1 : holder_of(op, task.part, i, ranks[0]);
      const bool pull = op.kind == OpKind::kServerPull || op.kind == OpKind::kParameterGather;
      float value = 0;
      if (!pull) {
        for (const int rank : ranks) value += element(rank, from, i, set).load();
      }
      if (pull) value = element(owner, from, i).load();
      for (const int rank : members) {
        const Element mine = element(rank, to, i);
        if (op.kind == OpKind::kReduceScatter && task.micro_index > 0 && rank == owner) {
          mine.save(mine.load() + value);
        } else if (op.kind == OpKind::kServerPush || op.kind == OpKind::kReduceScatter) {
          // Outside the owner's shard a reduce_scatter leaves anything.
          mine.save(rank == owner ? value : kNothing);
        } else if (rank < plan_.layout.ranks() || rank == owner) {
          mine.save(value);
        }
        // What is not of the own shard is not there.
        if (op.kind == OpKind::kParameterGather && rank != owner) {
          element(rank, from, i).save(kNothing);
        }
      }
    }
  }

  /// A bucket in place is one slice of floats, from the first updated tensor to the last.
  void expect_slice(const Op& op) const {
    std::byte* end = at(0, op.updates.front(), 0);
    for (TensorId id : op.updates) {
      EXPECT_EQ(at(0, id, 0), end) << op.name;
      end = at(0, id, 0) + memory_.size[id.index()].value();
    }
  }

  const LoweredPlan& lowered_;
  const Plan& plan_;
  Device& device_;
  MemoryPlan memory_;
  std::map<std::pair<OpId, std::int64_t>, std::unique_ptr<Kernel>> kernels_;  // whole: 0 elements
  std::vector<std::unique_ptr<Workspace>> arenas_;                            // by rank
  std::vector<std::vector<float>> losses_;
  bool average_ = true;
  std::map<std::pair<OpId, int>, int> pieces_left_;  // of a node and micro-batch in this step
};

}  // namespace pluto::testing
