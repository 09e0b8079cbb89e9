#include "planner/sync_choice.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "costmodel/simulator.h"
#include "planner/annealing.h"
#include "planner/planner.h"

namespace pluto {

namespace {

constexpr double kBetter = 1 - 1e-9;  // less than this is rounding

using Assignment = std::vector<SyncMethod>;  // by group

/// What is chosen, with what it takes.
struct Choice {
  Assignment assignment;
  std::int64_t bucket_bytes = kPlainBucket;
  Seconds step;
};

/// Costs assignments of one configuration, each distinct set of buckets once.
class Alternatives {
 public:
  Alternatives(LoweredPlans& lowered, const Plan& plan, const std::vector<GradientInfo>& gradients,
               std::vector<SyncGroup> groups, const CostSource& costs, std::int64_t& evaluated)
      : lowered_(lowered),
        plan_(plan),
        gradients_(gradients),
        groups_(std::move(groups)),
        costs_(costs),
        evaluated_(evaluated) {}

  const std::vector<SyncGroup>& groups() const { return groups_; }
  std::size_t tasks() const { return tasks_; }

  Result<Seconds> cost(const Assignment& assignment, std::int64_t bucket_bytes) {
    std::vector<SyncMethod> method(gradients_.size(), SyncMethod::kAllReduce);
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      for (const auto parameter : groups_[g].parameters) method[parameter] = assignment[g];
    }
    std::vector<BucketPlan> buckets;
    if (plan_.layout.data > 1) buckets = make_buckets(gradients_, method, bucket_bytes);
    Key key{assignment, {}};  // with the methods given, buckets are known by their last members
    for (const auto& bucket : buckets) key.second.push_back(bucket.parameters.back());
    if (const auto found = known_.find(key); found != known_.end()) return found->second;
    const Plan plan = with_buckets(plan_, buckets);
    PLUTO_ASSIGN(const auto lowered, lowered_.of(plan));
    PLUTO_ASSIGN(const auto step,
                 simulate(*lowered, plan.cluster, plan.data, costs_, {.timeline = false}));
    ++evaluated_;
    tasks_ = lowered->program.tasks.size();
    known_.emplace(std::move(key), step.step());
    costed_.push_back({std::move(buckets), step.step()});
    return step.step();
  }

  std::vector<CostedBuckets> fastest_first() && {
    // Insertion keeps the order of what differs by rounding only.
    std::vector<CostedBuckets> sorted;
    for (auto& one : costed_) {
      auto place = sorted.end();
      while (place != sorted.begin() && one.step < std::prev(place)->step * kBetter) --place;
      sorted.insert(place, std::move(one));
    }
    return sorted;
  }

 private:
  using Key = std::pair<Assignment, std::vector<std::string>>;
  LoweredPlans& lowered_;
  const Plan& plan_;
  const std::vector<GradientInfo>& gradients_;
  std::vector<SyncGroup> groups_;
  const CostSource& costs_;
  std::int64_t& evaluated_;
  std::size_t tasks_ = 0;
  std::map<Key, Seconds> known_;
  std::vector<CostedBuckets> costed_;
};

/// Every assignment at every bucket size.
Result<void> enumerate_all(Alternatives& alternatives, const std::function<bool()>& stop) {
  const auto& groups = alternatives.groups();
  std::vector<std::size_t> digit(groups.size(), 0);
  while (true) {
    Assignment assignment;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      assignment.push_back(groups[g].methods[digit[g]]);
    }
    for (const auto size : kBucketSizes) {
      if (stop()) return {};
      PLUTO_TRY(alternatives.cost(assignment, size));
    }
    std::size_t g = 0;
    while (g < groups.size() && ++digit[g] == groups[g].methods.size()) digit[g++] = 0;
    if (g == groups.size()) return {};
  }
}

/// One change at a time, each kept when it helps.
Result<Choice> descend(Alternatives& alternatives, Choice best, const std::function<bool()>& stop) {
  const auto& groups = alternatives.groups();
  for (bool improved = true; improved;) {
    improved = false;
    const auto attempt = [&](const Assignment& assignment, std::int64_t size) -> Result<void> {
      PLUTO_ASSIGN(const auto seconds, alternatives.cost(assignment, size));
      if (seconds < best.step * kBetter) {
        best = {assignment, size, seconds};
        improved = true;
      }
      return {};
    };
    for (const auto size : kBucketSizes) {
      if (stop()) return best;
      PLUTO_TRY(attempt(best.assignment, size));
    }
    for (std::size_t g = 0; g < groups.size(); ++g) {
      for (const auto method : groups[g].methods) {
        if (stop()) return best;
        auto changed = best.assignment;
        changed[g] = method;
        PLUTO_TRY(attempt(changed, best.bucket_bytes));
      }
    }
  }
  return best;
}

/// From where single changes end, through what is slower.
Result<void> anneal_from(Alternatives& alternatives, Choice start,
                         const std::function<bool()>& stop) {
  const auto& groups = alternatives.groups();
  std::vector<std::size_t> free;  // groups that have a choice
  for (std::size_t g = 0; g < groups.size(); ++g) {
    if (groups[g].methods.size() > 1) free.push_back(g);
  }
  if (free.empty()) return {};  // every size was tried
  const auto change = [&](const Choice& from, std::mt19937_64& random) {
    Choice to = from;
    const std::size_t which = pick(random, free.size() + 1);
    if (which == free.size()) {
      to.bucket_bytes = kBucketSizes[pick(random, std::size(kBucketSizes))];
    } else {
      const auto& methods = groups[free[which]].methods;
      to.assignment[free[which]] = methods[pick(random, methods.size())];
    }
    return to;
  };
  const auto energy = [&](const Choice& one) -> Result<double> {
    PLUTO_ASSIGN(const auto step, alternatives.cost(one.assignment, one.bucket_bytes));
    return step.value();
  };
  const auto tasks = static_cast<std::int64_t>(std::max<std::size_t>(1, alternatives.tasks()));
  const std::int64_t evaluations = std::min(kAnnealedChoices, kExactWork / tasks);
  const double step = start.step.value();
  PLUTO_TRY(anneal(AnnealingProblem<Choice>{change, energy}, std::move(start), step,
                   {1, evaluations, stop}));
  return {};
}

}  // namespace

std::vector<SyncGroup> sync_groups(const std::vector<GradientInfo>& gradients,
                                   const std::vector<SyncMethod>& allowed) {
  const auto allows = [&](SyncMethod method) { return std::ranges::count(allowed, method) > 0; };
  std::vector<SyncMethod> plain;
  for (const auto method : {SyncMethod::kAllReduce, SyncMethod::kParameterServer}) {
    if (allows(method)) plain.push_back(method);
  }
  auto linear = plain;
  if (allows(SyncMethod::kSufficientFactor)) linear.push_back(SyncMethod::kSufficientFactor);
  if (plain.empty()) plain.push_back(SyncMethod::kAllReduce);

  std::vector<SyncGroup> groups;
  std::map<std::string, std::size_t> index_of;  // weight name -> gradient
  for (std::size_t i = 0; i < gradients.size(); ++i) index_of[gradients[i].name] = i;
  std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t>, std::size_t> group_of;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const auto* shape = &gradients[i];
    if (shape->sufficient_factors && !shape->factors_of.empty()) {
      shape = &gradients[index_of.at(shape->factors_of)];
    }
    const bool factors = shape->sufficient_factors;
    const auto key = factors ? std::tuple(shape->rows, shape->columns, shape->factor_rows)
                             : std::tuple<std::int64_t, std::int64_t, std::int64_t>(0, 0, 0);
    const auto [found, is_new] = group_of.try_emplace(key, groups.size());
    if (is_new) groups.push_back({{}, factors ? linear : plain});
    groups[found->second].parameters.push_back(i);
  }
  return groups;
}

std::vector<BucketPlan> make_buckets(const std::vector<GradientInfo>& gradients,
                                     const std::vector<SyncMethod>& method,
                                     std::int64_t bucket_bytes) {
  struct Open {
    BucketPlan bucket;
    std::size_t last = 0;
    std::int64_t bytes = 0;
  };
  std::vector<Open> closed;
  std::map<std::pair<SyncMethod, std::string>, Open> open;  // factor layers by their weight
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const auto& gradient = gradients[i];
    const bool factors = method[i] == SyncMethod::kSufficientFactor;
    const auto layer = !factors                      ? std::string()
                       : gradient.factors_of.empty() ? gradient.name
                                                     : gradient.factors_of;
    auto& one = open[{method[i], layer}];
    const auto limit = factors ? kWhole : bucket_bytes;
    if (!one.bucket.parameters.empty() && gradient.bytes.value() > limit - one.bytes) {
      closed.push_back(std::exchange(one, {}));
    }
    one.bucket.method = method[i];
    one.bucket.parameters.push_back(gradient.name);
    one.last = i;
    one.bytes += gradient.bytes.value();
  }
  for (auto& [key, one] : open) {
    if (!one.bucket.parameters.empty()) closed.push_back(std::move(one));
  }
  std::ranges::sort(closed, {}, &Open::last);
  std::vector<BucketPlan> buckets;
  for (auto& one : closed) buckets.push_back(std::move(one.bucket));
  return buckets;
}

Result<std::vector<CostedBuckets>> choose_sync(LoweredPlans& lowered, const Plan& plan,
                                               const std::vector<GradientInfo>& gradients,
                                               const std::vector<SyncMethod>& allowed,
                                               const CostSource& costs, Seconds floor,
                                               const std::function<bool()>& stop,
                                               std::int64_t& evaluated) {
  std::vector<SyncGroup> groups;
  if (plan.layout.data > 1) groups = sync_groups(gradients, allowed);
  Alternatives alternatives(lowered, plan, gradients, std::move(groups), costs, evaluated);
  Assignment plain;
  std::int64_t assignments = 1;
  for (const auto& group : alternatives.groups()) {
    plain.push_back(group.methods.front());
    assignments = std::min<std::int64_t>(
        assignments * static_cast<std::int64_t>(group.methods.size()), kExactWork);
  }
  PLUTO_ASSIGN(const auto seconds, alternatives.cost(plain, kPlainBucket));
  if (plan.layout.data == 1 || seconds <= floor * (1 + kNegligibleGain))
    return std::move(alternatives).fastest_first();
  const auto work = assignments * static_cast<std::int64_t>(std::size(kBucketSizes)) *
                    static_cast<std::int64_t>(alternatives.tasks());
  if (alternatives.groups().size() <= kExactGroups && work <= kExactWork) {
    PLUTO_TRY(enumerate_all(alternatives, stop));
  } else {
    PLUTO_ASSIGN(auto best, descend(alternatives, {plain, kPlainBucket, seconds}, stop));
    const bool proved = best.step <= floor * (1 + kNegligibleGain);
    if (!proved) PLUTO_TRY(anneal_from(alternatives, std::move(best), stop));
  }
  return std::move(alternatives).fastest_first();
}

Plan with_buckets(Plan plan, std::vector<BucketPlan> buckets) {
  plan.buckets = std::move(buckets);
  plan.servers.clear();
  const bool served = std::ranges::any_of(plan.buckets, [](const BucketPlan& bucket) {
    return bucket.method == SyncMethod::kParameterServer;
  });
  for (int rank = 0; served && rank < plan.layout.ranks(); ++rank) plan.servers.push_back(rank);
  return plan;
}

}  // namespace pluto
