#include "planner/transformer_space.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>
#include <tuple>
#include <utility>

#include "costmodel/transformer_layer_factor.h"
#include "costmodel/transformer_memory.h"
#include "costmodel/transformer_predictor.h"
#include "planner/market_choice.h"
#include "planner/sync_choice.h"
#include "planner/transformer_fit.h"

namespace pluto {

namespace {

constexpr int kMostContext = 16;
constexpr int kMostMicroBatch = 1024;
constexpr int kGathered = 3;  // the ZeRO stage whose layers run otherwise

std::vector<int> divisors(int number, int most) {
  std::vector<int> found;
  for (int i = 1; i <= std::min(number, most); ++i) {
    if (number % i == 0) found.push_back(i);
  }
  return found;
}

/// The fixed value, or what could be chosen.
std::vector<int> choices(const std::optional<int>& fixed, std::vector<int> free) {
  return fixed ? std::vector<int>{*fixed} : std::move(free);
}

std::vector<Recompute> recomputing(const StrategyChoice& choice) {
  if (choice.recompute) return {*choice.recompute};
  return {Recompute::kNone, Recompute::kSelective, Recompute::kFull};
}

std::vector<bool> sequence_choices(const StrategyChoice& choice, int tensor) {
  if (choice.sequence_parallel) return {*choice.sequence_parallel};
  return tensor > 1 ? std::vector<bool>{true, false} : std::vector<bool>{false};
}

}  // namespace

Result<std::unique_ptr<TransformerSpace>> TransformerSpace::make(
    const TrainingJob& job, const ModelGraph& model, const TransformerShape& shape,
    std::int64_t dataset_samples, const std::vector<TransformerPlace>& places) {
  std::unique_ptr<TransformerSpace> space(new TransformerSpace(job, model, shape, dataset_samples));
  if (places.empty()) {
    return invalid_input("instances: none is left to choose from", "name at least one instance");
  }
  // One rank alone takes every global batch: what is left are the batches themselves.
  TrainingJob alone = job;
  alone.ranks = 1;
  alone.min_ranks.reset();
  alone.max_ranks.reset();
  alone.micro_batch.reset();
  PLUTO_ASSIGN(Space batches,
               enumerate(alone, dataset_samples, {Candidate{places.front().candidate.instance}}));
  std::erase_if(batches.placements, [](const Placement& one) {
    return one.global_batch > std::numeric_limits<int>::max();
  });
  space->batches_ = std::move(batches.placements);
  if (!space->batches_.empty()) {
    const Plan whole =
        plan_of(job, model, dataset_samples, places.front().candidate, space->batches_.front(), 1);
    PLUTO_ASSIGN(space->gradients_, gradient_order(model, whole));
  }
  bool any_peak = false;
  for (const TransformerPlace& place : places) {
    const auto& device = place.candidate.instance.node.device;
    if (!(peak_rate(device, job.precision).value() > 0)) continue;
    any_peak = true;
    space->add_place(place);
    space->add_cells(space->places_.size() - 1);
  }
  if (!any_peak) {
    return unsupported(
        fmt::format("precision: none of the instances computes in {}", to_text(job.precision)),
        "choose another precision or newer devices");
  }
  return space;
}

void TransformerSpace::add_place(const TransformerPlace& given) {
  Place place{&given, {}};
  const StrategyChoice& choice = job_.strategy;
  const InstanceType& instance = given.candidate.instance;
  std::set<int> micro_batches;
  for (const Placement& batch : batches_) {
    const auto all = static_cast<int>(batch.global_batch);
    for (const int one : divisors(all, kMostMicroBatch)) micro_batches.insert(one);
  }
  if (job_.micro_batch) micro_batches = {static_cast<int>(*job_.micro_batch)};
  std::vector<int> contexts;
  for (int c = 1; c <= kMostContext; c *= 2) {
    if (shape_.sequence % c == 0) contexts.push_back(c);
  }
  const auto add = [&](const TransformerPlan& kind) {
    for (const int micro_batch : micro_batches) {
      Layer layer;
      layer.plan = kind;
      TransformerPlan& plan = layer.plan;
      plan.micro_batch = plan.global_batch = micro_batch;
      if (!check(shape_, plan).ok()) continue;
      // One layer alone: larger micro-batches are larger still.
      const Bytes least(static_cast<std::int64_t>(layer_activation_bytes(shape_, plan)));
      if (least > instance.node.device.memory) break;
      layer.cost = measured_layer_cost(shape_, plan, ClusterSpec{instance, 1}, given.evidence.costs,
                                       given.evidence.factors);
      const TransformerLayerCost& cost = layer.cost;
      const double sample = shape_.layers * (cost.forward + cost.backward + cost.tensor_comm) +
                            cost.head_forward + cost.head_backward + cost.head_comm +
                            cost.embedding;
      layer.device_seconds = sample * plan.tensor * plan.context / micro_batch;
      layer.kept_bytes = shape_.layers * layer_activation_bytes(shape_, plan);
      const bool whole = plan.shard != kGathered;
      layer.weight_bytes = whole ? parameters(shape_) / plan.tensor *
                                       static_cast<double>(activation_bytes(plan.precision))
                                 : 0;
      place.layers.push_back(std::move(layer));
    }
  };
  TransformerPlan kind;
  kind.precision = job_.precision;
  kind.attention = job_.attention;
  kind.overlap_data = true;
  kind.gradient_bytes = kTransformerGradientBytes;
  const auto tensors = divisors(shape_.heads, given.candidate.max_ranks);
  for (const int tensor : choices(choice.tensor, tensors)) {
    kind.tensor = tensor;
    for (const int context : choices(choice.context, contexts)) {
      kind.context = context;
      for (const bool sequence : sequence_choices(choice, tensor)) {
        kind.sequence_parallel = sequence;
        for (const Recompute recompute : recomputing(choice)) {
          kind.recompute = recompute;
          // Gradients of ZeRO 3 leave in every micro-batch: its layers add none up.
          for (const int shard : {0, kGathered}) {
            kind.shard = shard;
            if (shard == 0 || choice.shard.value_or(shard) == shard) add(kind);
          }
        }
      }
    }
  }
  std::ranges::stable_sort(place.layers, {}, &Layer::device_seconds);
  places_.push_back(std::move(place));
}

void TransformerSpace::add_cells(std::size_t index) {
  const Candidate& candidate = places_[index].given->candidate;
  const int devices = std::max(1, candidate.instance.node.devices);
  const StrategyChoice& choice = job_.strategy;
  std::vector<std::pair<int, int>> sizes;  // nodes, ranks
  if (job_.ranks) {
    const int nodes = choice.nodes.value_or((*job_.ranks + devices - 1) / devices);
    if (*job_.ranks <= candidate.max_ranks) sizes.emplace_back(nodes, *job_.ranks);
  } else {
    const int most = std::min(candidate.max_ranks, job_.max_ranks.value_or(candidate.max_ranks));
    for (const int ranks : divisors(devices, std::min(devices - 1, most))) {
      if (!choice.nodes || *choice.nodes == 1) sizes.emplace_back(1, ranks);
    }
    for (int nodes = 1; nodes * devices <= most; ++nodes) {
      if (!choice.nodes || *choice.nodes == nodes) sizes.emplace_back(nodes, nodes * devices);
    }
  }
  std::set<int> inners;  // tensor x context
  for (const Layer& layer : places_[index].layers) {
    inners.insert(layer.plan.tensor * layer.plan.context);
  }
  // Whether so many ranks can hold one copy of the model.
  std::vector<bool> copies(static_cast<std::size_t>(candidate.max_ranks) + 1);
  for (const int inner : inners) {
    for (int pipeline = 1; pipeline <= shape_.layers; ++pipeline) {
      const std::int64_t copy = static_cast<std::int64_t>(inner) * pipeline;
      if (copy > candidate.max_ranks) break;
      if (choice.pipeline.value_or(pipeline) == pipeline) {
        copies[static_cast<std::size_t>(copy)] = true;
      }
    }
  }
  std::vector<std::vector<int>> sharers;  // by batch: data ranks that can share it
  for (const Placement& batch : batches_) {
    sharers.push_back(divisors(static_cast<int>(batch.global_batch), candidate.max_ranks));
  }
  for (const auto& [nodes, ranks] : sizes) {
    if (job_.min_ranks && ranks < *job_.min_ranks) continue;
    bool any = false;
    for (std::size_t batch = 0; batch < batches_.size(); ++batch) {
      const bool lawful = std::ranges::any_of(sharers[batch], [&, ranks = ranks](int data) {
        if (ranks % data != 0 || choice.data.value_or(data) != data) return false;
        const std::int64_t share = batches_[batch].global_batch / data;
        return copies[static_cast<std::size_t>(ranks / data)] &&
               (!job_.micro_batch || share % *job_.micro_batch == 0);
      });
      if (lawful) {
        cells_.push_back({index, nodes, ranks, batch});
        any = true;
      } else {
        ++divisibility_;
      }
    }
    for (const int inner : inners) {
      if (!any || ranks % inner != 0) continue;
      const auto [stages, is_new] = stages_.try_emplace(ranks / inner);
      if (is_new) stages->second = divisors(ranks / inner, shape_.layers);
    }
  }
}

ClusterSpec TransformerSpace::cluster_of(const Cell& cell) const {
  return ClusterSpec{places_[cell.place].given->candidate.instance, cell.nodes};
}

bool TransformerSpace::may_fit(const Cell& cell, const Layer& layer) const {
  const TransformerPlan& plan = layer.plan;
  const double outer = static_cast<double>(cell.ranks) / (plan.tensor * plan.context);
  const double batch = static_cast<double>(batches_[cell.batch].global_batch);
  const double kept = layer.kept_bytes * std::min(1.0, batch / (outer * plan.micro_batch));
  const double weights = layer.weight_bytes / std::min<double>(shape_.layers, outer);
  const auto& device = places_[cell.place].given->candidate.instance.node.device;
  return kept + weights <= static_cast<double>(device.memory.value());
}

/// Every plan of the cell whose layers are of this kind.
template <class Visit>
void TransformerSpace::visit_plans(const Cell& cell, const Layer& layer, Visit visit) const {
  const StrategyChoice& choice = job_.strategy;
  TransformerPlan plan = layer.plan;
  plan.global_batch = static_cast<int>(batches_[cell.batch].global_batch);
  const int inner = plan.tensor * plan.context;
  if (cell.ranks % inner != 0) return;
  const int outer = cell.ranks / inner;
  for (const int pipeline : stages_.at(outer)) {
    if (choice.pipeline && *choice.pipeline != pipeline) continue;
    plan.pipeline = pipeline;
    plan.data = outer / pipeline;
    if (choice.data && *choice.data != plan.data) continue;
    if (plan.global_batch % plan.data != 0) continue;
    const int share = plan.global_batch / plan.data;
    if (share % plan.micro_batch != 0) continue;
    const int micro_batches = share / plan.micro_batch;
    const int most = pipeline > 1 && micro_batches % pipeline == 0 ? shape_.layers / pipeline : 1;
    for (int interleave = 1; interleave <= most; ++interleave) {
      if (choice.interleave && *choice.interleave != interleave) continue;
      if (interleave > 1 && shape_.layers % (pipeline * interleave) != 0) continue;
      plan.interleave = interleave;
      const int last = plan.data * plan.context == 1 ? 0 : pipeline > 1 ? 1 : kGathered;
      for (int shard = 0; shard <= last; ++shard) {
        if (choice.shard && *choice.shard != shard) continue;
        if ((shard == kGathered) != (layer.plan.shard == kGathered)) continue;
        plan.shard = shard;
        visit(plan);
      }
    }
  }
}

std::optional<CellPlace> TransformerSpace::place(std::size_t index) const {
  const Cell& cell = cells_[index];
  const Placement& batch = batches_[cell.batch];
  return CellPlace{&places_[cell.place].given->candidate.instance, cell.ranks, batch.global_batch,
                   batch.steps};
}

Bytes TransformerSpace::gradient_bytes() const { return Bytes(4 * parameter_count(model_.graph)); }

Rejections TransformerSpace::rejections() const {
  Rejections counted;
  counted.memory = out_of_memory_;
  counted.divisibility = divisibility_;
  return counted;
}

Result<std::optional<CellBound>> TransformerSpace::bound(std::size_t index) {
  const Cell& cell = cells_[index];
  const Placement& batch = batches_[cell.batch];
  const auto& layers = places_[cell.place].layers;
  const auto first = std::ranges::find_if(layers, [&](const Layer& layer) {
    return batch.global_batch % layer.plan.micro_batch == 0 &&
           cell.ranks % (layer.plan.tensor * layer.plan.context) == 0 && may_fit(cell, layer);
  });
  if (first == layers.end()) {
    ++out_of_memory_;
    return std::optional<CellBound>();
  }
  const Seconds step(first->device_seconds * static_cast<double>(batch.global_batch) / cell.ranks);
  const Seconds time = step * static_cast<double>(batch.steps);
  return std::optional(CellBound{time, least_price(job_, cluster_of(cell)) * time});
}

Result<RankedPlan> TransformerSpace::ranked(const Cell& cell, const TransformerPlan& used) const {
  const TransformerPlace& given = *places_[cell.place].given;
  Placement placement = batches_[cell.batch];
  placement.ranks = used.data;
  Plan plan = plan_of(job_, model_, dataset_samples_, given.candidate, placement, used.micro_batch);
  plan.cluster.nodes = cell.nodes;
  plan.layout = {used.data, used.tensor, used.pipeline, used.context};
  plan.pipeline.interleave = used.interleave;
  plan.sequence_parallel = used.sequence_parallel;
  plan.shard = used.shard;
  plan.recompute = used.recompute;
  PLUTO_ASSIGN(auto predicted, predict_transformer_plan(shape_, plan, given.evidence));
  return RankedPlan{std::move(plan), std::move(predicted.prediction), false};
}

void TransformerSpace::finish(Plan& plan) const {
  plan.buckets.clear();
  if (plan.layout.data * plan.layout.context == 1) return;
  const auto method = plan.shard > 0 ? SyncMethod::kShard : SyncMethod::kAllReduce;
  plan.buckets = make_buckets(gradients_, std::vector(gradients_.size(), method),
                              kPlainBucket * plan.layout.tensor);
}

Result<std::optional<RankedPlan>> TransformerSpace::best(std::size_t index,
                                                         const std::function<bool()>&) {
  // A cell takes milliseconds: stopping between cells is soon enough.
  const Cell& cell = cells_[index];
  const Place& place = places_[cell.place];
  const ClusterSpec cluster = cluster_of(cell);
  const double share =
      static_cast<double>(batches_[cell.batch].global_batch) / static_cast<double>(cell.ranks);
  std::optional<Found> best;
  for (const Layer& layer : place.layers) {
    if (best && layer.device_seconds * share >= best->step.value()) break;
    if (cell.ranks % (layer.plan.tensor * layer.plan.context) != 0) continue;
    if (!may_fit(cell, layer)) {
      ++out_of_memory_;
      continue;
    }
    const TransformerLayerCost& cost = layer.cost;
    const double one = cost.forward + cost.backward + cost.tensor_comm;
    const double all =
        layer.device_seconds * layer.plan.micro_batch / (layer.plan.tensor * layer.plan.context);
    visit_plans(cell, layer, [&](const TransformerPlan& plan) {
      // m micro-batches of the fullest stage, and the others' once, an interleave-th of it: what
      // sends and exchanges only add to.
      const int most = (shape_.layers + plan.pipeline - 1) / plan.pipeline;
      const double chunks = plan.interleave;
      const double least = (plan.accumulation() - 1 / chunks) * most * one + all / chunks;
      if (best && least >= best->step.value()) return;
      ++evaluated_;
      const Seconds step =
          predict_transformer(layer.cost, shape_, plan, cluster, place.given->evidence.costs)
              .step();
      if (best && step >= best->step) return;
      const auto memory = with_optimizer(fullest_stage(shape_, plan), job_.optimizer, plan);
      if (memory.reserved() > cluster.instance.node.device.memory) {
        ++out_of_memory_;
        return;
      }
      best = Found{plan, step, memory.reserved()};
    });
  }
  if (!best) return std::optional<RankedPlan>();
  PLUTO_ASSIGN(auto one, ranked(cell, best->plan));
  return std::optional(std::move(one));
}

Result<RankedPlan> TransformerSpace::simplest(const RankedPlan& chosen) {
  const auto cell = std::ranges::find_if(cells_, [&](const Cell& one) {
    return one.ranks == chosen.plan.layout.ranks() &&
           batches_[one.batch].global_batch == chosen.plan.global_batch &&
           places_[one.place].given->candidate.instance.name == chosen.plan.cluster.instance.name;
  });
  if (cell == cells_.end()) return chosen;
  const Place& place = places_[cell->place];
  const ClusterSpec cluster = cluster_of(*cell);
  const double limit = chosen.prediction.step_time.p50.value() * (1 + kNegligibleGain);
  const double share = static_cast<double>(chosen.plan.global_batch) / cell->ranks;
  const auto key = [](const TransformerPlan& plan, Seconds step) {
    return std::tuple(plan.pipeline, plan.recompute, plan.interleave, plan.shard, step);
  };
  std::optional<Found> best;
  for (const Layer& layer : place.layers) {
    if (layer.device_seconds * share > limit) break;
    visit_plans(*cell, layer, [&](const TransformerPlan& plan) {
      const Seconds step =
          predict_transformer(layer.cost, shape_, plan, cluster, place.given->evidence.costs)
              .step();
      if (step.value() > limit || (best && key(plan, step) >= key(best->plan, best->step))) return;
      const auto memory = with_optimizer(fullest_stage(shape_, plan), job_.optimizer, plan);
      if (memory.reserved() > cluster.instance.node.device.memory) return;
      best = Found{plan, step, memory.reserved()};
    });
  }
  if (!best) return chosen;
  return ranked(*cell, best->plan);
}

Result<std::optional<RankedPlan>> TransformerSpace::plain(const RankedPlan& chosen) {
  const auto place = std::ranges::find_if(places_, [&](const Place& one) {
    return one.given->candidate.instance.name == chosen.plan.cluster.instance.name;
  });
  const int ranks = chosen.plan.layout.ranks();
  if (place == places_.end() || chosen.plan.global_batch % ranks != 0) {
    return std::optional<RankedPlan>();
  }
  const auto share = static_cast<int>(chosen.plan.global_batch / ranks);
  std::vector<Plan> plans;
  for (const int micro_batch : divisors(share, kMostMicroBatch)) {
    if (job_.micro_batch && *job_.micro_batch != micro_batch) continue;
    Plan plan = chosen.plan;
    plan.layout = {ranks, 1, 1, 1};
    plan.pipeline = {};
    plan.sequence_parallel = false;
    plan.shard = 0;
    plan.recompute = Recompute::kNone;
    plan.micro_batch = micro_batch;
    plan.accumulation = share / micro_batch;
    plans.push_back(std::move(plan));
  }
  if (plans.empty()) return std::optional<RankedPlan>();
  PLUTO_ASSIGN(auto priced, choose_micro_batch(shape_, plans, place->given->evidence));
  return std::optional(
      RankedPlan{std::move(priced.plan), std::move(priced.predicted.prediction), false});
}

Result<std::optional<RankedPlan>> TransformerSpace::lightest(const std::function<bool()>& stop) {
  std::optional<Found> lightest;
  std::size_t where = 0;
  const auto excess = [&](const Found& found, std::size_t cell) {
    const auto& device = places_[cells_[cell].place].given->candidate.instance.node.device;
    return (found.reserved - device.memory).value();
  };
  for (std::size_t index = 0; index < cells_.size(); ++index) {
    if (lightest && stop()) break;
    const Cell& cell = cells_[index];
    for (const Layer& layer : places_[cell.place].layers) {
      visit_plans(cell, layer, [&](const TransformerPlan& plan) {
        const Found one{
            plan, {}, with_optimizer(fullest_stage(shape_, plan), job_.optimizer, plan).reserved()};
        if (lightest && excess(one, index) >= excess(*lightest, where)) return;
        lightest = one;
        where = index;
      });
    }
  }
  if (!lightest) return std::optional<RankedPlan>();
  PLUTO_ASSIGN(auto one, ranked(cells_[where], lightest->plan));
  return std::optional(std::move(one));
}

}  // namespace pluto
