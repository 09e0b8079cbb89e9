#include "tests/planner/exhaustive_plans.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>

#include "planner/ranking.h"

namespace pluto::testing {
namespace {

constexpr std::int64_t kMebibyte = std::int64_t{1} << 20;
constexpr std::array<std::int64_t, 6> kSizes{
    0, kMebibyte, 4 * kMebibyte, 10 * kMebibyte, 25 * kMebibyte, std::int64_t{1} << 60};

/// Runs of parameters with the same method, each cut before it exceeds `limit`; a layer with
/// sufficient factors stays whole and alone.
std::vector<BucketPlan> bucketed(const std::vector<GradientInfo>& order,
                                 const std::vector<SyncMethod>& methods, std::int64_t limit) {
  struct Placed {
    BucketPlan bucket;
    std::size_t last = 0;
    std::int64_t bytes = 0;
  };
  std::vector<Placed> placed;
  std::map<std::string, std::size_t> open;  // by method, and layer for factors
  for (std::size_t i = 0; i < order.size(); ++i) {
    const bool factors = methods[i] == SyncMethod::kSufficientFactor;
    const std::string layer = order[i].factors_of.empty() ? order[i].name : order[i].factors_of;
    const std::string key = std::to_string(static_cast<int>(methods[i])) + (factors ? layer : "");
    const auto found = open.find(key);
    const std::int64_t bytes = order[i].bytes.value();
    const bool join =
        found != open.end() && (factors || placed[found->second].bytes + bytes <= limit);
    if (!join) {
      open[key] = placed.size();
      placed.push_back({{methods[i], {}}, 0, 0});
    }
    Placed& one = placed[open[key]];
    one.bucket.parameters.push_back(order[i].name);
    one.last = i;
    one.bytes += bytes;
  }
  std::ranges::sort(placed, {}, &Placed::last);
  std::vector<BucketPlan> buckets;
  for (Placed& one : placed) buckets.push_back(std::move(one.bucket));
  return buckets;
}

/// Linear layers of a million weights whose features the ranks can share.
std::vector<std::string> large_layers(const ModelGraph& model, int ranks) {
  std::vector<std::string> names;
  for (const Op& op : model.graph.ops()) {
    if (op.kind != OpKind::kLinear) continue;
    const auto elements = model.graph.tensor(op.inputs[1]).type.shape.elements();
    const auto features = std::get<LinearAttrs>(op.attrs).out_features;
    if (elements >= kMebibyte && features % ranks == 0) names.push_back(op.name);
  }
  return names;
}

}  // namespace

std::vector<Placement> ExhaustivePlans::placements() {
  // Steps and learning rates of a batch are the job's, not a choice: they are looked up.
  const auto space = enumerate(job_, *job_.data.samples, places_);
  EXPECT_TRUE(space.ok()) << (space.ok() ? "" : space.error().message);
  std::set<std::int64_t> batches;
  if (job_.global_batch) batches.insert(*job_.global_batch);
  for (std::int64_t b = 1; !job_.global_batch && b <= *job_.max_global_batch; b *= 2) {
    batches.insert(b);
  }
  std::vector<Placement> all;
  for (std::size_t place = 0; place < places_.size(); ++place) {
    for (int ranks = 1; ranks <= places_[place].max_ranks; ++ranks) {
      for (const std::int64_t batch : batches) {
        if (batch % ranks != 0) continue;
        const auto same = std::ranges::find_if(space->placements, [&](const Placement& one) {
          return one.candidate == place && one.ranks == ranks && one.global_batch == batch;
        });
        EXPECT_NE(same, space->placements.end()) << ranks << " ranks, batch " << batch;
        if (same != space->placements.end()) all.push_back(*same);
      }
    }
  }
  EXPECT_EQ(all.size(), space->placements.size());
  return all;
}

std::vector<RankedPlan> ExhaustivePlans::best_plans() {
  std::vector<RankedPlan> all;
  for (const Placement& placement : placements()) {
    std::optional<RankedPlan> best;
    const std::int64_t share = placement.global_batch / placement.ranks;
    for (std::int64_t micro = share; micro >= 1; --micro) {
      const bool power = (micro & (micro - 1)) == 0;
      if (share % micro != 0 || !(power || micro == share)) continue;
      try_ways(
          plan_of(job_, model_, *job_.data.samples, places_[placement.candidate], placement, micro),
          best);
    }
    if (!best) continue;
    best->meets_limits =
        meets_deadline(job_, best->prediction) && meets_budget(job_, best->prediction);
    all.push_back(*best);
  }
  return all;
}

void ExhaustivePlans::try_ways(const Plan& plan, std::optional<RankedPlan>& best) {
  if (plan.backend != "cuda") return try_buckets(plan, DType::kF32, best);
  const int ranks = plan.layout.data;
  const DType narrow = element_type(plan.precision);
  for (const bool split : {false, true}) {
    for (const DType wire : std::set{DType::kF32, narrow}) {
      for (int shard = 0; shard <= (ranks == 1 ? 0 : 3); ++shard) {
        // Recomputing adds work to a step: it is for what does not fit without.
        for (const auto mode : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
          Plan one = plan;
          one.shard = shard;
          one.recompute = mode;
          if (split) one.sharded = large_layers(model_, ranks);
          if (split && (ranks == 1 || one.sharded.empty())) continue;
          const std::int64_t before = priced_;
          std::optional<RankedPlan> found;
          try_buckets(one, wire, found);
          if (found &&
              (!best || found->prediction.step_time.p50 < best->prediction.step_time.p50)) {
            best = found;
          }
          if (found || priced_ == before) break;
        }
      }
    }
  }
}

void ExhaustivePlans::try_buckets(const Plan& plan, DType wire, std::optional<RankedPlan>& best) {
  if (plan.layout.data == 1) {
    try_one(plan, best);
    return;
  }
  const auto& order = gradients_of(plan);
  std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t>, Group> groups;
  std::map<std::string, const GradientInfo*> by_name;
  for (const GradientInfo& one : order) by_name[one.name] = &one;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const GradientInfo& weight =
        order[i].factors_of.empty() ? order[i] : *by_name.at(order[i].factors_of);
    Group& group = groups[{weight.rows, weight.columns, weight.factor_rows}];
    group.members.push_back(i);
    group.factors = weight.sufficient_factors;
  }
  std::vector<SyncMethod> methods(order.size(), SyncMethod::kShard);
  std::set<std::vector<std::pair<SyncMethod, std::vector<std::string>>>> seen;
  const auto all_sizes = [&] {
    for (const std::int64_t size : kSizes) {
      Plan one = plan;
      one.buckets = bucketed(order, methods, size);
      std::vector<std::pair<SyncMethod, std::vector<std::string>>> key;
      bool served = false;
      for (BucketPlan& bucket : one.buckets) {
        bucket.wire = wire;
        served = served || bucket.method == SyncMethod::kParameterServer;
        key.emplace_back(bucket.method, bucket.parameters);
      }
      if (!seen.insert(key).second) continue;
      for (int rank = 0; served && rank < one.layout.data; ++rank) one.servers.push_back(rank);
      try_one(one, best);
    }
  };
  if (plan.shard > 0) return all_sizes();
  std::size_t assignments = 1;
  for (std::size_t g = 0; g < groups.size(); ++g) assignments *= 3;
  for (std::size_t code = 0; code < assignments; ++code) {
    bool lawful = true;
    std::size_t rest = code;
    for (const auto& [shape, group] : groups) {
      const auto method = std::array{SyncMethod::kAllReduce, SyncMethod::kParameterServer,
                                     SyncMethod::kSufficientFactor}[rest % 3];
      rest /= 3;
      lawful = lawful && std::ranges::count(job_.allowed_sync, method) > 0 &&
               (group.factors || method != SyncMethod::kSufficientFactor);
      for (const std::size_t member : group.members) methods[member] = method;
    }
    if (lawful) all_sizes();
  }
}

bool ExhaustivePlans::try_one(const Plan& plan, std::optional<RankedPlan>& best) {
  const TrainingGraph* training = training_of(plan);
  if (training == nullptr) return false;
  const auto lowered = lower(*training, plan);
  if (!lowered.ok()) {
    EXPECT_TRUE(lowered.error().code == ErrorCode::kUnsupported ||
                lowered.error().code == ErrorCode::kInvalidInput)
        << lowered.error().message;
    EXPECT_EQ(plan.backend, "cuda") << lowered.error().message;
    return false;
  }
  const auto predicted = predict(*lowered, plan, costs_);
  EXPECT_TRUE(predicted.ok()) << (predicted.ok() ? "" : predicted.error().message);
  ++priced_;
  RankedPlan one{plan, predicted->prediction, false};
  if (!fits_memory(one.plan, one.prediction)) return false;
  if (!best || one.prediction.step_time.p50 < best->prediction.step_time.p50) best = one;
  return true;
}

const TrainingGraph* ExhaustivePlans::training_of(const Plan& plan) {
  auto [found, is_new] = trainings_.try_emplace(way_of(plan));
  if (is_new) {
    auto training = unsynchronized(model_, plan);
    EXPECT_TRUE(training.ok() || plan.backend == "cuda") << training.error().message;
    if (training.ok()) found->second.emplace(std::move(*training));
  }
  return found->second ? &*found->second : nullptr;
}

const std::vector<GradientInfo>& ExhaustivePlans::gradients_of(const Plan& plan) {
  auto [found, is_new] = gradients_.try_emplace(plan.sharded.empty() ? 0 : plan.layout.data);
  if (is_new) {
    auto order = gradient_order(model_, plan);
    EXPECT_TRUE(order.ok()) << (order.ok() ? "" : order.error().message);
    found->second = *order;
  }
  return found->second;
}

}  // namespace pluto::testing
