#include "costmodel/strategy_volume.h"

#include <gtest/gtest.h>

#include "costmodel/collective_time.h"
#include "model/zoo.h"

namespace pluto {
namespace {

constexpr double kMiB = 1 << 20;

TEST(StrategyVolume, PoseidonsTableOfAFullyConnectedLayer) {
  // Zhang et al. 2017, section 3.2: M = N = 4096, K = 32, P1 = P2 = 8; "34, 67 and 58.7 million"
  // for a worker, a server of one and a node that is both, factors 3.7 million.
  const MatrixExchange layer{4096, 4096, 32, 8, 8};
  const auto server = parameter_server_volume(layer);
  EXPECT_DOUBLE_EQ(server.worker, 2.0 * 4096 * 4096);
  EXPECT_DOUBLE_EQ(server.server, 2.0 * 8 * 4096 * 4096 / 8);
  EXPECT_NEAR(server.both, 58.7e6, 0.05e6);
  EXPECT_NEAR(sufficient_factor_volume(layer).worker, 3.7e6, 0.05e6);
  const auto adam = adam_volume(layer);
  EXPECT_DOUBLE_EQ(adam.server, 8.0 * 4096 * 4096 + 8.0 * 32 * (4096 + 4096));
  EXPECT_DOUBLE_EQ(adam.worker, 32.0 * (4096 + 4096) + 4096.0 * 4096);
  EXPECT_DOUBLE_EQ(adam.both, 7 * (4096.0 * 4096 + 32 * 4096 + 32 * 4096));
}

TEST(StrategyVolume, GradientsOfEightNodesNeedTwentySixGigabitsPerSecond) {
  // Same paper: AlexNet makes 240 million gradients a second on a GPU; 8 nodes that are worker and
  // server move 840 million parameters of 32 bits a second.
  const auto rate = parameter_server_volume({240e6, 1, 0, 8, 8}).both;
  EXPECT_DOUBLE_EQ(rate, 840e6);
  EXPECT_NEAR(rate * 32 / 1e9, 26, 1);
}

TEST(StrategyVolume, ASampleOfTheSixthLayerIsTwoVectors) {
  // The other worked example: a 4096 x 4096 layer sends two vectors of 4096 per sample to each peer
  // (and takes as many).
  EXPECT_DOUBLE_EQ(sufficient_factor_volume({4096, 4096, 1, 2, 2}).worker, 2 * 2 * 4096);
}

TEST(StrategyVolume, PoseidonsCountIsTwiceTheBytesOfOneDirection) {
  for (const int ranks : {2, 8, 32}) {
    const auto gradient = Bytes(4096 * 1000 * 4);
    const double push =
        bytes_per_direction({CollectiveKind::kReduceScatter, gradient, ranks, ranks});
    const double all = bytes_per_direction({CollectiveKind::kAllReduce, gradient, ranks, ranks});
    const double count =
        parameter_server_volume({4096, 1000, 32, double(ranks), double(ranks)}).both;
    EXPECT_DOUBLE_EQ(count, 2 * (2 * push) / 4);
    EXPECT_DOUBLE_EQ(count, 2 * all / 4);
  }
}

// The founding system's AlexNet at batch 512. It does not say which AlexNet: assumed is the grouped
// one of 2012 (60.97 million parameters, 6 x 6 x 256 features into the first linear layer), whose
// numbers agree. 2 P G and 2 P G_conv + features are our reading of "data moved".
TEST(StrategyVolume, AlexNetDataParallel) {
  const auto model = build_model("alexnet");
  ASSERT_TRUE(model.ok());
  for (const auto& [devices, published] : {std::pair(2, 930.0), {4, 1861.0}, {8, 3722.0}}) {
    const auto bytes = data_parallel_bytes(model->graph, devices);
    EXPECT_NEAR(static_cast<double>(bytes.value()) / kMiB, published, 0.01 * published);
  }
  EXPECT_EQ(data_parallel_bytes(model->graph, 1).value(), 0);
}

TEST(StrategyVolume, AlexNetWithShardedLinearLayers) {
  const auto model = build_model("alexnet");
  ASSERT_TRUE(model.ok());
  for (const auto& [devices, published] : {std::pair(2, 54.0), {4, 89.0}, {8, 161.0}}) {
    const auto bytes = hybrid_parallel_bytes(model->graph, devices, 512);
    EXPECT_NEAR(static_cast<double>(bytes.value()) / kMiB, published, 0.01 * published);
  }
  EXPECT_EQ(hybrid_parallel_bytes(model->graph, 1, 512).value(), 0);
  // The features are 9216 floats per sample and do not depend on the devices.
  EXPECT_EQ(
      (hybrid_parallel_bytes(model->graph, 2, 512) - hybrid_parallel_bytes(model->graph, 2, 256))
          .value(),
      std::int64_t{9216} * 256 * 4);
}

}  // namespace
}  // namespace pluto
