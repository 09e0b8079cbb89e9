#pragma once
// A plan as the files that other programs run it with. docs/exports.md has the table of what each
// target carries by which of its knobs.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "plan/projection.h"
#include "plan/transformer_shape.h"

namespace pluto {

struct ExportedFile {
  std::string path;  ///< a name below the folder of the export
  std::string text;
  bool executable = false;
};

/// What a plan does not say.
struct ExportFacts {
  std::optional<TransformerShape> shape;  ///< megatron needs it
  /// Names of the nodes, for hostfiles; empty: "localhost", or "node-0", "node-1", ...
  std::vector<std::string> hosts;
  std::string image;  ///< of containers; empty: PyTorch's, where that is enough
  std::optional<Seconds> planned_step, exported_step;  ///< predicted: as planned, as projected
  std::uint64_t planned = 0;                           ///< fingerprint of the plan as planned
};

/// The files for `target`: those of the trainer, those of the place, and plan.json, the projected
/// plan. Each but the JSON ones begins with comments that say which plan and how much of it this
/// is, for which versions, both step times, what was dropped and what is left to the owner's
/// script. Paths are unique. `projection` is that of project() for the same target. Errors:
/// kInvalidInput for a number of hosts that is not that of the nodes, a missing image, or a model
/// the target has no arguments for.
Result<std::vector<ExportedFile>> export_plan(const RunTarget& target, const Projection& projection,
                                              const ExportFacts& facts);

}  // namespace pluto
