#include "executor/step_code.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "model/op_schema.h"

namespace pluto {

namespace {

/// Position of `rank` among the servers; nullopt when it serves nothing.
std::optional<std::size_t> server_position(std::span<const int> servers, int rank) {
  const auto found = std::find(servers.begin(), servers.end(), rank);
  if (found == servers.end()) return std::nullopt;
  return static_cast<std::size_t>(found - servers.begin());
}

/// The part of an update that this rank runs; nullopt: nothing.
std::optional<ElementRange> own_range(const ShardSplit& shards, std::optional<std::size_t> server,
                                      std::int64_t elements) {
  if (shards.empty()) return ElementRange{0, elements};
  if (!server || *server >= shards.size()) return std::nullopt;
  const ElementRange range = shards[*server];
  if (range.empty()) return std::nullopt;
  return range;
}

bool same_place(const MemoryPlan& memory, const Op& op) {
  return schema_of(op.kind).alias == OpSchema::Alias::kSameBytes && op.inputs.size() == 1 &&
         op.outputs.size() == 1 &&
         memory.offset[op.inputs[0].index()] == memory.offset[op.outputs[0].index()];
}

}  // namespace

Result<StepCode> StepCode::compile(const LoweredPlan& lowered, std::span<const int> servers,
                                   int rank, Device& device, const MemoryOptions& options) {
  StepCode code;
  code.lowered_ = &lowered;
  code.servers_.assign(servers.begin(), servers.end());
  const auto server = server_position(servers, rank);
  PLUTO_TRY(code.compile_kernels(server, device));
  code.memory_ = plan_memory(
      lowered.training, lowered.program,
      [&](const Op& op) {
        const auto& kernel = code.kernels_[op.id.index()];
        return kernel ? kernel->workspace() : Bytes(0);
      },
      options);
  PLUTO_ASSIGN_AT("arena", code.arena_, device.allocate(code.memory_.breakdown.total()));
  code.base_ = static_cast<std::byte*>(code.arena_->data());
  PLUTO_TRY(code.bind(server));
  return code;
}

Result<void> StepCode::compile_kernels(std::optional<std::size_t> server, Device& device) {
  const Graph& graph = training().graph;
  kernels_.resize(graph.ops().size());
  shards_.resize(training().trained.size());
  for (const Task& task : program().tasks) {
    const auto* run = std::get_if<OpTask>(&task.payload);
    if (run == nullptr || kernels_[run->op.index()]) continue;
    const Op& op = graph.op(run->op);
    KernelRequest request;
    request.signature = signature_of(graph, op, program().micro_batch);
    for (const TensorId id : op.updates) request.updates.push_back(graph.tensor(id).type);
    if (!run->shards.empty()) {
      const std::int64_t whole = graph.tensor(op.updates[0]).type.elements(1);
      const auto range = own_range(run->shards, server, whole);
      for (std::size_t i = 0; i < training().trained.size(); ++i) {
        if (training().trained[i].update == op.id) shards_[i] = run->shards;
      }
      if (!range) continue;
      // Updates are element-wise: the kernel of a shard is the kernel of a shorter parameter.
      const Shape part{{range->end - range->begin}};
      for (TensorType& type : request.signature.inputs) type.shape = part;
      for (TensorType& type : request.updates) type.shape = part;
    }
    PLUTO_ASSIGN_AT(op.name, kernels_[op.id.index()], device.compile(request));
  }
  return {};
}

Result<void> StepCode::bind(std::optional<std::size_t> server) {
  // Entries before each task, by resource: what a task of the other one waits for.
  std::vector<std::size_t> position(program().tasks.size());
  std::vector<std::size_t> acquired_at(static_cast<std::size_t>(program().accumulation));
  std::vector<bool> acquired(acquired_at.size());
  const auto acquire = [&](const Task& task, int micro_index) {
    const auto micro = static_cast<std::size_t>(micro_index);
    if (acquired[micro]) return;
    acquired[micro] = true;
    acquired_at[micro] = compute_.size();
    position[task.id.index()] = compute_.size();
    ComputeEntry& entry = compute_.emplace_back();
    entry.task = task.id;
    entry.acquire = true;
    entry.micro_index = micro_index;
  };
  input_readers_.assign(acquired.size(), 0);

  for (const Task& task : program().tasks) {
    // A batch is taken over by the first task that needs it: with two input sets, not earlier.
    if (std::holds_alternative<BatchTask>(task.payload)) continue;
    for (const TaskId id : task.predecessors) {
      const Task& predecessor = program().tasks[id.index()];
      if (const auto* batch = std::get_if<BatchTask>(&predecessor.payload)) {
        acquire(predecessor, batch->micro_index);
      }
    }
    if (const auto* run = std::get_if<OpTask>(&task.payload)) {
      ComputeEntry entry;
      entry.task = task.id;
      entry.micro_index = run->micro_index;
      for (const TaskId id : task.predecessors) {
        if (program().tasks[id.index()].resource != Resource::kNetwork) continue;
        entry.network_before = std::max(entry.network_before, position[id.index()] + 1);
      }
      bind_compute(*run, server, entry);
      position[task.id.index()] = compute_.size();
      compute_.push_back(std::move(entry));
    } else {
      const auto& collective = std::get<CollectiveTask>(task.payload);
      NetworkEntry entry;
      entry.task = task.id;
      entry.micro_index = collective.micro_index;
      for (const TaskId id : task.predecessors) {
        if (program().tasks[id.index()].resource == Resource::kNetwork) continue;
        const std::size_t at = position[id.index()];
        entry.compute_before = std::max(entry.compute_before, at + 1);
        compute_[at].awaited = true;
      }
      PLUTO_TRY(bind_network(collective, entry));
      position[task.id.index()] = network_.size();
      network_.push_back(std::move(entry));
    }
  }
  return check_input_sets(acquired_at);
}

void StepCode::bind_compute(const OpTask& task, std::optional<std::size_t> server,
                            ComputeEntry& entry) const {
  const Graph& graph = training().graph;
  const Op& op = graph.op(task.op);
  entry.phase = training().phase[op.id.index()];
  entry.makes_loss = !op.outputs.empty() && op.outputs[0] == training().loss;
  entry.makes_logits =
      std::find(op.outputs.begin(), op.outputs.end(), training().logits) != op.outputs.end();
  if (same_place(memory_, op)) return;
  entry.kernel = kernels_[op.id.index()].get();
  if (entry.kernel == nullptr) return;
  // A shard's operands begin at its first element; all of them are as long as the parameter.
  const std::int64_t first = task.shards.empty() ? 0 : task.shards[*server].begin;
  for (int set = 0; set < 2; ++set) {
    BoundPointers& bound = entry.bound[static_cast<std::size_t>(set)];
    const auto pointer = [&](TensorId id) {
      return place(id, set).data + first * element_size(graph.tensor(id).type.dtype);
    };
    for (const TensorId id : op.inputs) bound.inputs.push_back(pointer(id));
    for (const TensorId id : op.outputs) bound.outputs.push_back(pointer(id));
    for (const TensorId id : op.updates) bound.updates.push_back(pointer(id));
  }
}

Result<void> StepCode::bind_network(const CollectiveTask& task, NetworkEntry& entry) {
  const Graph& graph = training().graph;
  const Op& op = graph.op(task.op);
  entry.kind = op.kind;
  switch (op.kind) {
    case OpKind::kAllReduce:
    case OpKind::kServerPush:
    case OpKind::kServerPull: {
      PLUTO_ASSIGN(entry.values, slice(op));
      return {};
    }
    case OpKind::kFactorGather: {
      for (int set = 0; set < 2; ++set) {
        const Place block = place(op.inputs[0], set);
        entry.block[static_cast<std::size_t>(set)] = {block.data,
                                                      static_cast<std::size_t>(block.size.value())};
      }
      const Place gathered = place(op.outputs[0]);
      entry.gathered = {gathered.data, static_cast<std::size_t>(gathered.size.value())};
      if (graph.tensor(op.inputs[0]).role == TensorRole::kInput) {
        std::size_t& readers = input_readers_[static_cast<std::size_t>(task.micro_index)];
        readers = std::max(readers, network_.size() + 1);
      }
      return {};
    }
    default:
      return internal_error(fmt::format("{}: {} is no collective", op.name, to_text(op.kind)));
  }
}

/// The input set of a micro-batch is given back when the next one is acquired, so a collective that
/// reads it may not wait for anything later. (Compute entries run in order: they need no check.)
Result<void> StepCode::check_input_sets(std::span<const std::size_t> acquired_at) const {
  for (std::size_t micro = 0; micro + 1 < acquired_at.size(); ++micro) {
    for (std::size_t i = 0; i < input_readers_[micro]; ++i) {
      if (network_[i].compute_before <= acquired_at[micro + 1]) continue;
      return internal_error(fmt::format(
          "{} keeps the input of micro-batch {} beyond the next one's start",
          task_name(training(), program(), program().tasks[network_[i].task.index()]), micro));
    }
  }
  return {};
}

/// The bucket's slice of a flat block.
Result<std::span<float>> StepCode::slice(const Op& op) const {
  const Graph& graph = training().graph;
  std::byte* begin = nullptr;
  std::byte* end = nullptr;
  for (const TensorId id : op.updates) {
    if (graph.tensor(id).type.dtype != DType::kF32) {
      return unsupported(fmt::format("{}: {} holds {}; collectives sum f32", op.name,
                                     graph.tensor(id).name, to_text(graph.tensor(id).type.dtype)));
    }
    const Place tensor = place(id);
    if (begin == nullptr) begin = end = tensor.data;
    if (tensor.data != end) {
      return internal_error(
          fmt::format("{}: its bucket is no slice at {}", op.name, graph.tensor(id).name));
    }
    end += tensor.size.value();
  }
  return std::span(reinterpret_cast<float*>(begin),
                   static_cast<std::size_t>(end - begin) / sizeof(float));
}

std::span<std::byte> StepCode::staging() const {
  return {at(memory_.communication_offset),
          static_cast<std::size_t>(memory_.breakdown.communication.value())};
}

Place StepCode::place(TensorId tensor, int set) const {
  Bytes offset = memory_.offset[tensor.index()];
  if (set == 1 && training().graph.tensor(tensor).role == TensorRole::kInput) {
    offset += memory_.input_set_stride;
  }
  return {at(offset), memory_.size[tensor.index()]};
}

std::vector<Place> StepCode::dead_places() const {
  std::vector<Place> places;
  for (const Tensor& tensor : training().graph.tensors()) {
    if (tensor.role == TensorRole::kActivation) places.push_back(place(tensor.id));
  }
  places.push_back({at(memory_.workspace_offset), memory_.breakdown.workspace});
  places.push_back({at(memory_.communication_offset), memory_.breakdown.communication});
  return places;
}

std::vector<Place> StepCode::dying(std::size_t entry) const {
  std::vector<Place> places;
  const auto* run = std::get_if<OpTask>(&program().tasks[compute_[entry].task.index()].payload);
  if (run == nullptr) return places;
  for (const Tensor& tensor : training().graph.tensors()) {
    if (memory_.free_after[tensor.id.index()] == run->op) places.push_back(place(tensor.id));
  }
  return places;
}

}  // namespace pluto
