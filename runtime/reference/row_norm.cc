#include <algorithm>
#include <cmath>

#include "runtime/reference/kernels.h"
#include "runtime/reference/loop_kernel.h"

namespace pluto::reference {
namespace {

struct Rows {
  Index rows, width;
};
Rows rows_of(const KernelRequest& request, const TensorType& x) {
  const Index width = x.shape.dims.back();
  return {elements(request, x) / width, width};
}

KernelResult layer_norm_forward(const KernelRequest& request) {
  PLUTO_ASSIGN(const NormAttrs attrs, attributes<NormAttrs>(request));
  PLUTO_TRY(expect_operands(request, "fff", "fff"));
  const auto [rows, width] = rows_of(request, input_type(request, 0));
  return loop_kernel([attrs, rows = rows, width = width](const KernelArguments& arguments) {
    for (Index r = 0; r < rows; ++r) {
      const float* x = in(arguments, 0) + r * width;
      double sum = 0, squares = 0;
      for (Index i = 0; i < width; ++i) sum += x[i];
      const double mean = sum / static_cast<double>(width);
      for (Index i = 0; i < width; ++i) squares += (x[i] - mean) * (x[i] - mean);
      const double inv_std = 1 / std::sqrt(squares / static_cast<double>(width) + attrs.epsilon);
      for (Index i = 0; i < width; ++i) {
        out(arguments, 0)[r * width + i] =
            static_cast<float>(in(arguments, 1)[i] * (x[i] - mean) * inv_std + in(arguments, 2)[i]);
      }
      out(arguments, 1)[r] = static_cast<float>(mean);
      out(arguments, 2)[r] = static_cast<float>(inv_std);
    }
  });
}

/// With g = dy * gamma: dx = inv_std * (g - mean(g) - xhat * mean(g * xhat)).
KernelResult layer_norm_backward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "fffff", "fff"));
  const auto [rows, width] = rows_of(request, input_type(request, 1));
  const auto loop = [rows = rows, width = width](const KernelArguments& arguments) {
    const float* gamma = in(arguments, 2);
    double* dgamma = scratch(arguments);
    double* dbeta = dgamma + width;
    std::fill_n(dgamma, 2 * width, 0.0);
    for (Index r = 0; r < rows; ++r) {
      const float* dy = in(arguments, 0) + r * width;
      const float* x = in(arguments, 1) + r * width;
      const double mean = in(arguments, 3)[r], inv_std = in(arguments, 4)[r];
      const auto normal = [&](Index i) { return (x[i] - mean) * inv_std; };
      double sum = 0, product = 0;
      for (Index i = 0; i < width; ++i) {
        const double g = double{dy[i]} * double{gamma[i]};
        sum += g;
        product += g * normal(i);
        dgamma[i] += dy[i] * normal(i);
        dbeta[i] += dy[i];
      }
      const double share = 1 / static_cast<double>(width);
      for (Index i = 0; i < width; ++i) {
        const double g = double{dy[i]} * double{gamma[i]};
        out(arguments, 0)[r * width + i] =
            static_cast<float>(inv_std * (g - share * sum - share * normal(i) * product));
      }
    }
    store(out(arguments, 1), dgamma, width);
    store(out(arguments, 2), dbeta, width);
  };
  return loop_kernel(loop, doubles(2 * width));
}

KernelResult rms_norm_forward(const KernelRequest& request) {
  PLUTO_ASSIGN(const NormAttrs attrs, attributes<NormAttrs>(request));
  PLUTO_TRY(expect_operands(request, "ff", "ff"));
  const auto [rows, width] = rows_of(request, input_type(request, 0));
  return loop_kernel([attrs, rows = rows, width = width](const KernelArguments& arguments) {
    for (Index r = 0; r < rows; ++r) {
      const float* x = in(arguments, 0) + r * width;
      const double inv_rms =
          1 / std::sqrt(dot(x, x, width) / static_cast<double>(width) + attrs.epsilon);
      for (Index i = 0; i < width; ++i) {
        out(arguments, 0)[r * width + i] = static_cast<float>(in(arguments, 1)[i] * x[i] * inv_rms);
      }
      out(arguments, 1)[r] = static_cast<float>(inv_rms);
    }
  });
}

/// With g = dy * gamma: dx = inv_rms * (g - x * inv_rms^2 * mean(g * x)).
KernelResult rms_norm_backward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "ffff", "ff"));
  const auto [rows, width] = rows_of(request, input_type(request, 1));
  const auto loop = [rows = rows, width = width](const KernelArguments& arguments) {
    const float* gamma = in(arguments, 2);
    double* dgamma = scratch(arguments);
    std::fill_n(dgamma, width, 0.0);
    for (Index r = 0; r < rows; ++r) {
      const float* dy = in(arguments, 0) + r * width;
      const float* x = in(arguments, 1) + r * width;
      const double inv_rms = in(arguments, 3)[r];
      double product = 0;
      for (Index i = 0; i < width; ++i) {
        product += double{dy[i]} * gamma[i] * x[i];
        dgamma[i] += dy[i] * x[i] * inv_rms;
      }
      const double shrink = product * inv_rms * inv_rms / static_cast<double>(width);
      for (Index i = 0; i < width; ++i) {
        out(arguments, 0)[r * width + i] =
            static_cast<float>(inv_rms * (double{dy[i]} * gamma[i] - shrink * x[i]));
      }
    }
    store(out(arguments, 1), dgamma, width);
  };
  return loop_kernel(loop, doubles(width));
}

}  // namespace

void add_row_norm_kernels(KernelTable& table) {
  table.add(OpKind::kLayerNorm, OpPass::kForward, layer_norm_forward);
  table.add(OpKind::kLayerNorm, OpPass::kBackward, layer_norm_backward);
  table.add(OpKind::kRmsNorm, OpPass::kForward, rms_norm_forward);
  table.add(OpKind::kRmsNorm, OpPass::kBackward, rms_norm_backward);
}

}  // namespace pluto::reference
