#include "costmodel/transformer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "costmodel/transformer_links.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

TransformerCosts plain_costs() {
  TransformerCosts costs;
  costs.value = {0.75, 1e6, 100, 0.35, 0.8, 3e-5, 4e-6, 5e-5, 8e-5,
                 0.75, 0.9, 27,  3e-3, 0.2, 0.4,  1.5,  2};
  costs.spread.fill(0.3);
  return costs;
}

ClusterSpec cluster_of(int nodes) {
  ClusterSpec cluster;
  cluster.nodes = nodes;
  auto& node = cluster.instance.node;
  node.devices = 8;
  node.device.name = "A100 SXM 80GB";
  node.device.memory = Bytes(80'000'000'000);
  node.device.memory_bandwidth = BytesPerSecond(2.039e12);
  node.device.peak[DType::kBF16] = FlopsPerSecond(312e12);
  node.intra = {"NVLink3", Seconds(3.4e-6), BytesPerSecond(300e9)};
  node.network = {"InfiniBand", Seconds(14e-6), BytesPerSecond(100e9), 8};
  return cluster;
}

TransformerShape small() { return TransformerShape::gpt(24, 2048, 16, 1024, 51200); }

TransformerPlan plan_of(int data, int tensor, int pipeline, int micro_batch, int accumulation) {
  TransformerPlan plan;
  plan.data = data;
  plan.tensor = tensor;
  plan.pipeline = pipeline;
  plan.micro_batch = micro_batch;
  plan.global_batch = data * micro_batch * accumulation;
  return plan;
}

TransformerStep step_of(const TransformerShape& shape, const TransformerPlan& plan,
                        const ClusterSpec& cluster, const TransformerCosts& costs) {
  const auto step = predict_transformer(shape, plan, cluster, costs);
  EXPECT_TRUE(step.ok()) << step.error().message;
  return step.ok() ? *step : TransformerStep{};
}

TEST(Transformer, OneDeviceHasNoCommunicationAndNoBubble) {
  const auto step = step_of(small(), plan_of(1, 1, 1, 4, 2), cluster_of(1), plain_costs());
  EXPECT_EQ(step.exposed_comm().value(), 0);
  EXPECT_EQ(step.bubble.value(), 0);
  EXPECT_GT(step.compute.value(), 0);
  EXPECT_GT(step.update.value(), 0);
}

TEST(Transformer, EachDegreeBringsItsOwnCommunicationOnly) {
  const auto costs = plain_costs();
  const auto data = step_of(small(), plan_of(8, 1, 1, 4, 2), cluster_of(1), costs);
  EXPECT_GT(data.data_comm.value(), 0);
  EXPECT_EQ(data.tensor_comm.value() + data.pipeline_comm.value(), 0);
  const auto tensor = step_of(small(), plan_of(1, 8, 1, 4, 2), cluster_of(1), costs);
  EXPECT_GT(tensor.tensor_comm.value(), 0);
  EXPECT_EQ(tensor.data_comm.value() + tensor.pipeline_comm.value(), 0);
  TransformerShape untied = small();
  untied.tied_embedding = false;
  const auto pipeline = step_of(untied, plan_of(1, 1, 8, 4, 2), cluster_of(1), costs);
  EXPECT_GT(pipeline.pipeline_comm.value(), 0);
  EXPECT_EQ(pipeline.data_comm.value() + pipeline.tensor_comm.value(), 0);
}

TEST(Transformer, TheBubbleOfEvenStagesIsStagesLessOneOverMicroBatches) {
  // An even pipeline: no embedding, no output layer, sends for nothing.
  TransformerLayerCost layer;
  layer.forward = 1e-3;
  layer.backward = 2e-3;
  TransformerCosts costs = plain_costs();
  costs.value[static_cast<std::size_t>(TransformerConstant::kSendFloor)] = 1e-30;
  ClusterSpec cluster = cluster_of(1);
  cluster.instance.node.intra.alpha = Seconds(0);
  for (const int chunks : {1, 3}) {
    TransformerPlan plan = plan_of(1, 1, 8, 1, 16);
    plan.interleave = chunks;
    const auto step = predict_transformer(layer, small(), plan, cluster, costs);
    EXPECT_NEAR(step.bubble / step.compute, 7.0 / 16 / chunks, 1e-9);
  }
}

TEST(Transformer, AnOutputLayerOnTheLastStageMakesTheOthersWait) {
  TransformerLayerCost layer;
  layer.forward = 1e-3;
  layer.backward = 2e-3;
  layer.head_forward = layer.head_backward = 3e-3;
  const auto even = predict_transformer({1e-3, 2e-3}, small(), plan_of(1, 1, 4, 1, 64),
                                        cluster_of(1), plain_costs());
  const auto uneven =
      predict_transformer(layer, small(), plan_of(1, 1, 4, 1, 64), cluster_of(1), plain_costs());
  // 64 micro-batches wait for 6 ms on one stage; the mean stage has a quarter of that more.
  EXPECT_NEAR((uneven.step() - even.step()).value(), 64 * 6e-3, 1e-6);
  EXPECT_NEAR((uneven.compute - even.compute).value(), 64 * 1.5e-3, 1e-6);
}

TEST(Transformer, FasterMachinesAreNeverSlower) {
  const auto costs = plain_costs();
  for (const int tensor : {1, 2, 8}) {
    for (const int pipeline : {1, 2, 4}) {
      for (const int shard : {0, 1, 3}) {
        for (const bool overlap : {false, true}) {
          TransformerPlan plan = plan_of(64 / tensor / pipeline, tensor, pipeline, 2, 4);
          plan.shard = shard;
          plan.overlap_data = overlap;
          const double base = step_of(small(), plan, cluster_of(8), costs).step().value();
          for (int what = 0; what < 6; ++what) {
            ClusterSpec faster = cluster_of(8);
            auto& node = faster.instance.node;
            if (what == 0) node.network.bandwidth = BytesPerSecond(200e9);
            if (what == 1) node.intra.bandwidth = BytesPerSecond(600e9);
            if (what == 2) node.device.peak[DType::kBF16] = FlopsPerSecond(624e12);
            if (what == 3) node.device.memory_bandwidth = BytesPerSecond(4e12);
            if (what == 4) node.network.alpha = Seconds(1e-6);
            if (what == 5) node.intra.alpha = Seconds(1e-6);
            EXPECT_LE(step_of(small(), plan, faster, costs).step().value(), base * (1 + 1e-12))
                << "tensor " << tensor << " pipeline " << pipeline << " shard " << shard
                << " change " << what;
          }
        }
      }
    }
  }
}

TEST(Transformer, RecomputingCostsOneForward) {
  TransformerPlan plan = plan_of(1, 1, 1, 8, 1);
  const auto costs = plain_costs();
  const auto layer = layer_cost(small(), plan, cluster_of(1), costs);
  plan.recompute = Recompute::kFull;
  const auto again = layer_cost(small(), plan, cluster_of(1), costs);
  EXPECT_NEAR(again.backward - layer.backward, layer.forward, 1e-12);
  plan.recompute = Recompute::kSelective;
  const auto selective = layer_cost(small(), plan, cluster_of(1), costs);
  EXPECT_GT(selective.backward, layer.backward);
  EXPECT_LT(selective.backward, again.backward);
}

TEST(Transformer, ASlowHostHidesTheDevice) {
  TransformerCosts costs = plain_costs();
  costs.value[static_cast<std::size_t>(TransformerConstant::kHostPerOp)] = 1e-3;
  const auto one = step_of(small(), plan_of(1, 1, 1, 1, 8), cluster_of(1), costs);
  const auto four = step_of(small(), plan_of(1, 1, 1, 4, 2), cluster_of(1), costs);
  EXPECT_NEAR(one.compute / four.compute, 4, 0.1);
}

TEST(Transformer, HeadsOfOddDepthMissTheTensorCores) {
  const auto costs = plain_costs();
  const auto even = layer_cost(TransformerShape::gpt(80, 13824, 96, 2048, 51200),
                               plan_of(1, 8, 1, 1, 1), cluster_of(1), costs);
  const auto odd = layer_cost(TransformerShape::gpt(80, 13824, 128, 2048, 51200),
                              plan_of(1, 8, 1, 1, 1), cluster_of(1), costs);
  EXPECT_GT(odd.forward, 1.2 * even.forward);
}

TEST(Transformer, ShardedUpdatesAreShared) {
  TransformerPlan plan = plan_of(8, 1, 1, 1, 1);
  const auto whole = step_of(small(), plan, cluster_of(1), plain_costs());
  plan.shard = 1;
  const auto shared = step_of(small(), plan, cluster_of(1), plain_costs());
  EXPECT_NEAR(whole.update / shared.update, 8, 1e-9);
}

TEST(Transformer, CollectivesAreRingsWithACopy) {
  const auto cluster = cluster_of(2);
  const TransformerLinks links(cluster, plain_costs());
  EXPECT_EQ(links.all_reduce(1e9, 1, 1), 0);
  // 2 x 7/8 of the bytes at 0.75 x 300 GB/s, and four passes over memory.
  EXPECT_NEAR(links.all_reduce(1e9, 8, 1), 1.75e9 / 225e9 + 4e9 / 2.039e12 + 5e-5 + 14 * 3.4e-6,
              1e-9);
  // Sixteen ranks on two nodes: a gather's ring carries all but a rank's own part over the network.
  EXPECT_NEAR(links.gather(1e9, 16, 1),
              (15.0 / 16) * 1e9 / 90e9 + 2e9 / 2.039e12 + 2.5e-5 + 7 * 3.4e-6 + 14e-6, 1e-9);
  // One rank of each node in each of eight groups: an eighth of the network.
  EXPECT_NEAR(links.all_reduce(1e9, 2, 8), 1e9 / (90e9 / 8) + 4e9 / 2.039e12 + 5e-5 + 2 * 14e-6,
              1e-9);
}

TEST(Transformer, SumsOfWholeNodesCrossTheNetworkAsTrees) {
  const auto costs = plain_costs();
  // Two nodes of eight ranks: each sends its sum once, where a ring sends 2 x 15/16 of the bytes.
  const double fixed = 4e9 / 2.039e12 + 5e-5 + 14 * 3.4e-6 + 2 * 14e-6;
  EXPECT_NEAR(TransformerLinks(cluster_of(2), costs).all_reduce(1e9, 16, 1),
              2 * 0.5 * 1e9 / (0.92 * 90e9) + fixed, 1e-9);
  // Fast networks leave the links inside the nodes to be the slower part.
  auto fast = cluster_of(2);
  fast.instance.node.network.bandwidth = BytesPerSecond(1e12);
  EXPECT_NEAR(TransformerLinks(fast, costs).all_reduce(1e9, 16, 1),
              2 * (15.0 / 16) * 1e9 / 225e9 + fixed, 1e-9);
  // Many nodes: the ring is as good, and a rank alone on its node always uses it.
  const TransformerLinks many(cluster_of(64), costs);
  EXPECT_NEAR(many.all_reduce(1e9, 64, 8),
              2 * (63.0 / 64) * 1e9 / (90e9 / 8) + 4e9 / 2.039e12 + 5e-5 + 12 * 14e-6, 1e-9);
}

TEST(Transformer, SendsShareTheNetworkOfANode) {
  const TransformerLinks links(cluster_of(4), plain_costs());
  const double inside = links.send(1e8, 2, 8);
  EXPECT_NEAR(inside, 8e-5 + 3.4e-6 + 1e8 / 225e9, 1e-9);
  // Four stages of 8, and of 4 where every second boundary leaves the node.
  EXPECT_NEAR(links.send(1e8, 8, 32), 8e-5 + 14e-6 + 8e8 / 90e9, 1e-9);
  EXPECT_NEAR(links.send(1e8, 4, 16), 8e-5 + 14e-6 + 4e8 / 90e9, 1e-9);
}

TEST(Transformer, AnUnpaddedVocabularyIsSlowOnlyWhereNothingPadsIt) {
  const auto costs = plain_costs();
  const auto head = [&](int vocabulary, int tensor) {
    const auto shape = TransformerShape::gpt(24, 2048, 16, 1024, vocabulary);
    return layer_cost(shape, plan_of(1, tensor, 1, 8, 1), cluster_of(1), costs).head_backward;
  };
  EXPECT_GT(head(50257, 1), 2 * head(50304, 1));
  EXPECT_NEAR(head(50257, 2) / head(50304, 2), 1, 0.01);
}

TEST(Transformer, RefusesWhatCannotRun) {
  const auto costs = plain_costs();
  const auto message = [&](TransformerPlan plan, int nodes = 1) {
    const auto step = predict_transformer(small(), plan, cluster_of(nodes), costs);
    return step.ok() ? std::string("ok") : step.error().message;
  };
  EXPECT_THAT(message(plan_of(1, 3, 1, 1, 1)), HasSubstr("16 heads do not divide by tensor = 3"));
  EXPECT_THAT(message(plan_of(1, 1, 25, 1, 1), 4), HasSubstr("24 layers cannot fill"));
  EXPECT_THAT(message(plan_of(16, 1, 1, 1, 1)), HasSubstr("needs 16 devices, the cluster has 8"));
  TransformerPlan uneven = plan_of(2, 1, 1, 4, 1);
  uneven.global_batch = 12;
  EXPECT_THAT(message(uneven), HasSubstr("no multiple of data x micro_batch = 8"));
  TransformerPlan half = plan_of(1, 1, 1, 1, 1);
  half.precision = TrainPrecision::kFp16;
  EXPECT_THAT(message(half), HasSubstr("has no peak rate for fp16"));
}

}  // namespace
}  // namespace pluto
