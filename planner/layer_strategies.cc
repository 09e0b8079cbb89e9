#include "planner/layer_strategies.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
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
  std::vector<double> rest;             // by layer and choice, see Chain::at
  std::vector<std::int32_t> following;  // the choice of the next layer that gives it
  double least = kNever;                // of all layers
  std::int32_t first = 0;               // the first layer's choice
};

/// The layers, and where each one's choices are in tables of all.
struct Chain {
  std::vector<Layer> layers;
  std::vector<std::size_t> at;

  explicit Chain(std::span<const LayerRun> runs) : layers(layers_of(runs)) {
    std::size_t choices = 0;
    for (const Layer& layer : layers) {
      at.push_back(choices);
      choices += layer.run->choices.size();
    }
    at.push_back(choices);
  }
};

Bound bound_at(const Chain& chain, double price) {
  const std::vector<Layer>& layers = chain.layers;
  Bound bound;
  bound.price = price;
  bound.rest.assign(chain.at.back(), 0.0);
  bound.following.assign(chain.at.back(), 0);
  const auto cost = [&](std::size_t i, std::size_t c) {
    const LayerChoice& choice = layers[i].run->choices[c];
    return choice.time.value() + price * static_cast<double>(choice.memory.value()) +
           bound.rest[chain.at[i] + c];
  };
  for (std::size_t i = layers.size() - 1; i-- > 0;) {
    const std::size_t choices = layers[i].run->choices.size();
    const std::size_t next = layers[i + 1].run->choices.size();
    const bool free = layers[i + 1].before == nullptr;
    double* rest = &bound.rest[chain.at[i]];
    std::int32_t* following = &bound.following[chain.at[i]];
    std::fill_n(rest, choices, kNever);
    for (std::size_t after = 0; after < next; ++after) {
      const double own = cost(i + 1, after);
      for (std::size_t before = 0; before < (free ? 1 : choices); ++before) {
        const double all = own + transition(layers[i + 1], before, after);
        if (all >= rest[before]) continue;
        rest[before] = all;
        following[before] = static_cast<std::int32_t>(after);
      }
    }
    if (!free) continue;
    std::fill_n(rest, choices, rest[0]);
    std::fill_n(following, choices, following[0]);
  }
  for (std::size_t c = 0; c < layers[0].run->choices.size(); ++c) {
    if (cost(0, c) >= bound.least) continue;
    bound.least = cost(0, c);
    bound.first = static_cast<std::int32_t>(c);
  }
  return bound;
}

/// The choices that give the bound.
LayerStrategies relaxed(const Chain& chain, const Bound& bound) {
  LayerStrategies found;
  double time = 0;
  std::int64_t memory = 0;
  auto choice = static_cast<std::size_t>(bound.first);
  found.choice.reserve(chain.layers.size());
  for (std::size_t i = 0; i < chain.layers.size(); ++i) {
    if (i > 0) {
      const auto next = static_cast<std::size_t>(bound.following[chain.at[i - 1] + choice]);
      time += transition(chain.layers[i], choice, next);
      choice = next;
    }
    const LayerChoice& taken = chain.layers[i].run->choices[choice];
    time += taken.time.value();
    memory += taken.memory.value();
    found.choice.push_back(static_cast<int>(choice));
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

bool smaller(const Label& a, const Label& b) {
  return a.memory != b.memory ? a.memory < b.memory : a.time < b.time;
}

/// Sorts, and keeps of each memory what is faster than all that is smaller.
void keep_undominated(std::vector<Label>& labels) {
  std::ranges::sort(labels, smaller);
  double fastest = kNever;
  std::erase_if(labels, [&](const Label& label) {
    if (label.time >= fastest) return true;
    fastest = label.time;
    return false;
  });
}

/// Choices of a layer from which the next layer costs the same whatever it is: their labels
/// compete. By choice, the first of its kind.
std::vector<std::size_t> kinds_of(std::size_t choices, const TransitionTable* next) {
  std::vector<std::size_t> kind(choices, 0);
  for (std::size_t c = 1; next != nullptr && c < choices; ++c) {
    while ((*next)[kind[c]] != (*next)[c]) ++kind[c];
  }
  return kind;
}

/// Keeps what is not dominated. `hopeless(layer, label)` may drop a label early.
template <class Hopeless>
std::vector<std::vector<Label>> label_layers(const std::vector<Layer>& layers, Bytes limit,
                                             const Hopeless& hopeless) {
  const std::vector<std::int64_t> rest = least_memory(layers);
  std::vector<std::vector<Label>> labels(layers.size());
  std::vector<std::vector<Label>> found;  // by kind
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto& choices = layers[i].run->choices;
    const TransitionTable* next = i + 1 < layers.size() ? layers[i + 1].before : nullptr;
    const std::vector<std::size_t> kind = kinds_of(choices.size(), next);
    found.assign(choices.size(), {});
    for (std::size_t c = 0; c < choices.size(); ++c) {
      const double time = choices[c].time.value();
      const std::int64_t memory = choices[c].memory.value();
      const std::int64_t room = limit.value() - rest[i];
      const auto add = [&](std::int64_t used, double spent, std::size_t from) {
        const Label label{used + memory, spent + time, static_cast<std::int32_t>(c),
                          static_cast<std::int32_t>(from)};
        if (label.memory > room || !(label.time < kNever) || hopeless(i, label)) return;
        found[kind[c]].push_back(label);
      };
      if (i == 0) add(0, 0.0, 0);
      for (std::size_t from = 0; i > 0 && from < labels[i - 1].size(); ++from) {
        const Label& label = labels[i - 1][from];
        add(label.memory,
            label.time + transition(layers[i], static_cast<std::size_t>(label.choice), c), from);
      }
    }
    for (std::vector<Label>& one : found) {
      keep_undominated(one);
      labels[i].insert(labels[i].end(), one.begin(), one.end());
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

/// Bounds at and around the best price, and the fastest choices met that fit.
struct Relaxation {
  std::vector<Bound> bounds;
  std::optional<LayerStrategies> best;
};

/// The bound is the lower envelope of lines, one per choice of all layers: from the fastest choices
/// and the smallest ones to where their lines cross, and on with what is found there (Kelley 1960).
Relaxation relax(const Chain& chain, Bytes limit) {
  constexpr int kCrossings = 64;
  constexpr std::size_t kBounds = 3;
  constexpr double kHighest = 1e6;  // seconds per byte: memory alone counts
  Relaxation result;
  LayerStrategies small, fast;
  const auto visit = [&](double price) {
    result.bounds.push_back(bound_at(chain, price));
    if (result.bounds.size() > kBounds) result.bounds.erase(result.bounds.begin());
    if (!(result.bounds.back().least < kNever)) return true;  // nothing is lawful
    LayerStrategies found = relaxed(chain, result.bounds.back());
    if (found.memory > limit) {
      fast = std::move(found);
      return false;
    }
    if (!result.best || found.time < result.best->time) result.best = found;
    small = std::move(found);
    return true;
  };
  if (visit(0.0) || !visit(kHighest)) return result;
  result.bounds.clear();
  double last = -1;
  for (int i = 0; i < kCrossings && small.memory < fast.memory; ++i) {
    const double price = (small.time - fast.time).value() /
                         static_cast<double>((fast.memory - small.memory).value());
    if (price == last || !(price > 0)) break;
    last = price;
    visit(price);
  }
  return result;
}

}  // namespace

Result<std::optional<LayerStrategies>> choose_strategies(std::span<const LayerRun> runs,
                                                         Bytes limit) {
  PLUTO_TRY(check(runs));
  const Chain chain(runs);
  Relaxation known = relax(chain, limit);
  const double fastest = known.best ? known.best->time.value() : kNever;
  const auto hopeless = [&](std::size_t layer, const Label& label) {
    const double room = static_cast<double>(limit.value() - label.memory);
    return std::ranges::any_of(known.bounds, [&](const Bound& bound) {
      return label.time + bound.rest[chain.at[layer] + static_cast<std::size_t>(label.choice)] -
                 bound.price * room >=
             fastest;
    });
  };
  const auto labels = label_layers(chain.layers, limit, hopeless);
  if (labels.back().empty()) return std::move(known.best);
  const Label last = std::ranges::min(labels.back(), {}, &Label::time);
  if (last.time >= fastest) return std::move(known.best);
  return std::optional(trace(labels, last));
}

Result<std::vector<LayerStrategies>> strategy_front(std::span<const LayerRun> runs, Bytes limit) {
  PLUTO_TRY(check(runs));
  const std::vector<Layer> layers = layers_of(runs);
  const auto labels = label_layers(layers, limit, [](std::size_t, const Label&) { return false; });
  std::vector<LayerStrategies> front;
  for (const Label& label : labels.back()) front.push_back(trace(labels, label));
  return front;
}

}  // namespace pluto
