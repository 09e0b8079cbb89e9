#pragma once
// A strategy per layer of a chain, as fast as fits in memory.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace pluto {

/// One way to run a layer: tensor degree, sharding, recompute ...
struct LayerChoice {
  Seconds time;
  Bytes memory;
};

/// Seconds from choice to choice, [before][after]; infinite where they cannot meet. Empty: free.
using TransitionTable = std::vector<std::vector<Seconds>>;

/// Equal layers in a row.
struct LayerRun {
  int count = 1;
  std::vector<LayerChoice> choices;
  TransitionTable enter;    ///< from the last layer of the run before; not read for the first run
  TransitionTable between;  ///< from layer to layer of the run
};

struct LayerStrategies {
  Seconds time;             ///< of all layers and transitions
  Bytes memory;             ///< of all layers
  std::vector<int> choice;  ///< by layer
};

/// The fastest choices whose memory is at most `limit`.
/// Formula: time = sum of the layers' times and of the transitions; memory = sum of the layers'.
/// Source: the problem of Galvatron's search (Miao et al. 2022, section 4.2); lists of what is not
///   dominated in time and memory in place of its grid of memory: Mist (Zhu et al. 2025) joins
///   stages so.
/// Method: exact, without a memory grid. Layer by layer, the pairs (memory, time) of which none is
///   better in both, among choices that the next layer treats alike; a pair goes when even the
///   Lagrangian bound of the layers to come is no faster than the best known. Bounds: the least
///   time
///   + price * memory of the rest, for the price at which that is largest and two close to it; what
///   is met on the way to it is the best known. Pairs that differ only in the order of equal layers
///   are one.
/// Valid for: memory that adds up over layers. Ignores: peaks that depend on the order.
/// Test: planner/layer_strategies_test.cc (all choices tried).
/// nullopt: nothing fits. Errors: kInvalidInput for no layers, a run without choices or layers, a
/// table of the wrong shape, or negative memory.
Result<std::optional<LayerStrategies>> choose_strategies(std::span<const LayerRun> runs,
                                                         Bytes limit);

/// All choices within `limit` of which no other is at most as slow and at most as large, by rising
/// memory. Errors: those of choose_strategies(). Empty: nothing fits.
Result<std::vector<LayerStrategies>> strategy_front(std::span<const LayerRun> runs, Bytes limit);

}  // namespace pluto
