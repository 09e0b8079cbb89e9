#include "planner/simulated_space.h"

#include <algorithm>
#include <utility>

#include "planner/market_choice.h"
#include "planner/ranking.h"
#include "planner/sync_choice.h"
#include "planner/variants.h"

namespace pluto {

namespace {

/// Whether the job allows how variants.h exchanges gradients: sharded, or by all_reduce.
bool may_exchange(const TrainingJob& job, const Plan& plan) {
  if (plan.layout.data == 1) return true;
  return plan.shard > 0 ? job.strategy.shard != 0
                        : std::ranges::count(job.allowed_sync, SyncMethod::kAllReduce) > 0;
}

}  // namespace

SimulatedSpace::SimulatedSpace(const TrainingJob& job, const ModelGraph& model,
                               std::int64_t dataset_samples,
                               const std::vector<Candidate>& candidates, const CostSource& costs)
    : job_(job),
      model_(model),
      dataset_samples_(dataset_samples),
      candidates_(candidates),
      costs_(costs) {}

Result<std::unique_ptr<SimulatedSpace>> SimulatedSpace::make(
    const TrainingJob& job, const ModelGraph& model, std::int64_t dataset_samples,
    const std::vector<Candidate>& candidates, const CostSource& costs) {
  std::unique_ptr<SimulatedSpace> space(
      new SimulatedSpace(job, model, dataset_samples, candidates, costs));
  PLUTO_ASSIGN(space->space_, enumerate(job, dataset_samples, candidates));
  space->shares_.resize(space->space_.placements.size());
  if (space->space_.placements.empty()) return space;
  const Plan any = space->plan_of_share(0, space->space_.placements.front().micro_batches.front());
  PLUTO_ASSIGN(space->gradients_, gradient_order(model, any));
  PLUTO_ASSIGN(auto bounds, Bounds::make(model, any, job.allowed_sync, costs));
  space->bounds_.emplace(std::move(bounds));
  return space;
}

Plan SimulatedSpace::plan_of_share(std::size_t cell, std::int64_t micro_batch) const {
  const Placement& placement = space_.placements[cell];
  return plan_of(job_, model_, dataset_samples_, candidates_[placement.candidate], placement,
                 micro_batch);
}

void SimulatedSpace::choose_readers(Plan& plan) {
  if (job_.readers_chosen) plan.data.readers = bounds_->readers(plan);
}

Result<RankedPlan> SimulatedSpace::predicted(Plan plan) const {
  PLUTO_ASSIGN(auto predicted, predict(model_, plan, costs_));
  return RankedPlan{std::move(plan), std::move(predicted.prediction), false};
}

std::optional<CellPlace> SimulatedSpace::place(std::size_t cell) const {
  const Placement& one = space_.placements[cell];
  return CellPlace{&candidates_[one.candidate].instance, one.ranks, one.global_batch, one.steps};
}

Bytes SimulatedSpace::gradient_bytes() const { return Bytes(4 * parameter_count(model_.graph)); }

Rejections SimulatedSpace::rejections() const {
  Rejections counted;
  counted.memory = out_of_memory_;
  counted.divisibility = space_.divisibility;
  return counted;
}

Result<const TrainingGraph*> SimulatedSpace::training_of(const Plan& plan) {
  const auto found = trainings_.find(plan.accumulation);
  if (found != trainings_.end()) return &found->second;
  // Communication comes later: ranks alone run the same graph.
  PLUTO_ASSIGN(auto training,
               unsynchronized(model_, alone(plan, plan.micro_batch, plan.accumulation)));
  return &trainings_.emplace(plan.accumulation, std::move(training)).first->second;
}

Result<std::optional<CellBound>> SimulatedSpace::bound(std::size_t cell) {
  const Bytes overhead = costs_.process_overhead().value_or(Bytes(0));
  std::optional<CellBound> least;
  auto& shares = shares_[cell];
  std::optional<Share> lightest;  // of those that do not fit
  const auto lower_to = [&](const Plan& plan, Seconds step) {
    const Seconds time = step * static_cast<double>(plan.steps);
    if (!least || time < least->time) least = {time, least_price(job_, plan.cluster) * time};
  };
  const Placement& placement = space_.placements[cell];
  Plan plan = plan_of_share(cell, placement.micro_batches.front());
  for (const auto micro_batch : placement.micro_batches) {
    plan.micro_batch = micro_batch;
    plan.accumulation = placement.global_batch / placement.ranks / micro_batch;
    plan.data.readers = job_.data.readers;
    choose_readers(plan);
    PLUTO_ASSIGN(const auto memory, bounds_->memory(plan));
    const Share share{micro_batch, bounds_->step(plan), true};
    if (memory + overhead > plan.cluster.instance.node.device.memory) {
      ++out_of_memory_;
      if (!smaller_plans(plan).empty()) lightest = share;
      continue;
    }
    shares.push_back(share);
    lower_to(plan, share.step);
  }
  if (shares.empty() && lightest) {
    lightest->fits = false;
    shares.push_back(*lightest);
    lower_to(plan_of_share(cell, lightest->micro_batch), lightest->step);
  }
  std::ranges::stable_sort(shares, {}, &Share::step);
  return least;
}

Result<std::optional<RankedPlan>> SimulatedSpace::best(std::size_t cell,
                                                       const std::function<bool()>& stop) {
  std::optional<RankedPlan> best;
  for (const Share& share : shares_[cell]) {
    if (best && (best->prediction.step_time.p50 <= share.step || stop())) break;
    PLUTO_ASSIGN(auto found, best_of(cell, share, stop));
    if (!found) continue;
    if (!best || found->prediction.step_time.p50 < best->prediction.step_time.p50) {
      best = std::move(found);
    }
  }
  return best;
}

/// The fastest choice of sync methods and buckets that fits; nullopt when none does.
Result<std::optional<RankedPlan>> SimulatedSpace::best_of(std::size_t cell, const Share& share,
                                                          const std::function<bool()>& stop) {
  Plan plan = plan_of_share(cell, share.micro_batch);
  choose_readers(plan);
  std::optional<RankedPlan> best;
  if (share.fits) {
    PLUTO_ASSIGN(const TrainingGraph* training, training_of(plan));
    PLUTO_ASSIGN(auto alternatives, choose_sync(*training, plan, gradients_, job_.allowed_sync,
                                                costs_, share.step, stop, evaluated_));
    for (auto& alternative : alternatives) {
      const Plan one = with_buckets(plan, std::move(alternative.buckets));
      PLUTO_ASSIGN(const auto lowered, lower(*training, one));
      PLUTO_ASSIGN(auto predicted, predict(lowered, one, costs_));
      RankedPlan ranked{one, std::move(predicted.prediction), false};
      if (!fits_memory(ranked.plan, ranked.prediction)) continue;
      best = std::move(ranked);
      break;
    }
  }
  if (!best) {
    PLUTO_ASSIGN(best, fastest(smaller_plans(plan), {}, stop));
    if (!best) ++out_of_memory_;
    return best;
  }
  if (best->prediction.step_time.p50 <= share.step * (1 + kNegligibleGain)) return best;
  return fastest(quieter_plans(plan, model_), std::move(best), stop);
}

Result<std::optional<RankedPlan>> SimulatedSpace::fastest(std::vector<Plan> plans,
                                                          std::optional<RankedPlan> best,
                                                          const std::function<bool()>& stop) {
  for (Plan& plan : plans) {
    if (stop()) break;
    if (!may_exchange(job_, plan)) continue;
    const bool split = !plan.sharded.empty();
    std::vector<GradientInfo> own;
    if (split) {
      PLUTO_ASSIGN(own, gradient_order(model_, plan));
    }
    const auto& gradients = split ? own : gradients_;
    const auto method = plan.shard > 0 ? SyncMethod::kShard : SyncMethod::kAllReduce;
    auto buckets = make_buckets(gradients, std::vector(gradients.size(), method), kPlainBucket);
    if (plan.sharded.empty() && plan.shard == 0) {
      for (BucketPlan& bucket : buckets) bucket.wire = element_type(plan.precision);
    }
    if (plan.layout.data == 1) buckets.clear();
    plan = with_buckets(std::move(plan), std::move(buckets));
    RankedPlan one;
    if (split || plan.recompute != Recompute::kNone) {
      PLUTO_ASSIGN(one, predicted(std::move(plan)));
    } else {
      PLUTO_ASSIGN(const TrainingGraph* training, training_of(plan));
      PLUTO_ASSIGN(const auto lowered, lower(*training, plan));
      PLUTO_ASSIGN(auto predicted, predict(lowered, plan, costs_));
      one = {std::move(plan), std::move(predicted.prediction), false};
    }
    ++evaluated_;
    if (!fits_memory(one.plan, one.prediction)) continue;
    const bool faster = !best || one.prediction.step_time.p50 * (1 + kNegligibleGain) <
                                     best->prediction.step_time.p50;
    if (faster) best = std::move(one);
  }
  return best;
}

Result<std::optional<RankedPlan>> SimulatedSpace::plain(const RankedPlan& chosen) {
  Plan plan = chosen.plan;
  plan.shard = 0;
  plan.sharded.clear();
  plan.recompute = Recompute::kNone;
  std::vector<BucketPlan> buckets;
  if (plan.layout.data > 1) {
    const std::vector<SyncMethod> all_reduce(gradients_.size(), SyncMethod::kAllReduce);
    buckets = make_buckets(gradients_, all_reduce, kPlainBucket);
  }
  PLUTO_ASSIGN(auto plain, predicted(with_buckets(std::move(plan), std::move(buckets))));
  return std::optional(std::move(plain));
}

Result<std::optional<RankedPlan>> SimulatedSpace::lightest(const std::function<bool()>& stop) {
  std::optional<RankedPlan> lightest;
  const auto excess = [](const RankedPlan& one) {
    return (one.prediction.memory.total() + one.prediction.process_overhead -
            one.plan.cluster.instance.node.device.memory)
        .value();
  };
  const std::vector<SyncMethod> methods(gradients_.size(), SyncMethod::kAllReduce);
  for (std::size_t cell = 0; cell < cells(); ++cell) {
    if (lightest && stop()) break;
    const Plan plan = plan_of_share(cell, space_.placements[cell].micro_batches.back());
    std::vector<BucketPlan> buckets;
    if (plan.layout.data > 1) buckets = make_buckets(gradients_, methods, kPerParameter);
    PLUTO_ASSIGN(auto one, predicted(with_buckets(plan, std::move(buckets))));
    if (!lightest || excess(one) < excess(*lightest)) lightest = std::move(one);
  }
  return lightest;
}

}  // namespace pluto
