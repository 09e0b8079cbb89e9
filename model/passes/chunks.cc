#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "base/text.h"
#include "model/op_schema.h"
#include "model/passes/split_stages.h"

namespace pluto {
namespace {

/// A chunk may be so much heavier than in the best split anywhere.
constexpr double kSlack = 1.05;

struct Positions {
  std::vector<double> work;            // of the nodes before position i
  std::vector<std::int64_t> crossing;  // bytes of one sample that cross position i
};

Positions positions_of(const Graph& graph) {
  const std::size_t ops = graph.ops().size();
  Positions positions;
  positions.work.assign(ops + 1, 0);
  std::vector<std::int64_t> change(ops + 2, 0);
  for (const Op& op : graph.ops()) {
    const OpWork work = op_work(graph, op, 1);
    const double weight = work.flops.value() > 0
                              ? work.flops.value()
                              : static_cast<double>(work.read.value() + work.written.value());
    positions.work[op.id.index() + 1] = positions.work[op.id.index()] + weight;
    for (TensorId id : op.outputs) {
      const auto& readers = graph.consumers(id);
      if (readers.empty()) continue;
      change[op.id.index() + 1] += graph.tensor(id).type.bytes(1).value();
      change[readers.back().index() + 1] -= graph.tensor(id).type.bytes(1).value();
    }
  }
  positions.crossing.assign(ops + 1, 0);
  std::int64_t live = 0;
  for (std::size_t i = 0; i <= ops; ++i) {
    live += change[i];
    positions.crossing[i] = live;
  }
  return positions;
}

/// Cuts at allowed positions such that no chunk weighs more than `limit`; nullopt: there are none.
std::optional<std::vector<std::size_t>> cuts_within(const std::vector<double>& work,
                                                    const std::vector<std::size_t>& allowed,
                                                    int chunks, double limit) {
  std::vector<std::size_t> cuts;
  double begin = 0;
  std::size_t next = 0;
  for (int chunk = 0; chunk + 1 < chunks; ++chunk) {
    // As late as the limit allows, but leaving a position to each cut after this one.
    const std::size_t left = static_cast<std::size_t>(chunks - 2 - chunk);
    std::optional<std::size_t> best;
    for (std::size_t i = next; i + left < allowed.size(); ++i) {
      if (work[allowed[i]] - begin > limit) break;
      best = i;
    }
    if (!best) return std::nullopt;
    cuts.push_back(allowed[*best]);
    begin = work[allowed[*best]];
    next = *best + 1;
  }
  if (work.back() - begin > limit) return std::nullopt;
  return cuts;
}

/// The lightest heaviest chunk, by bisection; infinity when there are too few positions.
double least_limit(const std::vector<double>& work, const std::vector<std::size_t>& allowed,
                   int chunks) {
  double high = work.back();
  if (!cuts_within(work, allowed, chunks, high)) return std::numeric_limits<double>::infinity();
  double low = high / chunks;
  for (int round = 0; round < 40; ++round) {
    const double middle = (low + high) / 2;
    (cuts_within(work, allowed, chunks, middle) ? high : low) = middle;
  }
  return high;
}

/// Moves each cut to where least crosses it, as long as the chunks beside it stay within `limit`.
void narrow(const Positions& positions, double limit, std::vector<std::size_t>& cuts) {
  for (std::size_t c = 0; c < cuts.size(); ++c) {
    const std::size_t begin = c == 0 ? 0 : cuts[c - 1];
    const std::size_t end = c + 1 == cuts.size() ? positions.work.size() - 1 : cuts[c + 1];
    for (std::size_t i = begin + 1; i < end; ++i) {
      if (positions.work[i] - positions.work[begin] > limit ||
          positions.work[end] - positions.work[i] > limit) {
        continue;
      }
      if (positions.crossing[i] < positions.crossing[cuts[c]]) cuts[c] = i;
    }
  }
}

}  // namespace

Result<std::vector<int>> chunks_of(const Graph& forward, std::span<const std::string> cuts) {
  std::vector<int> chunk(forward.ops().size(), 0);
  std::size_t before = 0;
  for (std::size_t c = 0; c < cuts.size(); ++c) {
    const auto found = std::ranges::find(forward.ops(), cuts[c], &Op::name);
    if (found == forward.ops().end()) {
      std::vector<std::string> names;
      for (const Op& op : forward.ops()) names.push_back(op.name);
      const auto nearest = nearest_word(cuts[c], names);
      return invalid_input(fmt::format("cuts[{}]: the model has no node '{}'", c, cuts[c]),
                           nearest ? fmt::format("did you mean '{}'?", *nearest) : std::string());
    }
    const std::size_t first = found->id.index();
    if (first <= before) {
      return invalid_input(
          fmt::format("cuts[{}]: '{}' leaves no node to the chunk before it", c, cuts[c]),
          "name the first nodes of chunk 1, 2, ... in graph order");
    }
    std::fill(chunk.begin() + static_cast<std::ptrdiff_t>(first), chunk.end(),
              static_cast<int>(c) + 1);
    before = first;
  }
  return chunk;
}

Result<std::vector<std::string>> even_cuts(const Graph& forward, int chunks) {
  const std::size_t ops = forward.ops().size();
  if (chunks < 1 || static_cast<std::size_t>(chunks) > ops) {
    return invalid_input(fmt::format("{} nodes do not make {} chunks", ops, chunks),
                         "use fewer stages");
  }
  const Positions positions = positions_of(forward);
  std::vector<std::int64_t> widths(positions.crossing.begin() + 1, positions.crossing.end() - 1);
  std::ranges::sort(widths);
  widths.erase(std::unique(widths.begin(), widths.end()), widths.end());
  const auto allowed_below = [&](std::int64_t bytes) {
    std::vector<std::size_t> allowed;
    for (std::size_t i = 1; i < ops; ++i) {
      if (positions.crossing[i] <= bytes) allowed.push_back(i);
    }
    return allowed;
  };
  std::vector<std::string> cuts;
  if (chunks == 1) return cuts;
  const double best = least_limit(positions.work, allowed_below(widths.back()), chunks);
  for (const std::int64_t width : widths) {
    const auto allowed = allowed_below(width);
    const double limit = least_limit(positions.work, allowed, chunks);
    if (limit > kSlack * best && width != widths.back()) continue;
    auto at = *cuts_within(positions.work, allowed, chunks, limit);
    narrow(positions, kSlack * limit, at);
    for (const std::size_t i : at) cuts.push_back(forward.op(OpId(i)).name);
    break;
  }
  return cuts;
}

}  // namespace pluto
