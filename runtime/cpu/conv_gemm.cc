// Convolution as matrix products. With W(O,K) the weights of one group, K = channels * kernel, and
// columns(K,P) the windows of one sample: Y = W columns, dcolumns = W^T dY, dW = sum over samples
// of dY columns^T.
#include <algorithm>
#include <cstring>

#include "runtime/cpu/conv.h"
#include "runtime/cpu/epilogue.h"
#include "runtime/cpu/gemm.h"
#include "runtime/cpu/parallel.h"

namespace pluto::cpu {
namespace {

std::int64_t window(const ConvSize& s) {
  return s.group_channels() * s.attrs.kernel_h * s.attrs.kernel_w;
}

// The windows are the planes themselves.
bool in_place(const ConvSize& s) {
  const ConvAttrs& a = s.attrs;
  return a.kernel_h == 1 && a.kernel_w == 1 && a.stride_h == 1 && a.stride_w == 1 &&
         a.pad_top == 0 && a.pad_left == 0 && a.pad_bottom == 0 && a.pad_right == 0;
}

// One row of the columns matrix: the element (c, kh, kw) of every window.
struct Tap {
  std::int64_t channel, row, column;  // row, column: of the window at the origin
};
Tap tap_of(const ConvSize& s, std::int64_t k) {
  const ConvAttrs& a = s.attrs;
  const std::int64_t size = a.kernel_h * a.kernel_w;
  return {k / size, k % size / a.kernel_w * a.dilation_h - a.pad_top,
          k % a.kernel_w * a.dilation_w - a.pad_left};
}

// Outputs [begin, end) along one axis whose input, at `offset` from the window's origin, lies
// inside the axis.
struct Inside {
  std::int64_t begin, end;
};
Inside inside(std::int64_t size, std::int64_t out, std::int64_t stride, std::int64_t offset) {
  const std::int64_t end =
      size <= offset ? 0 : std::min(out, (size - offset + stride - 1) / stride);
  const std::int64_t begin = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
  return {std::min(begin, end), end};
}

// Row k of columns; `x`: the channels of one group of one sample.
void write_column_row(const ConvSize& s, std::int64_t k, const float* x, float* row) {
  const ConvAttrs& a = s.attrs;
  const Tap tap = tap_of(s, k);
  const Inside rows = inside(s.height, s.out_height, a.stride_h, tap.row);
  const Inside columns = inside(s.width, s.out_width, a.stride_w, tap.column);
  std::fill_n(row, rows.begin * s.out_width, 0.0f);
  for (std::int64_t i = rows.begin; i < rows.end; ++i) {
    const float* from =
        x + tap.channel * s.plane() + (i * a.stride_h + tap.row) * s.width + tap.column;
    float* to = row + i * s.out_width;
    std::fill_n(to, columns.begin, 0.0f);
    if (a.stride_w == 1) {
      std::copy(from + columns.begin, from + columns.end, to + columns.begin);
    } else {
      for (std::int64_t j = columns.begin; j < columns.end; ++j) to[j] = from[j * a.stride_w];
    }
    std::fill(to + columns.end, to + s.out_width, 0.0f);
  }
  std::fill(row + rows.end * s.out_width, row + s.out_plane(), 0.0f);
}

// Adds row k of columns back to where it came from.
void add_column_row(const ConvSize& s, std::int64_t k, const float* row, float* x) {
  const ConvAttrs& a = s.attrs;
  const Tap tap = tap_of(s, k);
  const Inside rows = inside(s.height, s.out_height, a.stride_h, tap.row);
  const Inside columns = inside(s.width, s.out_width, a.stride_w, tap.column);
  for (std::int64_t i = rows.begin; i < rows.end; ++i) {
    float* to = x + tap.channel * s.plane() + (i * a.stride_h + tap.row) * s.width + tap.column;
    const float* from = row + i * s.out_width;
    for (std::int64_t j = columns.begin; j < columns.end; ++j) to[j * a.stride_w] += from[j];
  }
}

Epilogue epilogue_of(const ConvSize& s, const Context& context) {
  return {context, s.attrs.activation, s.attrs.bias};
}

void sum_bias(const ConvSize& s, const Context& context, const float* dy, float* db) {
  const std::int64_t outputs = s.attrs.out_channels, p = s.out_plane();
  parallel_rows(context.threads, outputs, s.batch * p, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      double sum = 0;
      for (std::int64_t n = 0; n < s.batch; ++n)
        sum += context.isa->sum(dy + (n * outputs + i) * p, p);
      db[i] = static_cast<float>(sum);
    }
  });
}

std::unique_ptr<Kernel> forward_in_place(const ConvSize& s, const Context& context) {
  const std::int64_t o = s.attrs.out_channels, c = s.channels, p = s.plane();
  const Gemm gemm(context, {{o, p, c, c, 1, p, 1, p}, s.batch, 0, c * p, o * p});
  const Epilogue epilogue = epilogue_of(s, context);
  return make_kernel(context, gemm.workspace(), [=](const KernelArguments& a) {
    gemm.run(input(a, 1), input(a, 0), output(a, epilogue.operand()), a.workspace);
    epilogue.planes(a, s.batch * o, p, o);
  });
}

std::unique_ptr<Kernel> backward_data_in_place(const ConvSize& s, const Context& context) {
  const std::int64_t o = s.attrs.out_channels, c = s.channels, p = s.plane();
  const Gemm gemm(context, {{c, p, o, 1, c, p, 1, p}, s.batch, 0, o * p, c * p});
  return make_kernel(context, gemm.workspace(), [=](const KernelArguments& a) {
    gemm.run(input(a, 1), input(a, 0), output(a, 0), a.workspace);
  });
}

std::unique_ptr<Kernel> backward_weight_in_place(const ConvSize& s, const Context& context) {
  const std::int64_t o = s.attrs.out_channels, c = s.channels, p = s.plane();
  const Gemm gemm(context, {{o, c, p, p, 1, 1, p, c}, s.batch, o * p, c * p, 0});
  return make_kernel(context, gemm.workspace(), [=](const KernelArguments& a) {
    gemm.run(input(a, 0), input(a, 1), output(a, 0), a.workspace);
    if (s.attrs.bias) sum_bias(s, context, input(a, 0), output(a, 1));
  });
}

// Samples and groups are cut into one run per thread, each with its own columns and product on one
// thread.
struct Units {
  std::int64_t count, threads, columns, product;  // columns, product: bytes of workspace
  std::int64_t stride() const { return columns + product; }
};
Units units_of(const ConvSize& s, const Context& context, const Gemm& gemm) {
  const std::int64_t count = s.batch * s.attrs.groups;
  return {count, std::min<std::int64_t>(count, context.threads),
          aligned(window(s) * s.out_plane() * 4), aligned(gemm.workspace().value())};
}
template <class Body>
void each_unit(const Units& units, void* workspace, Body body) {
  parallel_for(static_cast<int>(units.threads), units.threads, 1, 1,
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t thread = first; thread < last; ++thread) {
                   char* space = static_cast<char*>(workspace) + thread * units.stride();
                   for (std::int64_t u = units.count * thread / units.threads;
                        u < units.count * (thread + 1) / units.threads; ++u) {
                     body(u, reinterpret_cast<float*>(space), space + units.columns);
                   }
                 }
               });
}

std::unique_ptr<Kernel> forward(const ConvSize& s, const Context& context) {
  const std::int64_t o = s.group_outputs(), k = window(s), p = s.out_plane();
  const Gemm gemm({1, context.isa}, {{o, p, k, k, 1, p, 1, p}});
  const Units units = units_of(s, context, gemm);
  const Epilogue epilogue = epilogue_of(s, context);
  return make_kernel(context, Bytes(units.threads * units.stride()), [=](const KernelArguments& a) {
    float* z = output(a, epilogue.operand());
    each_unit(units, a.workspace, [&](std::int64_t unit, float* columns, void* space) {
      const float* x = input(a, 0) + unit * s.group_channels() * s.plane();
      for (std::int64_t i = 0; i < k; ++i) write_column_row(s, i, x, columns + i * p);
      gemm.run(input(a, 1) + unit % s.attrs.groups * o * k, columns, z + unit * o * p, space);
    });
    epilogue.planes(a, s.batch * s.attrs.out_channels, p, s.attrs.out_channels);
  });
}

std::unique_ptr<Kernel> backward_data(const ConvSize& s, const Context& context) {
  const std::int64_t o = s.group_outputs(), k = window(s), p = s.out_plane();
  const Gemm gemm({1, context.isa}, {{k, p, o, 1, k, p, 1, p}});
  const Units units = units_of(s, context, gemm);
  return make_kernel(context, Bytes(units.threads * units.stride()), [=](const KernelArguments& a) {
    each_unit(units, a.workspace, [&](std::int64_t unit, float* columns, void* space) {
      float* dx = output(a, 0) + unit * s.group_channels() * s.plane();
      gemm.run(input(a, 1) + unit % s.attrs.groups * o * k, input(a, 0) + unit * o * p, columns,
               space);
      std::fill_n(dx, s.group_channels() * s.plane(), 0.0f);
      for (std::int64_t i = 0; i < k; ++i) add_column_row(s, i, columns + i * p, dx);
    });
  });
}

// The sum over samples has one order: threads share the rows of the columns, then the product.
std::unique_ptr<Kernel> backward_weight(const ConvSize& s, const Context& context) {
  const std::int64_t o = s.group_outputs(), k = window(s), p = s.out_plane();
  const GemmShape first{o, k, p, p, 1, 1, p, k};
  GemmShape next = first;
  next.accumulate = true;
  const Gemm set(context, {first}), add(context, {next});
  const std::int64_t columns_bytes = aligned(k * p * 4);
  const Bytes workspace(columns_bytes + std::max(set.workspace(), add.workspace()).value());
  return make_kernel(context, workspace, [=](const KernelArguments& a) {
    float* columns = static_cast<float*>(a.workspace);
    void* space = static_cast<char*>(a.workspace) + columns_bytes;
    for (std::int64_t unit = 0; unit < s.batch * s.attrs.groups; ++unit) {
      const float* x = input(a, 1) + unit * s.group_channels() * s.plane();
      parallel_rows(context.threads, k, p, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) write_column_row(s, i, x, columns + i * p);
      });
      const Gemm& gemm = unit < s.attrs.groups ? set : add;
      gemm.run(input(a, 0) + unit * o * p, columns, output(a, 0) + unit % s.attrs.groups * o * k,
               space);
    }
    if (s.attrs.bias) sum_bias(s, context, input(a, 0), output(a, 1));
  });
}

}  // namespace

std::unique_ptr<Kernel> make_gemm_conv(OpPass pass, const ConvSize& size, const Context& context) {
  const bool direct = in_place(size) && size.attrs.groups == 1;
  switch (pass) {
    case OpPass::kForward:
      return direct ? forward_in_place(size, context) : forward(size, context);
    case OpPass::kBackwardData:
      return direct ? backward_data_in_place(size, context) : backward_data(size, context);
    default:
      return direct ? backward_weight_in_place(size, context) : backward_weight(size, context);
  }
}

}  // namespace pluto::cpu
