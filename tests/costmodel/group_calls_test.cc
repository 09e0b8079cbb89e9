// What the simulator asks of a cost source for plans that split a model: which groups, how placed,
// how many bytes.

#include <gtest/gtest.h>

#include <vector>

#include "costmodel/collective_time.h"
#include "costmodel/simulator.h"
#include "tests/support/block_models.h"
#include "tests/support/table_costs.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using testing::TableCosts;
using testing::test_cluster;

/// data x tensor ranks on nodes of eight; everything left to synchronise in one bucket.
Plan split_plan(const ModelGraph& model, int data, int tensor, bool sequence_parallel = false) {
  Plan plan = testing::plan_for(model, 1, 2, 1);
  plan.layout.data = data;
  plan.layout.tensor = tensor;
  plan.sequence_parallel = sequence_parallel;
  plan.global_batch = 2 * data;
  plan.cluster = test_cluster((data * tensor + 7) / 8, 8);
  BucketPlan bucket;
  const auto order = gradient_order(model, plan).value();
  for (const GradientInfo& info : order) {
    bucket.parameters.push_back(info.name);
  }
  if (data > 1) plan.buckets = {std::move(bucket)};
  return plan;
}

std::vector<CollectiveCall> calls_of(const ModelGraph& model, const Plan& plan) {
  std::vector<CollectiveCall> calls;
  TableCosts costs;
  costs.collective_seconds = [&calls](const CollectiveCall& call, const ClusterSpec&) {
    calls.push_back(call);
    return 0.0;
  };
  const auto lowered = lower(model, plan);
  EXPECT_TRUE(lowered.ok()) << lowered.error().message;
  EXPECT_TRUE(simulate(*lowered, plan.cluster, plan.data, costs).ok());
  return calls;
}

TEST(GroupCalls, TensorRanksFillANodeAndDataRanksShareItsNetwork) {
  const ModelGraph model = testing::tiny_gpt(3, 4);
  const auto calls = calls_of(model, split_plan(model, 8, 4));
  int tensor = 0, data = 0;
  for (const CollectiveCall& call : calls) {
    if (call.ranks == 4) {
      ++tensor;
      EXPECT_EQ(call.per_node, 4);
      EXPECT_EQ(call.groups, 2);
      // b s h elements: costmodel/transformer's all_reduce of one micro-batch.
      EXPECT_EQ(call.bytes, Bytes(2 * 4 * 8 * 4));
    } else {
      ++data;
      EXPECT_EQ(call.ranks, 8);
      EXPECT_EQ(call.per_node, 2);
      EXPECT_EQ(call.groups, 4);
    }
  }
  EXPECT_EQ(tensor, 4 * 3);
  EXPECT_EQ(data, 1);
}

TEST(GroupCalls, AGroupOfAllRanksFillsNodeAfterNode) {
  const ModelGraph model = testing::tiny_gpt(1, 4);
  for (const CollectiveCall& call : calls_of(model, split_plan(model, 16, 1))) {
    EXPECT_EQ(call.ranks, 16);
    EXPECT_EQ(call.per_node, 0);
    EXPECT_EQ(call.groups, 1);
  }
}

TEST(GroupCalls, SequenceParallelismSendsTheSameBytesInHalves) {
  const ModelGraph model = testing::tiny_gpt(3, 4);
  const auto volume = [&](bool sequence_parallel) {
    double bytes = 0;
    for (const CollectiveCall& call : calls_of(model, split_plan(model, 1, 4, sequence_parallel))) {
      const bool activation = call.bytes == Bytes(2 * 4 * 8 * 4);
      if (activation) bytes += bytes_per_direction(call);
    }
    return bytes;
  };
  // Two more gathers: whole logits forward, whole embedding backward.
  const double gather = bytes_per_direction({CollectiveKind::kAllGather, Bytes(256), 4, 4});
  EXPECT_DOUBLE_EQ(volume(true), volume(false) + 2 * gather);
}

TEST(GroupCalls, WithFreeLinksMoreTensorRanksAreNeverSlower) {
  const ModelGraph model = testing::tiny_gpt(2, 8);
  TableCosts costs;
  costs.op_seconds = [](const OpSignature& op) { return op_work(op).flops.value(); };
  double last = 0;
  for (const int tensor : {1, 2, 4, 8}) {
    const Plan plan = split_plan(model, 1, tensor);
    const auto lowered = lower(model, plan);
    ASSERT_TRUE(lowered.ok()) << lowered.error().message;
    const auto step = simulate(*lowered, plan.cluster, plan.data, costs);
    ASSERT_TRUE(step.ok());
    if (tensor > 1) {
      EXPECT_LT(step->makespan.value(), last) << tensor;
    }
    last = step->makespan.value();
  }
}

}  // namespace
}  // namespace pluto
