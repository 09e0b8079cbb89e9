#pragma once
// Cutting a model into pipeline stages.

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/training_graph.h"

namespace pluto {

/// Which chunk of consecutive forward nodes each node of a model belongs to, by OpId, 0 to chunks -
/// 1. `cuts` names the first node of chunk 1, 2, ... Errors: kInvalidInput naming a cut that is no
/// node, comes before the one before it, or begins the graph.
Result<std::vector<int>> chunks_of(const Graph& forward, std::span<const std::string> cuts);

/// Cuts that make `chunks` chunks of even work where little crosses them.
/// Rule: of all sets of positions {those that at most b bytes cross}, b as small as possible, the
/// first whose best cuts make no chunk more than 5 % heavier than the best cuts anywhere do; best:
/// the heaviest chunk is as light as can be, then the cuts as late as can be. Each cut then moves
/// to where least crosses it within the same 5 %. Work: forward floating-point operations, of a
/// node without any its bytes. Errors: kInvalidInput when the graph has fewer nodes than chunks.
Result<std::vector<std::string>> even_cuts(const Graph& forward, int chunks);

/// A model in which no parameter is read on two stages.
struct UntiedModel {
  ModelGraph model;
  /// Names of the copies ("<parameter>.stage<k>") and of what they are copies of, which the lowest
  /// stage that reads it keeps.
  std::vector<std::pair<std::string, std::string>> copies;
};
/// Gives each further stage that reads a parameter a copy of its own (Narayanan et al. 2021: the
/// embedding of the first and last stage). Chunk c runs on stage c mod stages.
Result<UntiedModel> untie_stages(const ModelGraph& model, std::span<const int> chunk_of,
                                 int stages);

/// One stage's part of a training graph.
struct StageGraph {
  /// Its nodes in the order of the whole, and: receive nodes, each before the first reader; send
  /// nodes, each behind the writer; stage_reduce nodes (phase sync) behind the gradient of a tied
  /// parameter. loss, logits, labels and inputs are invalid or absent where the stage lacks them.
  TrainingGraph training;
  std::vector<int> chunk;  ///< by OpId; of an update: that of its parameter
};

/// Precondition: `training` was differentiated from (a fused, sharded ...) `forward`, whose chunks
/// are `chunk_of`, and is not synchronised; `copies` are those of untie_stages(). Errors:
/// kUnsupported when more than two stages read a parameter.
Result<std::vector<StageGraph>> split_stages(
    const TrainingGraph& training, const Graph& forward, std::span<const int> chunk_of, int stages,
    std::span<const std::pair<std::string, std::string>> copies);

}  // namespace pluto
