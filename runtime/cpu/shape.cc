// Kinds that only move data, of any element type.
#include <algorithm>
#include <cstring>
#include <vector>

#include "runtime/cpu/cpu_kernel.h"
#include "runtime/cpu/parallel.h"

namespace pluto::cpu {
namespace {

std::unique_ptr<Kernel> make_copy(KernelBody body) {
  return make_kernel("own:copy", Bytes(0), std::move(body));
}

// A tensor cut at an axis: `outer` runs (batch included) of `run` contiguous bytes each.
struct Runs {
  std::int64_t outer, run;
};
Runs runs_of(const KernelRequest& request, const TensorType& type, std::int64_t axis) {
  std::int64_t inner = 1;
  for (std::size_t i = static_cast<std::size_t>(axis); i < type.shape.rank(); ++i)
    inner *= type.shape[i];
  return {elements(request, type) / inner, inner * element_size(type.dtype)};
}

// Copies of `part` bytes each: run i of one side to run i of the other.
struct Strided {
  std::int64_t from_stride, to_stride, part;
};
void copy_runs(const Context& context, std::int64_t outer, const Strided& s, const char* from,
               char* to) {
  parallel_rows(context.threads, outer, s.part / 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o) {
      std::memcpy(to + o * s.to_stride, from + o * s.from_stride, static_cast<std::size_t>(s.part));
    }
  });
}

Result<std::unique_ptr<Kernel>> concat(const KernelRequest& request, const Context& context) {
  const std::int64_t axis = std::get<AxisAttrs>(request.signature.attrs).axis;
  const Runs whole = runs_of(request, request.signature.outputs[0], axis);
  std::vector<std::int64_t> parts;
  for (const TensorType& part : request.signature.inputs)
    parts.push_back(runs_of(request, part, axis).run);
  return make_copy([=](const KernelArguments& a) {
    char* to = output<char>(a, 0);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      copy_runs(context, whole.outer, {parts[i], whole.run, parts[i]}, input<char>(a, i), to);
      to += parts[i];
    }
  });
}

Result<std::unique_ptr<Kernel>> split(const KernelRequest& request, const Context& context) {
  const std::int64_t axis = std::get<SplitAttrs>(request.signature.attrs).axis;
  const Runs whole = runs_of(request, request.signature.inputs[0], axis);
  std::vector<std::int64_t> parts;
  for (const TensorType& part : request.signature.outputs)
    parts.push_back(runs_of(request, part, axis).run);
  return make_copy([=](const KernelArguments& a) {
    const char* from = input<char>(a, 0);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      copy_runs(context, whole.outer, {whole.run, parts[i], parts[i]}, from, output<char>(a, i));
      from += parts[i];
    }
  });
}

Result<std::unique_ptr<Kernel>> slice(const KernelRequest& request, const Context& context) {
  const OpSignature& s = request.signature;
  const auto& attrs = std::get<SliceAttrs>(s.attrs);
  const bool forward = s.pass == OpPass::kForward;
  const TensorType& whole = forward ? s.inputs[0] : s.outputs[0];
  const Runs runs = runs_of(request, whole, attrs.axis);
  const std::int64_t part = runs_of(request, forward ? s.outputs[0] : s.inputs[0], attrs.axis).run;
  const std::int64_t skip =
      attrs.start * (runs.run / whole.shape[static_cast<std::size_t>(attrs.axis)]);
  return make_copy([=](const KernelArguments& a) {
    if (forward) {
      copy_runs(context, runs.outer, {runs.run, part, part}, input<char>(a, 0) + skip,
                output<char>(a, 0));
      return;
    }
    parallel_rows(
        context.threads, runs.outer, runs.run / 4, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t o = begin; o < end; ++o) {
            char* to = output<char>(a, 0) + o * runs.run;
            std::memset(to, 0, static_cast<std::size_t>(skip));
            std::memcpy(to + skip, input<char>(a, 0) + o * part, static_cast<std::size_t>(part));
            std::memset(to + skip + part, 0, static_cast<std::size_t>(runs.run - skip - part));
          }
        });
  });
}

Result<std::unique_ptr<Kernel>> reshape(const KernelRequest& request, const Context& context) {
  const std::int64_t bytes =
      request.signature.outputs[0].bytes(request.signature.micro_batch).value();
  return make_copy([=](const KernelArguments& a) {
    if (a.inputs[0] == a.outputs[0]) return;  // the memory plan may let both share
    parallel_for(context.threads, bytes, 4 * kSerialElements, 64,
                 [&](std::int64_t begin, std::int64_t end) {
                   std::memcpy(output<char>(a, 0) + begin, input<char>(a, 0) + begin,
                               static_cast<std::size_t>(end - begin));
                 });
  });
}

// y as nested loops over axes of (size, stride in x), outermost first, neighbours that lie in a row
// merged.
struct Axis {
  std::int64_t size, stride;
};
std::vector<Axis> walk_of(const TensorType& x, const TensorType& y,
                          const std::vector<std::int64_t>& permutation, std::int64_t batch) {
  std::vector<std::int64_t> strides(x.shape.rank(), 1);
  for (std::size_t i = x.shape.rank(); i-- > 1;) strides[i - 1] = strides[i] * x.shape[i];
  std::vector<Axis> walk = {{batch, x.shape.elements()}};
  for (std::size_t i = 0; i < y.shape.rank(); ++i) {
    const Axis axis{y.shape[i], strides[static_cast<std::size_t>(permutation[i])]};
    if (axis.size == 1) continue;
    if (walk.back().stride == axis.size * axis.stride) {
      walk.back() = {walk.back().size * axis.size, axis.stride};
    } else {
      walk.push_back(axis);
    }
  }
  return walk;
}

// Copies rows x columns elements of T; y's rows are contiguous, x's columns are `column_stride`
// apart.
template <class T>
void transpose_plane(const T* x, std::int64_t row_stride, std::int64_t column_stride,
                     std::int64_t rows, std::int64_t columns, T* y, std::int64_t y_stride) {
  constexpr std::int64_t kTile = 16;  // a line of x is read by 16 rows of y while it is in cache
  for (std::int64_t i0 = 0; i0 < rows; i0 += kTile) {
    for (std::int64_t j0 = 0; j0 < columns; j0 += kTile) {
      for (std::int64_t i = i0; i < std::min(i0 + kTile, rows); ++i) {
        for (std::int64_t j = j0; j < std::min(j0 + kTile, columns); ++j) {
          y[i * y_stride + j] = x[i * row_stride + j * column_stride];
        }
      }
    }
  }
}

template <class T>
Result<std::unique_ptr<Kernel>> transpose_of(const KernelRequest& request, const Context& context) {
  const OpSignature& s = request.signature;
  const auto& permutation = std::get<TransposeAttrs>(s.attrs).permutation;
  std::vector<Axis> walk =
      walk_of(s.inputs[0], s.outputs[0], permutation, samples(request, s.inputs[0]));
  if (walk.size() < 2) walk.insert(walk.begin(), {1, 0});
  const Axis columns = walk.back();
  // The axis along which x is contiguous, if it is not the last: it forms tiles with the last.
  std::size_t rows_at = walk.size() - 2;
  for (std::size_t i = 0; i + 1 < walk.size(); ++i) {
    if (walk[i].stride == 1 && walk[i].size > 1) rows_at = i;
  }
  std::int64_t y_stride = columns.size;  // of the rows axis
  for (std::size_t i = walk.size() - 1; --i > rows_at;) y_stride *= walk[i].size;
  // Outer loops: all other axes, with their strides on both sides.
  struct Outer {
    std::int64_t size, x, y;
  };
  std::vector<Outer> outer;
  std::int64_t y_step = columns.size, planes = 1;
  for (std::size_t i = walk.size() - 1; i-- > 0;) {
    if (i != rows_at) {
      outer.push_back({walk[i].size, walk[i].stride, y_step});
      planes *= walk[i].size;
    }
    y_step *= walk[i].size;
  }
  const Axis rows = walk[rows_at];
  return make_copy([=](const KernelArguments& a) {
    parallel_rows(context.threads, planes, rows.size * columns.size,
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t plane = begin; plane < end; ++plane) {
                      std::int64_t rest = plane, x_at = 0, y_at = 0;
                      for (const Outer& axis : outer) {
                        x_at += rest % axis.size * axis.x;
                        y_at += rest % axis.size * axis.y;
                        rest /= axis.size;
                      }
                      const T* x = input<T>(a, 0) + x_at;
                      T* y = output<T>(a, 0) + y_at;
                      if (columns.stride == 1) {
                        for (std::int64_t i = 0; i < rows.size; ++i) {
                          std::memcpy(y + i * y_stride, x + i * rows.stride,
                                      static_cast<std::size_t>(columns.size) * sizeof(T));
                        }
                      } else {
                        transpose_plane(x, rows.stride, columns.stride, rows.size, columns.size, y,
                                        y_stride);
                      }
                    }
                  });
  });
}

Result<std::unique_ptr<Kernel>> transpose(const KernelRequest& request, const Context& context) {
  switch (element_size(request.signature.inputs[0].dtype)) {
    case 1:
      return transpose_of<std::uint8_t>(request, context);
    case 2:
      return transpose_of<std::uint16_t>(request, context);
    default:
      return transpose_of<std::uint32_t>(request, context);
  }
}

Result<std::unique_ptr<Kernel>> cast(const KernelRequest& request, const Context& context) {
  const DType from = request.signature.inputs[0].dtype, to = request.signature.outputs[0].dtype;
  const std::int64_t n = elements(request, request.signature.outputs[0]);
  const IsaKernels& isa = *context.isa;
  const auto widen = from == DType::kF16    ? isa.f16_to_f32
                     : from == DType::kBF16 ? isa.bf16_to_f32
                                            : nullptr;
  const auto narrow = to == DType::kF16    ? isa.f32_to_f16
                      : to == DType::kBF16 ? isa.f32_to_bf16
                                           : nullptr;
  if (to == DType::kF32 && widen != nullptr) {
    return make_kernel(context, [=](const KernelArguments& a) {
      parallel_elements(context.threads, n, [&](std::int64_t begin, std::int64_t end) {
        widen(input<std::uint16_t>(a, 0) + begin, output(a, 0) + begin, end - begin);
      });
    });
  }
  if (from == DType::kF32 && narrow != nullptr) {
    return make_kernel(context, [=](const KernelArguments& a) {
      parallel_elements(context.threads, n, [&](std::int64_t begin, std::int64_t end) {
        narrow(input(a, 0) + begin, output<std::uint16_t>(a, 0) + begin, end - begin);
      });
    });
  }
  return unsupported("conversions other than between f32 and a 16-bit float");
}

}  // namespace

void add_shape_kernels(Registrar& registrar) {
  registrar.add(OpKind::kConcat, OpPass::kForward, concat);
  registrar.add(OpKind::kSplit, OpPass::kForward, split);
  registrar.add(OpKind::kSlice, OpPass::kForward, slice);
  registrar.add(OpKind::kSlice, OpPass::kBackward, slice);
  registrar.add(OpKind::kReshape, OpPass::kForward, reshape);
  registrar.add(OpKind::kTranspose, OpPass::kForward, transpose);
  registrar.add(OpKind::kCast, OpPass::kForward, cast);
}

}  // namespace pluto::cpu
