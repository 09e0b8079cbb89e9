#include "planner/graph_sharding.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/connected_components.hpp>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

namespace pluto {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

/// Costs of an edge by the choices of its two ops, rows those of the op with the smaller number.
struct Table {
  std::size_t columns = 0;
  std::vector<double> cost;
  double& at(std::size_t row, std::size_t column) { return cost[row * columns + column]; }
  double at(std::size_t row, std::size_t column) const { return cost[row * columns + column]; }
};

// setS: no parallel edges; vecS: an op keeps its number when others lose their edges.
using Graph =
    boost::adjacency_list<boost::setS, boost::vecS, boost::undirectedS, std::vector<double>, Table>;
using Op = Graph::vertex_descriptor;

double edge_cost(const Graph& graph, Op a, std::size_t choice_a, Op b, std::size_t choice_b) {
  const Table& table = graph[boost::edge(a, b, graph).first];
  return a < b ? table.at(choice_a, choice_b) : table.at(choice_b, choice_a);
}

/// Adds to an edge, or makes one. `cost(choice of a, choice of b)`.
template <class Cost>
void add_to_edge(Graph& graph, Op a, Op b, const Cost& cost) {
  const Op low = std::min(a, b), high = std::max(a, b);
  auto [edge, exists] = boost::edge(low, high, graph);
  if (!exists) {
    edge = boost::add_edge(low, high, graph).first;
    graph[edge] = {graph[high].size(),
                   std::vector<double>(graph[low].size() * graph[high].size(), 0.0)};
  }
  Table& table = graph[edge];
  for (std::size_t i = 0; i < graph[low].size(); ++i) {
    for (std::size_t j = 0; j < graph[high].size(); ++j) {
      table.at(i, j) += low == a ? cost(i, j) : cost(j, i);
    }
  }
}

std::vector<Op> neighbours_of(const Graph& graph, Op op) {
  const auto [begin, end] = boost::adjacent_vertices(op, graph);
  return {begin, end};
}

/// An op that left the graph: its best choice by the choices of at most two others.
struct Eliminated {
  Op op;
  std::vector<Op> by;
  std::vector<std::size_t> best;  // [choice of by[0]][choice of by[1]]
};

struct Best {
  double cost = 0;
  std::size_t choice = 0;
};

/// The best choice of `op`, what it adds to itself given by `more`.
template <class More>
Best best_of(const Graph& graph, Op op, const More& more) {
  Best best{kNever, 0};
  for (std::size_t c = 0; c < graph[op].size(); ++c) {
    const double cost = graph[op][c] + more(c);
    if (cost < best.cost) best = {cost, c};
  }
  return best;
}

/// Takes an op with at most two neighbours out of the graph. Its costs go to them; alone, to
/// `total`.
Eliminated eliminate(Graph& graph, Op op, double& total) {
  Eliminated gone{op, neighbours_of(graph, op), {}};
  if (gone.by.empty()) {
    const Best best = best_of(graph, op, [](std::size_t) { return 0.0; });
    total += best.cost;
    gone.best.push_back(best.choice);
  } else if (gone.by.size() == 1) {
    const Op a = gone.by[0];
    for (std::size_t i = 0; i < graph[a].size(); ++i) {
      const Best best =
          best_of(graph, op, [&](std::size_t c) { return edge_cost(graph, op, c, a, i); });
      graph[a][i] += best.cost;
      gone.best.push_back(best.choice);
    }
  } else {
    const Op a = gone.by[0], b = gone.by[1];
    const std::size_t columns = graph[b].size();
    std::vector<double> cost;
    for (std::size_t i = 0; i < graph[a].size(); ++i) {
      for (std::size_t j = 0; j < columns; ++j) {
        const Best best = best_of(graph, op, [&](std::size_t c) {
          return edge_cost(graph, op, c, a, i) + edge_cost(graph, op, c, b, j);
        });
        cost.push_back(best.cost);
        gone.best.push_back(best.choice);
      }
    }
    boost::clear_vertex(op, graph);
    add_to_edge(graph, a, b, [&](std::size_t i, std::size_t j) { return cost[i * columns + j]; });
  }
  boost::clear_vertex(op, graph);
  return gone;
}

void choose(const Graph& before, const Eliminated& gone, std::vector<std::size_t>& choice) {
  std::size_t index = 0;
  for (Op by : gone.by) index = index * before[by].size() + choice[by];
  choice[gone.op] = gone.best[index];
}

/// Least costs of all ops and edges, as if each could have its own way.
double floor_of(const Graph& graph, const std::vector<Op>& ops) {
  double floor = 0;
  for (Op op : ops) {
    floor += std::ranges::min(graph[op]);
    for (Op other : neighbours_of(graph, op)) {
      if (op < other) floor += std::ranges::min(graph[boost::edge(op, other, graph).first].cost);
    }
  }
  return floor;
}

/// The least cost of `ops`, which no edge leaves, if it is below `limit`; their choices then.
std::optional<double> solve(Graph graph, std::vector<Op> ops, double limit,
                            std::vector<std::size_t>& choice);

/// The same where each op has three neighbours or more.
std::optional<double> try_choices(const Graph& graph, const std::vector<Op>& ops, double limit,
                                  std::vector<std::size_t>& choice) {
  const Op widest =
      *std::ranges::max_element(ops, {}, [&](Op op) { return boost::out_degree(op, graph); });
  std::vector<Op> rest = ops;
  std::erase(rest, widest);
  std::optional<double> best;
  for (std::size_t c = 0; c < graph[widest].size(); ++c) {
    const double own = graph[widest][c];
    if (!(own < limit)) continue;
    Graph fixed = graph;
    for (Op other : neighbours_of(graph, widest)) {
      for (std::size_t i = 0; i < graph[other].size(); ++i) {
        fixed[other][i] += edge_cost(graph, widest, c, other, i);
      }
    }
    boost::clear_vertex(widest, fixed);
    std::vector<std::size_t> tried = choice;
    const auto cost = solve(std::move(fixed), rest, limit - own, tried);
    if (!cost || !(own + *cost < limit)) continue;
    best = limit = own + *cost;
    choice = std::move(tried);
    choice[widest] = c;
  }
  return best;
}

/// Ops that are joined, group by group.
std::vector<std::vector<Op>> parts_of(const Graph& graph, const std::vector<Op>& ops) {
  std::vector<std::size_t> part(boost::num_vertices(graph));
  const std::size_t count = boost::connected_components(graph, part.data());
  std::vector<std::vector<Op>> parts(count);
  for (Op op : ops) parts[part[op]].push_back(op);
  std::erase_if(parts, [](const auto& one) { return one.empty(); });
  return parts;
}

std::optional<double> solve(Graph graph, std::vector<Op> ops, double limit,
                            std::vector<std::size_t>& choice) {
  double total = 0;
  std::vector<Eliminated> gone;
  for (bool changed = true; changed;) {
    changed = false;
    std::vector<Op> left;
    for (Op op : ops) {
      if (boost::out_degree(op, graph) > 2) {
        left.push_back(op);
        continue;
      }
      gone.push_back(eliminate(graph, op, total));
      changed = true;
    }
    ops = std::move(left);
  }
  if (!(total < limit)) return std::nullopt;
  const std::vector<std::vector<Op>> parts = parts_of(graph, ops);
  double rest = 0;
  for (const auto& part : parts) rest += floor_of(graph, part);
  if (!(rest < kNever)) return std::nullopt;
  for (const auto& part : parts) {
    rest -= floor_of(graph, part);
    const auto cost = try_choices(graph, part, limit - total - rest, choice);
    if (!cost) return std::nullopt;
    total += *cost;
  }
  if (!(total < limit)) return std::nullopt;
  for (std::size_t i = gone.size(); i-- > 0;) choose(graph, gone[i], choice);
  return total;
}

Result<Graph> graph_of(std::span<const std::vector<Seconds>> ops,
                       std::span<const ShardingEdge> edges) {
  const auto lawful = [](Seconds cost) {
    return !std::isnan(cost.value()) && cost.value() > -kNever;
  };
  Graph graph(ops.size());
  for (std::size_t o = 0; o < ops.size(); ++o) {
    if (ops[o].empty() || !std::ranges::all_of(ops[o], lawful)) {
      return invalid_input(
          fmt::format("shardings: ops[{}] has no choices, or one without a cost", o),
          "give each choice its seconds");
    }
    for (Seconds cost : ops[o]) graph[o].push_back(cost.value());
  }
  for (std::size_t e = 0; e < edges.size(); ++e) {
    const ShardingEdge& edge = edges[e];
    if (edge.from >= ops.size() || edge.to >= ops.size() || edge.from == edge.to) {
      return invalid_input(fmt::format("shardings: edges[{}] joins {} and {} of {} ops", e,
                                       edge.from, edge.to, ops.size()),
                           "join two different ops");
    }
    const bool fits =
        edge.cost.size() == ops[edge.from].size() &&
        std::ranges::all_of(edge.cost, [&](const auto& row) {
          return row.size() == ops[edge.to].size() && std::ranges::all_of(row, lawful);
        });
    if (!fits) {
      return invalid_input(fmt::format("shardings: edges[{}].cost is not {} x {} seconds", e,
                                       ops[edge.from].size(), ops[edge.to].size()),
                           "give a row per choice of `from` and a column per choice of `to`");
    }
    add_to_edge(graph, edge.from, edge.to,
                [&](std::size_t i, std::size_t j) { return edge.cost[i][j].value(); });
  }
  return graph;
}

}  // namespace

Result<Shardings> choose_shardings(std::span<const std::vector<Seconds>> ops,
                                   std::span<const ShardingEdge> edges) {
  PLUTO_ASSIGN(Graph graph, graph_of(ops, edges));
  std::vector<Op> all(ops.size());
  for (std::size_t o = 0; o < ops.size(); ++o) all[o] = o;
  Shardings result;
  result.choice.resize(ops.size(), 0);
  const auto total = solve(std::move(graph), std::move(all), kNever, result.choice);
  result.total = Seconds(total.value_or(kNever));
  return result;
}

}  // namespace pluto
