#include "planner/stage_fronts.h"

#include <fmt/format.h>

#include <algorithm>

namespace pluto {

Result<JoinedStages> join_stages(std::span<const std::vector<StageOption>> stages,
                                 std::int64_t micro_batches) {
  if (stages.empty() || micro_batches < 1) {
    return invalid_input(
        fmt::format("stage fronts: {} stages, {} micro-batches", stages.size(), micro_batches),
        "give at least one of each");
  }
  struct Entry {
    double steady;
    std::size_t stage, option;
  };
  std::vector<Entry> entries;
  for (std::size_t s = 0; s < stages.size(); ++s) {
    if (stages[s].empty()) {
      return invalid_input(fmt::format("stage fronts: stage {} has no options", s),
                           "give each stage one that fits");
    }
    for (std::size_t o = 0; o < stages[s].size(); ++o) {
      entries.push_back({stages[s][o].steady.value(), s, o});
    }
  }
  std::ranges::stable_sort(entries, {}, &Entry::steady);
  constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  const auto own = [&](std::size_t s, std::size_t o) {
    return (stages[s][o].steady + stages[s][o].once).value();
  };
  std::vector<std::size_t> option(stages.size(), kNone);
  std::size_t missing = stages.size();
  JoinedStages best;
  for (const Entry& entry : entries) {
    std::size_t& held = option[entry.stage];
    if (held == kNone) {
      --missing;
    } else if (own(entry.stage, held) <= own(entry.stage, entry.option)) {
      continue;
    }
    held = entry.option;
    if (missing > 0) continue;
    double sum = 0, slowest = 0;
    for (std::size_t s = 0; s < stages.size(); ++s) {
      sum += own(s, option[s]);
      slowest = std::max(slowest, stages[s][option[s]].steady.value());
    }
    const Seconds step(static_cast<double>(micro_batches - 1) * slowest + sum);
    if (best.option.empty() || step < best.step) best = {option, step};
  }
  return best;
}

}  // namespace pluto
