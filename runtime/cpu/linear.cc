// Fully connected layers and matrix products on plain row-major operands.
#include <cstring>

#include "runtime/cpu/cpu_kernel.h"
#include "runtime/cpu/epilogue.h"
#include "runtime/cpu/gemm.h"
#include "runtime/cpu/parallel.h"

namespace pluto::cpu {
namespace {

struct Sizes {
  std::int64_t rows, in, out;
};

// sums(columns) = column sums of a(rows, columns).
void sum_columns(const Context& context, const float* a, std::int64_t rows, std::int64_t columns,
                 float* sums) {
  parallel_for(context.threads, columns, kSerialElements / rows + 1, 64,
               [&](std::int64_t begin, std::int64_t end) {
                 std::memset(sums + begin, 0,
                             static_cast<std::size_t>(end - begin) * sizeof(float));
                 for (std::int64_t r = 0; r < rows; ++r) {
                   context.isa->accumulate(a + r * columns + begin, sums + begin, end - begin);
                 }
               });
}

// forward y = x w^T, backward_data dx = dy w, backward_weight dw = dy^T x.
GemmShape shape_of(OpPass pass, const Sizes& n) {
  switch (pass) {
    case OpPass::kForward:
      return {n.rows, n.out, n.in, n.in, 1, 1, n.in, n.out};
    case OpPass::kBackwardData:
      return {n.rows, n.in, n.out, n.out, 1, n.in, 1, n.in};
    default:
      return {n.out, n.in, n.rows, 1, n.out, n.in, 1, n.in};
  }
}

Result<std::unique_ptr<Kernel>> make_linear(const KernelRequest& request, const Context& context) {
  const OpSignature& s = request.signature;
  if (!all_f32(request)) return unsupported("types other than f32");
  const auto& attrs = std::get<LinearAttrs>(s.attrs);
  const OpPass pass = s.pass;
  const bool bias = attrs.bias && pass != OpPass::kBackwardData;
  const TensorType& y = pass == OpPass::kForward ? s.outputs[0] : s.inputs[0];
  const TensorType& x = pass == OpPass::kForward        ? s.inputs[0]
                        : pass == OpPass::kBackwardData ? s.outputs[0]
                                                        : s.inputs[1];
  const Sizes n{elements(request, y) / attrs.out_features, x.shape.dims.back(), attrs.out_features};
  const Gemm gemm(context, {shape_of(pass, n)});
  if (pass == OpPass::kForward) {
    const Epilogue epilogue(context, attrs.activation, bias);
    return make_kernel(context, gemm.workspace(), [=](const KernelArguments& a) {
      gemm.run(input(a, 0), input(a, 1), output(a, epilogue.operand()), a.workspace);
      epilogue.rows(a, n.rows, n.out);
    });
  }
  return make_kernel(context, gemm.workspace(), [=](const KernelArguments& a) {
    gemm.run(input(a, 0), input(a, 1), output(a, 0), a.workspace);
    if (bias) sum_columns(context, input(a, 0), n.rows, n.out, output(a, 1));
  });
}

// y = scale op(a) op(b), for every matrix of the batch and the leading axes.
Result<std::unique_ptr<Kernel>> make_matmul(const KernelRequest& request, const Context& context) {
  const OpSignature& s = request.signature;
  if (!all_f32(request)) return unsupported("types other than f32");
  const auto& attrs = std::get<MatMulAttrs>(s.attrs);
  const Shape &a_shape = s.inputs[0].shape, &y_shape = s.outputs[0].shape;
  const std::int64_t m = y_shape[y_shape.rank() - 2], n = y_shape[y_shape.rank() - 1];
  const std::int64_t k = a_shape[a_shape.rank() - (attrs.transpose_a ? 2 : 1)];
  const std::int64_t count = elements(request, s.outputs[0]) / (m * n);
  GemmShape shape{m,
                  n,
                  k,
                  attrs.transpose_a ? 1 : k,
                  attrs.transpose_a ? m : 1,
                  attrs.transpose_b ? 1 : n,
                  attrs.transpose_b ? k : 1,
                  n,
                  static_cast<float>(attrs.scale)};
  const Gemm gemm(context, {shape, count, m * k, k * n, m * n});
  return make_kernel(context, gemm.workspace(), [=](const KernelArguments& a) {
    gemm.run(input(a, 0), input(a, 1), output(a, 0), a.workspace);
  });
}

}  // namespace

void add_linear_kernels(Registrar& registrar) {
  for (OpPass pass : {OpPass::kForward, OpPass::kBackwardData, OpPass::kBackwardWeight}) {
    registrar.add(OpKind::kLinear, pass, make_linear);
  }
  registrar.add(OpKind::kMatMul, OpPass::kForward, make_matmul);
}

}  // namespace pluto::cpu
