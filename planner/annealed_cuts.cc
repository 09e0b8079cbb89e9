#include "planner/annealed_cuts.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "planner/greedy_placement.h"

namespace pluto {
namespace {

using Cuts = std::vector<std::size_t>;

/// One cut moved between its neighbours. Precondition: at least one cut.
Cuts moved(const Cuts& cuts, std::size_t layers, std::mt19937_64& random) {
  Cuts next = cuts;
  const std::size_t which = pick(random, cuts.size());
  const std::size_t low = which == 0 ? 1 : cuts[which - 1] + 1;
  const std::size_t high = which + 1 < cuts.size() ? cuts[which + 1] - 1 : layers - 1;
  const std::size_t reach = 1 + pick(random, std::max<std::size_t>(1, layers / (cuts.size() + 1)));
  const bool back = pick(random, 2) == 0;
  next[which] = back ? std::max(low, cuts[which] - std::min(cuts[which], reach))
                     : std::min(high, cuts[which] + reach);
  return next;
}

/// Bytes that stages hold beyond their memory, all together.
double excess(std::span<const ChainLayer> layers, const CutRules& rules, const Cuts& cuts) {
  Bytes sum;
  for (std::size_t stage = 0; stage <= cuts.size(); ++stage) {
    const std::size_t begin = stage == 0 ? 0 : cuts[stage - 1];
    const std::size_t end = stage < cuts.size() ? cuts[stage] : layers.size();
    sum += std::max(Bytes(0), held_by(layers, rules, stage, begin, end) - *rules.memory);
  }
  return static_cast<double>(sum.value());
}

}  // namespace

Result<std::optional<StageCuts>> anneal_cuts(std::span<const ChainLayer> layers,
                                             const CutRules& rules, const AnnealingRules& walk) {
  PLUTO_ASSIGN(auto best, place_greedily(layers, rules));
  const auto stages = static_cast<std::size_t>(rules.stages);
  if (stages == 1) return best;
  const auto neighbour = [&](const Cuts& cuts, std::mt19937_64& random) {
    return moved(cuts, layers.size(), random);
  };
  AnnealingRules left = walk;
  if (!best) {
    Cuts even;
    for (std::size_t stage = 1; stage < stages; ++stage) {
      even.push_back(stage * layers.size() / stages);
    }
    double now = excess(layers, rules, even);
    AnnealingRules first = walk;
    first.evaluations = walk.evaluations / 2;
    first.stop = [&] { return now <= 0 || (walk.stop && walk.stop()); };
    const auto energy = [&](const Cuts& cuts) -> Result<double> {
      const double one = excess(layers, rules, cuts);
      now = std::min(now, one);
      return one;
    };
    const double start = now;
    PLUTO_ASSIGN(auto fitting,
                 anneal(AnnealingProblem<Cuts>{neighbour, energy}, std::move(even), start, first));
    best = cuts_at(layers, rules, std::move(fitting.state));
    if (!best) return best;
    left.evaluations -= fitting.evaluations;
  }
  const auto energy = [&](const Cuts& cuts) -> Result<double> {
    const auto at = cuts_at(layers, rules, cuts);
    return at ? at->step(rules.micro_batches).value() : std::numeric_limits<double>::infinity();
  };
  PLUTO_ASSIGN(auto found, anneal(AnnealingProblem<Cuts>{neighbour, energy}, best->first,
                                  best->step(rules.micro_batches).value(), left));
  return cuts_at(layers, rules, std::move(found.state));
}

}  // namespace pluto
