#include "planner/greedy_placement.h"

#include <vector>

namespace pluto {
namespace {

Seconds time_of(const ChainLayer& layer) { return layer.forward + layer.backward; }

/// What no cut is decided by: sums of the layers that are not placed.
struct Rest {
  Seconds time;
  Bytes bytes;  ///< one micro-batch kept
  void add(const ChainLayer& layer) {
    time += time_of(layer);
    bytes += layer.states + layer.kept;
  }
  void take(const ChainLayer& layer) {
    time -= time_of(layer);
    bytes -= layer.states + layer.kept;
  }
};

}  // namespace

Result<std::optional<StageCuts>> place_greedily(std::span<const ChainLayer> layers,
                                                const CutRules& rules) {
  PLUTO_TRY(check_rules(layers, rules));
  Rest rest;
  for (const ChainLayer& layer : layers) rest.add(layer);
  const auto stages = static_cast<std::size_t>(rules.stages);
  std::vector<std::size_t> first;
  std::size_t next = 0;
  for (std::size_t stage = 0; stage + 1 < stages; ++stage) {
    const std::size_t begin = next, behind = stages - stage - 1;
    const Seconds share = rest.time / static_cast<double>(behind + 1);
    Seconds own;
    // Each device behind gets a layer at least.
    while (next + behind < layers.size()) {
      const ChainLayer& layer = layers[next];
      const bool fits =
          !rules.memory || held_by(layers, rules, stage, begin, next + 1) <= *rules.memory;
      if (next > begin && !fits) break;
      const bool room_behind =
          !rules.memory || rest.bytes <= *rules.memory * static_cast<std::int64_t>(behind);
      if (next > begin && room_behind && own + time_of(layer) / 2.0 > share) break;
      own += time_of(layer);
      rest.take(layer);
      ++next;
    }
    first.push_back(next);
  }
  return cuts_at(layers, rules, std::move(first));
}

}  // namespace pluto
