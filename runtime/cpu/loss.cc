// Softmax and losses.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/cpu/cpu_kernel.h"
#include "runtime/cpu/parallel.h"

namespace pluto::cpu {
namespace {

struct Rows {
  std::int64_t count, width;
};
Rows rows_of(const KernelRequest& request, const TensorType& x) {
  const std::int64_t width = x.shape.dims.back();
  return {elements(request, x) / width, width};
}

Result<std::unique_ptr<Kernel>> softmax(const KernelRequest& request, const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const Rows rows = rows_of(request, request.signature.inputs[0]);
  return make_kernel(context, [=](const KernelArguments& a) {
    parallel_rows(context.threads, rows.count, rows.width,
                  [&](std::int64_t begin, std::int64_t end) {
                    float max;
                    for (std::int64_t r = begin; r < end; ++r) {
                      context.isa->softmax(input(a, 0) + r * rows.width,
                                           output(a, 0) + r * rows.width, &max, rows.width);
                    }
                  });
  });
}

Result<std::unique_ptr<Kernel>> softmax_backward(const KernelRequest& request,
                                                 const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const Rows rows = rows_of(request, request.signature.inputs[0]);
  return make_kernel(context, [=](const KernelArguments& a) {
    parallel_rows(context.threads, rows.count, rows.width,
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t r = begin; r < end; ++r) {
                      const std::int64_t at = r * rows.width;
                      context.isa->softmax_backward(input(a, 0) + at, input(a, 1) + at,
                                                    output(a, 0) + at, rows.width);
                    }
                  });
  });
}

// The loss of each row goes to the workspace, so that the sum has one order at any number of
// threads.
Result<std::unique_ptr<Kernel>> cross_entropy(const KernelRequest& request,
                                              const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const Rows rows = rows_of(request, request.signature.inputs[0]);
  const Bytes workspace(rows.count * static_cast<std::int64_t>(sizeof(float)));
  return make_kernel(context, workspace, [=](const KernelArguments& a) {
    const float* logits = input(a, 0);
    const std::int32_t* labels = input<std::int32_t>(a, 1);
    float* losses = static_cast<float*>(a.workspace);
    parallel_rows(
        context.threads, rows.count, rows.width, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t r = begin; r < end; ++r) {
            const float* row = logits + r * rows.width;
            float max;
            const float total =
                context.isa->softmax(row, output(a, 1) + r * rows.width, &max, rows.width);
            const bool counts = labels[r] >= 0 && labels[r] < rows.width;
            losses[r] = counts ? std::log(total) - (row[labels[r]] - max) : 0.0f;
          }
        });
    double sum = 0;
    for (std::int64_t r = 0; r < rows.count; ++r) sum += losses[r];
    output(a, 0)[0] = static_cast<float>(sum / static_cast<double>(rows.count));
  });
}

Result<std::unique_ptr<Kernel>> cross_entropy_backward(const KernelRequest& request,
                                                       const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const TensorType& type = request.signature.inputs[0];
  const Rows rows = rows_of(request, type);
  const std::int64_t positions = type.shape.elements() / rows.width;
  return make_kernel(context, [=](const KernelArguments& a) {
    const std::int32_t* labels = input<std::int32_t>(a, 1);
    const float scale = static_cast<float>(a.scalars.loss_scale / static_cast<double>(positions));
    parallel_rows(context.threads, rows.count, rows.width,
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t r = begin; r < end; ++r) {
                      float* row = output(a, 0) + r * rows.width;
                      if (labels[r] < 0 || labels[r] >= rows.width) {
                        std::memset(row, 0, static_cast<std::size_t>(rows.width) * sizeof(float));
                        continue;
                      }
                      context.isa->scale(input(a, 0) + r * rows.width, scale, row, rows.width);
                      row[labels[r]] -= scale;
                    }
                  });
  });
}

// Sums of kChunk elements in float go to the workspace and are added in double, in one order.
using ElementLoss = float (*)(const float* x, const float* target, std::int64_t n);
using ElementSlope = void (*)(const float* x, const float* target, float scale, float* dx,
                              std::int64_t n);
constexpr std::int64_t kChunk = 1024;

template <ElementLoss IsaKernels::*kLoss>
Result<std::unique_ptr<Kernel>> element_loss(const KernelRequest& request, const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const std::int64_t n = elements(request, request.signature.inputs[0]),
                     chunks = (n + kChunk - 1) / kChunk;
  return make_kernel(context, Bytes(chunks * 4), [=](const KernelArguments& a) {
    float* sums = static_cast<float*>(a.workspace);
    parallel_rows(context.threads, chunks, kChunk, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t c = begin; c < end; ++c) {
        const std::int64_t at = c * kChunk;
        sums[c] =
            (context.isa->*kLoss)(input(a, 0) + at, input(a, 1) + at, std::min(kChunk, n - at));
      }
    });
    double sum = 0;
    for (std::int64_t c = 0; c < chunks; ++c) sum += sums[c];
    output(a, 0)[0] = static_cast<float>(sum / static_cast<double>(n));
  });
}

template <ElementSlope IsaKernels::*kSlope>
Result<std::unique_ptr<Kernel>> element_slope(const KernelRequest& request,
                                              const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const TensorType& x = request.signature.inputs[0];
  const std::int64_t n = elements(request, x);
  const double per_sample = static_cast<double>(x.shape.elements());
  return make_kernel(context, [=](const KernelArguments& a) {
    const float scale = static_cast<float>(a.scalars.loss_scale / per_sample);
    parallel_elements(context.threads, n, [&](std::int64_t begin, std::int64_t end) {
      (context.isa->*kSlope)(input(a, 0) + begin, input(a, 1) + begin, scale, output(a, 0) + begin,
                             end - begin);
    });
  });
}

}  // namespace

void add_loss_kernels(Registrar& registrar) {
  registrar.add(OpKind::kSoftmax, OpPass::kForward, softmax);
  registrar.add(OpKind::kSoftmax, OpPass::kBackward, softmax_backward);
  registrar.add(OpKind::kSoftmaxCrossEntropy, OpPass::kForward, cross_entropy);
  registrar.add(OpKind::kSoftmaxCrossEntropy, OpPass::kBackward, cross_entropy_backward);
  registrar.add(OpKind::kMse, OpPass::kForward, element_loss<&IsaKernels::squared_error>);
  registrar.add(OpKind::kMse, OpPass::kBackward, element_slope<&IsaKernels::squared_error_slope>);
  registrar.add(OpKind::kBceWithLogits, OpPass::kForward, element_loss<&IsaKernels::bce>);
  registrar.add(OpKind::kBceWithLogits, OpPass::kBackward, element_slope<&IsaKernels::bce_slope>);
}

}  // namespace pluto::cpu
