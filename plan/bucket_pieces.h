#pragma once
// The tasks that one node of a synchronised graph has, where they run, and what each touches:
// buckets in chunks, shards of owners, servers.

#include <cstdint>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "plan/bucket_slots.h"
#include "plan/step_program.h"

namespace pluto {

/// One task of a node. Nodes of buckets in chunks have several.
struct Piece {
  ElementRange part;                ///< of the slice, or of the parameter; empty: all
  std::int64_t slice_elements = 0;  ///< of the operand lists that are the bucket's slice
  ShardSplit shards;
};

/// Part of an operand.
struct Touched {
  TensorId tensor;
  ElementRange range;
};

/// What a task touches of a list of operands, appended to `out`: of the lists that have
/// `slice_elements` elements, and so are the slice, the overlap with `part`; of an update node
/// (`each`) that part of every operand; else all.
void touched_elements(const Graph& graph, std::int64_t micro_batch,
                      const std::vector<TensorId>& list, const ElementRange& part,
                      std::int64_t slice_elements, bool each, std::vector<Touched>& out);

class BucketPieces {
 public:
  /// The arguments must outlive this. Precondition: `training` is what lower() made of the plan.
  BucketPieces(const TrainingGraph& training, const Plan& plan);

  /// In the order of the slice. One whole piece for nodes that belong to no bucket.
  std::vector<Piece> of(const Op& op) const;
  /// What the piece touches of one of the node's operand lists; `out` is overwritten.
  void touched(const std::vector<TensorId>& list, const Op& op, const Piece& piece,
               std::vector<Touched>& out) const;
  /// Where it runs and what it says.
  std::pair<Resource, std::variant<OpTask, CollectiveTask>> task(const Op& op, const Piece& piece,
                                                                 int micro_index) const;

 private:
  void find_factor_servers();
  SyncMethod method_of(const Op& op) const;
  bool at_owners(const Op& op) const;
  std::int64_t elements(TensorId id) const;
  std::int64_t elements(const std::vector<TensorId>& ids) const;
  std::vector<Piece> update_pieces(const BucketSlot& slot) const;

  const TrainingGraph& training_;
  const Graph& graph_;
  const Plan& plan_;
  std::vector<BucketSlot> slots_;                    ///< by position in trained
  std::vector<std::optional<std::size_t>> slot_of_;  ///< by OpId: of the parameter it updates
  std::vector<std::optional<int>> server_of_;        ///< by OpId: the only rank that runs it
};

}  // namespace pluto
