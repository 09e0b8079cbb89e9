#include "planner/planner.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "planner/bounds.h"
#include "planner/market_choice.h"
#include "planner/ranking.h"
#include "planner/space.h"
#include "planner/sync_choice.h"

namespace pluto {

namespace {

constexpr std::size_t kRankedPlans = 10;

/// A configuration of the outer space with what it cannot beat.
struct Item {
  std::size_t placement = 0;
  std::int64_t micro_batch = 1;
  Seconds step;  // lower bounds
  Score score{};
  bool cut = false;  // its bounds already miss a limit
};

class Search {
 public:
  Search(const TrainingJob& job, const ModelGraph& model, std::int64_t dataset_samples,
         const std::vector<Candidate>& candidates, const CostSource& costs,
         const std::function<bool()>& stop)
      : job_(job),
        model_(model),
        dataset_samples_(dataset_samples),
        candidates_(candidates),
        costs_(costs),
        stop_([&stop] { return stop && stop(); }) {}

  Result<SearchResult> run() {
    PLUTO_ASSIGN(space_, enumerate(job_, dataset_samples_, candidates_));
    result_.rejections.divisibility = space_.divisibility;
    best_.resize(space_.placements.size());
    PLUTO_TRY(bound_all());
    PLUTO_TRY(evaluate(false));
    // Nothing meets the limits: what was cut is where the nearest misses are.
    if (count_feasible() == 0) PLUTO_TRY(evaluate(true));
    PLUTO_TRY(conclude());
    return std::move(result_);
  }

 private:
  Plan plan_of_item(const Item& item) const {
    const auto& placement = space_.placements[item.placement];
    return plan_of(job_, model_, dataset_samples_, candidates_[placement.candidate], placement,
                   item.micro_batch);
  }

  Result<void> bound_all() {
    if (space_.placements.empty()) return {};
    const auto& first = space_.placements.front();
    const Plan any = plan_of_item({0, first.micro_batches.front(), {}, {}, false});
    PLUTO_ASSIGN(gradients_, gradient_order(model_, any));
    PLUTO_ASSIGN(auto bounds, Bounds::make(model_, any, job_.allowed_sync, costs_));
    const Bytes overhead = costs_.process_overhead().value_or(Bytes(0));
    for (std::size_t p = 0; p < space_.placements.size(); ++p) {
      for (const auto micro_batch : space_.placements[p].micro_batches) {
        if (stop_()) {
          stopped_ = true;
          return {};
        }
        Item item{p, micro_batch, {}, {}, false};
        const Plan plan = plan_of_item(item);
        item.step = bounds.step(plan);
        const Seconds time = item.step * static_cast<double>(plan.steps);
        const Dollars price = plan.cluster.price() * time;
        // At confidence 0.5 and more the median must be within the limit.
        if (job_.confidence >= 0.5) {
          const bool slow = job_.deadline && time > *job_.deadline;
          const bool dear = job_.budget && price > *job_.budget;
          if (slow) ++result_.rejections.deadline;
          if (dear) ++result_.rejections.budget;
          item.cut = slow || dear;
        }
        PLUTO_ASSIGN(const auto memory, bounds.memory(plan));
        if (memory + overhead > plan.cluster.instance.node.device.memory) {
          ++result_.rejections.memory;
          continue;
        }
        item.score = score_of(job_, time, price, 1);
        items_.push_back(item);
      }
    }
    std::ranges::stable_sort(items_, {}, &Item::score);
    return {};
  }

  std::size_t count_feasible() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(best_, [](const auto& plan) { return plan && plan->meets_limits; }));
  }

  /// Score of the last plan that would still be ranked; nullopt while there is room.
  std::optional<Score> threshold() const {
    std::vector<Score> scores;
    for (const auto& plan : best_) {
      if (plan && plan->meets_limits) scores.push_back(score_of(job_, plan->prediction));
    }
    if (scores.size() < kRankedPlans) return std::nullopt;
    std::ranges::nth_element(scores, scores.begin() + (kRankedPlans - 1));
    return scores[kRankedPlans - 1];
  }

  Result<void> evaluate(bool cut) {
    for (const auto& item : items_) {
      if (item.cut != cut) continue;
      if (stopped_ || stop_()) {
        stopped_ = true;
        return {};
      }
      if (const auto last = threshold(); last && item.score > *last) return {};
      auto& best = best_[item.placement];
      if (best && best->prediction.step_time.p50 <= item.step) continue;
      PLUTO_ASSIGN(auto found, best_of(item));
      if (!found) continue;
      if (!best || found->prediction.step_time.p50 < best->prediction.step_time.p50) {
        best = std::move(found);
      }
    }
    return {};
  }

  Result<RankedPlan> predicted(Plan plan) const {
    PLUTO_ASSIGN(auto predicted, predict(model_, plan, costs_));
    RankedPlan ranked{std::move(plan), std::move(predicted.prediction), false};
    ranked.meets_limits = meets_deadline(job_, ranked.prediction) &&
                          meets_budget(job_, ranked.prediction) &&
                          fits_memory(ranked.plan, ranked.prediction);
    return ranked;
  }

  /// The fastest choice of sync methods and buckets that fits; nullopt when none does.
  Result<std::optional<RankedPlan>> best_of(const Item& item) {
    const Plan plan = plan_of_item(item);
    PLUTO_ASSIGN(auto alternatives, choose_sync(model_, plan, gradients_, job_.allowed_sync, costs_,
                                                stop_, result_.evaluated));
    for (auto& alternative : alternatives) {
      PLUTO_ASSIGN(auto ranked, predicted(with_buckets(plan, std::move(alternative.buckets))));
      if (!fits_memory(ranked.plan, ranked.prediction)) continue;
      // What the bounds had cut is counted already.
      if (!item.cut && !meets_deadline(job_, ranked.prediction)) ++result_.rejections.deadline;
      if (!item.cut && !meets_budget(job_, ranked.prediction)) ++result_.rejections.budget;
      return std::optional(std::move(ranked));
    }
    ++result_.rejections.memory;
    return std::optional<RankedPlan>();
  }

  Result<void> conclude() {
    std::vector<RankedPlan> all;
    for (auto& plan : best_) {
      if (!plan) continue;
      if (auto best = on_best_market(job_, *plan)) all.push_back(std::move(*best));
    }
    const auto misses = std::stable_partition(
        all.begin(), all.end(), [](const RankedPlan& plan) { return plan.meets_limits; });
    const bool found = misses != all.begin();
    if (found) {
      all.erase(misses, all.end());
      std::ranges::sort(all, [&](const auto& a, const auto& b) { return better(job_, a, b); });
    } else {
      auto nearest = nearest_misses(job_, all);
      result_.nearest_by_budget = std::move(nearest.by_budget);
      result_.nearest_by_deadline = std::move(nearest.by_deadline);
      result_.nearest_by_confidence = std::move(nearest.by_confidence);
      std::ranges::sort(all, [&](const auto& a, const auto& b) {
        const double first = overrun(job_, a.prediction), second = overrun(job_, b.prediction);
        return first != second ? first < second : better(job_, a, b);
      });
      if (all.empty() && !stopped_) PLUTO_TRY(add_lightest(all));
    }
    if (all.size() > kRankedPlans) all.resize(kRankedPlans);
    result_.ranked = std::move(all);
    result_.termination = stopped_ ? Termination::kLimitReached
                          : found  ? Termination::kFeasible
                                   : Termination::kInfeasible;
    if (result_.ranked.empty()) return {};
    const auto& chosen = result_.ranked.front().plan;
    std::vector<BucketPlan> plain;
    if (chosen.layout.data > 1) {
      const std::vector<SyncMethod> all_reduce(gradients_.size(), SyncMethod::kAllReduce);
      plain = make_buckets(gradients_, all_reduce, kPlainBucket);
    }
    PLUTO_ASSIGN(result_.baseline, predicted(with_buckets(chosen, std::move(plain))));
    prefer_plain();
    return {};
  }

  /// What gains less than predictions can tell apart is not worth another plan each time something
  /// was measured.
  void prefer_plain() {
    auto& first = result_.ranked.front();
    const auto& plain = *result_.baseline;
    const bool allowed = std::ranges::count(job_.allowed_sync, SyncMethod::kAllReduce) > 0;
    const bool as_good =
        plain.meets_limits == first.meets_limits && fits_memory(plain.plan, plain.prediction) &&
        plain.prediction.step_time.p50 <= first.prediction.step_time.p50 * (1 + kNegligibleGain);
    if (allowed && as_good) first = plain;
  }

  /// No plan fits any device: the one that misses by least, so that the memory it needs can be
  /// seen.
  Result<void> add_lightest(std::vector<RankedPlan>& all) {
    std::optional<RankedPlan> lightest;
    const auto excess = [](const RankedPlan& one) {
      return (one.prediction.memory.total() + one.prediction.process_overhead -
              one.plan.cluster.instance.node.device.memory)
          .value();
    };
    const std::vector<SyncMethod> methods(gradients_.size(), SyncMethod::kAllReduce);
    for (std::size_t p = 0; p < space_.placements.size(); ++p) {
      if (lightest && stop_()) break;
      const Plan plan = plan_of_item({p, space_.placements[p].micro_batches.back(), {}, {}, false});
      std::vector<BucketPlan> buckets;
      if (plan.layout.data > 1) buckets = make_buckets(gradients_, methods, kPerParameter);
      PLUTO_ASSIGN(auto one, predicted(with_buckets(plan, std::move(buckets))));
      if (!lightest || excess(one) < excess(*lightest)) lightest = std::move(one);
    }
    if (lightest) all.push_back(std::move(*lightest));
    return {};
  }

  const TrainingJob& job_;
  const ModelGraph& model_;
  const std::int64_t dataset_samples_;
  const std::vector<Candidate>& candidates_;
  const CostSource& costs_;
  const std::function<bool()> stop_;

  Space space_;
  std::vector<GradientInfo> gradients_;
  std::vector<Item> items_;                      // that may fit, by bound, best first
  std::vector<std::optional<RankedPlan>> best_;  // by placement
  bool stopped_ = false;
  SearchResult result_;
};

}  // namespace

Result<SearchResult> search(const TrainingJob& job, const ModelGraph& model,
                            std::int64_t dataset_samples, const std::vector<Candidate>& candidates,
                            const CostSource& costs, const std::function<bool()>& stop) {
  return Search(job, model, dataset_samples, candidates, costs, stop).run();
}

}  // namespace pluto
