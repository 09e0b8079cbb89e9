#include "plan/projection.h"

#include <gmock/gmock.h>

#include "tests/plan/export_cases.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;
using enum ExportTarget;

TEST(ProjectionTest, WhatIsExpressedStaysAsItIs) {
  const testing::ExportCase c;
  const Projection made = c.projected({kTorchrun, {}});
  EXPECT_EQ(made.plan, c.plan);
  EXPECT_TRUE(made.dropped.empty());
  EXPECT_TRUE(made.buckets.exact);
}

TEST(ProjectionTest, WhatIsNotIsLeftOutAndSaid) {
  testing::ExportCase c;
  ASSERT_GE(c.gradients.size(), 4U);
  // The large matrices by factors, the rest by servers in 16 bits.
  BucketPlan factors, served;
  factors.method = SyncMethod::kSufficientFactor;
  served.method = SyncMethod::kParameterServer;
  served.wire = DType::kF16;
  for (const GradientInfo& one : c.gradients) {
    (one.rows > 0 ? factors : served).parameters.push_back(one.name);
  }
  ASSERT_FALSE(factors.parameters.empty());
  ASSERT_FALSE(served.parameters.empty());
  c.plan.buckets = {factors, served};
  c.plan.servers = {0, 1};
  c.plan.priority = true;
  const Projection made = c.projected({kTorchrun, {}});
  std::vector<std::string> fields;
  for (const Gap& gap : made.dropped) fields.push_back(gap.field);
  EXPECT_THAT(fields, ::testing::ElementsAre("buckets.method", "buckets.wire", "priority"));
  EXPECT_TRUE(made.plan.servers.empty());
  EXPECT_FALSE(made.plan.priority);
  std::vector<std::string> order, all;
  for (const BucketPlan& bucket : made.plan.buckets) {
    EXPECT_EQ(bucket.method, SyncMethod::kAllReduce);
    EXPECT_EQ(bucket.wire, DType::kF32);
    order.insert(order.end(), bucket.parameters.begin(), bucket.parameters.end());
  }
  for (const GradientInfo& one : c.gradients) all.push_back(one.name);
  EXPECT_EQ(order, all) << "in gradient order again";
  EXPECT_TRUE(lower(c.model, made.plan).ok()) << "a lawful plan";
  EXPECT_EQ(gaps({kTorchrun, {}}, knobs_of(made.plan)).size(), 0U);
}

TEST(ProjectionTest, WhatMattersIsRefusedByName) {
  testing::ExportCase c;
  c.plan.layout = {8, 1, 2, 1};
  c.plan.accumulation = 4;
  const auto made = project(c.plan, {kTorchrun, {}}, c.gradients, 12);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(made.error().message, HasSubstr("layout.pipeline: 2 for 12 layers"));
  EXPECT_THAT(made.error().message, HasSubstr("torchrun"));
  EXPECT_THAT(made.error().help, HasSubstr("megatron"));
  c.plan = testing::ExportCase().plan;
  c.plan.local.steps = 8;
  const auto local = project(c.plan, {kFsdp, {}}, c.gradients, 0);
  ASSERT_FALSE(local.ok());
  EXPECT_THAT(local.error().message, HasSubstr("shard: 0"));
}

TEST(ProjectionTest, TheSizeOfBucketsIsFound) {
  const testing::ExportCase c;
  std::int64_t all = 0, largest = 0;
  for (const GradientInfo& one : c.gradients) {
    all += one.bytes.value();
    largest = std::max(largest, one.bytes.value());
  }
  EXPECT_TRUE(bucket_size(c.plan, c.gradients).exact);

  Plan each = c.plan;
  each.buckets.clear();
  for (const GradientInfo& one : c.gradients)
    each.buckets.push_back({SyncMethod::kAllReduce, {one.name}});
  const BucketSize single = bucket_size(each, c.gradients);
  EXPECT_TRUE(single.exact);
  EXPECT_LT(single.bytes, all);

  // First a parameter alone, then all others together although they are more: no size does that.
  Plan uneven = c.plan;
  const std::string first = c.gradients.front().name;
  std::erase(uneven.buckets.front().parameters, first);
  uneven.buckets.insert(uneven.buckets.begin(), BucketPlan{SyncMethod::kAllReduce, {first}});
  EXPECT_FALSE(bucket_size(uneven, c.gradients).exact);
  const auto made = project(uneven, {kTorchrun, {}}, c.gradients, 0);
  ASSERT_TRUE(made.ok());
  ASSERT_EQ(made->dropped.size(), 1U);
  EXPECT_EQ(made->dropped.front().field, "buckets");
  EXPECT_EQ(made->plan.buckets, c.plan.buckets);
  Plan own = uneven;
  own.backend = "cpu";
  EXPECT_EQ(project(own, {kMpi, {}}, c.gradients, 0)->plan.buckets, uneven.buckets)
      << "the bundled executor takes them as they are";
}

}  // namespace
}  // namespace pluto
