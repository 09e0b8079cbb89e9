#pragma once
// Simulated annealing over values: for spaces too large to try out.

#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <utility>

#include "base/result.h"

namespace pluto {

/// What anneal() walks over. Both functions are pure but for the random source they are given.
template <class State>
struct AnnealingProblem {
  std::function<State(const State&, std::mt19937_64&)> neighbour;  ///< one small change
  std::function<Result<double>(const State&)> energy;  ///< less is better; may be infinite
};

struct AnnealingRules {
  std::uint64_t seed = 1;
  std::int64_t evaluations = 0;  ///< of the energy, at most
  std::function<bool()> stop;    ///< asked before each; unset: never
};

/// Temperatures by what is seen. In the first tenth of the evaluations nothing worse is accepted
/// and the mean difference to what is worse is taken; the temperature begins where that difference
/// is accepted once in five, and falls by a constant factor to a hundredth of it.
/// Formula: T0 = mean uphill difference / ln 5; T(i) = T0 0.01^(i / n), i of the n evaluations
///   behind the first tenth; something worse by d is accepted with probability exp(-d / T).
/// Source: acceptance: Metropolis et al. 1953; falling temperature: Kirkpatrick, Gelatt and Vecchi
///   1983; T0 from an acceptance: Johnson et al. 1989, section 3 (0.2: for a start that is good
///   already, there "low-temperature starts"). The tenth and the hundredth are ours.
/// Valid for: energies of one scale. Test: planner/annealing_test.cc.
class AnnealingSchedule {
 public:
  AnnealingSchedule(std::uint64_t seed, std::int64_t evaluations);
  /// Whether to go on from something worse by `difference` (0 or less: always). Counts.
  bool accepts(double difference);
  double temperature() const;  ///< 0 while differences are taken
  std::mt19937_64& random() { return random_; }

 private:
  std::mt19937_64 random_;
  std::int64_t evaluations_, trials_, seen_ = 0, uphill_ = 0;
  double mean_uphill_ = 0;
};

template <class State>
struct Annealed {
  State state;  ///< the best that was seen
  double energy = 0;
  std::int64_t evaluations = 0;
};

/// From `start`, whose energy is known: the best state seen, never worse than the start.
/// Deterministic: the same rules give the same walk on every machine. Errors: those of the energy.
/// Ignores: that a state may be seen twice; the energy may remember. Test:
/// planner/annealing_test.cc.
template <class State>
Result<Annealed<State>> anneal(const AnnealingProblem<State>& problem, State start, double energy,
                               const AnnealingRules& rules) {
  AnnealingSchedule schedule(rules.seed, rules.evaluations);
  Annealed<State> best{start, energy, 0};
  State now = std::move(start);
  while (best.evaluations < rules.evaluations && !(rules.stop && rules.stop())) {
    State next = problem.neighbour(now, schedule.random());
    PLUTO_ASSIGN(const double value, problem.energy(next));
    ++best.evaluations;
    if (value < best.energy) {
      best.state = next;
      best.energy = value;
    }
    if (!schedule.accepts(value - energy)) continue;
    now = std::move(next);
    energy = value;
  }
  return best;
}

/// One of `count`, the same for the same source on every machine (the standard leaves its
/// distributions to the library). Precondition: count >= 1.
std::size_t pick(std::mt19937_64& random, std::size_t count);

}  // namespace pluto
