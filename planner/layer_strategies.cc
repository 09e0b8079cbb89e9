#include "planner/layer_strategies.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace pluto {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

/// One layer, its run's tables at hand.
struct Layer {
  const LayerRun* run;
  const TransitionTable* before;  // nullptr: free
};

std::vector<Layer> layers_of(std::span<const LayerRun> runs) {
  std::vector<Layer> layers;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    for (int i = 0; i < runs[r].count; ++i) {
      const TransitionTable& table = i == 0 ? runs[r].enter : runs[r].between;
      const bool free = table.empty() || layers.empty();
      layers.push_back({&runs[r], free ? nullptr : &table});
    }
  }
  return layers;
}

double transition(const Layer& layer, std::size_t before, std::size_t after) {
  return layer.before == nullptr ? 0.0 : (*layer.before)[before][after].value();
}

Result<void> check_table(const TransitionTable& table, std::size_t before, std::size_t after,
                         std::size_t run, const char* name) {
  if (table.empty()) return {};
  const bool fits = table.size() == before && std::ranges::all_of(table, [&](const auto& row) {
                      return row.size() == after;
                    });
  if (fits) return {};
  return invalid_input(
      fmt::format("layer strategies: runs[{}].{} is not {} x {}", run, name, before, after),
      "give a row per choice before and a column per choice after");
}

Result<void> check(std::span<const LayerRun> runs) {
  if (runs.empty()) return invalid_input("layer strategies: no layers", "give at least one run");
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const LayerRun& run = runs[r];
    if (run.count < 1 || run.choices.empty()) {
      return invalid_input(fmt::format("layer strategies: runs[{}] has {} layers and {} choices", r,
                                       run.count, run.choices.size()),
                           "give at least one of each");
    }
    for (const LayerChoice& choice : run.choices) {
      if (choice.memory.value() >= 0 && !std::isnan(choice.time.value())) continue;
      return invalid_input(
          fmt::format("layer strategies: runs[{}] has a choice of {} bytes and {} seconds", r,
                      choice.memory.value(), choice.time.value()),
          "give memory that is not negative and a time");
    }
    if (r > 0) {
      PLUTO_TRY(check_table(run.enter, runs[r - 1].choices.size(), run.choices.size(), r, "enter"));
    }
    PLUTO_TRY(check_table(run.between, run.choices.size(), run.choices.size(), r, "between"));
  }
  return {};
}

/// For one price l of memory (seconds per byte): the least time + l memory of the layers behind
/// each layer, by its choice.
struct Bound {
  double price = 0;
  std::vector<std::vector<double>> rest;    // by layer and choice: of the layers behind it
  std::vector<std::vector<int>> following;  // the choice of the next layer that gives it
  double least = 0;                         // of all layers
  int first = 0;                            // the first layer's choice
};

Bound bound_at(const std::vector<Layer>& layers, double price) {
  Bound bound;
  bound.price = price;
  bound.rest.resize(layers.size());
  bound.following.resize(layers.size());
  bound.rest.back().assign(layers.back().run->choices.size(), 0.0);
  const auto cost = [&](std::size_t i, std::size_t c) {
    const LayerChoice& choice = layers[i].run->choices[c];
    return choice.time.value() + price * static_cast<double>(choice.memory.value()) +
           bound.rest[i][c];
  };
  for (std::size_t i = layers.size() - 1; i-- > 0;) {
    const std::size_t choices = layers[i].run->choices.size();
    const std::size_t next = layers[i + 1].run->choices.size();
    bound.rest[i].assign(choices, kNever);
    bound.following[i].assign(choices, 0);
    for (std::size_t after = 0; after < next; ++after) {
      const double rest = cost(i + 1, after);
      for (std::size_t before = 0; before < choices; ++before) {
        const double all = rest + transition(layers[i + 1], before, after);
        if (all >= bound.rest[i][before]) continue;
        bound.rest[i][before] = all;
        bound.following[i][before] = static_cast<int>(after);
      }
    }
  }
  bound.least = kNever;
  for (std::size_t c = 0; c < layers[0].run->choices.size(); ++c) {
    if (cost(0, c) >= bound.least) continue;
    bound.least = cost(0, c);
    bound.first = static_cast<int>(c);
  }
  return bound;
}

/// The choices that give the bound.
LayerStrategies relaxed(const std::vector<Layer>& layers, const Bound& bound) {
  LayerStrategies found;
  double time = 0;
  std::int64_t memory = 0;
  int choice = bound.first;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (i > 0) {
      const int next = bound.following[i - 1][static_cast<std::size_t>(choice)];
      time +=
          transition(layers[i], static_cast<std::size_t>(choice), static_cast<std::size_t>(next));
      choice = next;
    }
    const LayerChoice& taken = layers[i].run->choices[static_cast<std::size_t>(choice)];
    time += taken.time.value();
    memory += taken.memory.value();
    found.choice.push_back(choice);
  }
  found.time = Seconds(time);
  found.memory = Bytes(memory);
  return found;
}

/// The least memory of the layers behind each layer, whatever their choices and transitions.
std::vector<std::int64_t> least_memory(const std::vector<Layer>& layers) {
  std::vector<std::int64_t> rest(layers.size(), 0);
  for (std::size_t i = layers.size() - 1; i-- > 0;) {
    const auto& choices = layers[i + 1].run->choices;
    rest[i] = rest[i + 1] + std::ranges::min(choices, {}, &LayerChoice::memory).memory.value();
  }
  return rest;
}

/// Choices up to some layer.
struct Label {
  std::int64_t memory;
  double time;
  std::int32_t choice, from;  // from: index among the labels of the layer before
};

/// Keeps of each choice what is not dominated. `hopeless` may drop a label early.
std::vector<std::vector<Label>> label_layers(
    const std::vector<Layer>& layers, Bytes limit,
    const std::function<bool(std::size_t layer, const Label&)>& hopeless) {
  const std::vector<std::int64_t> rest = least_memory(layers);
  std::vector<std::vector<Label>> labels(layers.size());
  std::vector<Label> found;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto& choices = layers[i].run->choices;
    for (std::size_t c = 0; c < choices.size(); ++c) {
      const double time = choices[c].time.value();
      const std::int64_t memory = choices[c].memory.value();
      const std::int64_t room = limit.value() - rest[i] - memory;
      found.clear();
      const auto add = [&](std::int64_t used, double spent, std::size_t from) {
        const Label label{used + memory, spent + time, static_cast<std::int32_t>(c),
                          static_cast<std::int32_t>(from)};
        if (used > room || !(label.time < kNever) || hopeless(i, label)) return;
        found.push_back(label);
      };
      if (i == 0) {
        add(0, 0.0, 0);
      } else {
        for (std::size_t from = 0; from < labels[i - 1].size(); ++from) {
          const Label& label = labels[i - 1][from];
          add(label.memory,
              label.time + transition(layers[i], static_cast<std::size_t>(label.choice), c), from);
        }
      }
      std::ranges::stable_sort(found, [](const Label& a, const Label& b) {
        return a.memory != b.memory ? a.memory < b.memory : a.time < b.time;
      });
      double fastest = kNever;
      for (const Label& label : found) {
        if (label.time >= fastest) continue;
        fastest = label.time;
        labels[i].push_back(label);
      }
    }
  }
  return labels;
}

LayerStrategies trace(const std::vector<std::vector<Label>>& labels, const Label& last) {
  LayerStrategies found;
  found.time = Seconds(last.time);
  found.memory = Bytes(last.memory);
  const Label* label = &last;
  for (std::size_t i = labels.size(); i-- > 0;) {
    found.choice.push_back(label->choice);
    if (i > 0) label = &labels[i - 1][static_cast<std::size_t>(label->from)];
  }
  std::ranges::reverse(found.choice);
  return found;
}

/// Bounds near the best price, and the fastest choices met that fit.
struct Relaxation {
  std::vector<Bound> bounds;
  std::optional<LayerStrategies> best;
};

Relaxation relax(const std::vector<Layer>& layers, Bytes limit) {
  constexpr int kHalvings = 40;
  constexpr std::size_t kBounds = 4;
  Relaxation result;
  const auto visit = [&](double price) {
    result.bounds.push_back(bound_at(layers, price));
    if (!(result.bounds.back().least < kNever)) return true;
    LayerStrategies found = relaxed(layers, result.bounds.back());
    const bool fits = found.memory <= limit;
    if (fits && (!result.best || found.time < result.best->time)) result.best = std::move(found);
    return fits;
  };
  if (visit(0.0)) return result;
  double low = 0, high = 1e-18;  // seconds per byte
  while (!visit(high) && high < 1e6) {
    low = high;
    high *= 16;
  }
  for (int i = 0; i < kHalvings && high > low * (1 + 1e-9); ++i) {
    const double middle = low == 0 ? high / 4 : std::sqrt(low * high);
    (visit(middle) ? high : low) = middle;
  }
  // The best bounds of all choices.
  const double room = static_cast<double>(limit.value());
  std::ranges::sort(result.bounds, [&](const Bound& a, const Bound& b) {
    return a.least - a.price * room > b.least - b.price * room;
  });
  if (result.bounds.size() > kBounds) result.bounds.resize(kBounds);
  return result;
}

}  // namespace

Result<std::optional<LayerStrategies>> choose_strategies(std::span<const LayerRun> runs,
                                                         Bytes limit) {
  PLUTO_TRY(check(runs));
  const std::vector<Layer> layers = layers_of(runs);
  Relaxation known = relax(layers, limit);
  const double fastest = known.best ? known.best->time.value() : kNever;
  const auto hopeless = [&](std::size_t layer, const Label& label) {
    const double room = static_cast<double>(limit.value() - label.memory);
    return std::ranges::any_of(known.bounds, [&](const Bound& bound) {
      return label.time + bound.rest[layer][static_cast<std::size_t>(label.choice)] -
                 bound.price * room >=
             fastest;
    });
  };
  const auto labels = label_layers(layers, limit, hopeless);
  if (labels.back().empty()) return std::move(known.best);
  const Label last = std::ranges::min(labels.back(), {}, &Label::time);
  if (last.time >= fastest) return std::move(known.best);
  return std::optional(trace(labels, last));
}

Result<std::vector<LayerStrategies>> strategy_front(std::span<const LayerRun> runs, Bytes limit) {
  PLUTO_TRY(check(runs));
  const std::vector<Layer> layers = layers_of(runs);
  const auto labels = label_layers(layers, limit, [](std::size_t, const Label&) { return false; });
  std::vector<Label> last = labels.back();
  std::ranges::stable_sort(last, [](const Label& a, const Label& b) {
    return a.memory != b.memory ? a.memory < b.memory : a.time < b.time;
  });
  std::vector<LayerStrategies> front;
  for (const Label& label : last) {
    if (front.empty() || label.time < front.back().time.value()) {
      front.push_back(trace(labels, label));
    }
  }
  return front;
}

}  // namespace pluto
