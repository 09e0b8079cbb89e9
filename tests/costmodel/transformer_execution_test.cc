#include "costmodel/transformer_execution.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "costmodel/transformer_links.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

class Executions : public ::testing::Test {
 protected:
  Executions() {
    costs.value = {0.75, 1e6, 100, 0.35, 0.8, 3e-5, 4e-6, 5e-5, 8e-5,
                   0.75, 0.9, 27,  3e-3, 0.2, 0.4,  1.5,  2};
    cluster.nodes = 8;
    auto& node = cluster.instance.node;
    node.devices = 8;
    node.device.memory = Bytes(80'000'000'000);
    node.device.memory_bandwidth = BytesPerSecond(2.039e12);
    node.device.peak[DType::kBF16] = FlopsPerSecond(312e12);
    node.intra = {"NVLink3", Seconds(3.4e-6), BytesPerSecond(300e9)};
    node.network = {"InfiniBand", Seconds(14e-6), BytesPerSecond(100e9), 8};
    plan.data = 4;
    plan.tensor = 4;
    plan.pipeline = 4;
    plan.micro_batch = 2;
    plan.global_batch = 64;
  }
  TransformerLayerCost layer() const {
    return layer_cost(shape, plan, execution, strides(), host, cluster, costs);
  }
  TransformerStep step() const {
    const auto lawful = check(shape, plan, execution);
    EXPECT_TRUE(lawful.ok()) << lawful.error().message;
    return predict_execution(layer(), shape, plan, execution, strides(), host, cluster, costs);
  }
  RankStrides strides() const { return *strides_of(plan, execution, 8); }
  ExecutionMemory memory() const { return execution_memory(shape, plan, execution); }
  void use(TensorExchange exchange) {
    execution.exchange = exchange;
    plan.sequence_parallel = exchange == TensorExchange::kSequence;
  }
  double activations() const { return 2.0 * plan.micro_batch * shape.sequence * shape.hidden; }
  double sum() const {
    return TransformerLinks(cluster, costs).all_reduce(activations(), plan.tensor, 1);
  }

  TransformerShape shape = TransformerShape::gpt(24, 4096, 32, 2048, 51200);
  TransformerPlan plan;
  TransformerExecution execution;
  HostMemory host{Bytes(512LL << 30), BytesPerSecond(28.8e9)};
  ClusterSpec cluster;
  TransformerCosts costs;
};

TEST_F(Executions, AreWhatPlansRunWherePlansHaveTheWords) {
  use(TensorExchange::kSequence);
  for (const int chunks : {1, 3}) {
    plan.interleave = chunks;
    EXPECT_EQ(step().step(), predict_transformer(shape, plan, cluster, costs)->step());
    EXPECT_EQ(memory().device, fullest_stage(shape, plan).reserved());
    EXPECT_EQ(memory().host, Bytes(0));
  }
  use(TensorExchange::kAllReduce);
  plan.tensor = 1;
  EXPECT_EQ(step().step(), predict_transformer(shape, plan, cluster, costs)->step());
}

TEST_F(Executions, ScatteredSendsSendAPartOfTheBoundary) {
  EXPECT_EQ(layer().boundary_bytes, activations());
  const double whole = step().pipeline_comm.value();
  use(TensorExchange::kScatteredSends);
  EXPECT_EQ(layer().boundary_bytes, activations() / 4);
  // Inside a node a sum is exactly a scatter and a gather.
  EXPECT_NEAR(layer().boundary_gather, 0, 1e-12);
  const double bandwidth = 100e9 * 0.9 / 8 * 1;  // eight ranks of a node send at once
  const double saved = 2 * plan.accumulation() * activations() * 3 / 4 / bandwidth;
  EXPECT_NEAR(whole - step().pipeline_comm.value(), saved, 1e-9);
}

TEST_F(Executions, PiecesHideWhatTheirProductsLast) {
  // A link so slow that collectives outlast some of the products.
  cluster.instance.node.intra.bandwidth = BytesPerSecond(40e9);
  const LayerProducts products = layer_products(shape, plan, cluster.instance.node.device, costs);
  // Of the four products of a layer forward: nothing else is counted there.
  costs.value[static_cast<std::size_t>(TransformerConstant::kHostPerOp)] = 1e-12;
  const double slow = costs[TransformerConstant::kOverlapSlowdown];
  const auto forward = [&](TensorOverlap overlap) {
    execution.overlap = overlap;
    return layer().forward_comm;
  };
  EXPECT_NEAR(forward(TensorOverlap::kNone), 2 * sum(), 1e-9);
  const auto pieces = [&](double comm, const std::array<double, 2>& beside) {
    double seen = 0;
    for (const double product : beside) {
      seen += 0.75 * (std::max(0.0, comm - product) + slow * std::min(comm, product));
    }
    return seen;
  };
  const double ring = pieces(sum(), products.out);
  EXPECT_NEAR(forward(TensorOverlap::kRing), ring, 1e-9);
  EXPECT_NEAR(forward(TensorOverlap::kPipe), ring + 2 * sum() / 4, 1e-9);
  // Backward: beside the gradients towards the inputs.
  execution.overlap = TensorOverlap::kRing;
  const auto backward = [&] { return layer().tensor_comm - layer().forward_comm; };
  EXPECT_NEAR(backward(), pieces(sum(), products.in_gradient), 1e-9);
  use(TensorExchange::kSequence);
  EXPECT_NEAR(layer().forward_comm,
              pieces(sum() / 2, products.in) + pieces(sum() / 2, products.out), 1e-9);
  EXPECT_NEAR(backward(), pieces(sum() / 2, products.out_gradient) + 2 * slow * sum(), 1e-9);
}

TEST_F(Executions, WhatIsNotGatheredAgainIsKept) {
  use(TensorExchange::kSequence);
  costs.value[static_cast<std::size_t>(TransformerConstant::kHostPerOp)] = 1e-12;
  const auto again = layer();
  const auto without = memory();
  execution.gather_again = false;
  const double slow = costs[TransformerConstant::kOverlapSlowdown];
  EXPECT_NEAR(again.tensor_comm - layer().tensor_comm, slow * sum(), 1e-9);
  // The first stage has 6 layers and 4 micro-batches on the way; a 20th more is held in vain.
  const double kept = 6 * 4 * 2 * 0.75 * activations();
  EXPECT_NEAR(static_cast<double>((memory().device - without.device).value()), 1.05 * kept, 4);
}

TEST_F(Executions, OffloadedLayersLastAsLongAsTheirCopies) {
  const auto alone = layer();
  const double weights = layer_parameters(shape) / 4 * 2;
  const double kept = layer_activation_bytes(shape, plan);
  execution.offload_weights = execution.offload_activations = true;
  host.bandwidth = BytesPerSecond(1e18);
  EXPECT_EQ(layer().forward, alone.forward);
  EXPECT_EQ(layer().backward, alone.backward);
  host.bandwidth = BytesPerSecond(1e9);
  EXPECT_NEAR(layer().forward + alone.forward_comm, std::max(weights, kept) / 1e9, 1e-9);
  EXPECT_NEAR(layer().backward + alone.tensor_comm - alone.forward_comm, (weights + kept) / 1e9,
              1e-9);
  // The optimizer's state is read and written once.
  execution = {};
  execution.offload_optimizer = true;
  EXPECT_NEAR(step().update.value(), 6 * layer_parameters(shape) / 4 * 12 / 1e9, 1e-9);
  plan.shard = 1;
  EXPECT_NEAR(step().update.value(), 6 * layer_parameters(shape) / 4 * 12 / 4 / 1e9, 1e-9);
}

TEST_F(Executions, OffloadingLeavesTwoLayersOnTheDevice) {
  const double parameters = layer_parameters(shape) / 4;
  const double kept = layer_activation_bytes(shape, plan);
  const Bytes all = memory().device;
  const auto expect = [&](double each, double count) {
    const auto freed = static_cast<double>((all - memory().device).value());
    EXPECT_NEAR(freed, 1.05 * each * (count - 2), 8);
    EXPECT_NEAR(static_cast<double>(memory().host.value()), each * count, 2);
    execution = {};
  };
  execution.offload_weights = true;
  expect(parameters * 2, 6);
  execution.offload_optimizer = true;
  expect(parameters * 12, 6);
  execution.offload_activations = true;
  const ExecutionMemory offloaded = memory();
  EXPECT_NEAR(static_cast<double>(offloaded.host.value()), kept * 24, 2);
  // The last stage has the logits, and one micro-batch on its way: then it is the fullest.
  const double last = 4 * kept * 1.05;
  const auto without = static_cast<double>(stage_memory(shape, plan, 3).reserved().value());
  EXPECT_NEAR(static_cast<double>(offloaded.device.value()), without - last, 8);
}

TEST_F(Executions, ChunksWithoutMicroBatchesWait) {
  plan.interleave = 3;
  plan.global_batch = 4 * 2 * 8;
  const double full = step().bubble.value();
  plan.global_batch = 4 * 2 * 10;  // 10 micro-batches on 4 stages: 2 are missing twice
  const auto plain = predict_transformer(layer(), shape, plan, cluster, costs);
  const double chunk = (slowest_stage(layer(), shape, 4) + plain.pipeline_comm.value() / 10) / 3;
  EXPECT_GT(plain.bubble.value(), full);
  EXPECT_NEAR((step().bubble - plain.bubble).value(), 2 * 2 * chunk, 1e-9);
}

TEST_F(Executions, LevelsInsideANodeAreNumberedFirst) {
  EXPECT_EQ(strides().tensor, 1);
  EXPECT_EQ(strides().data, 4);
  EXPECT_EQ(strides().pipeline, 16);
  execution.pipeline_inside = true;
  EXPECT_EQ(strides().pipeline, 1);
  EXPECT_EQ(strides().tensor, 4);
  EXPECT_EQ(strides().data, 16);
  execution.data_inside = true;  // 4 x 4 ranks in a node of 8
  EXPECT_FALSE(strides_of(plan, execution, 8));
  plan.data = 2;
  EXPECT_EQ(strides().data, 1);
  EXPECT_EQ(strides().pipeline, 2);
  EXPECT_EQ(strides().tensor, 8);
  EXPECT_FALSE(strides_of(plan, execution, 12)) << "8 of 12 devices leave a part of a node";
}

TEST_F(Executions, StagesInsideANodeSendFaster) {
  const double across = step().pipeline_comm.value();
  execution.pipeline_inside = true;
  EXPECT_LT(step().pipeline_comm.value(), across / 3);
  EXPECT_GT(step().tensor_comm.value(), 0);
}

TEST_F(Executions, UnlawfulOnesNameTheField) {
  const auto error = [&] {
    const auto checked = check(shape, plan, execution);
    return checked.ok() ? "" : checked.error().message;
  };
  EXPECT_EQ(error(), "");
  plan.sequence_parallel = true;
  EXPECT_THAT(error(), HasSubstr("sequence_parallel"));
  plan.sequence_parallel = false;
  execution.gather_again = false;
  EXPECT_THAT(error(), HasSubstr("gather_again"));
  execution = {};
  execution.offload_activations = true;
  plan.recompute = Recompute::kFull;
  EXPECT_THAT(error(), HasSubstr("offload_activations"));
  plan.recompute = Recompute::kNone;
  plan.pipeline = 12;
  EXPECT_THAT(error(), HasSubstr("a stage has 2 layers"));
  plan.pipeline = 5;
  EXPECT_THAT(error(), HasSubstr("pipeline is 5"));
  plan.pipeline = 4;
  plan.context = 2;
  EXPECT_THAT(error(), HasSubstr("context is 2"));
  plan.context = 1;
  execution = {};
  execution.overlap = TensorOverlap::kRing;
  plan.tensor = 1;
  EXPECT_THAT(error(), HasSubstr("overlap without tensor"));
}

}  // namespace
}  // namespace pluto
