#pragma once
// What the nodes between ranks that split one model are told.

#include <cstdint>

namespace pluto {

/// Ranks that split one model among themselves, or the samples of its batch.
enum class RankGroup : std::uint8_t { kTensor, kContext, kData, kExpert };

/// In place of an axis: the batch, outermost in memory.
inline constexpr std::int64_t kBatchAxis = -1;

struct GroupAttrs {
  RankGroup group = RankGroup::kTensor;
  std::int64_t ranks = 1;
  std::int64_t axis = 0;  ///< joined (all_gather, all_to_all, place) or cut (reduce_scatter, part)
  std::int64_t cut = 0;   ///< what an all_to_all cuts
  /// All ranks compute the same from an all_gather's result, or computed the same operand of a
  /// part.
  bool shared = false;
  template <class V>
  void visit(V&& v) {
    v("group", group);
    v("ranks", ranks);
    v("axis", axis);
    v("cut", cut);
    v("shared", shared);
  }
  bool operator==(const GroupAttrs&) const = default;
};

}  // namespace pluto
