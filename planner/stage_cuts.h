#pragma once
// Where to cut a chain of layers into pipeline stages.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace pluto {

/// A layer of a chain. Times and bytes of one micro-batch.
struct ChainLayer {
  Seconds forward, backward;
  Bytes output;      ///< crosses a cut behind this layer; its gradient, as large, comes back
  Bytes parameters;  ///< synchronised when the layer's stage is replicated
  Bytes states;      ///< resident whatever runs: parameters, gradients, optimizer state
  Bytes kept;        ///< from the forward to the backward pass
};

/// What cuts have to respect.
struct CutRules {
  int stages = 1;
  std::int64_t micro_batches = 1;
  BytesPerSecond bandwidth;     ///< between neighbouring stages, each direction
  Seconds latency;              ///< of one message
  std::optional<Bytes> memory;  ///< of one stage; nullopt: unlimited
};

/// A way to cut.
struct StageCuts {
  std::vector<std::size_t> first;  ///< first layer of stage 1, 2, ...; ascending
  Seconds slowest;                 ///< of the stages and of the messages at the cuts
  Seconds total;                   ///< of all stages and of all messages, both directions
  Seconds step(std::int64_t micro_batches) const {
    return slowest * static_cast<double>(micro_batches - 1) + total;
  }
};

/// The cuts with the shortest step; of equal ones, those whose slowest part is fastest.
/// Formula: a stage takes its layers' forward + backward, a message latency + output / bandwidth;
///   step = (micro_batches - 1) * slowest + total; stage s (from 0) holds its layers' states and
///   min(stages - s, micro_batches) times what they keep (1F1B).
/// Source: step: Zheng et al. 2022 (Alpa), equation 2; kept micro-batches: Narayanan et al. 2019,
///   section 3.2.
/// Method: exact. Dynamic programming over (stage, layer) finds the lightest slowest part, then the
///   smallest total under a falling limit of the slowest part, until no limit can pay; about
///   stages * layers^2 steps each time.
/// Valid for: a chain, or a graph in topological order whose outputs count all that crosses.
/// Ignores: that a stage waits for what its neighbours send beyond (m - 1) times the slowest part.
/// Test: planner/stage_cuts_test.cc (all cuts tried).
/// nullopt: no cuts fit in `memory`. Errors: kInvalidInput for fewer layers than stages, no stages,
/// no micro-batches or a bandwidth that is not positive (with more than one stage).
Result<std::optional<StageCuts>> cut_stages(std::span<const ChainLayer> layers,
                                            const CutRules& rules);

/// The numbers of given cuts, by the same formula; nullopt: a stage does not fit. Precondition:
/// check_rules(), and stages - 1 ascending `first` within the layers.
std::optional<StageCuts> cuts_at(std::span<const ChainLayer> layers, const CutRules& rules,
                                 std::vector<std::size_t> first);
/// What stage `stage` of the layers [begin, end) holds.
Bytes held_by(std::span<const ChainLayer> layers, const CutRules& rules, std::size_t stage,
              std::size_t begin, std::size_t end);
/// The errors of cut_stages().
Result<void> check_rules(std::span<const ChainLayer> layers, const CutRules& rules);

}  // namespace pluto
