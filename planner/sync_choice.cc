#include "planner/sync_choice.h"

#include <algorithm>
#include <compare>
#include <limits>
#include <map>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>

#include "costmodel/simulator.h"
#include "planner/annealing.h"
#include "planner/planner.h"

namespace pluto {

namespace {

constexpr double kBetter = 1 - 1e-9;  // less than this is rounding

/// What is chosen, by dimension, those that change most first: frame, wire, methods of the groups,
/// then the size of buckets.
using Choice = std::vector<std::size_t>;
constexpr std::size_t kFrame = 0, kWire = 1, kFirstGroup = 2;

struct Found {
  Choice choice;
  Seconds step;
};

/// Costs choices, each distinct plan once.
class Alternatives {
 public:
  Alternatives(LoweredPlans& lowered, const SyncSpace& space, const CostSource& costs,
               std::int64_t& evaluated)
      : lowered_(lowered), space_(space), costs_(costs), evaluated_(evaluated) {
    // A frame that shares layers out has fewer gradients.
    const Frame& plain = *std::ranges::max_element(
        space.frames, {}, [](const Frame& frame) { return frame.gradients.size(); });
    const bool alone = plain.plan.layout.data == 1;
    if (!alone) groups_ = sync_groups(plain.gradients, space.allowed);
    ways_ = {space.frames.size(), alone ? 1 : space.wires.size()};
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      ways_.push_back(groups_[g].methods.size());
      for (const auto i : groups_[g].parameters) group_of_[plain.gradients[i].name] = g;
    }
    ways_.push_back(alone ? 1 : std::size(kBucketSizes));
  }

  std::size_t groups() const { return groups_.size(); }
  const std::vector<std::size_t>& ways() const { return ways_; }
  std::size_t tasks() const { return tasks_; }

  /// Infinite for what is not lowered together.
  Result<Seconds> cost(const Choice& choice) {
    const Frame& frame = space_.frames[choice[kFrame]];
    Key key{choice[kFrame], space_.wires[choice[kWire]], methods_of(frame, choice), {}};
    Plan plan = with_buckets(frame.plan, buckets_of(frame, key.methods, choice));
    // With the methods given, buckets are known by their last members.
    for (const BucketPlan& bucket : plan.buckets) key.last.push_back(bucket.parameters.back());
    if (const auto known = known_.find(key); known != known_.end()) return known->second;
    const auto lowered = lowered_.of(plan);
    if (!lowered.ok() && lowered.error().code == ErrorCode::kUnsupported) {
      return known_[key] = Seconds(std::numeric_limits<double>::infinity());
    }
    if (!lowered.ok()) return lowered.error();
    if (space_.lawful) {
      PLUTO_ASSIGN(const bool lawful, space_.lawful(plan));
      if (!lawful) return known_[key] = Seconds(std::numeric_limits<double>::infinity());
    }
    PLUTO_ASSIGN(const auto step,
                 simulate(**lowered, plan.cluster, plan.data, costs_, {.timeline = false}));
    ++evaluated_;
    tasks_ = std::max(tasks_, (*lowered)->program.tasks.size());
    known_.emplace(std::move(key), step.step());
    costed_.push_back({std::move(plan), step.step()});
    return step.step();
  }

  std::vector<CostedPlan> fastest_first() && {
    // Insertion keeps the order of what differs by rounding only.
    std::vector<CostedPlan> sorted;
    for (auto& one : costed_) {
      auto place = sorted.end();
      while (place != sorted.begin() && one.step < std::prev(place)->step * kBetter) --place;
      sorted.insert(place, std::move(one));
    }
    return sorted;
  }

 private:
  struct Key {
    std::size_t frame = 0;
    DType wire = DType::kF32;
    std::vector<SyncMethod> methods;
    std::vector<std::string> last;
    auto operator<=>(const Key&) const = default;
  };

  /// By gradient of the frame.
  std::vector<SyncMethod> methods_of(const Frame& frame, const Choice& choice) const {
    std::vector<SyncMethod> methods;
    if (frame.plan.layout.data == 1) return methods;
    for (const GradientInfo& gradient : frame.gradients) {
      const std::size_t g = group_of_.at(gradient.name);
      const SyncMethod method = groups_[g].methods[choice[kFirstGroup + g]];
      methods.push_back(frame.plan.shard > 0 ? SyncMethod::kShard : method);
    }
    return methods;
  }

  std::vector<BucketPlan> buckets_of(const Frame& frame, const std::vector<SyncMethod>& methods,
                                     const Choice& choice) const {
    if (methods.empty()) return {};
    auto buckets = make_buckets(frame.gradients, methods, kBucketSizes[choice.back()]);
    for (BucketPlan& bucket : buckets) {
      if (bucket.method != SyncMethod::kSufficientFactor) {
        bucket.wire = space_.wires[choice[kWire]];
      }
    }
    return buckets;
  }

  LoweredPlans& lowered_;
  const SyncSpace& space_;
  const CostSource& costs_;
  std::int64_t& evaluated_;
  std::vector<SyncGroup> groups_;                // of the first frame
  std::map<std::string, std::size_t> group_of_;  // by parameter
  std::vector<std::size_t> ways_;                // by dimension
  std::size_t tasks_ = 0;
  std::map<Key, Seconds> known_;
  std::vector<CostedPlan> costed_;
};

/// Every choice.
Result<void> enumerate_all(Alternatives& alternatives, const std::function<bool()>& stop) {
  const auto& ways = alternatives.ways();
  Choice choice(ways.size(), 0);
  while (true) {
    if (stop()) return {};
    PLUTO_TRY(alternatives.cost(choice));
    std::size_t d = ways.size();  // the last dimension changes first
    while (d > 0 && ++choice[d - 1] == ways[d - 1]) choice[--d] = 0;
    if (d == 0) return {};
  }
}

/// The size of buckets from where it is to larger and to smaller ones, until they get slower.
Result<void> walk_sizes(Alternatives& alternatives, Found& best,
                        const std::function<bool()>& stop) {
  std::vector<std::size_t> rising(alternatives.ways().back());
  std::iota(rising.begin(), rising.end(), std::size_t{0});
  std::ranges::sort(rising, {}, [](std::size_t way) { return kBucketSizes[way]; });
  const auto begin = std::ranges::find(rising, best.choice.back()) - rising.begin();
  for (const int direction : {1, -1}) {
    Seconds last = best.step;
    for (auto at = begin + direction; at >= 0 && at < std::ssize(rising); at += direction) {
      if (stop()) return {};
      Choice changed = best.choice;
      changed.back() = rising[static_cast<std::size_t>(at)];
      PLUTO_ASSIGN(const auto step, alternatives.cost(changed));
      if (step < best.step * kBetter) best = {std::move(changed), step};
      if (step * kBetter > last) break;
      last = step;
    }
  }
  return {};
}

/// One change at a time, each kept when it helps, until none does.
Result<Found> descend(Alternatives& alternatives, Found best, const std::function<bool()>& stop) {
  const auto& ways = alternatives.ways();
  for (std::size_t settled = 0, d = 0; settled < ways.size();
       ++settled, d = (d + 1) % ways.size()) {
    const Seconds before = best.step;
    if (d + 1 == ways.size()) {
      PLUTO_TRY(walk_sizes(alternatives, best, stop));
    }
    for (std::size_t way = 0; d + 1 < ways.size() && way < ways[d]; ++way) {
      if (stop()) return best;
      Choice changed = best.choice;
      changed[d] = way;
      PLUTO_ASSIGN(const auto step, alternatives.cost(changed));
      if (step < best.step * kBetter) best = {std::move(changed), step};
    }
    if (best.step < before) settled = 0;
  }
  return best;
}

/// From where single changes end, through what is slower.
Result<void> anneal_from(Alternatives& alternatives, const Found& start,
                         const std::function<bool()>& stop) {
  const auto& ways = alternatives.ways();
  std::vector<std::size_t> free;  // dimensions that have a choice
  for (std::size_t d = 0; d < ways.size(); ++d) {
    if (ways[d] > 1) free.push_back(d);
  }
  if (free.size() < 2) return {};  // all was tried
  const auto change = [&](const Choice& from, std::mt19937_64& random) {
    Choice to = from;
    const std::size_t d = free[pick(random, free.size())];
    to[d] = pick(random, ways[d]);
    return to;
  };
  const auto energy = [&](const Choice& one) -> Result<double> {
    PLUTO_ASSIGN(const auto step, alternatives.cost(one));
    return step.value();
  };
  const auto tasks = static_cast<std::int64_t>(std::max<std::size_t>(1, alternatives.tasks()));
  const std::int64_t evaluations = std::min(kAnnealedChoices, kExactWork / tasks);
  PLUTO_TRY(anneal(AnnealingProblem<Choice>{change, energy}, start.choice, start.step.value(),
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

Result<std::vector<CostedPlan>> choose_sync(LoweredPlans& lowered, const SyncSpace& space,
                                            const CostSource& costs, Seconds floor,
                                            const std::function<bool()>& stop,
                                            std::int64_t& evaluated) {
  Alternatives alternatives(lowered, space, costs, evaluated);
  Found plain{Choice(alternatives.ways().size(), 0), Seconds()};
  PLUTO_ASSIGN(plain.step, alternatives.cost(plain.choice));
  const auto proved = [&](Seconds step) { return step <= floor * (1 + kNegligibleGain); };
  if (proved(plain.step)) return std::move(alternatives).fastest_first();
  std::int64_t work = static_cast<std::int64_t>(alternatives.tasks());
  for (const std::size_t ways : alternatives.ways()) {
    work = std::min(work * static_cast<std::int64_t>(ways), kExactWork + 1);
  }
  if (alternatives.groups() <= kExactGroups && work <= kExactWork) {
    PLUTO_TRY(enumerate_all(alternatives, stop));
  } else {
    PLUTO_ASSIGN(const Found found, descend(alternatives, std::move(plain), stop));
    const bool many = alternatives.groups() > kExactGroups;
    if (many && !proved(found.step) && !stop()) {
      PLUTO_TRY(anneal_from(alternatives, found, stop));
    }
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
