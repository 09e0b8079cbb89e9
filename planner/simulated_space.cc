#include "planner/simulated_space.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "costmodel/simulator.h"
#include "planner/cut_choice.h"
#include "planner/local_steps.h"
#include "planner/market_choice.h"
#include "planner/ranking.h"
#include "planner/sync_choice.h"
#include "planner/variants.h"

namespace pluto {

namespace {

bool on_gpus(const Plan& plan) { return plan.backend == "cuda"; }

/// Whether the job allows how a variant exchanges gradients: ZeRO by sharding, stages by
/// all_reduce.
bool may_exchange(const TrainingJob& job, const Plan& plan) {
  if (plan.layout.data == 1) return true;
  if (plan.shard > 0) return job.strategy.shard != 0;
  return plan.layout.pipeline == 1 ||
         std::ranges::count(job.allowed_sync, SyncMethod::kAllReduce) > 0;
}

}  // namespace

SimulatedSpace::SimulatedSpace(const TrainingJob& job, const ModelGraph& model,
                               std::int64_t dataset_samples,
                               const std::vector<Candidate>& candidates, const CostSource& costs)
    : job_(job),
      model_(model),
      dataset_samples_(dataset_samples),
      candidates_(candidates),
      costs_(costs),
      lowered_(model) {}

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
  PLUTO_ASSIGN(auto bounds, Bounds::make(model, any, job.allowed_sync, costs, job.local_allowed));
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

Result<RankedPlan> SimulatedSpace::predicted(Plan plan) {
  if (plan.layout.pipeline > 1) {
    PLUTO_ASSIGN(auto staged, predict(model_, plan, costs_));
    return RankedPlan{std::move(plan), std::move(staged.prediction), false};
  }
  PLUTO_ASSIGN(const auto lowered, lowered_.of(plan));
  PLUTO_ASSIGN(auto predicted, predict(*lowered, plan, costs_, {.timeline = false}));
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
  counted.target = not_carried_;
  return counted;
}

bool SimulatedSpace::carried(const Plan& plan) {
  const bool all = carries(job_.targets, knobs_of(plan));
  if (!all) ++not_carried_;
  return all;
}

Result<std::optional<CellBound>> SimulatedSpace::bound(std::size_t cell) {
  const Bytes overhead = costs_.process_overhead().value_or(Bytes(0));
  auto& shares = shares_[cell];
  const Placement& placement = space_.placements[cell];
  Plan plan = plan_of_share(cell, placement.micro_batches.front());
  for (const auto micro_batch : placement.micro_batches) {
    plan.micro_batch = micro_batch;
    plan.accumulation = placement.global_batch / placement.ranks / micro_batch;
    plan.data.readers = job_.data.readers;
    choose_readers(plan);
    PLUTO_ASSIGN(const auto memory, bounds_->memory(plan));
    const bool fits = memory + overhead <= plan.cluster.instance.node.device.memory;
    if (!fits) ++out_of_memory_;
    if (!fits && smaller_plans(plan, model_).empty()) continue;
    shares.push_back({micro_batch, bounds_->step(plan), fits, false});
  }
  if (shares.empty()) return std::optional<CellBound>();
  const bool none_fits = std::ranges::none_of(shares, &Share::fits);
  const Seconds infinite(std::numeric_limits<double>::infinity());
  Seconds step = infinite, compute = infinite;
  for (Share& share : shares) {
    plan.micro_batch = share.micro_batch;
    plan.accumulation = placement.global_batch / placement.ranks / share.micro_batch;
    // Stages, which are tried where nothing fits, exchange less.
    share.stages = none_fits;
    if (none_fits) share.step = bounds_->compute(plan);
    step = std::min(step, share.step);
    compute = std::min(compute, bounds_->compute(plan));
  }
  // What fits as it is comes first.
  std::ranges::stable_sort(shares, {},
                           [](const Share& share) { return std::pair(!share.fits, share.step); });
  return std::optional(least_run(job_, plan, step, compute));
}

Result<std::optional<RankedPlan>> SimulatedSpace::best(std::size_t cell,
                                                       const std::function<bool()>& stop) {
  std::optional<RankedPlan> best;
  for (const Share& share : shares_[cell]) {
    if (best && stop()) break;
    const double gain = share.fits ? 0 : kWorthLessMemory;
    if (best && best->prediction.step_time.p50 <= share.step * (1 + gain)) continue;
    PLUTO_ASSIGN(auto found, best_of(cell, share, stop));
    if (!found) continue;
    if (!best || found->prediction.step_time.p50 < best->prediction.step_time.p50) {
      best = std::move(found);
    }
  }
  return best;
}

/// The fastest way to run the share that fits; nullopt when none does.
Result<std::optional<RankedPlan>> SimulatedSpace::best_of(std::size_t cell, const Share& share,
                                                          const std::function<bool()>& stop) {
  Plan plan = plan_of_share(cell, share.micro_batch);
  choose_readers(plan);
  std::optional<RankedPlan> best;
  if (share.fits) {
    PLUTO_ASSIGN(const Seconds plain, plain_step(plan));
    std::vector<Frame> frames{{plan, gradients_}};
    if (plain > share.step * (1 + kNegligibleGain)) {
      PLUTO_ASSIGN(frames, quieter_frames(plan));
    }
    PLUTO_ASSIGN(best, chosen(std::move(frames), false, share.step, stop));
  }
  if (!best) {
    PLUTO_ASSIGN(best, smaller(plan, share.stages, stop));
  }
  if (!best && job_.targets.empty()) ++out_of_memory_;
  if (best && job_.local_allowed && on_gpus(plan) && !stop()) {
    PLUTO_TRY(try_local_steps(*best));
  }
  return best;
}

/// Takes the place of `best` where the run is done sooner at the job's confidence: what local steps
/// cost in samples is not known.
Result<void> SimulatedSpace::try_local_steps(RankedPlan& best) {
  auto local = with_local_steps(best.plan, best.prediction, gradients_);
  if (!local || !carried(*local)) return {};
  PLUTO_ASSIGN(auto ranked, predicted(std::move(*local)));
  ++evaluated_;
  if (!fits_memory(ranked.plan, ranked.prediction)) return {};
  const auto time = [&](const RankedPlan& one) {
    return one.prediction.time_to_target.p50 * quantile_factor(job_, one.prediction);
  };
  if (time(ranked) < time(best)) best = std::move(ranked);
  return {};
}

Result<Seconds> SimulatedSpace::plain_step(const Plan& plan) {
  std::vector<BucketPlan> buckets;
  if (plan.layout.data > 1) {
    const auto groups = sync_groups(gradients_, job_.allowed_sync);
    std::vector<SyncMethod> methods(gradients_.size());
    for (const SyncGroup& group : groups) {
      for (const auto i : group.parameters) methods[i] = group.methods.front();
    }
    buckets = make_buckets(gradients_, methods, kPlainBucket);
  }
  const Plan one = with_buckets(plan, std::move(buckets));
  PLUTO_ASSIGN(const auto lowered, lowered_.of(one));
  PLUTO_ASSIGN(const auto step,
               simulate(*lowered, one.cluster, one.data, costs_, {.timeline = false}));
  return step.step();
}

Result<std::vector<GradientInfo>> SimulatedSpace::gradients_of(const Plan& plan) const {
  if (plan.sharded.empty()) return gradients_;
  return gradient_order(model_, plan);
}

Result<std::vector<Frame>> SimulatedSpace::quieter_frames(const Plan& plan) const {
  const bool factors = std::ranges::count(job_.allowed_sync, SyncMethod::kSufficientFactor) > 0;
  std::vector<Frame> frames{{plan, gradients_}};
  PLUTO_ASSIGN(auto quieter, quieter_plans(plan, model_, factors, costs_));
  for (Plan& one : quieter) {
    if (!may_exchange(job_, one)) continue;
    PLUTO_ASSIGN(auto gradients, gradients_of(one));
    frames.push_back({std::move(one), std::move(gradients)});
  }
  return frames;
}

/// The fastest choice in the frames that fits; memory decides from the beginning where it is
/// `short_of`, else at the end.
Result<std::optional<RankedPlan>> SimulatedSpace::chosen(std::vector<Frame> frames, bool short_of,
                                                         Seconds floor,
                                                         const std::function<bool()>& stop) {
  SyncSpace space{std::move(frames), job_.allowed_sync};
  const Plan& plain = space.frames.front().plan;
  const DType narrow = element_type(plain.precision);
  // Only GPUs are told: the bundled executor sends what it computes in.
  if (on_gpus(plain) && narrow != DType::kF32) space.wires.push_back(narrow);
  if (short_of || !job_.targets.empty()) {
    space.lawful = [this, short_of](const Plan& plan) -> Result<bool> {
      if (!carried(plan)) return false;
      if (!short_of) return true;
      PLUTO_ASSIGN(const auto ranked, predicted(plan));
      return fits_memory(ranked.plan, ranked.prediction);
    };
  }
  PLUTO_ASSIGN(auto plans, choose_sync(lowered_, space, costs_, floor, stop, evaluated_));
  for (CostedPlan& one : plans) {
    PLUTO_ASSIGN(auto ranked, predicted(std::move(one.plan)));
    if (fits_memory(ranked.plan, ranked.prediction)) return std::optional(std::move(ranked));
  }
  return std::optional<RankedPlan>();
}

/// The fastest of what needs less memory that fits; in stages with buckets as usual.
Result<std::optional<RankedPlan>> SimulatedSpace::smaller(const Plan& plan, bool stages,
                                                          const std::function<bool()>& stop) {
  std::vector<Frame> frames;
  std::vector<Plan> staged;
  for (Plan& one : smaller_plans(plan, model_)) {
    if (!may_exchange(job_, one)) continue;
    if (one.layout.pipeline > 1) {
      if (stages) staged.push_back(std::move(one));
      continue;
    }
    PLUTO_ASSIGN(auto gradients, gradients_of(one));
    frames.push_back({std::move(one), std::move(gradients)});
  }
  std::optional<RankedPlan> best;
  if (!frames.empty()) {
    PLUTO_ASSIGN(best, chosen(std::move(frames), true, Seconds(), stop));
  }
  const Seconds least = bounds_->compute(plan);
  for (Plan& one : staged) {
    const auto step = [&] { return best->prediction.step_time.p50; };
    if (stop() || (best && step() <= least * (1 + kNegligibleGain))) break;
    const std::vector methods(gradients_.size(), SyncMethod::kAllReduce);
    if (one.layout.data > 1) {
      one = with_buckets(std::move(one), make_buckets(gradients_, methods, kPlainBucket));
    }
    auto cut = choose_cuts(model_, one, costs_);
    if (!cut.ok() && cut.error().code == ErrorCode::kUnsupported) continue;
    if (!cut.ok()) return cut.error();
    one.pipeline = std::move(*cut);
    if (!carried(one)) continue;
    PLUTO_ASSIGN(RankedPlan ranked, predicted(std::move(one)));
    ++evaluated_;
    if (!fits_memory(ranked.plan, ranked.prediction)) continue;
    if (!best || ranked.prediction.step_time.p50 * (1 + kNegligibleGain) < step()) {
      best = std::move(ranked);
    }
  }
  return best;
}

Result<std::optional<RankedPlan>> SimulatedSpace::plain(const RankedPlan& chosen) {
  Plan plan = chosen.plan;
  plan.shard = 0;
  plan.sharded.clear();
  plan.recompute = Recompute::kNone;
  plan.accumulation /= plan.layout.pipeline;
  plan.layout = Layout{.data = plan.layout.ranks()};
  plan.pipeline = {};
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
    if (!carries(job_.targets, knobs_of(plan))) continue;
    std::vector<BucketPlan> buckets;
    if (plan.layout.data > 1) buckets = make_buckets(gradients_, methods, kPerParameter);
    PLUTO_ASSIGN(auto one, predicted(with_buckets(plan, std::move(buckets))));
    if (!lightest || excess(one) < excess(*lightest)) lightest = std::move(one);
  }
  return lightest;
}

}  // namespace pluto
