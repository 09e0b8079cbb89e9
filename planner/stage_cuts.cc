#include "planner/stage_cuts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace pluto {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

class Chain {
 public:
  Chain(std::span<const ChainLayer> layers, const CutRules& rules)
      : rules_(rules), count_(layers.size()), stages_(static_cast<std::size_t>(rules.stages)) {
    time_.push_back(0);
    states_.push_back(0);
    kept_.push_back(0);
    transfer_.push_back(0);
    for (const ChainLayer& layer : layers) {
      time_.push_back(time_.back() + (layer.forward + layer.backward).value());
      states_.push_back(states_.back() + layer.states.value());
      kept_.push_back(kept_.back() + layer.kept.value());
      transfer_.push_back(stages_ > 1 ? (rules.latency + layer.output / rules.bandwidth).value()
                                      : 0.0);
    }
  }

  double time(std::size_t begin, std::size_t end) const { return time_[end] - time_[begin]; }
  double transfer(std::size_t cut) const { return transfer_[cut]; }

  bool fits(std::size_t stage, std::size_t begin, std::size_t end) const {
    if (!rules_.memory) return true;
    const auto in_flight =
        std::min<std::int64_t>(static_cast<std::int64_t>(stages_ - stage), rules_.micro_batches);
    return states_[end] - states_[begin] + in_flight * (kept_[end] - kept_[begin]) <=
           rules_.memory->value();
  }

  /// The slowest part of the best cuts by that alone.
  double lightest() const {
    std::vector<double> before(count_ + 1, kNever), now(count_ + 1);
    before[0] = 0;
    for (std::size_t stage = 0; stage < stages_; ++stage) {
      std::ranges::fill(now, kNever);
      for (std::size_t end = stage + 1; end <= count_; ++end) {
        // A stage that starts earlier is longer and holds more.
        for (std::size_t begin = end; begin-- > stage;) {
          const double own = time(begin, end);
          if (own >= now[end] || !fits(stage, begin, end)) break;
          now[end] = std::min(now[end], std::max({before[begin], own, transfer(begin)}));
        }
      }
      std::swap(before, now);
    }
    return before[count_];
  }

  /// The cuts with the smallest total whose parts all take at most `limit`.
  std::optional<StageCuts> smallest_total(double limit) const {
    std::vector<double> before(count_ + 1, kNever), now(count_ + 1);
    std::vector<std::vector<std::size_t>> start(stages_, std::vector<std::size_t>(count_ + 1));
    before[0] = 0;
    for (std::size_t stage = 0; stage < stages_; ++stage) {
      std::ranges::fill(now, kNever);
      for (std::size_t end = stage + 1; end <= count_; ++end) {
        for (std::size_t begin = end; begin-- > stage;) {
          if (time(begin, end) > limit || !fits(stage, begin, end)) break;
          if (transfer(begin) > limit) continue;
          const double total = before[begin] + 2 * transfer(begin);
          if (total >= now[end]) continue;
          now[end] = total;
          start[stage][end] = begin;
        }
      }
      std::swap(before, now);
    }
    if (before[count_] == kNever) return std::nullopt;
    StageCuts cuts;
    cuts.total = Seconds(time(0, count_) + before[count_]);
    double slowest = 0;
    for (std::size_t stage = stages_, end = count_; stage-- > 0;) {
      const std::size_t begin = start[stage][end];
      slowest = std::max({slowest, time(begin, end), transfer(begin)});
      if (stage > 0) cuts.first.push_back(begin);
      end = begin;
    }
    std::ranges::reverse(cuts.first);
    cuts.slowest = Seconds(slowest);
    return cuts;
  }

 private:
  const CutRules& rules_;
  std::size_t count_, stages_;
  std::vector<double> time_;  // sums of the first layers
  std::vector<std::int64_t> states_, kept_;
  std::vector<double> transfer_;  // before layer i; 0 before the first
};

}  // namespace

Result<void> check_rules(std::span<const ChainLayer> layers, const CutRules& rules) {
  if (rules.stages < 1 || rules.micro_batches < 1) {
    return invalid_input(fmt::format("stage cuts: {} stages and {} micro-batches", rules.stages,
                                     rules.micro_batches),
                         "give at least one of each");
  }
  if (layers.size() < static_cast<std::size_t>(rules.stages)) {
    return invalid_input(
        fmt::format("stage cuts: {} layers for {} stages", layers.size(), rules.stages),
        "ask for at most as many stages as there are layers");
  }
  if (rules.stages > 1 && !(rules.bandwidth.value() > 0)) {
    return invalid_input("stage cuts: the bandwidth between stages is not positive",
                         "give the bytes per second of the link between them");
  }
  return {};
}

Bytes held_by(std::span<const ChainLayer> layers, const CutRules& rules, std::size_t stage,
              std::size_t begin, std::size_t end) {
  const auto in_flight =
      std::min<std::int64_t>(rules.stages - static_cast<std::int64_t>(stage), rules.micro_batches);
  Bytes sum;
  for (std::size_t i = begin; i < end; ++i) sum += layers[i].states + layers[i].kept * in_flight;
  return sum;
}

std::optional<StageCuts> cuts_at(std::span<const ChainLayer> layers, const CutRules& rules,
                                 std::vector<std::size_t> first) {
  StageCuts cuts;
  const std::size_t stages = first.size() + 1;
  for (std::size_t stage = 0; stage < stages; ++stage) {
    const std::size_t begin = stage == 0 ? 0 : first[stage - 1];
    const std::size_t end = stage < first.size() ? first[stage] : layers.size();
    if (rules.memory && held_by(layers, rules, stage, begin, end) > *rules.memory) {
      return std::nullopt;
    }
    Seconds own;
    for (std::size_t i = begin; i < end; ++i) own += layers[i].forward + layers[i].backward;
    cuts.total += own;
    cuts.slowest = std::max(cuts.slowest, own);
    if (stage == 0) continue;
    const Seconds message = rules.latency + layers[begin - 1].output / rules.bandwidth;
    cuts.total += message * 2.0;
    cuts.slowest = std::max(cuts.slowest, message);
  }
  cuts.first = std::move(first);
  return cuts;
}

Result<std::optional<StageCuts>> cut_stages(std::span<const ChainLayer> layers,
                                            const CutRules& rules) {
  PLUTO_TRY(check_rules(layers, rules));
  const Chain chain(layers, rules);
  const double lightest = chain.lightest();
  auto best = chain.smallest_total(lightest);
  if (!best) return std::optional<StageCuts>();
  // A slower slowest part pays only by a smaller total, which has a floor.
  const auto floor = chain.smallest_total(kNever);
  const double turns = static_cast<double>(rules.micro_batches - 1);
  const auto step = [&](const StageCuts& cuts) { return cuts.step(rules.micro_batches); };
  double limit = floor->slowest.value();
  while (true) {
    if (turns > 0) limit = std::min(limit, (step(*best) - floor->total).value() / turns);
    if (limit <= lightest) break;
    const auto next = chain.smallest_total(limit);
    if (!next || next->slowest.value() <= lightest) break;
    const auto difference = step(*next) <=> step(*best);
    if (difference < 0 || (difference == 0 && next->slowest < best->slowest)) best = next;
    limit = std::nextafter(next->slowest.value(), 0.0);
  }
  return best;
}

}  // namespace pluto
