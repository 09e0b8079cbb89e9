#include <algorithm>
#include <cmath>

#include "base/philox.h"
#include "runtime/reference/activation.h"
#include "runtime/reference/kernels.h"
#include "runtime/reference/loop_kernel.h"

namespace pluto::reference {
namespace {

// Every loop reads element i before it writes element i, so an output may share memory with an
// input.

using Unary = double (*)(double x);
using Binary = double (*)(double a, double b);

template <Unary kFunction>
KernelResult unary(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "f", "f"));
  const Index count = elements(request, output_type(request, 0));
  return loop_kernel([count](const KernelArguments& arguments) {
    const float* x = in(arguments, 0);
    float* y = out(arguments, 0);
    for (Index i = 0; i < count; ++i) y[i] = static_cast<float>(kFunction(x[i]));
  });
}

template <Binary kFunction>
KernelResult binary(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "ff", "f"));
  const Index count = elements(request, output_type(request, 0));
  return loop_kernel([count](const KernelArguments& arguments) {
    const float *a = in(arguments, 0), *b = in(arguments, 1);
    float* y = out(arguments, 0);
    for (Index i = 0; i < count; ++i) y[i] = static_cast<float>(kFunction(a[i], b[i]));
  });
}

double relu_backward(double dy, double y) { return y > 0 ? dy : 0; }
double sigmoid_backward(double dy, double y) { return dy * y * (1 - y); }
double tanh_forward(double x) { return std::tanh(x); }
double tanh_backward(double dy, double y) { return dy * (1 - y * y); }
double silu_backward(double dy, double x) {
  const double s = sigmoid(x);
  return dy * s * (1 + x * (1 - s));
}

double add(double a, double b) { return a + b; }
double add_relu(double a, double b) { return relu(a + b); }
double multiply(double a, double b) { return a * b; }

KernelResult add_forward(const KernelRequest& request) {
  PLUTO_ASSIGN(const AddAttrs attrs, attributes<AddAttrs>(request));
  return attrs.relu ? binary<add_relu>(request) : binary<add>(request);
}

KernelResult mul_backward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "fff", "ff"));
  const Index count = elements(request, output_type(request, 0));
  return loop_kernel([count](const KernelArguments& arguments) {
    for (Index i = 0; i < count; ++i) {
      const double dy = in(arguments, 0)[i], a = in(arguments, 1)[i], b = in(arguments, 2)[i];
      out(arguments, 0)[i] = static_cast<float>(dy * b);
      out(arguments, 1)[i] = static_cast<float>(dy * a);
    }
  });
}

/// Forward and backward are the same product with the mask. The mask depends on the element's place
/// in the step's global batch alone, so neither the number of ranks nor the micro-batch changes it.
KernelResult dropout(const KernelRequest& request) {
  PLUTO_ASSIGN(const DropoutAttrs attrs, attributes<DropoutAttrs>(request));
  PLUTO_TRY(expect_operands(request, "f", "f"));
  const Index count = elements(request, output_type(request, 0));
  const Index per_sample = output_type(request, 0).shape.elements();
  return loop_kernel([=](const KernelArguments& arguments) {
    const StepScalars& scalars = arguments.scalars;
    const float* x = in(arguments, 0);
    float* y = out(arguments, 0);
    const double scale = 1 / (1 - attrs.p);
    for (Index i = 0; i < count; ++i) {
      if (!scalars.training) {
        y[i] = x[i];
        continue;
      }
      const float drawn =
          philox_uniform(scalars.seed, static_cast<std::uint32_t>(attrs.stream),
                         static_cast<std::uint32_t>(scalars.step),
                         static_cast<std::uint64_t>(scalars.sample_offset * per_sample + i));
      y[i] = drawn >= attrs.p ? static_cast<float>(x[i] * scale) : 0.0F;
    }
  });
}

KernelResult position_add_forward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "ff", "f"));
  const Index per_sample = input_type(request, 0).shape.elements();
  const Index count = elements(request, output_type(request, 0));
  return loop_kernel([=](const KernelArguments& arguments) {
    const float* table = in(arguments, 1) + arguments.scalars.sequence_part * per_sample;
    for (Index i = 0; i < count; ++i) {
      out(arguments, 0)[i] = in(arguments, 0)[i] + table[i % per_sample];
    }
  });
}

KernelResult position_add_backward_weight(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "f", "f"));
  const Index per_sample = input_type(request, 0).shape.elements();
  const Index count = elements(request, input_type(request, 0));
  const Index table = output_type(request, 0).shape.elements();
  const auto loop = [=](const KernelArguments& arguments) {
    double* sums = scratch(arguments);
    std::fill_n(sums, table, 0.0);
    double* rows = sums + arguments.scalars.sequence_part * per_sample;
    for (Index i = 0; i < count; ++i) rows[i % per_sample] += in(arguments, 0)[i];
    store(out(arguments, 0), sums, table);
  };
  return loop_kernel(loop, doubles(table));
}

}  // namespace

void add_elementwise_kernels(KernelTable& table) {
  table.add(OpKind::kRelu, OpPass::kForward, unary<relu>);
  table.add(OpKind::kRelu, OpPass::kBackward, binary<relu_backward>);
  table.add(OpKind::kGelu, OpPass::kForward, unary<gelu>);
  table.add(OpKind::kGelu, OpPass::kBackward, binary<gelu_backward>);
  table.add(OpKind::kSilu, OpPass::kForward, unary<silu>);
  table.add(OpKind::kSilu, OpPass::kBackward, binary<silu_backward>);
  table.add(OpKind::kSigmoid, OpPass::kForward, unary<sigmoid>);
  table.add(OpKind::kSigmoid, OpPass::kBackward, binary<sigmoid_backward>);
  table.add(OpKind::kTanh, OpPass::kForward, unary<tanh_forward>);
  table.add(OpKind::kTanh, OpPass::kBackward, binary<tanh_backward>);
  table.add(OpKind::kDropout, OpPass::kForward, dropout);
  table.add(OpKind::kDropout, OpPass::kBackward, dropout);
  table.add(OpKind::kAdd, OpPass::kForward, add_forward);
  table.add(OpKind::kMul, OpPass::kForward, binary<multiply>);
  table.add(OpKind::kMul, OpPass::kBackward, mul_backward);
  table.add(OpKind::kPositionAdd, OpPass::kForward, position_add_forward);
  table.add(OpKind::kPositionAdd, OpPass::kBackwardWeight, position_add_backward_weight);
}

}  // namespace pluto::reference
