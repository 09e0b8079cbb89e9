#include "planner/device_stages.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace pluto {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

/// Stages from some position to the end: what they use, and how they begin.
struct Tail {
  int devices = 0, replicas = 0;
  DeviceStage stage;
  std::size_t next = 0;  // index among the tails of stage.end
};

class Search {
 public:
  Search(const DeviceRules& rules, const StageTime& time) : rules_(rules), time_(time) {
    for (const StageWay& way : rules.ways) {
      asked_from_.push_back(asked_);
      asked_ += static_cast<std::size_t>((rules.replicas + way.replicas - 1) / way.replicas) + 1;
    }
    known_.resize((rules.positions + 1) * (rules.positions + 1));
  }

  std::optional<DeviceStages> within(double limit) {
    const std::size_t end = rules_.positions;
    std::vector<std::vector<Tail>> tails(end + 1);
    tails[end].push_back({});
    for (std::size_t begin = end; begin-- > 0;) {
      std::vector<Tail> found;
      for (std::size_t to = begin + 1; to <= end; ++to) {
        if (tails[to].empty()) continue;
        for (std::size_t way = 0; way < rules_.ways.size(); ++way) {
          if (ask(begin, to, way, 1) > limit) continue;
          extend(tails, begin, to, way, limit, found);
        }
      }
      tails[begin] = smallest(std::move(found));
    }
    if (tails[0].empty()) return std::nullopt;
    DeviceStages stages;
    const Tail* tail = &tails[0].front();
    stages.devices = tail->devices;
    double slowest = 0;
    for (std::size_t at = 0; at < end;) {
      const DeviceStage& stage = tail->stage;
      stages.stages.push_back(stage);
      slowest = std::max(slowest, ask(stage.begin, stage.end, stage.way, stage.in_flight));
      at = stage.end;
      if (at < end) tail = &tails[at][tail->next];
    }
    stages.slowest = Seconds(slowest);
    return stages;
  }

 private:
  void extend(const std::vector<std::vector<Tail>>& tails, std::size_t begin, std::size_t to,
              std::size_t way, double limit, std::vector<Tail>& found) {
    const auto [devices, replicas] = rules_.ways[way];
    for (std::size_t i = 0; i < tails[to].size(); ++i) {
      const Tail& tail = tails[to][i];
      if (tail.devices + devices > rules_.devices) break;  // ascending
      if (tail.replicas + replicas > rules_.replicas) continue;
      const int in_flight = (tail.replicas + replicas + replicas - 1) / replicas;
      if (ask(begin, to, way, in_flight) > limit) continue;
      found.push_back(
          {tail.devices + devices, tail.replicas + replicas, {begin, to, way, in_flight}, i});
    }
  }

  static std::vector<Tail> smallest(std::vector<Tail> found) {
    std::ranges::stable_sort(found, [](const Tail& a, const Tail& b) {
      return std::pair(a.devices, a.replicas) < std::pair(b.devices, b.replicas);
    });
    std::vector<Tail> kept;
    for (Tail& tail : found) {
      if (kept.empty() || tail.replicas < kept.back().replicas) kept.push_back(tail);
    }
    return kept;
  }

  double ask(std::size_t begin, std::size_t end, std::size_t way, int in_flight) {
    auto& known = known_[begin * (rules_.positions + 1) + end];
    if (known.empty()) known.resize(asked_, std::numeric_limits<double>::quiet_NaN());
    double& answer = known[asked_from_[way] + static_cast<std::size_t>(in_flight)];
    if (std::isnan(answer)) {
      const auto time = time_(begin, end, way, in_flight);
      answer = time ? time->value() : kNever;
    }
    return answer;
  }

  const DeviceRules& rules_;
  const StageTime& time_;
  std::vector<std::size_t> asked_from_;  // by way
  std::size_t asked_ = 0;
  std::vector<std::vector<double>> known_;  // by begin and end; not a number: not asked yet
};

}  // namespace

Result<std::optional<DeviceStages>> device_stages(const DeviceRules& rules, const StageTime& time) {
  const bool lawful = std::ranges::all_of(
      rules.ways, [](const StageWay& way) { return way.devices >= 1 && way.replicas >= 1; });
  if (rules.positions == 0 || rules.ways.empty() || !lawful || rules.devices < 1 ||
      rules.replicas < 1) {
    return invalid_input(
        fmt::format("device stages: {} positions, {} ways, {} devices, {} replicas",
                    rules.positions, rules.ways.size(), rules.devices, rules.replicas),
        "give at least one of each, and of each way");
  }
  constexpr double kLargest = std::numeric_limits<double>::max();
  constexpr double kClose = 1e-3;
  Search search(rules, time);
  auto best = search.within(kLargest);
  if (!best) return best;
  double low = 0;  // nothing is at or below it, once it is more than 0
  while (true) {
    const double high = best->slowest.value();
    const bool close = high - low <= kClose * high;
    const double limit = close ? std::nextafter(high, 0.0) : (low + high) / 2;
    auto better = limit < high ? search.within(limit) : std::nullopt;
    if (better) {
      best = std::move(better);
    } else if (close) {
      return search.within(high);  // of all as fast, on the fewest devices
    } else {
      low = limit;
    }
  }
}

}  // namespace pluto
