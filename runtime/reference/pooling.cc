#include <algorithm>
#include <limits>

#include "runtime/reference/kernels.h"
#include "runtime/reference/loop_kernel.h"

namespace pluto::reference {
namespace {

struct Geometry {
  PoolAttrs attrs;
  Index planes, height, width, out_height, out_width;
};

Result<Geometry> geometry_of(const KernelRequest& request, const TensorType& x,
                             const TensorType& y) {
  PLUTO_ASSIGN(const PoolAttrs attrs, attributes<PoolAttrs>(request));
  return Geometry{attrs,     samples(request, x) * x.shape[0], x.shape[1], x.shape[2], y.shape[1],
                  y.shape[2]};
}

/// The elements [top, bottom) x [left, right) of a plane that one output sees; `divisor`: of the
/// average.
struct Window {
  Index top, bottom, left, right, divisor;
};
Window window_of(const Geometry& g, Index i, Index j) {
  const PoolAttrs& a = g.attrs;
  const Index top = i * a.stride_h - a.pad_top, left = j * a.stride_w - a.pad_left;
  const Index bottom = std::min(top + a.kernel_h, g.height + a.pad_bottom);
  const Index right = std::min(left + a.kernel_w, g.width + a.pad_right);
  Window window{std::max<Index>(top, 0), std::min(bottom, g.height), std::max<Index>(left, 0),
                std::min(right, g.width), (bottom - top) * (right - left)};
  if (!a.count_include_pad) {
    window.divisor = (window.bottom - window.top) * (window.right - window.left);
  }
  return window;
}

/// Calls visit(plane, output index within its plane, window) for every output.
template <class Visit>
void each_output(const Geometry& g, Visit visit) {
  for (Index plane = 0; plane < g.planes; ++plane) {
    for (Index i = 0; i < g.out_height; ++i) {
      for (Index j = 0; j < g.out_width; ++j) visit(plane, i * g.out_width + j, window_of(g, i, j));
    }
  }
}

KernelResult max_pool_forward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "f", "fi"));
  PLUTO_ASSIGN(const Geometry g,
               geometry_of(request, input_type(request, 0), output_type(request, 0)));
  return loop_kernel([g](const KernelArguments& arguments) {
    each_output(g, [&](Index plane, Index output, const Window& window) {
      const float* x = in(arguments, 0) + plane * g.height * g.width;
      Index best = window.top * g.width + window.left;
      for (Index h = window.top; h < window.bottom; ++h) {
        for (Index w = window.left; w < window.right; ++w) {
          const Index here = h * g.width + w;
          // A NaN wins, so that a diverged run shows instead of hiding behind the maximum.
          if (x[here] > x[best] || (x[here] != x[here] && x[best] == x[best])) best = here;
        }
      }
      const Index at = plane * g.out_height * g.out_width + output;
      out(arguments, 0)[at] = x[best];
      out<std::int32_t>(arguments, 1)[at] = static_cast<std::int32_t>(best);
    });
  });
}

KernelResult max_pool_backward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "fi", "f"));
  PLUTO_ASSIGN(const Geometry g,
               geometry_of(request, output_type(request, 0), input_type(request, 0)));
  const Index plane_size = g.height * g.width, outputs = g.out_height * g.out_width;
  const auto loop = [=](const KernelArguments& arguments) {
    double* sums = scratch(arguments);
    for (Index plane = 0; plane < g.planes; ++plane) {
      std::fill_n(sums, plane_size, 0.0);
      for (Index i = plane * outputs; i < (plane + 1) * outputs; ++i) {
        sums[in<std::int32_t>(arguments, 1)[i]] += in(arguments, 0)[i];
      }
      store(out(arguments, 0) + plane * plane_size, sums, plane_size);
    }
  };
  return loop_kernel(loop, doubles(plane_size));
}

KernelResult avg_pool_forward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "f", "f"));
  PLUTO_ASSIGN(const Geometry g,
               geometry_of(request, input_type(request, 0), output_type(request, 0)));
  return loop_kernel([g](const KernelArguments& arguments) {
    each_output(g, [&](Index plane, Index output, const Window& window) {
      const float* x = in(arguments, 0) + plane * g.height * g.width;
      double sum = 0;
      for (Index h = window.top; h < window.bottom; ++h) {
        for (Index w = window.left; w < window.right; ++w) sum += x[h * g.width + w];
      }
      out(arguments, 0)[plane * g.out_height * g.out_width + output] =
          static_cast<float>(sum / static_cast<double>(window.divisor));
    });
  });
}

KernelResult avg_pool_backward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "f", "f"));
  PLUTO_ASSIGN(const Geometry g,
               geometry_of(request, output_type(request, 0), input_type(request, 0)));
  const Index plane_size = g.height * g.width;
  const auto loop = [=](const KernelArguments& arguments) {
    double* sums = scratch(arguments);
    std::fill_n(sums, g.planes * plane_size, 0.0);
    each_output(g, [&](Index plane, Index output, const Window& window) {
      const double share = in(arguments, 0)[plane * g.out_height * g.out_width + output] /
                           static_cast<double>(window.divisor);
      for (Index h = window.top; h < window.bottom; ++h) {
        for (Index w = window.left; w < window.right; ++w) {
          sums[plane * plane_size + h * g.width + w] += share;
        }
      }
    });
    store(out(arguments, 0), sums, g.planes * plane_size);
  };
  return loop_kernel(loop, doubles(g.planes * plane_size));
}

KernelResult global_avg_pool_forward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "f", "f"));
  const Index outputs = elements(request, output_type(request, 0));
  const Index plane = elements(request, input_type(request, 0)) / outputs;
  return loop_kernel([=](const KernelArguments& arguments) {
    for (Index c = 0; c < outputs; ++c) {
      double sum = 0;
      for (Index i = 0; i < plane; ++i) sum += in(arguments, 0)[c * plane + i];
      out(arguments, 0)[c] = static_cast<float>(sum / static_cast<double>(plane));
    }
  });
}

KernelResult global_avg_pool_backward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "f", "f"));
  const Index channels = elements(request, input_type(request, 0));
  const Index plane = elements(request, output_type(request, 0)) / channels;
  return loop_kernel([=](const KernelArguments& arguments) {
    for (Index c = 0; c < channels; ++c) {
      const double share = in(arguments, 0)[c] / static_cast<double>(plane);
      std::fill_n(out(arguments, 0) + c * plane, plane, static_cast<float>(share));
    }
  });
}

}  // namespace

void add_pooling_kernels(KernelTable& table) {
  table.add(OpKind::kMaxPool, OpPass::kForward, max_pool_forward);
  table.add(OpKind::kMaxPool, OpPass::kBackward, max_pool_backward);
  table.add(OpKind::kAvgPool, OpPass::kForward, avg_pool_forward);
  table.add(OpKind::kAvgPool, OpPass::kBackward, avg_pool_backward);
  table.add(OpKind::kGlobalAvgPool, OpPass::kForward, global_avg_pool_forward);
  table.add(OpKind::kGlobalAvgPool, OpPass::kBackward, global_avg_pool_backward);
}

}  // namespace pluto::reference
