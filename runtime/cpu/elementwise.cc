// Element-wise kinds.
#include <algorithm>
#include <cmath>

#include "runtime/cpu/cpu_kernel.h"
#include "runtime/cpu/parallel.h"

namespace pluto::cpu {
namespace {

template <Unary IsaKernels::*kFunction>
Result<std::unique_ptr<Kernel>> unary(const KernelRequest& request, const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const std::int64_t n = elements(request, request.signature.outputs[0]);
  return make_kernel(context, [=](const KernelArguments& a) {
    parallel_elements(context.threads, n, [&](std::int64_t begin, std::int64_t end) {
      (context.isa->*kFunction)(input(a, 0) + begin, output(a, 0) + begin, end - begin);
    });
  });
}

template <Binary IsaKernels::*kFunction>
Result<std::unique_ptr<Kernel>> binary(const KernelRequest& request, const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const std::int64_t n = elements(request, request.signature.outputs[0]);
  return make_kernel(context, [=](const KernelArguments& a) {
    parallel_elements(context.threads, n, [&](std::int64_t begin, std::int64_t end) {
      (context.isa->*kFunction)(input(a, 0) + begin, input(a, 1) + begin, output(a, 0) + begin,
                                end - begin);
    });
  });
}

Result<std::unique_ptr<Kernel>> add(const KernelRequest& request, const Context& context) {
  return std::get<AddAttrs>(request.signature.attrs).relu
             ? binary<&IsaKernels::add_relu>(request, context)
             : binary<&IsaKernels::add>(request, context);
}

Result<std::unique_ptr<Kernel>> mul_backward(const KernelRequest& request, const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const std::int64_t n = elements(request, request.signature.inputs[0]);
  return make_kernel(context, [=](const KernelArguments& a) {
    parallel_elements(context.threads, n, [&](std::int64_t begin, std::int64_t end) {
      const float* dy = input(a, 0) + begin;
      context.isa->mul(dy, input(a, 2) + begin, output(a, 0) + begin, end - begin);
      context.isa->mul(dy, input(a, 1) + begin, output(a, 1) + begin, end - begin);
    });
  });
}

// The mask depends on the element's place in the global batch alone.
Result<std::unique_ptr<Kernel>> dropout(const KernelRequest& request, const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const auto attrs = std::get<DropoutAttrs>(request.signature.attrs);
  const TensorType& y = request.signature.outputs[0];
  const std::int64_t n = elements(request, y), per_sample = y.shape.elements();
  return make_kernel(context, [=](const KernelArguments& a) {
    const StepScalars& scalars = a.scalars;
    // uniform >= p, both times 2^24.
    const DropoutDraw draw{scalars.seed, static_cast<std::uint32_t>(attrs.stream),
                           static_cast<std::uint32_t>(scalars.step),
                           static_cast<std::uint32_t>(std::ceil(attrs.p * 16777216.0)),
                           static_cast<float>(1 / (1 - attrs.p))};
    const std::uint64_t first = static_cast<std::uint64_t>(scalars.sample_offset * per_sample);
    parallel_elements(context.threads, n, [&](std::int64_t begin, std::int64_t end) {
      const float* x = input(a, 0) + begin;
      float* to = output(a, 0) + begin;
      if (scalars.training) {
        context.isa->dropout(draw, first + static_cast<std::uint64_t>(begin), x, to, end - begin);
      } else if (x != to) {
        std::copy_n(x, end - begin, to);
      }
    });
  });
}

Result<std::unique_ptr<Kernel>> position_add(const KernelRequest& request, const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const TensorType& x = request.signature.inputs[0];
  const std::int64_t size = x.shape.elements(), n = samples(request, x);
  return make_kernel(context, [=](const KernelArguments& a) {
    parallel_rows(context.threads, n, size, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        context.isa->add(input(a, 0) + i * size, input(a, 1), output(a, 0) + i * size, size);
      }
    });
  });
}

Result<std::unique_ptr<Kernel>> position_add_backward(const KernelRequest& request,
                                                      const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const TensorType& dy = request.signature.inputs[0];
  const std::int64_t size = dy.shape.elements(), n = samples(request, dy);
  const std::int64_t table = request.signature.outputs[0].shape.elements();
  return make_kernel(context, [=](const KernelArguments& a) {
    float* sum = output(a, 0);
    std::fill(sum + size, sum + table, 0.0f);  // positions that no sample has
    parallel_for(context.threads, size, kSerialElements / n + 1, 64,
                 [&](std::int64_t begin, std::int64_t end) {
                   std::copy(input(a, 0) + begin, input(a, 0) + end, sum + begin);
                   for (std::int64_t i = 1; i < n; ++i) {
                     context.isa->accumulate(input(a, 0) + i * size + begin, sum + begin,
                                             end - begin);
                   }
                 });
  });
}

}  // namespace

void add_elementwise_kernels(Registrar& registrar) {
  registrar.add(OpKind::kRelu, OpPass::kForward, unary<&IsaKernels::relu>);
  registrar.add(OpKind::kRelu, OpPass::kBackward, binary<&IsaKernels::relu_backward>);
  registrar.add(OpKind::kGelu, OpPass::kForward, unary<&IsaKernels::gelu>);
  registrar.add(OpKind::kGelu, OpPass::kBackward, binary<&IsaKernels::gelu_backward>);
  registrar.add(OpKind::kSilu, OpPass::kForward, unary<&IsaKernels::silu>);
  registrar.add(OpKind::kSilu, OpPass::kBackward, binary<&IsaKernels::silu_backward>);
  registrar.add(OpKind::kSigmoid, OpPass::kForward, unary<&IsaKernels::sigmoid>);
  registrar.add(OpKind::kSigmoid, OpPass::kBackward, binary<&IsaKernels::sigmoid_backward>);
  registrar.add(OpKind::kTanh, OpPass::kForward, unary<&IsaKernels::tanh>);
  registrar.add(OpKind::kTanh, OpPass::kBackward, binary<&IsaKernels::tanh_backward>);
  registrar.add(OpKind::kDropout, OpPass::kForward, dropout);
  registrar.add(OpKind::kDropout, OpPass::kBackward, dropout);
  registrar.add(OpKind::kPositionAdd, OpPass::kForward, position_add);
  registrar.add(OpKind::kPositionAdd, OpPass::kBackwardWeight, position_add_backward);
  registrar.add(OpKind::kAdd, OpPass::kForward, add);
  registrar.add(OpKind::kMul, OpPass::kForward, binary<&IsaKernels::mul>);
  registrar.add(OpKind::kMul, OpPass::kBackward, mul_backward);
}

}  // namespace pluto::cpu
