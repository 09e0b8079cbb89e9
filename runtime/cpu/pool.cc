// Pooling on plain NCHW planes.
#include <cstring>

#include "runtime/cpu/cpu_kernel.h"
#include "runtime/cpu/parallel.h"

namespace pluto::cpu {
namespace {

struct Planes {
  PoolPlane plane;
  std::int64_t count;  // samples * channels
  std::int64_t in() const { return plane.height * plane.width; }
  std::int64_t out() const { return plane.out_height * plane.out_width; }
};

Planes planes(const KernelRequest& request, const PoolAttrs& a, const TensorType& x,
              const TensorType& y) {
  return {{x.shape[1], x.shape[2], y.shape[1], y.shape[2], a.kernel_h, a.kernel_w, a.stride_h,
           a.stride_w, a.pad_top, a.pad_left, a.pad_bottom, a.pad_right, a.count_include_pad},
          samples(request, x) * x.shape[0]};
}

Result<std::unique_ptr<Kernel>> max_pool(const KernelRequest& request, const Context& context) {
  const OpSignature& s = request.signature;
  if (!all_f32(request)) return unsupported("types other than f32");
  const Planes p = planes(request, std::get<PoolAttrs>(s.attrs), s.inputs[0], s.outputs[0]);
  return make_kernel(context, [=](const KernelArguments& a) {
    parallel_rows(context.threads, p.count, p.in(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        context.isa->max_pool(p.plane, input(a, 0) + i * p.in(), output(a, 0) + i * p.out(),
                              output<std::int32_t>(a, 1) + i * p.out());
      }
    });
  });
}

Result<std::unique_ptr<Kernel>> max_pool_backward(const KernelRequest& request,
                                                  const Context& context) {
  const OpSignature& s = request.signature;
  if (!all_f32(request)) return unsupported("types other than f32");
  const Planes p = planes(request, std::get<PoolAttrs>(s.attrs), s.outputs[0], s.inputs[0]);
  return make_kernel(context, [=](const KernelArguments& a) {
    parallel_rows(context.threads, p.count, p.in(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const float* dy = input(a, 0) + i * p.out();
        const std::int32_t* argmax = input<std::int32_t>(a, 1) + i * p.out();
        float* dx = output(a, 0) + i * p.in();
        std::memset(dx, 0, static_cast<std::size_t>(p.in()) * sizeof(float));
        for (std::int64_t o = 0; o < p.out(); ++o) {
          if (argmax[o] >= 0) dx[argmax[o]] += dy[o];
        }
      }
    });
  });
}

Result<std::unique_ptr<Kernel>> avg_pool(const KernelRequest& request, const Context& context) {
  const OpSignature& s = request.signature;
  if (!all_f32(request)) return unsupported("types other than f32");
  const bool forward = s.pass == OpPass::kForward;
  const TensorType& x = forward ? s.inputs[0] : s.outputs[0];
  const TensorType& y = forward ? s.outputs[0] : s.inputs[0];
  const Planes p = planes(request, std::get<PoolAttrs>(s.attrs), x, y);
  return make_kernel(context, [=](const KernelArguments& a) {
    parallel_rows(context.threads, p.count, p.in(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        if (forward) {
          context.isa->avg_pool(p.plane, input(a, 0) + i * p.in(), output(a, 0) + i * p.out());
        } else {
          float* dx = output(a, 0) + i * p.in();
          std::memset(dx, 0, static_cast<std::size_t>(p.in()) * sizeof(float));
          context.isa->avg_pool_backward(p.plane, input(a, 0) + i * p.out(), dx);
        }
      }
    });
  });
}

Result<std::unique_ptr<Kernel>> global_avg_pool(const KernelRequest& request,
                                                const Context& context) {
  const OpSignature& s = request.signature;
  if (!all_f32(request)) return unsupported("types other than f32");
  const bool forward = s.pass == OpPass::kForward;
  const TensorType& x = forward ? s.inputs[0] : s.outputs[0];
  const std::int64_t count = samples(request, x) * x.shape[0], size = x.shape[1] * x.shape[2];
  const float weight = 1.0f / static_cast<float>(size);
  return make_kernel(context, [=](const KernelArguments& a) {
    parallel_rows(context.threads, count, size, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        if (forward) {
          output(a, 0)[i] = context.isa->sum(input(a, 0) + i * size, size) * weight;
        } else {
          std::fill_n(output(a, 0) + i * size, size, input(a, 0)[i] * weight);
        }
      }
    });
  });
}

}  // namespace

void add_pool_kernels(Registrar& registrar) {
  registrar.add(OpKind::kMaxPool, OpPass::kForward, max_pool);
  registrar.add(OpKind::kMaxPool, OpPass::kBackward, max_pool_backward);
  registrar.add(OpKind::kAvgPool, OpPass::kForward, avg_pool);
  registrar.add(OpKind::kAvgPool, OpPass::kBackward, avg_pool);
  registrar.add(OpKind::kGlobalAvgPool, OpPass::kForward, global_avg_pool);
  registrar.add(OpKind::kGlobalAvgPool, OpPass::kBackward, global_avg_pool);
}

}  // namespace pluto::cpu
