#include "costmodel/transformer_layer_factor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "plan/catalog.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kData = PLUTO_SOURCE_DIR "/data";

class LayerFactorTest : public ::testing::Test {
 protected:
  LayerFactorTest() {
    const auto catalog = Catalog::load(kData + "/catalog").value();
    cluster_ = {catalog.instance("aws:p4d.24xlarge").value(), 1};
    costs_ = TransformerCostTable::load(kData + "/transformer.json")
                 .value()
                 .costs_for(cluster_.instance.node.device);
  }
  TransformerPoint point(int layers, int tensor, int micro_batch, double slower) const {
    TransformerPoint one;
    one.shape = TransformerShape::gpt(layers, 2048, 16, 1024, 51200);
    one.plan.tensor = tensor;
    one.plan.micro_batch = micro_batch;
    one.plan.global_batch = 8 * micro_batch;
    one.cluster = cluster_;
    one.step = step(one, {}) * slower;
    return one;
  }
  Seconds step(const TransformerPoint& one, const LayerFactors& factors) const {
    return predict_measured_layers(one.shape, one.plan, one.cluster, costs_, factors).step();
  }
  ClusterSpec cluster_;
  TransformerCosts costs_;
};

TEST_F(LayerFactorTest, WithoutMeasurementsThePredictionIsThatOfTheConstants) {
  const auto one = point(24, 2, 4, 1);
  const auto plain = predict_transformer(one.shape, one.plan, one.cluster, costs_);
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(step(one, {}), plain->step());
}

TEST_F(LayerFactorTest, AMeasuredLayerCarriesOverToOtherDepthsAndBatches) {
  const LayerFactors factors(std::vector{point(24, 2, 4, 1.2)}, costs_);
  const auto same = point(24, 2, 4, 1.2);
  EXPECT_NEAR(step(same, factors) / same.step, 1, 0.02);
  auto deeper = point(48, 2, 4, 1);
  deeper.plan.global_batch *= 4;
  deeper.step = step(deeper, {});
  EXPECT_GT(step(deeper, factors) / deeper.step, 1.15);
  // Another degree has nothing in common with it.
  const auto other = point(24, 4, 8, 1);
  EXPECT_EQ(step(other, factors), other.step);
}

TEST_F(LayerFactorTest, OneRunMovesLessThanSeveralThatAgree) {
  const auto one = point(24, 2, 4, 1.3);
  const std::vector<TransformerPoint> several(9, one);
  const auto effect = layer_effect(one.shape, one.plan, one.cluster, costs_);
  const double once = LayerFactors(std::vector{one}, costs_).of(effect);
  const double often = LayerFactors(several, costs_).of(effect);
  EXPECT_GT(once, 1);
  EXPECT_GT(often, once);
}

TEST_F(LayerFactorTest, KindsThatDidNotRunFollowThoseOfTheirDegree) {
  // Three micro-batches of one degree are slower than predicted, the fourth then is in part.
  const std::vector<TransformerPoint> slow = {point(24, 2, 1, 1.2), point(24, 2, 2, 1.2),
                                              point(24, 2, 8, 1.2)};
  const LayerFactors factors(slow, costs_);
  const auto unseen = point(24, 2, 4, 1);
  const double pulled = step(unseen, factors) / unseen.step;
  EXPECT_GT(pulled, 1.05);
  EXPECT_LT(pulled, 1.2);
  costs_.degree_share = 0;
  EXPECT_EQ(step(unseen, LayerFactors(slow, costs_)), step(unseen, {}));
  // All of it shared: every micro-batch has the same factor, where the host counts for nothing.
  costs_.degree_share = 1;
  costs_.host_spread = 0;
  const LayerFactors shared(slow, costs_);
  EXPECT_NEAR(shared.of({"measured", 2, 1, 0}), shared.of({"unseen", 2, 1, 1}), 1e-12);
}

TEST_F(LayerFactorTest, AHostThatLagsSlowsOnlyLayersThatWaitForIt) {
  const auto waiting = point(24, 8, 1, 1.3);
  const auto busy = point(24, 8, 32, 1);
  const auto effect = [&](const TransformerPoint& one) {
    return layer_effect(one.shape, one.plan, one.cluster, costs_);
  };
  ASSERT_GT(effect(waiting).host_share, 0.8);
  ASSERT_LT(effect(busy).host_share, 0.1);
  const LayerFactors factors(std::vector{waiting}, costs_);
  EXPECT_GT(factors.of(effect(waiting)), 1.2);
  EXPECT_LT(factors.of(effect(busy)), 1.05);
}

TEST_F(LayerFactorTest, TheHostShareIsTheDerivativeByItsTime) {
  for (const int micro_batch : {1, 4, 16}) {
    auto one = point(24, 2, micro_batch, 1);
    one.plan.recompute = micro_batch == 4 ? Recompute::kFull : Recompute::kSelective;
    const auto layer = [&](double host) {
      auto costs = costs_;
      costs.value[static_cast<std::size_t>(TransformerConstant::kHostPerOp)] *= host;
      const auto cost = layer_cost(one.shape, one.plan, one.cluster, costs);
      return std::log(cost.forward + cost.backward + cost.tensor_comm);
    };
    const double slope = (layer(std::exp(1e-4)) - layer(std::exp(-1e-4))) / 2e-4;
    EXPECT_NEAR(layer_cost(one.shape, one.plan, one.cluster, costs_).host_share, slope, 1e-6);
  }
}

TEST_F(LayerFactorTest, KernelsAreNamedByWhatDecidesThem) {
  auto one = point(24, 2, 4, 1);
  const std::string name = layer_kernels(one.shape, one.plan);
  EXPECT_THAT(name, HasSubstr("hidden 2048"));
  one.plan.data = 4;
  one.plan.pipeline = 2;
  one.shape.layers = 7;
  EXPECT_EQ(layer_kernels(one.shape, one.plan), name);
  const auto changed = [&](auto change) {
    auto other = one;
    change(other);
    EXPECT_NE(layer_kernels(other.shape, other.plan), name);
  };
  changed([](TransformerPoint& p) { p.plan.micro_batch = 5; });
  changed([](TransformerPoint& p) { p.plan.tensor = 4; });
  changed([](TransformerPoint& p) { p.plan.context = 2; });
  changed([](TransformerPoint& p) { p.plan.sequence_parallel = true; });
  changed([](TransformerPoint& p) { p.plan.overlap_tensor = true; });
  changed([](TransformerPoint& p) { p.plan.recompute = Recompute::kFull; });
  changed([](TransformerPoint& p) { p.plan.precision = TrainPrecision::kFp16; });
  changed([](TransformerPoint& p) { p.plan.attention = AttentionKernel::kFlash; });
  changed([](TransformerPoint& p) { p.shape.kv_heads = 4; });
  changed([](TransformerPoint& p) { p.shape.experts = 8; });
  changed([](TransformerPoint& p) { p.shape.gated = true; });
  changed([](TransformerPoint& p) { p.shape.causal = false; });
  changed([](TransformerPoint& p) { p.shape.ffn = 4096; });
}

}  // namespace
}  // namespace pluto
