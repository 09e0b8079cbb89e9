#include <cstring>

#include "runtime/reference/kernels.h"
#include "runtime/reference/loop_kernel.h"

namespace pluto::reference {
namespace {

// These kernels move bytes and take every element type.

/// A tensor cut at an axis: `outer` runs (batch included) of `run` contiguous bytes each.
struct Runs {
  Index outer, run;
};
Runs runs_of(const KernelRequest& request, const TensorType& type, Index axis) {
  Index inner = 1;
  for (std::size_t i = static_cast<std::size_t>(axis); i < type.shape.rank(); ++i)
    inner *= type.shape[i];
  return {elements(request, type) / inner, inner * element_size(type.dtype)};
}

Result<void> check_axis(const TensorType& type, Index axis) {
  if (axis >= 0 && axis < static_cast<Index>(type.shape.rank())) return {};
  return invalid_input("axis " + std::to_string(axis) + " is not one of " + to_text(type.shape));
}

const std::byte* bytes_in(const KernelArguments& arguments, std::size_t i) {
  return in<std::byte>(arguments, i);
}
std::byte* bytes_out(const KernelArguments& arguments, std::size_t i) {
  return out<std::byte>(arguments, i);
}
void copy(std::byte* to, const std::byte* from, Index count) {
  std::memcpy(to, from, static_cast<std::size_t>(count));
}

KernelResult concat_forward(const KernelRequest& request) {
  PLUTO_ASSIGN(const AxisAttrs attrs, attributes<AxisAttrs>(request));
  PLUTO_TRY(expect_operands(request, std::string(request.signature.inputs.size(), '*'), "*"));
  PLUTO_TRY(check_axis(output_type(request, 0), attrs.axis));
  const Runs whole = runs_of(request, output_type(request, 0), attrs.axis);
  std::vector<Index> parts;
  for (const TensorType& part : request.signature.inputs) {
    parts.push_back(runs_of(request, part, attrs.axis).run);
  }
  return loop_kernel([=](const KernelArguments& arguments) {
    for (Index o = 0; o < whole.outer; ++o) {
      std::byte* to = bytes_out(arguments, 0) + o * whole.run;
      for (std::size_t i = 0; i < parts.size(); ++i) {
        copy(to, bytes_in(arguments, i) + o * parts[i], parts[i]);
        to += parts[i];
      }
    }
  });
}

KernelResult split_forward(const KernelRequest& request) {
  PLUTO_ASSIGN(const SplitAttrs attrs, attributes<SplitAttrs>(request));
  PLUTO_TRY(expect_operands(request, "*", std::string(request.signature.outputs.size(), '*')));
  PLUTO_TRY(check_axis(input_type(request, 0), attrs.axis));
  const Runs whole = runs_of(request, input_type(request, 0), attrs.axis);
  std::vector<Index> parts;
  for (const TensorType& part : request.signature.outputs) {
    parts.push_back(runs_of(request, part, attrs.axis).run);
  }
  return loop_kernel([=](const KernelArguments& arguments) {
    for (Index o = 0; o < whole.outer; ++o) {
      const std::byte* from = bytes_in(arguments, 0) + o * whole.run;
      for (std::size_t i = 0; i < parts.size(); ++i) {
        copy(bytes_out(arguments, i) + o * parts[i], from, parts[i]);
        from += parts[i];
      }
    }
  });
}

struct SliceRuns {
  Runs whole, part;
  Index skip;  // bytes of a run of the whole before the part
};
Result<SliceRuns> slice_runs(const KernelRequest& request, const TensorType& whole,
                             const TensorType& part) {
  PLUTO_ASSIGN(const SliceAttrs attrs, attributes<SliceAttrs>(request));
  PLUTO_TRY(expect_operands(request, "*", "*"));
  PLUTO_TRY(check_axis(whole, attrs.axis));
  const Runs runs = runs_of(request, whole, attrs.axis);
  const Index row = runs.run / whole.shape[static_cast<std::size_t>(attrs.axis)];
  return SliceRuns{runs, runs_of(request, part, attrs.axis), attrs.start * row};
}

KernelResult slice_forward(const KernelRequest& request) {
  PLUTO_ASSIGN(const SliceRuns slice,
               slice_runs(request, input_type(request, 0), output_type(request, 0)));
  return loop_kernel([slice](const KernelArguments& arguments) {
    for (Index o = 0; o < slice.whole.outer; ++o) {
      copy(bytes_out(arguments, 0) + o * slice.part.run,
           bytes_in(arguments, 0) + o * slice.whole.run + slice.skip, slice.part.run);
    }
  });
}

KernelResult slice_backward(const KernelRequest& request) {
  PLUTO_ASSIGN(const SliceRuns slice,
               slice_runs(request, output_type(request, 0), input_type(request, 0)));
  return loop_kernel([slice](const KernelArguments& arguments) {
    std::memset(bytes_out(arguments, 0), 0,
                static_cast<std::size_t>(slice.whole.outer * slice.whole.run));
    for (Index o = 0; o < slice.whole.outer; ++o) {
      copy(bytes_out(arguments, 0) + o * slice.whole.run + slice.skip,
           bytes_in(arguments, 0) + o * slice.part.run, slice.part.run);
    }
  });
}

KernelResult reshape_forward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "*", "*"));
  const Bytes size = output_type(request, 0).bytes(request.signature.micro_batch);
  return loop_kernel([size](const KernelArguments& arguments) {
    // Same bytes: the output may be the input.
    if (arguments.inputs[0] == arguments.outputs[0]) return;
    copy(bytes_out(arguments, 0), bytes_in(arguments, 0), size.value());
  });
}

/// y's axis i is x's axis permutation[i].
KernelResult transpose_forward(const KernelRequest& request) {
  PLUTO_ASSIGN(const TransposeAttrs attrs, attributes<TransposeAttrs>(request));
  PLUTO_TRY(expect_operands(request, "*", "*"));
  const TensorType& x = input_type(request, 0);
  const TensorType& y = output_type(request, 0);
  const std::size_t rank = x.shape.rank();
  if (attrs.permutation.size() != rank)
    return invalid_input("the permutation is not one of the axes of x");
  std::vector<Index> x_strides(rank, 1);
  for (std::size_t i = rank; i-- > 1;) x_strides[i - 1] = x_strides[i] * x.shape[i];
  // Where element `i` of a sample of y comes from, as byte offset in a sample of x.
  const Index size = element_size(x.dtype), count = y.shape.elements();
  std::vector<Index> sources(static_cast<std::size_t>(count));
  for (Index i = 0; i < count; ++i) {
    Index rest = i, source = 0;
    for (std::size_t axis = rank; axis-- > 0;) {
      source += rest % y.shape[axis] * x_strides[static_cast<std::size_t>(attrs.permutation[axis])];
      rest /= y.shape[axis];
    }
    sources[static_cast<std::size_t>(i)] = source * size;
  }
  const Index batch = samples(request, x);
  return loop_kernel([=, sources = std::move(sources)](const KernelArguments& arguments) {
    for (Index n = 0; n < batch; ++n) {
      const std::byte* from = bytes_in(arguments, 0) + n * count * size;
      std::byte* to = bytes_out(arguments, 0) + n * count * size;
      for (Index i = 0; i < count; ++i)
        copy(to + i * size, from + sources[static_cast<std::size_t>(i)], size);
    }
  });
}

}  // namespace

void add_shape_kernels(KernelTable& table) {
  table.add(OpKind::kConcat, OpPass::kForward, concat_forward);
  table.add(OpKind::kSplit, OpPass::kForward, split_forward);
  table.add(OpKind::kSlice, OpPass::kForward, slice_forward);
  table.add(OpKind::kSlice, OpPass::kBackward, slice_backward);
  table.add(OpKind::kReshape, OpPass::kForward, reshape_forward);
  table.add(OpKind::kTranspose, OpPass::kForward, transpose_forward);
}

}  // namespace pluto::reference
