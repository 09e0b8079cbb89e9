#include "costmodel/transformer_layer_factor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
  // Another micro-batch runs other kernels.
  const auto other = point(24, 2, 8, 1);
  EXPECT_EQ(step(other, factors), other.step);
}

TEST_F(LayerFactorTest, OneRunMovesLessThanSeveralThatAgree) {
  const auto one = point(24, 2, 4, 1.3);
  const std::vector<TransformerPoint> several(9, one);
  const double once = LayerFactors(std::vector{one}, costs_).of(one.shape, one.plan);
  const double often = LayerFactors(several, costs_).of(one.shape, one.plan);
  EXPECT_GT(once, 1);
  EXPECT_GT(often, once);
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
