#include "planner/transformer_space.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <tuple>
#include <utility>

#include "costmodel/transformer_memory.h"
#include "costmodel/transformer_predictor.h"
#include "planner/market_choice.h"
#include "planner/sync_choice.h"
#include "planner/transformer_fit.h"

namespace pluto {

namespace {

constexpr int kMostMicroBatch = 1024;
constexpr int kGathered = 3;  // the ZeRO stage whose layers run otherwise
constexpr double kRounding = 1e-12;

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
    space->knobs_ = knobs_of(whole, shape.layers);
  }
  space->chunks_.resize(static_cast<std::size_t>(shape.layers) + 1);
  for (int stages = 1; stages <= shape.layers; ++stages) {
    auto& chunks = space->chunks_[static_cast<std::size_t>(stages)];
    chunks = {1};
    if (stages == 1 || shape.layers % stages != 0) continue;
    chunks = divisors(shape.layers / stages, shape.layers);
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
  Place place;
  place.given = &given;
  const auto alike = std::ranges::find_if(places_, [&](const Place& one) {
    const TransformerPlace& other = *one.given;
    return other.candidate.max_ranks == given.candidate.max_ranks &&
           other.candidate.instance.node == given.candidate.instance.node &&
           other.evidence.costs.value == given.evidence.costs.value &&
           other.evidence.factors.factors().empty() && given.evidence.factors.factors().empty();
  });
  if (alike != places_.end()) {
    place.layers = alike->layers;
  } else {
    std::vector<int> batches;
    for (const Placement& batch : batches_) batches.push_back(static_cast<int>(batch.global_batch));
    const auto any_carried = [this](TransformerPlan one) {
      one.data = 2;  // so that what is sharded counts
      const int last = one.shard == kGathered ? kGathered : kGathered - 1;
      for (; one.shard <= last; ++one.shard) {
        if (carried(one, one.devices())) return true;
      }
      return false;
    };
    place.layers = std::make_shared<const PlacedLayers>(
        placed_layers(job_, shape_, batches, given, any_carried));
  }
  places_.push_back(std::move(place));
}

void TransformerSpace::add_cells(std::size_t index) {
  if (!job_.targets.empty() && places_[index].layers->by_time.empty()) return;
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
  const std::set<int>& inners = places_[index].layers->inners;
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
    for (std::size_t batch = 0; batch < batches_.size(); ++batch) {
      const bool lawful = std::ranges::any_of(sharers[batch], [&, ranks = ranks](int data) {
        if (ranks % data != 0 || choice.data.value_or(data) != data) return false;
        const std::int64_t share = batches_[batch].global_batch / data;
        return copies[static_cast<std::size_t>(ranks / data)] &&
               (!job_.micro_batch || share % *job_.micro_batch == 0);
      });
      if (lawful) {
        cells_.push_back({index, nodes, ranks, batch});
      } else {
        ++divisibility_;
      }
    }
  }
}

TransformerSpace::Spread TransformerSpace::spread_of(const Cell& cell) {
  const std::set<int>& inners = places_[cell.place].layers->inners;
  Spread spread(inners.empty() ? 0 : static_cast<std::size_t>(*inners.rbegin()) + 1);
  const auto batch = static_cast<int>(batches_[cell.batch].global_batch);
  for (const int inner : inners) {
    if (cell.ranks % inner != 0) continue;
    const int outer = cell.ranks / inner;
    const auto [found, is_new] = stages_.try_emplace(std::pair(outer, cell.batch));
    std::vector<Stages>& all = found->second;
    if (is_new) {
      for (const int pipeline : divisors(outer, shape_.layers)) {
        const int data = outer / pipeline;
        if (job_.strategy.pipeline.value_or(pipeline) != pipeline) continue;
        if (job_.strategy.data.value_or(data) != data) continue;
        if (batch % data == 0) all.push_back({pipeline, data, batch / data});
      }
    }
    spread[static_cast<std::size_t>(inner)] = &all;
  }
  return spread;
}

ClusterSpec TransformerSpace::cluster_of(const Cell& cell) const {
  return ClusterSpec{places_[cell.place].given->candidate.instance, cell.nodes};
}

bool TransformerSpace::fits(const Cell& cell, const PlacedLayer& layer) const {
  const auto& device = places_[cell.place].given->candidate.instance.node.device;
  return may_fit(layer, shape_.layers, cell.ranks,
                 static_cast<double>(batches_[cell.batch].global_batch),
                 static_cast<double>(device.memory.value()));
}

bool TransformerSpace::carried(const TransformerPlan& plan, int devices) {
  if (job_.targets.empty()) return true;
  PlanKnobs knobs = knobs_;
  knobs.layout = {plan.data, plan.tensor, plan.pipeline, plan.context};
  knobs.interleave = plan.interleave;
  knobs.sequence_parallel = plan.sequence_parallel;
  knobs.shard = plan.shard;
  knobs.recompute = plan.recompute;
  knobs.even_nodes = plan.devices() <= devices || plan.devices() % devices == 0;
  const bool all = carries(job_.targets, knobs);
  if (!all) ++not_carried_;
  return all;
}

/// Every plan of the cell whose layers are of this kind, but for those that `skip` names by their
/// stages and the samples of a data rank.
template <class Skip, class Visit>
void TransformerSpace::visit_plans(const Cell& cell, const Spread& spread, const PlacedLayer& layer,
                                   Skip skip, Visit visit) {
  const StrategyChoice& choice = job_.strategy;
  const int devices = std::max(1, places_[cell.place].given->candidate.instance.node.devices);
  TransformerPlan plan = layer.plan;
  plan.global_batch = static_cast<int>(batches_[cell.batch].global_batch);
  const auto* every = spread[static_cast<std::size_t>(plan.tensor * plan.context)];
  if (every == nullptr) return;
  for (const auto& [pipeline, data, share] : *every) {
    if (skip(pipeline, share) || share % plan.micro_batch != 0) continue;
    plan.pipeline = pipeline;
    plan.data = data;
    const int micro_batches = share / plan.micro_batch;
    const int last = plan.data * plan.context == 1 ? 0 : pipeline > 1 ? 1 : kGathered;
    for (const int interleave : chunks_[static_cast<std::size_t>(pipeline)]) {
      if (interleave > 1 && micro_batches % pipeline != 0) break;
      if (choice.interleave && *choice.interleave != interleave) continue;
      plan.interleave = interleave;
      for (int shard = 0; shard <= last; ++shard) {
        if (choice.shard && *choice.shard != shard) continue;
        if ((shard == kGathered) != (layer.plan.shard == kGathered)) continue;
        plan.shard = shard;
        if (carried(plan, devices)) visit(plan);
      }
    }
  }
}

constexpr auto kNoStage = [](int, int) { return false; };

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
  counted.target = not_carried_;
  return counted;
}

Result<std::optional<CellBound>> TransformerSpace::bound(std::size_t index) {
  const Cell& cell = cells_[index];
  const Placement& batch = batches_[cell.batch];
  const auto& layers = places_[cell.place].layers->by_time;
  const auto first = std::ranges::find_if(layers, [&](const PlacedLayer& layer) {
    return batch.global_batch % layer.plan.micro_batch == 0 &&
           cell.ranks % (layer.plan.tensor * layer.plan.context) == 0 && fits(cell, layer);
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

void TransformerSpace::fastest_of(const Cell& cell, const Spread& spread,
                                  const ClusterSpec& cluster, const PlacedLayer& layer,
                                  Fastest& fastest) {
  const TransformerCosts& costs = places_[cell.place].given->evidence.costs;
  const Bytes memory_limit = cluster.instance.node.device.memory;
  const TransformerLayerCost& cost = layer.cost;
  const double one = cost.forward + cost.backward + cost.tensor_comm;
  const double all =
      layer.device_seconds * layer.plan.micro_batch / (layer.plan.tensor * layer.plan.context);
  const auto fullest = [&](int pipeline) {
    return (shape_.layers + pipeline - 1) / pipeline * one;
  };
  const double micro_batches = 1.0 / layer.plan.micro_batch;
  // The first stage keeps its layers of as many micro-batches as there are stages, beside its
  // weights and their gradients.
  const double room = static_cast<double>((memory_limit - framework_bytes(Bytes(0))).value());
  const auto element = static_cast<double>(activation_bytes(layer.plan.precision));
  const double each = element + std::max<double>(element, layer.plan.gradient_bytes);
  const double states =
      layer.plan.shard == kGathered ? 0 : shape_.layers * cost.layer_parameters * each;
  const auto skip = [&](int pipeline, int share) {
    const double m = share * micro_batches;
    if (!fastest.can_be(m * fullest(pipeline) * (1 - kRounding))) return true;
    if (share % layer.plan.micro_batch != 0) return true;
    const double kept = layer.kept_bytes * std::min<double>(m, pipeline);
    if (kept + states <= room * pipeline) return false;
    ++out_of_memory_;
    return true;
  };
  visit_plans(cell, spread, layer, skip, [&](const TransformerPlan& plan) {
    // m micro-batches of the fullest stage, and the others' once, an interleave-th of it: what
    // sends and exchanges only add to.
    const double chunks = plan.interleave;
    const double least = (plan.accumulation() - 1 / chunks) * fullest(plan.pipeline) + all / chunks;
    if (!fastest.can_be(least)) return;
    ++evaluated_;
    const Seconds step = predict_transformer(cost, shape_, plan, cluster, costs).step();
    if (!fastest.can_be(step.value())) return;
    const auto memory = with_optimizer(fullest_stage(shape_, plan), job_.optimizer, plan);
    if (memory.reserved() > memory_limit) {
      ++out_of_memory_;
      return;
    }
    fastest.found = Found{plan, step, memory.reserved()};
  });
}

Result<std::optional<RankedPlan>> TransformerSpace::best(std::size_t index,
                                                         const std::function<bool()>&) {
  // A cell takes a fraction of a millisecond: stopping between cells is soon enough.
  const Cell& cell = cells_[index];
  Place& place = places_[cell.place];
  const std::vector<PlacedLayer>& layers = place.layers->by_time;
  const ClusterSpec cluster = cluster_of(cell);
  const double share =
      static_cast<double>(batches_[cell.batch].global_batch) / static_cast<double>(cell.ranks);
  const Spread spread = spread_of(cell);
  const auto inside = [&](const PlacedLayer& layer) {
    return spread[static_cast<std::size_t>(layer.plan.tensor * layer.plan.context)] != nullptr;
  };
  Fastest fastest;
  if (place.last && inside(layers[*place.last])) {
    Fastest like_the_last;
    fastest_of(cell, spread, cluster, layers[*place.last], like_the_last);
    if (like_the_last.found) {
      fastest.reached = like_the_last.found->step.value() * (1 + kRounding);
    }
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const PlacedLayer& layer = layers[i];
    if (!fastest.can_be(layer.device_seconds * share)) break;
    if (!inside(layer)) continue;
    if (!fits(cell, layer)) {
      ++out_of_memory_;
      continue;
    }
    const bool had = fastest.found.has_value();
    const Seconds before = had ? fastest.found->step : Seconds(0);
    fastest_of(cell, spread, cluster, layer, fastest);
    if (fastest.found && (!had || fastest.found->step < before)) place.last = i;
  }
  if (!fastest.found) return std::optional<RankedPlan>();
  PLUTO_ASSIGN(auto one, ranked(cell, fastest.found->plan));
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
  const Spread spread = spread_of(*cell);
  const double limit = chosen.prediction.step_time.p50.value() * (1 + kNegligibleGain);
  const double share = static_cast<double>(chosen.plan.global_batch) / cell->ranks;
  const auto key = [](const TransformerPlan& plan, Seconds step) {
    return std::tuple(plan.pipeline, plan.recompute, plan.interleave, plan.shard, step);
  };
  std::optional<Found> best;
  for (const PlacedLayer& layer : place.layers->by_time) {
    if (layer.device_seconds * share > limit) break;
    visit_plans(*cell, spread, layer, kNoStage, [&](const TransformerPlan& plan) {
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
    const Spread spread = spread_of(cell);
    for (const auto* layers : places_[cell.place].layers->all()) {
      for (const PlacedLayer& layer : *layers) {
        visit_plans(cell, spread, layer, kNoStage, [&](const TransformerPlan& plan) {
          const auto memory = with_optimizer(fullest_stage(shape_, plan), job_.optimizer, plan);
          const Found one{plan, {}, memory.reserved()};
          if (lightest && excess(one, index) >= excess(*lightest, where)) return;
          lightest = one;
          where = index;
        });
      }
    }
  }
  if (!lightest) return std::optional<RankedPlan>();
  PLUTO_ASSIGN(auto one, ranked(cells_[where], lightest->plan));
  return std::optional(std::move(one));
}

}  // namespace pluto
