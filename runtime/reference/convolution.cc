#include <algorithm>

#include "runtime/reference/activation.h"
#include "runtime/reference/kernels.h"
#include "runtime/reference/loop_kernel.h"

namespace pluto::reference {
namespace {

struct Geometry {
  ConvAttrs attrs;
  Index samples, channels, height, width;  // of x
  Index out_channels, out_height, out_width;
  Index group_in, group_out;  // channels of one group
  Index x_plane() const { return height * width; }
  Index y_plane() const { return out_height * out_width; }
  Index taps() const { return attrs.kernel_h * attrs.kernel_w; }
};

Result<Geometry> geometry_of(const KernelRequest& request, const TensorType& x,
                             const TensorType& y) {
  PLUTO_ASSIGN(const ConvAttrs attrs, attributes<ConvAttrs>(request));
  return Geometry{attrs,
                  samples(request, x),
                  x.shape[0],
                  x.shape[1],
                  x.shape[2],
                  y.shape[0],
                  y.shape[1],
                  y.shape[2],
                  x.shape[0] / attrs.groups,
                  y.shape[0] / attrs.groups};
}

/// Along one axis, outputs [begin, end) read input `output * stride + offset` through one kernel
/// tap; the others read padding.
struct Tap {
  Index begin, end, offset;
};
Tap tap_of(Index position, Index dilation, Index pad, Index stride, Index size, Index outputs) {
  const Index offset = position * dilation - pad;
  const Index begin = offset < 0 ? (-offset + stride - 1) / stride : 0;
  const Index end = size > offset ? (size - 1 - offset) / stride + 1 : 0;
  return {std::min(begin, outputs), std::min(end, outputs), offset};
}

/// Calls visit(y, x, count) for each row of outputs that one kernel tap reaches: outputs y .. y +
/// count - 1 of a plane of y meet elements x, x + stride_w, ... of a plane of x.
template <class Visit>
void each_row(const Geometry& g, Index tap, Visit visit) {
  const ConvAttrs& a = g.attrs;
  const Tap row =
      tap_of(tap / a.kernel_w, a.dilation_h, a.pad_top, a.stride_h, g.height, g.out_height);
  const Tap column =
      tap_of(tap % a.kernel_w, a.dilation_w, a.pad_left, a.stride_w, g.width, g.out_width);
  if (column.end <= column.begin) return;
  for (Index i = row.begin; i < row.end; ++i) {
    visit(i * g.out_width + column.begin,
          (i * a.stride_h + row.offset) * g.width + column.begin * a.stride_w + column.offset,
          column.end - column.begin);
  }
}

KernelResult conv_forward(const KernelRequest& request) {
  PLUTO_ASSIGN(const ConvAttrs attrs, attributes<ConvAttrs>(request));
  PLUTO_TRY(expect_operands(request, attrs.bias ? "fff" : "ff", output_letters(attrs.activation)));
  PLUTO_ASSIGN(const Geometry g,
               geometry_of(request, input_type(request, 0), output_type(request, 0)));
  const auto loop = [g](const KernelArguments& arguments) {
    const float* w = in(arguments, 1);
    double* sums = scratch(arguments);
    for (Index n = 0; n < g.samples; ++n) {
      for (Index o = 0; o < g.out_channels; ++o) {
        std::fill_n(sums, g.y_plane(), g.attrs.bias ? double{in(arguments, 2)[o]} : 0.0);
        for (Index c = 0; c < g.group_in; ++c) {
          const Index channel = o / g.group_out * g.group_in + c;
          const float* x = in(arguments, 0) + (n * g.channels + channel) * g.x_plane();
          for (Index tap = 0; tap < g.taps(); ++tap) {
            const double weight = w[(o * g.group_in + c) * g.taps() + tap];
            each_row(g, tap, [&](Index to, Index from, Index count) {
              for (Index i = 0; i < count; ++i)
                sums[to + i] += weight * x[from + i * g.attrs.stride_w];
            });
          }
        }
        const Index plane = (n * g.out_channels + o) * g.y_plane();
        float* z = out(arguments, operand_output(g.attrs.activation)) + plane;
        store(z, sums, g.y_plane());
        activate(g.attrs.activation, z, out(arguments, 0) + plane, g.y_plane());
      }
    }
  };
  return loop_kernel(loop, doubles(g.y_plane()));
}

KernelResult conv_backward_data(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "ff", "f"));
  PLUTO_ASSIGN(const Geometry g,
               geometry_of(request, output_type(request, 0), input_type(request, 0)));
  const auto loop = [g](const KernelArguments& arguments) {
    const float* w = in(arguments, 1);
    double* sums = scratch(arguments);
    for (Index n = 0; n < g.samples; ++n) {
      for (Index channel = 0; channel < g.channels; ++channel) {
        std::fill_n(sums, g.x_plane(), 0.0);
        const Index group = channel / g.group_in;
        for (Index o = group * g.group_out; o < (group + 1) * g.group_out; ++o) {
          const float* dy = in(arguments, 0) + (n * g.out_channels + o) * g.y_plane();
          for (Index tap = 0; tap < g.taps(); ++tap) {
            const double weight = w[(o * g.group_in + channel % g.group_in) * g.taps() + tap];
            each_row(g, tap, [&](Index from, Index to, Index count) {
              for (Index i = 0; i < count; ++i)
                sums[to + i * g.attrs.stride_w] += weight * dy[from + i];
            });
          }
        }
        store(out(arguments, 0) + (n * g.channels + channel) * g.x_plane(), sums, g.x_plane());
      }
    }
  };
  return loop_kernel(loop, doubles(g.x_plane()));
}

KernelResult conv_backward_weight(const KernelRequest& request) {
  PLUTO_ASSIGN(const ConvAttrs attrs, attributes<ConvAttrs>(request));
  PLUTO_TRY(expect_operands(request, "ff", attrs.bias ? "ff" : "f"));
  PLUTO_ASSIGN(const Geometry g,
               geometry_of(request, input_type(request, 1), input_type(request, 0)));
  const auto loop = [g](const KernelArguments& arguments) {
    for (Index o = 0; o < g.out_channels; ++o) {
      for (Index c = 0; c < g.group_in; ++c) {
        const Index channel = o / g.group_out * g.group_in + c;
        for (Index tap = 0; tap < g.taps(); ++tap) {
          double sum = 0;
          for (Index n = 0; n < g.samples; ++n) {
            const float* dy = in(arguments, 0) + (n * g.out_channels + o) * g.y_plane();
            const float* x = in(arguments, 1) + (n * g.channels + channel) * g.x_plane();
            each_row(g, tap, [&](Index at_y, Index at_x, Index count) {
              for (Index i = 0; i < count; ++i) {
                sum += double{dy[at_y + i]} * double{x[at_x + i * g.attrs.stride_w]};
              }
            });
          }
          out(arguments, 0)[(o * g.group_in + c) * g.taps() + tap] = static_cast<float>(sum);
        }
      }
      if (!g.attrs.bias) continue;
      double sum = 0;
      for (Index n = 0; n < g.samples; ++n) {
        const float* dy = in(arguments, 0) + (n * g.out_channels + o) * g.y_plane();
        for (Index i = 0; i < g.y_plane(); ++i) sum += dy[i];
      }
      out(arguments, 1)[o] = static_cast<float>(sum);
    }
  };
  return loop_kernel(loop);
}

}  // namespace

void add_convolution_kernels(KernelTable& table) {
  table.add(OpKind::kConv2d, OpPass::kForward, conv_forward);
  table.add(OpKind::kConv2d, OpPass::kBackwardData, conv_backward_data);
  table.add(OpKind::kConv2d, OpPass::kBackwardWeight, conv_backward_weight);
}

}  // namespace pluto::reference
