#include "plan/projection.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

namespace pluto {
namespace {

constexpr std::int64_t kDefaultBucket = std::int64_t{25} << 20;

using Sizes = std::map<std::string, std::int64_t>;

std::vector<std::vector<std::string>> filled(const Plan& plan, const Sizes& sizes,
                                             std::int64_t most) {
  std::vector<std::vector<std::string>> buckets;
  std::int64_t bytes = 0;
  for (const BucketPlan& bucket : plan.buckets) {
    for (const std::string& name : bucket.parameters) {
      const auto found = sizes.find(name);
      const std::int64_t more = found == sizes.end() ? 0 : found->second;
      if (buckets.empty() || bytes + more > most) {
        buckets.emplace_back();
        bytes = 0;
      }
      buckets.back().push_back(name);
      bytes += more;
    }
  }
  return buckets;
}

bool same(const std::vector<std::vector<std::string>>& names,
          const std::vector<BucketPlan>& buckets) {
  return std::ranges::equal(names, buckets, {}, {}, &BucketPlan::parameters);
}

Sizes sizes_of(const std::vector<GradientInfo>& gradients) {
  Sizes sizes;
  for (const GradientInfo& one : gradients) sizes[one.name] = one.bytes.value();
  return sizes;
}

/// Buckets in the order of the gradients: where methods were mixed, the plan's may not be.
void regroup(Plan& plan, const std::vector<GradientInfo>& gradients, std::int64_t most) {
  std::set<std::string> all;
  for (const BucketPlan& bucket : plan.buckets) {
    all.insert(bucket.parameters.begin(), bucket.parameters.end());
  }
  BucketPlan kind = plan.buckets.front();
  kind.parameters.clear();
  for (const GradientInfo& one : gradients) {
    if (all.count(one.name) > 0) kind.parameters.push_back(one.name);
  }
  plan.buckets = {kind};
  const auto names = filled(plan, sizes_of(gradients), most);
  plan.buckets.clear();
  for (const auto& parameters : names) {
    kind.parameters = parameters;
    plan.buckets.push_back(kind);
  }
}

void drop(Plan& plan, const std::string& field) {
  const auto each = [&](const std::function<void(BucketPlan&)>& change) {
    std::ranges::for_each(plan.buckets, change);
  };
  if (field == "buckets.method") {
    each([](BucketPlan& one) { one.method = SyncMethod::kAllReduce; });
    plan.servers.clear();
  } else if (field == "buckets.algorithm") {
    each([](BucketPlan& one) { one.algorithm = CollectiveAlgorithm::kRing; });
  } else if (field == "buckets.wire") {
    each([](BucketPlan& one) { one.wire = DType::kF32; });
  } else if (field == "buckets.chunks") {
    each([](BucketPlan& one) { one.chunks = 1; });
  } else if (field == "pipeline.cuts") {
    plan.pipeline.cuts.clear();
  } else if (field == "priority") {
    plan.priority = false;
  } else if (field == "data.queue") {
    plan.data.queue = 1;
  } else if (field == "evaluation.every") {
    plan.evaluation.every = 0;
  } else if (field == "on_demand_after") {
    plan.on_demand_after.reset();
  }
}

Error cannot(const RunTarget& target, const Gap& gap, const PlanKnobs& knobs) {
  std::string able;
  for (const ExportTarget one : trainers_with(gap.field, knobs)) {
    able += fmt::format("{}{}", able.empty() ? "" : ", ", to_text(one));
  }
  return unsupported(
      fmt::format("{}: {} cannot be carried out by {}", gap.field, gap.value, to_text(target)),
      able.empty()
          ? "no target can; search with --target to plan without it"
          : fmt::format("targets that can: {}; or search with --target to plan without it", able));
}

}  // namespace

BucketSize bucket_size(const Plan& plan, const std::vector<GradientInfo>& gradients) {
  const Sizes sizes = sizes_of(gradients);
  std::int64_t most = 0;
  for (const BucketPlan& bucket : plan.buckets) {
    std::int64_t bytes = 0;
    for (const std::string& name : bucket.parameters) {
      const auto found = sizes.find(name);
      if (found != sizes.end()) bytes += found->second;
    }
    most = std::max(most, bytes);
  }
  // A larger size first: of one bucket for all, or of one for each, both are right.
  for (const std::int64_t bytes : {kDefaultBucket, most, std::int64_t{0}}) {
    if (same(filled(plan, sizes, bytes), plan.buckets)) return {bytes, true};
  }
  return {kDefaultBucket, false};
}

Result<Projection> project(const Plan& plan, const RunTarget& target,
                           const std::vector<GradientInfo>& gradients, int layers) {
  const PlanKnobs knobs = knobs_of(plan, layers);
  Projection made{plan, gaps(target, knobs), {}};
  for (const Gap& gap : made.dropped) {
    if (gap.essential) return cannot(target, gap, knobs);
  }
  for (const Gap& gap : made.dropped) drop(made.plan, gap.field);
  const bool methods = std::ranges::count(made.dropped, "buckets.method", &Gap::field) > 0;
  // What was made for other methods is nobody's size.
  made.buckets = methods ? BucketSize{kDefaultBucket, false} : bucket_size(made.plan, gradients);
  if (target.trainer != ExportTarget::kMpi && !made.plan.buckets.empty() && !made.buckets.exact) {
    regroup(made.plan, gradients, made.buckets.bytes);
    made.buckets.exact = true;
    if (!methods) {
      made.dropped.push_back(
          {"buckets", fmt::format("{} of uneven sizes", plan.buckets.size()), false});
    }
  }
  PLUTO_TRY(validate(made.plan));
  return made;
}

}  // namespace pluto
