#include "planner/best_first.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "planner/closed_form_seed.h"
#include "planner/market_choice.h"
#include "planner/ranking.h"

namespace pluto {

namespace {

constexpr std::size_t kRankedPlans = 10;

/// A cell with what it cannot beat.
struct Item {
  std::size_t cell = 0;
  CellBound bound;
  Score score{};
  bool cut = false;   // its bounds already miss a limit
  bool done = false;  // priced
};

class Search {
 public:
  Search(const TrainingJob& job, PlanSpace& space, const std::function<bool()>& stop)
      : job_(job), space_(space), stop_([&stop] { return stop && stop(); }) {}

  Result<SearchResult> run(bool want_front) {
    PLUTO_TRY(bound_all());
    PLUTO_TRY(begin_at_seed());
    PLUTO_TRY(evaluate(false));
    // Nothing meets the limits: what was cut is where the nearest misses are.
    if (!stopped_ && !any_meets_limits()) PLUTO_TRY(evaluate(true));
    if (want_front) PLUTO_TRY(complete_front());
    PLUTO_TRY(conclude(want_front));
    finish_all();
    return std::move(result_);
  }

 private:
  Result<void> bound_all() {
    for (std::size_t cell = 0; cell < space_.cells(); ++cell) {
      if (stop_()) {
        stopped_ = true;
        break;
      }
      PLUTO_ASSIGN(const auto bound, space_.bound(cell));
      if (!bound) continue;
      Item item{cell, *bound, score_of(job_, bound->time, bound->price, 1)};
      // At confidence 0.5 and more the median must be within the limit.
      if (job_.confidence >= 0.5) {
        const bool slow = job_.deadline && bound->time > *job_.deadline;
        const bool dear = job_.budget && bound->price > *job_.budget;
        if (slow) ++result_.rejections.deadline;
        if (dear) ++result_.rejections.budget;
        item.cut = slow || dear;
      }
      items_.push_back(item);
    }
    std::ranges::stable_sort(items_, {}, &Item::score);
    return {};
  }

  /// The cell nearest to the closed form first: a stopped search has something good.
  Result<void> begin_at_seed() {
    std::vector<BoundedCell> cells;
    for (const Item& item : items_) {
      if (!item.cut) cells.push_back({item.cell, item.bound});
    }
    auto seed = closed_form_seed(job_, space_, cells);
    if (!seed) return {};
    result_.closed_form = std::move(seed->choice);
    const auto item = std::ranges::find(items_, seed->cell, &Item::cell);
    if (stopped_ || stop_()) return {};
    return price(*item);
  }

  bool any_meets_limits() const { return std::ranges::any_of(found_, &RankedPlan::meets_limits); }

  /// Score of the last plan that would still be ranked; nullopt while there is room.
  std::optional<Score> threshold() const {
    if (scores_.size() < kRankedPlans) return std::nullopt;
    return scores_.front();
  }

  void keep_score(const RankedPlan& plan) {
    if (!plan.meets_limits) return;
    scores_.push_back(score_of(job_, plan.prediction));
    std::ranges::push_heap(scores_);
    if (scores_.size() <= kRankedPlans) return;
    std::ranges::pop_heap(scores_);
    scores_.pop_back();
  }

  Result<void> evaluate(bool cut) {
    for (auto& item : items_) {
      if (item.cut != cut || item.done) continue;
      if (stopped_ || stop_()) {
        stopped_ = true;
        return {};
      }
      if (const auto last = threshold(); last && item.score > *last) return {};
      PLUTO_TRY(price(item));
    }
    return {};
  }

  Result<void> price(Item& item) {
    PLUTO_ASSIGN(auto best, space_.best(item.cell, stop_));
    // What was stopped inside a cell may have left out its best: its bound still stands.
    stopped_ = stopped_ || stop_();
    item.done = !stopped_;
    const bool fits = best.has_value();
    if (best) best = on_best_market(job_, *best);
    if (fits && !best) ++result_.rejections.market;
    if (!best) return {};
    const bool in_time = meets_deadline(job_, best->prediction);
    const bool in_budget = meets_budget(job_, best->prediction);
    // What the bounds had cut is counted already.
    if (!item.cut && !in_time) ++result_.rejections.deadline;
    if (!item.cut && !in_budget) ++result_.rejections.budget;
    judge(*best);
    keep_score(*best);
    found_.push_back(std::move(*best));
    return {};
  }

  bool dominated(const CellBound& bound) const {
    return std::ranges::any_of(found_, [&](const RankedPlan& one) {
      return one.prediction.time_to_target.p50 <= bound.time &&
             one.prediction.price.p50 <= bound.price;
    });
  }

  Result<void> complete_front() {
    for (auto& item : items_) {
      if (item.done || dominated(item.bound)) continue;
      if (stopped_ || stop_()) {
        stopped_ = true;
        return {};
      }
      PLUTO_TRY(price(item));
    }
    return {};
  }

  /// Plans that no other beats in both time and price, in any market the job allows, fastest first.
  std::vector<RankedPlan> front() const {
    std::vector<RankedPlan> sorted;
    for (RankedPlan one : found_) {
      one.plan.checkpoint_every = job_.checkpoint_every;  // a spot market has its own
      for (RankedPlan& plan : in_each_market(job_, one)) sorted.push_back(std::move(plan));
    }
    std::ranges::sort(sorted, [](const RankedPlan& a, const RankedPlan& b) {
      return std::pair(a.prediction.time_to_target.p50, a.prediction.price.p50) <
             std::pair(b.prediction.time_to_target.p50, b.prediction.price.p50);
    });
    std::vector<RankedPlan> kept;
    for (auto& one : sorted) {
      if (kept.empty() || one.prediction.price.p50 < kept.back().prediction.price.p50) {
        kept.push_back(std::move(one));
      }
    }
    return kept;
  }

  /// How much better than the first a cell that was not priced could be.
  double gap() const {
    if (!stopped_ || result_.ranked.empty()) return 0;
    const auto& first = result_.ranked.front().prediction;
    double most = 0;
    for (const auto& item : items_) {
      // What cannot meet the limits does not beat what does.
      if (item.done || (item.cut && result_.ranked.front().meets_limits)) continue;
      const double ratio = job_.minimize == Objective::kTime
                               ? item.bound.time / first.time_to_target.p50
                               : item.bound.price / first.price.p50;
      most = std::max(most, 1 - ratio);
    }
    return most;
  }

  Result<void> conclude(bool want_front) {
    if (want_front) result_.front = front();
    result_.cells = static_cast<std::int64_t>(items_.size());
    result_.evaluated = space_.evaluated();
    const auto counted = space_.rejections();
    result_.rejections.memory = counted.memory;
    result_.rejections.divisibility = counted.divisibility;
    result_.rejections.target = counted.target;
    auto& all = found_;
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
      if (all.empty() && !stopped_ && result_.rejections.market == 0) {
        // The plan that misses by least, so that the memory it needs can be seen.
        PLUTO_ASSIGN(auto lightest, space_.lightest(stop_));
        if (lightest) all.push_back(std::move(*lightest));
      }
    }
    if (all.size() > kRankedPlans) all.resize(kRankedPlans);
    result_.ranked = std::move(all);
    result_.termination = stopped_ ? Termination::kLimitReached
                          : found  ? Termination::kFeasible
                                   : Termination::kInfeasible;
    if (result_.ranked.empty()) return {};
    PLUTO_ASSIGN(result_.baseline, space_.plain(result_.ranked.front()));
    if (result_.baseline) judge(*result_.baseline);
    PLUTO_TRY(prefer_simple());
    result_.gap = gap();
    return {};
  }

  void judge(RankedPlan& plan) const {
    plan.meets_limits = meets_deadline(job_, plan.prediction) &&
                        meets_budget(job_, plan.prediction) &&
                        fits_memory(plan.plan, plan.prediction);
  }

  void finish_all() {
    for (auto* plans : {&result_.ranked, &result_.front}) {
      for (auto& one : *plans) space_.finish(one.plan);
    }
    for (auto* one : {&result_.baseline, &result_.nearest_by_budget, &result_.nearest_by_deadline,
                      &result_.nearest_by_confidence}) {
      if (*one) space_.finish((*one)->plan);
    }
  }

  /// What gains less than predictions can tell apart is not worth another plan each time something
  /// was measured: plain data parallelism, else the simplest plan, takes the place of the first.
  Result<void> prefer_simple() {
    auto& first = result_.ranked.front();
    if (const auto& plain = result_.baseline) {
      const bool allowed = std::ranges::count(job_.allowed_sync, SyncMethod::kAllReduce) > 0 &&
                           !job_.strategy.any() && carries(job_.targets, knobs_of(plain->plan));
      const bool as_good =
          plain->meets_limits == first.meets_limits &&
          fits_memory(plain->plan, plain->prediction) &&
          plain->prediction.step_time.p50 <= first.prediction.step_time.p50 * (1 + kNegligibleGain);
      if (allowed && as_good) {
        first = *plain;
        return {};
      }
    }
    if (!fits_memory(first.plan, first.prediction)) return {};
    PLUTO_ASSIGN(const auto simplest, space_.simplest(first));
    auto rented = on_best_market(job_, simplest);
    // What is lost in the step can be more on nodes that are taken back.
    const auto near = [](auto one, auto other) { return one <= other * (1 + kNegligibleGain); };
    if (rented && rented->meets_limits == first.meets_limits &&
        near(rented->prediction.price.p50, first.prediction.price.p50) &&
        near(rented->prediction.time_to_target.p50, first.prediction.time_to_target.p50)) {
      first = std::move(*rented);
    }
    return {};
  }

  const TrainingJob& job_;
  PlanSpace& space_;
  const std::function<bool()> stop_;
  std::vector<Item> items_;        // that may fit, by bound, best first
  std::vector<RankedPlan> found_;  // the best of each cell that was priced
  std::vector<Score> scores_;      // of those that would be ranked, a heap with the worst on top
  bool stopped_ = false;
  SearchResult result_;
};

}  // namespace

Result<SearchResult> best_first(const TrainingJob& job, PlanSpace& space, bool want_front,
                                const std::function<bool()>& stop) {
  return Search(job, space, stop).run(want_front);
}

}  // namespace pluto
