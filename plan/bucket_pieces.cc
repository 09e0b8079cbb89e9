#include "plan/bucket_pieces.h"

#include <algorithm>

#include "plan/collective_task.h"

namespace pluto {
namespace {

bool sharded(SyncMethod method) {
  return method == SyncMethod::kParameterServer || method == SyncMethod::kShard;
}

}  // namespace

BucketPieces::BucketPieces(const TrainingGraph& training, const Plan& plan)
    : training_(training),
      graph_(training.graph),
      plan_(plan),
      slots_(bucket_slots(training, plan)),
      slot_of_(graph_.ops().size()),
      server_of_(graph_.ops().size()) {
  const bool synchronised = plan.local.steps == 1;
  for (std::size_t i = 0; synchronised && i < slots_.size(); ++i) {
    slot_of_[training_.trained[i].update.index()] = i;
  }
  find_factor_servers();
}

/// Nodes of a factor_server bucket from its server's copy of the factors on.
void BucketPieces::find_factor_servers() {
  std::vector<std::optional<int>> made_on(graph_.tensors().size());
  for (const Op& op : graph_.ops()) {
    auto& server = server_of_[op.id.index()];
    for (TensorId id : op.inputs) {
      if (made_on[id.index()]) server = made_on[id.index()];
    }
    if (const auto slot = slot_of_[op.id.index()]) {
      const std::size_t bucket = slots_[*slot].bucket;
      if (plan_.buckets[bucket].method == SyncMethod::kFactorServer) {
        server = factor_server(plan_, bucket);
      }
    }
    if (op.kind == OpKind::kPack && at_owners(op)) {
      const std::size_t bucket = *bucket_of(op);
      if (plan_.buckets[bucket].method == SyncMethod::kFactorServer) {
        server = factor_server(plan_, bucket);
      }
    }
    auto made = server;
    if (op.kind == OpKind::kFactorPush) made = factor_server(plan_, *bucket_of(op));
    if (is_communication(op) && op.kind != OpKind::kFactorPush) made = std::nullopt;
    for (TensorId id : op.outputs) made_on[id.index()] = made;
  }
}

SyncMethod BucketPieces::method_of(const Op& op) const {
  if (const auto slot = slot_of_[op.id.index()]) return plan_.buckets[slots_[*slot].bucket].method;
  if (const auto bucket = bucket_of(op)) return plan_.buckets[*bucket].method;
  return SyncMethod::kNone;
}

/// Packing of parameters and unpacking of gradients: the owners of shards do it.
bool BucketPieces::at_owners(const Op& op) const {
  const SyncMethod method = method_of(op);
  if (method != SyncMethod::kParameterServer && method != SyncMethod::kFactorServer &&
      method != SyncMethod::kShard) {
    return false;
  }
  if (op.kind == OpKind::kPack) {
    return graph_.tensor(op.inputs.front()).role == TensorRole::kParameter;
  }
  return op.kind == OpKind::kUnpack && !op.updates.empty() &&
         graph_.tensor(op.updates.front()).role == TensorRole::kGradient;
}

std::int64_t BucketPieces::elements(TensorId id) const {
  return graph_.tensor(id).type.elements(plan_.micro_batch);
}
std::int64_t BucketPieces::elements(const std::vector<TensorId>& ids) const {
  std::int64_t sum = 0;
  for (TensorId id : ids) sum += elements(id);
  return sum;
}
std::vector<Piece> BucketPieces::of(const Op& op) const {
  if (const auto slot = slot_of_[op.id.index()]) return update_pieces(slots_[*slot]);
  const auto bucket = bucket_of(op);
  if (!bucket) return {Piece{}};
  const bool computes = !is_communication(op);
  // The factors of a rank are packed and unpacked in one go.
  const bool batch = computes && graph_.tensor(op.inputs.front()).type.batch_multiple != 0;
  const int chunks = batch ? 1 : plan_.buckets[*bucket].chunks;
  const bool owned = computes && at_owners(op) && sharded(method_of(op));
  if (chunks == 1 && !owned) return {Piece{}};
  std::int64_t all = elements(op.updates.empty() ? op.inputs : op.updates);
  if (op.kind == OpKind::kFactorGather || op.kind == OpKind::kFactorPush) {
    all = elements(op.outputs);
  }
  std::vector<Piece> pieces;
  for (int chunk = 0; chunk < chunks; ++chunk) {
    Piece piece{shard_range(all, chunk, chunks), all, {}};
    if (piece.part.empty()) continue;
    const std::int64_t length = piece.part.end - piece.part.begin;
    if (owned) piece.shards = {length, 0, length, owners_of(plan_, *bucket)};
    if (length == all) piece.part = {};
    pieces.push_back(piece);
  }
  return pieces;
}

std::vector<Piece> BucketPieces::update_pieces(const BucketSlot& slot) const {
  const BucketPlan& bucket = plan_.buckets[slot.bucket];
  std::vector<Piece> pieces;
  for (int chunk = 0; chunk < bucket.chunks; ++chunk) {
    const ElementRange cut = shard_range(slot.bucket_elements, chunk, bucket.chunks);
    const std::int64_t begin = std::max(cut.begin, slot.offset);
    const std::int64_t end = std::min(cut.end, slot.offset + slot.elements);
    if (begin >= end) continue;
    Piece piece;
    if (sharded(bucket.method)) {
      piece.shards = {cut.end - cut.begin, begin - cut.begin, end - begin,
                      owners_of(plan_, slot.bucket)};
    }
    if (end - begin < slot.elements) piece.part = {begin - slot.offset, end - slot.offset};
    pieces.push_back(piece);
  }
  return pieces;
}

void touched_elements(const Graph& graph, std::int64_t micro_batch,
                      const std::vector<TensorId>& list, const ElementRange& part,
                      std::int64_t slice_elements, bool each, std::vector<Touched>& out) {
  std::int64_t all = 0;
  for (TensorId id : list) all += graph.tensor(id).type.elements(micro_batch);
  const bool slice = !part.empty() && !each && all == slice_elements;
  std::int64_t offset = 0;
  for (TensorId id : list) {
    ElementRange range{0, graph.tensor(id).type.elements(micro_batch)};
    if (slice) {
      const std::int64_t next = offset + range.end;
      range = {std::max<std::int64_t>(0, part.begin - offset),
               std::min(range.end, part.end - offset)};
      offset = next;
    } else if (!part.empty() && each) {
      range = part;
    }
    if (!range.empty()) out.push_back({id, range});
  }
}

void BucketPieces::touched(const std::vector<TensorId>& list, const Op& op, const Piece& piece,
                           std::vector<Touched>& out) const {
  out.clear();
  touched_elements(graph_, plan_.micro_batch, list, piece.part, piece.slice_elements,
                   slot_of_[op.id.index()].has_value(), out);
}

std::pair<Resource, std::variant<OpTask, CollectiveTask>> BucketPieces::task(
    const Op& op, const Piece& piece, int micro_index) const {
  if (is_communication(op)) {
    auto task = collective_task(graph_, op, plan_, micro_index);
    if (!piece.part.empty()) task = part_of(task, piece.part, piece.slice_elements);
    return {Resource::kNetwork, task};
  }
  const SyncMethod method = method_of(op);
  const auto server = server_of_[op.id.index()];
  const bool update = slot_of_[op.id.index()] && method == SyncMethod::kParameterServer;
  const bool on_servers = plan_.server_nodes > 0 &&
                          (server || update || (method != SyncMethod::kShard && at_owners(op)));
  return {on_servers ? Resource::kServer : Resource::kCompute,
          OpTask{op.id, micro_index, piece.shards, piece.part, server}};
}

}  // namespace pluto
