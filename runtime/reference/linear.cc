#include <algorithm>

#include "runtime/reference/activation.h"
#include "runtime/reference/kernels.h"
#include "runtime/reference/loop_kernel.h"

namespace pluto::reference {
namespace {

KernelResult linear_forward(const KernelRequest& request) {
  PLUTO_ASSIGN(const LinearAttrs attrs, attributes<LinearAttrs>(request));
  PLUTO_TRY(expect_operands(request, attrs.bias ? "fff" : "ff", output_letters(attrs.activation)));
  const Index features = attrs.out_features;
  const Index width = input_type(request, 1).shape[1];
  const Index rows = elements(request, input_type(request, 0)) / width;
  return loop_kernel([=](const KernelArguments& arguments) {
    for (Index r = 0; r < rows; ++r) {
      const float* x = in(arguments, 0) + r * width;
      float* z = out(arguments, operand_output(attrs.activation)) + r * features;
      for (Index o = 0; o < features; ++o) {
        const double bias = attrs.bias ? in(arguments, 2)[o] : 0.0F;
        z[o] = static_cast<float>(bias + dot(x, in(arguments, 1) + o * width, width));
      }
      activate(attrs.activation, z, out(arguments, 0) + r * features, features);
    }
  });
}

KernelResult linear_backward_data(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "ff", "f"));
  const Index features = input_type(request, 1).shape[0];
  const Index width = input_type(request, 1).shape[1];
  const Index rows = elements(request, input_type(request, 0)) / features;
  const auto loop = [=](const KernelArguments& arguments) {
    double* sums = scratch(arguments);
    for (Index r = 0; r < rows; ++r) {
      std::fill_n(sums, width, 0.0);
      for (Index o = 0; o < features; ++o) {
        add_scaled(sums, in(arguments, 0)[r * features + o], in(arguments, 1) + o * width, width);
      }
      store(out(arguments, 0) + r * width, sums, width);
    }
  };
  return loop_kernel(loop, doubles(width));
}

KernelResult linear_backward_weight(const KernelRequest& request) {
  PLUTO_ASSIGN(const LinearAttrs attrs, attributes<LinearAttrs>(request));
  PLUTO_TRY(expect_operands(request, "ff", attrs.bias ? "ff" : "f"));
  const Index features = output_type(request, 0).shape[0];
  const Index width = output_type(request, 0).shape[1];
  // Rows, not samples: x and dy gathered from several ranks come with a larger batch_multiple.
  const Index rows = elements(request, input_type(request, 1)) / width;
  const auto loop = [=](const KernelArguments& arguments) {
    const float* dy = in(arguments, 0);
    double* sums = scratch(arguments);
    for (Index o = 0; o < features; ++o) {
      std::fill_n(sums, width, 0.0);
      double bias = 0;
      for (Index r = 0; r < rows; ++r) {
        add_scaled(sums, dy[r * features + o], in(arguments, 1) + r * width, width);
        bias += dy[r * features + o];
      }
      store(out(arguments, 0) + o * width, sums, width);
      if (attrs.bias) out(arguments, 1)[o] = static_cast<float>(bias);
    }
  };
  return loop_kernel(loop, doubles(width));
}

/// y(M,N) = scale * op(a)(M,K) * op(b)(K,N), for every matrix of the batch and the leading axes.
KernelResult matmul_forward(const KernelRequest& request) {
  PLUTO_ASSIGN(const MatMulAttrs attrs, attributes<MatMulAttrs>(request));
  PLUTO_TRY(expect_operands(request, "ff", "f"));
  const Shape& a_shape = input_type(request, 0).shape;
  const Shape& y_shape = output_type(request, 0).shape;
  const Index m = y_shape[y_shape.rank() - 2];
  const Index n = y_shape[y_shape.rank() - 1];
  const Index k = a_shape[a_shape.rank() - (attrs.transpose_a ? 2 : 1)];
  const Index matrices = elements(request, output_type(request, 0)) / (m * n);
  const auto loop = [=](const KernelArguments& arguments) {
    double* sums = scratch(arguments);
    for (Index matrix = 0; matrix < matrices; ++matrix) {
      const float* a = in(arguments, 0) + matrix * m * k;
      const float* b = in(arguments, 1) + matrix * k * n;
      for (Index i = 0; i < m; ++i) {
        std::fill_n(sums, n, 0.0);
        for (Index p = 0; p < k; ++p) {
          const double factor = attrs.transpose_a ? a[p * m + i] : a[i * k + p];
          for (Index j = 0; j < n; ++j) {
            sums[j] += factor * double{attrs.transpose_b ? b[j * k + p] : b[p * n + j]};
          }
        }
        for (Index j = 0; j < n; ++j) {
          out(arguments, 0)[(matrix * m + i) * n + j] = static_cast<float>(attrs.scale * sums[j]);
        }
      }
    }
  };
  return loop_kernel(loop, doubles(n));
}

}  // namespace

void add_linear_kernels(KernelTable& table) {
  table.add(OpKind::kLinear, OpPass::kForward, linear_forward);
  table.add(OpKind::kLinear, OpPass::kBackwardData, linear_backward_data);
  table.add(OpKind::kLinear, OpPass::kBackwardWeight, linear_backward_weight);
  table.add(OpKind::kMatMul, OpPass::kForward, matmul_forward);
}

}  // namespace pluto::reference
