// The elementary functions of every instruction set against libm in double.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "runtime/cpu/isa/isa_kernels.h"

namespace pluto::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kTolerance = 1e-6;  // relative

class VectorMath : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    isa_ = find_isa_kernels(GetParam());
    if (isa_ == nullptr) GTEST_SKIP() << "this processor has no " << GetParam();
  }
  const IsaKernels* isa_ = nullptr;
};

/// Every size from the smallest to the largest, both signs, and the neighbourhood of 0.
std::vector<float> samples(float largest) {
  std::vector<float> x = {0.0f, -0.0f};
  for (float size = 1e-30f; size < largest; size *= 1.01f) {
    x.push_back(size);
    x.push_back(-size);
  }
  for (int i = -5000; i <= 5000; ++i) x.push_back(largest * static_cast<float>(i) / 5000.0f);
  return x;
}

/// The largest |y - f(x)| / (|f(x)| + smallest), where smallest stands for what may be flushed to
/// 0.
double worst_error(Unary function, double (*truth)(double), const std::vector<float>& x,
                   double smallest) {
  std::vector<float> y(x.size());
  function(x.data(), y.data(), static_cast<std::int64_t>(x.size()));
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double expected = truth(x[i]);
    const double error = std::abs(y[i] - expected) / (std::abs(expected) + smallest);
    worst = std::max(worst, std::isnan(error) ? kInfinity : error);
  }
  return worst;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double silu(double x) { return x * sigmoid(x); }
double gelu(double x) {
  return x * sigmoid(2 * std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x));
}

TEST_P(VectorMath, AgreesWithLibm) {
  const double flushed = 1e-31;  // results below 2e-38 may be 0
  EXPECT_LT(worst_error(isa_->exp, std::exp, samples(86), flushed), kTolerance);
  EXPECT_LT(worst_error(isa_->tanh, std::tanh, samples(100), flushed), kTolerance);
  EXPECT_LT(worst_error(isa_->sigmoid, sigmoid, samples(86), flushed), kTolerance);
  EXPECT_LT(worst_error(isa_->silu, silu, samples(80), flushed), kTolerance);
  // The exponent of gelu's sigmoid is rounded before it is used: a relative error of |x|^3
  // roundings.
  EXPECT_LT(worst_error(isa_->gelu, gelu, samples(3), flushed), 4e-6);
}

TEST_P(VectorMath, KeepsItsLimits) {
  const std::vector<float> x = {-kInfinity, -1000, -200, 200, 1000, kInfinity, NAN};
  const std::int64_t n = static_cast<std::int64_t>(x.size());
  std::vector<float> y(x.size());
  isa_->exp(x.data(), y.data(), n);
  EXPECT_EQ(std::vector<float>(y.begin(), y.end() - 1),
            (std::vector<float>{0, 0, 0, kInfinity, kInfinity, kInfinity}));
  EXPECT_TRUE(std::isnan(y.back()));
  isa_->tanh(x.data(), y.data(), n);
  EXPECT_EQ(std::vector<float>(y.begin(), y.end() - 1), (std::vector<float>{-1, -1, -1, 1, 1, 1}));
  EXPECT_TRUE(std::isnan(y.back()));
  isa_->sigmoid(x.data(), y.data(), n);
  for (int i = 0; i < 3; ++i) EXPECT_LT(y[static_cast<std::size_t>(i)], 1e-37f);
  for (int i = 3; i < 6; ++i) EXPECT_EQ(y[static_cast<std::size_t>(i)], 1);
  EXPECT_TRUE(std::isnan(y.back()));
  isa_->relu(x.data(), y.data(), n);
  EXPECT_EQ(std::vector<float>(y.begin(), y.end() - 1),
            (std::vector<float>{0, 0, 0, 200, 1000, kInfinity}));
  EXPECT_TRUE(std::isnan(y.back()));
}

TEST_P(VectorMath, LosesNoBitOfSmallLogarithms) {
  // bce at target 0 and x << 0 is log(1 + exp(x)), about exp(x).
  for (float x : {-1.0f, -5.0f, -20.0f, -60.0f}) {
    const float target = 0;
    EXPECT_NEAR(isa_->bce(&x, &target, 1) / std::log1p(std::exp(double{x})), 1, 2e-6) << x;
  }
}

TEST_P(VectorMath, PowersOfTheLrnScale) {
  std::vector<float> scale, x, y;
  for (float s = 1e-3f; s < 1e3f; s *= 1.003f) scale.push_back(s);
  x.assign(scale.size(), 1.0f);
  y.resize(scale.size());
  isa_->lrn_power(x.data(), scale.data(), 0.75f, y.data(), static_cast<std::int64_t>(x.size()));
  for (std::size_t i = 0; i < x.size(); ++i)
    EXPECT_NEAR(y[i] / std::pow(double{scale[i]}, -0.75), 1, 2e-6);
}

INSTANTIATE_TEST_SUITE_P(Sets, VectorMath, ::testing::Values("avx512", "avx2", "baseline"),
                         [](const auto& info) { return std::string(info.param); });

TEST(IsaKernels, ChoosesTheBestSetThereIs) {
  const IsaKernels& best = isa_kernels();
  EXPECT_EQ(find_isa_kernels(best.name), &best);
  EXPECT_NE(find_isa_kernels("baseline"), nullptr);
  EXPECT_EQ(find_isa_kernels("avx1024"), nullptr);
  if (find_isa_kernels("avx512") != nullptr) {
    EXPECT_STREQ(best.name, "avx512");
  }
}

}  // namespace
}  // namespace pluto::cpu
