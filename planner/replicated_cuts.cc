#include "planner/replicated_cuts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace pluto {
namespace {

/// The best way to run layers first..last on so many machines of one level.
struct Entry {
  double time = 0;
  std::int32_t split = -1;    // last layer before the last stage; -1: one stage
  std::int32_t replicas = 1;  // of the last stage
};

class Level {
 public:
  Level(std::size_t firsts, std::size_t layers, const ClusterLevel& level)
      : layers_(layers),
        machines_(static_cast<std::size_t>(level.machines)),
        bandwidth_(level.bandwidth.value()),
        entries_(firsts * layers * machines_) {}

  Entry& at(std::size_t first, std::size_t last, std::size_t machines) {
    return entries_[(first * layers_ + last) * machines_ + machines - 1];
  }
  const Entry& at(std::size_t first, std::size_t last, std::size_t machines) const {
    return entries_[(first * layers_ + last) * machines_ + machines - 1];
  }
  std::size_t machines() const { return machines_; }
  double bandwidth() const { return bandwidth_; }

 private:
  std::size_t layers_, machines_;
  double bandwidth_;
  std::vector<Entry> entries_;
};

class Tables {
 public:
  Tables(std::span<const ChainLayer> layers, std::span<const ClusterLevel> levels)
      : count_(layers.size()) {
    for (const ChainLayer& layer : layers) {
      time_.push_back(time_.back() + (layer.forward + layer.backward).value());
      parameters_.push_back(parameters_.back() + static_cast<double>(layer.parameters.value()));
      output_.push_back(static_cast<double>(layer.output.value()));
    }
    std::size_t below = 1;
    for (std::size_t l = 0; l < levels.size(); ++l) {
      // Only the whole chain matters at the top.
      const std::size_t firsts = l + 1 == levels.size() ? 1 : count_;
      levels_.emplace_back(firsts, count_, levels[l]);
      fill(l, below, firsts);
      below *= static_cast<std::size_t>(levels[l].machines);
    }
  }

  ReplicatedCuts best() const {
    ReplicatedCuts cuts;
    const Level& top = levels_.back();
    cuts.slowest = Seconds(top.at(0, count_ - 1, top.machines()).time);
    append(levels_.size(), 0, count_ - 1, {}, cuts.stages);
    return cuts;
  }

 private:
  double parameters(std::size_t first, std::size_t last) const {
    return parameters_[last + 1] - parameters_[first];
  }
  /// On one machine of level `l`: all that is below it.
  double whole(std::size_t l, std::size_t first, std::size_t last) const {
    if (l == 0) return time_[last + 1] - time_[first];
    return levels_[l - 1].at(first, last, levels_[l - 1].machines()).time;
  }

  void fill(std::size_t l, std::size_t below, std::size_t firsts) {
    Level& level = levels_[l];
    for (std::size_t first = 0; first < firsts; ++first) {
      for (std::size_t machines = 1; machines <= level.machines(); ++machines) {
        const double m = static_cast<double>(machines);
        for (std::size_t last = first; last < count_; ++last) {
          const double sync = 4 * (m - 1) * parameters(first, last) /
                              (level.bandwidth() * m * static_cast<double>(below));
          Entry best{(whole(l, first, last) + (machines > 1 ? sync : 0.0)) / m, -1,
                     static_cast<std::int32_t>(machines)};
          if (machines > 1 && level.at(first, last, machines - 1).time <= best.time) {
            best = level.at(first, last, machines - 1);
          }
          for (std::size_t replicas = 1; replicas < machines; ++replicas) {
            split(l, first, last, machines, replicas, best);
          }
          level.at(first, last, machines) = best;
        }
      }
    }
  }

  /// Tries every last stage on `replicas` machines.
  void split(std::size_t l, std::size_t first, std::size_t last, std::size_t machines,
             std::size_t replicas, Entry& best) const {
    if (first == last) return;
    const Level& level = levels_[l];
    const double r = static_cast<double>(replicas);
    const double rest = static_cast<double>(machines - replicas);
    const double out = last + 1 < count_ ? 2 * output_[last] / (level.bandwidth() * r) : 0.0;
    if (out >= best.time) return;
    const auto stage = [&](std::size_t k) {
      return (whole(l, k + 1, last) +
              4 * (r - 1) * parameters(k + 1, last) / (level.bandwidth() * r)) /
             r;
    };
    const auto visit = [&](std::size_t k) {
      const double in = 2 * output_[k] / (level.bandwidth() * r);
      const double time =
          std::max({level.at(first, k, machines - replicas).time, stage(k), in, out});
      if (time < best.time) {
        best = {time, static_cast<std::int32_t>(k), static_cast<std::int32_t>(replicas)};
      }
    };
    if (l > 0) {
      for (std::size_t k = first; k < last; ++k) visit(k);
      return;
    }
    // The last stage shrinks with k; what is before it takes at least its compute time spread over
    // its machines, which grows. Outwards from where they meet.
    const auto front = [&](std::size_t k) { return whole(0, first, k) / rest; };
    std::size_t low = first, high = last;
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      if (stage(middle) > front(middle)) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    for (std::size_t k = low; k < last && front(k) < best.time; ++k) visit(k);
    for (std::size_t k = std::min(low, last); k-- > first && stage(k) < best.time;) visit(k);
  }

  /// The stages of first..last on one machine of level `l`, inner levels resolved.
  void append(std::size_t l, std::size_t first, std::size_t last, std::vector<int> outer,
              std::vector<ReplicatedStage>& stages) const {
    if (l == 0) {
      std::ranges::reverse(outer);
      stages.push_back({first, last + 1, std::move(outer)});
      return;
    }
    const Level& level = levels_[l - 1];
    struct Part {
      std::size_t first, last;
      int replicas;
    };
    std::vector<Part> parts;
    std::size_t machines = level.machines();
    for (bool whole_rest = false; !whole_rest;) {
      const Entry& entry = level.at(first, last, machines);
      whole_rest = entry.split < 0;
      const auto split = static_cast<std::size_t>(entry.split);
      parts.push_back({whole_rest ? first : split + 1, last, entry.replicas});
      if (whole_rest) break;
      machines =
          machines_of(level, first, last, machines) - static_cast<std::size_t>(entry.replicas);
      last = split;
    }
    std::ranges::reverse(parts);
    for (const Part& part : parts) {
      std::vector<int> replicas = outer;
      replicas.push_back(part.replicas);
      append(l - 1, part.first, part.last, std::move(replicas), stages);
    }
  }

  /// With how many machines the entry was found: those that later ones could not improve on copy
  /// it.
  static std::size_t machines_of(const Level& level, std::size_t first, std::size_t last,
                                 std::size_t machines) {
    const auto same = [](const Entry& a, const Entry& b) {
      return a.time == b.time && a.split == b.split && a.replicas == b.replicas;
    };
    while (machines > 1 &&
           same(level.at(first, last, machines - 1), level.at(first, last, machines))) {
      --machines;
    }
    return machines;
  }

  std::size_t count_;
  std::vector<double> time_{0}, parameters_{0}, output_;
  std::vector<Level> levels_;
};

}  // namespace

Result<ReplicatedCuts> cut_replicated(std::span<const ChainLayer> layers,
                                      std::span<const ClusterLevel> levels) {
  if (layers.empty() || levels.empty()) {
    return invalid_input(
        fmt::format("replicated cuts: {} layers on {} levels", layers.size(), levels.size()),
        "give at least one of each");
  }
  for (std::size_t l = 0; l < levels.size(); ++l) {
    if (levels[l].machines >= 1 && levels[l].bandwidth.value() > 0) continue;
    return invalid_input(fmt::format("replicated cuts: levels[{}] has {} machines and {} bytes/s",
                                     l, levels[l].machines, levels[l].bandwidth.value()),
                         "give at least one machine and a positive bandwidth");
  }
  return Tables(layers, levels).best();
}

}  // namespace pluto
