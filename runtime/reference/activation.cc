#include "runtime/reference/activation.h"

#include <numbers>

namespace pluto::reference {
namespace {

constexpr double kGeluCubic = 0.044715;
double gelu_inner(double x) {
  const double root = std::sqrt(2 / std::numbers::pi);
  return std::tanh(root * (x + kGeluCubic * x * x * x));
}

template <class Function>
void each(const float* z, float* y, Index count, Function function) {
  for (Index i = 0; i < count; ++i) y[i] = static_cast<float>(function(double{z[i]}));
}

}  // namespace

double gelu(double x) { return 0.5 * x * (1 + gelu_inner(x)); }
double gelu_backward(double dy, double x) {
  const double t = gelu_inner(x);
  const double slope = std::sqrt(2 / std::numbers::pi) * (1 + 3 * kGeluCubic * x * x);
  return dy * 0.5 * (1 + t + x * (1 - t * t) * slope);
}

void activate(Activation activation, const float* z, float* y, Index count) {
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kRelu:
      return each(z, y, count, relu);
    case Activation::kTanh:
      return each(z, y, count, [](double x) { return std::tanh(x); });
    case Activation::kSigmoid:
      return each(z, y, count, sigmoid);
    case Activation::kGelu:
      return each(z, y, count, gelu);
    case Activation::kSilu:
      return each(z, y, count, silu);
  }
}

}  // namespace pluto::reference
