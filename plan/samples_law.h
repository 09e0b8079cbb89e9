#pragma once
// How many samples the target needs at each global batch, as far as it is known. A value; what it
// says at a batch is planner/convergence.h.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pluto {

/// What runs with one global batch needed to reach the target.
struct BatchPoint {
  std::int64_t batch = 1;
  double samples = 1;  ///< mean over the runs, in samples or in any unit that all points share
  double spread = 0;   ///< standard deviation of ln(samples) from run to run; 0: not known
  int runs = 1;
  bool operator==(const BatchPoint&) const = default;
};

/// Standard deviations of ln(samples to the target) by what is known: data/convergence.json, which
/// names their sources. All 0: nothing is known of the spread.
struct ConvergenceSpreads {
  double seed = 0;          ///< from run to run
  double interpolated = 0;  ///< between two measured batches
  double next_batch = 0;    ///< at twice the largest measured batch, or half the smallest
  double far = 0;           ///< at four times
  double noise_scale = 0;   ///< at most, where only a noise scale is known
  double prior = 0;         ///< at most, where only others' runs or words are known
  double transfer = 0;      ///< of ln(critical batch), from a family's task to another of its kind
  bool operator==(const ConvergenceSpreads&) const = default;
};

enum class LawKind : std::uint8_t {
  kFixed,       ///< as many samples at every batch
  kStated,      ///< a critical batch that the owner states
  kFamily,      ///< points of others for a task of this kind
  kPoints,      ///< points of this task
  kNoiseScale,  ///< a measured noise scale of the gradient
};

/// E(B) = Emin (1 + (B / critical_batch)^exponent) outside what was measured.
struct SamplesLaw {
  LawKind kind = LawKind::kFixed;
  double critical_batch = 1;  ///< samples; kNoiseScale: tr(Sigma) / |G|^2 as measured; not kFixed
  double exponent = 1;
  std::vector<BatchPoint> points = {};  ///< kFamily, kPoints: in rising order of batch
  // kNoiseScale: the batch it was measured at, and how far it falls short of the critical batch:
  // by `noise_factor` for batches `noise_reach` times that one and more.
  std::int64_t noise_batch = 1;
  double noise_factor = 1;
  double noise_reach = 2;
  ConvergenceSpreads spreads = {};
  std::string source = {};  ///< "MLPerf resnet", "noise scale at batch 256"
  bool operator==(const SamplesLaw&) const = default;
};

}  // namespace pluto
