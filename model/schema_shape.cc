// concat, split, slice, reshape, transpose.
#include <fmt/format.h>

#include <algorithm>

#include "model/schema_check.h"
#include "model/schema_families.h"
#include "model/schema_gradient.h"
#include "model/schema_work.h"

namespace pluto {
namespace {

using Types = std::vector<TensorType>;

Result<void> check_axis(const Operands& in, std::int64_t axis) {
  const auto rank = static_cast<std::int64_t>(in[0].shape.rank());
  if (axis >= 0 && axis < rank) return {};
  return invalid_input(
      fmt::format("axis is {}, but operand 0 is {} of rank {} (the batch axis does not count)",
                  axis, to_text(in[0].shape), rank));
}

// ---- concat

Result<Types> infer_concat(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const std::int64_t axis = std::get<AxisAttrs>(attrs).axis;
  if (inputs.empty()) return invalid_input("0 operands, expected 1 or more (x0, x1, ...)");
  const Operands in(inputs, std::vector<const char*>(inputs.size(), "x"));
  PLUTO_TRY(check_axis(in, axis));
  TensorType y = in[0];
  for (std::size_t i = 1; i < in.size(); ++i) {
    Shape aligned = in[i].shape;
    if (aligned.rank() == y.shape.rank()) aligned.dims[axis] = in[0].shape[axis];
    if (aligned != in[0].shape) {
      return in.wrong(i,
                      fmt::format("{} as operand 0 but for axis {}", to_text(in[0].shape), axis));
    }
    PLUTO_TRY(in.dtype(i, in[0].dtype));
    PLUTO_TRY(in.batch_of(i, 0));
    y.shape.dims[axis] += in[i].shape[axis];
  }
  return Types{y};
}

// Where every input wants its gradient one split does it; else a slice for each that does.
void gradient_concat(GradientContext& context) {
  const Op& op = context.op();
  const auto axis = std::get<AxisAttrs>(op.attrs).axis;
  SplitAttrs split{axis, {}};
  std::vector<std::size_t> all;
  bool all_wanted = true;
  for (std::size_t i = 0; i < op.inputs.size(); ++i) {
    split.sizes.push_back(context.builder().type(op.inputs[i]).shape[axis]);
    all.push_back(i);
    all_wanted = all_wanted && context.wanted(i);
  }
  if (all_wanted) {
    context.append("backward", OpKind::kSplit, OpPass::kForward, std::move(split), {context.dy()},
                   all);
    return;
  }
  std::int64_t start = 0;
  for (std::size_t i = 0; i < op.inputs.size(); ++i) {
    if (context.wanted(i)) {
      context.append(fmt::format("backward_{}", i), OpKind::kSlice, OpPass::kForward,
                     SliceAttrs{axis, start, split.sizes[i]}, {context.dy()}, {i});
    }
    start += split.sizes[i];
  }
}

// ---- split

Result<Types> infer_split(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& a = std::get<SplitAttrs>(attrs);
  const Operands in(inputs, {"x"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(check_axis(in, a.axis));
  if (a.sizes.empty()) return invalid_input("sizes is empty, expected one per output");
  Types outputs;
  std::int64_t sum = 0;
  for (std::int64_t size : a.sizes) {
    PLUTO_TRY(check_attr("a size", size, 1, kMaxElements));
    sum += size;
    if (sum > in[0].shape[a.axis]) break;  // before it can overflow
    outputs.push_back(in[0]);
    outputs.back().shape.dims[a.axis] = size;
  }
  if (sum != in[0].shape[a.axis]) {
    return invalid_input(fmt::format("sizes {} do not add up to axis {} of operand 0 (x), {}",
                                     fmt::join(a.sizes, "+"), a.axis, to_text(in[0].shape)));
  }
  return outputs;
}

// All gradients there: concat. Else those that are there, each spread out by a slice backward,
// summed.
Result<Gradients> gradient_split(const Op& op,
                                 std::span<const std::optional<TensorId>> output_gradients,
                                 const std::vector<bool>& wanted, GraphBuilder& builder) {
  GradientContext context(op, output_gradients, wanted, builder);
  std::vector<TensorId> there;
  for (const auto& gradient : output_gradients) {
    if (gradient) there.push_back(*gradient);
  }
  if (there.empty() || !context.any_wanted()) return context.take();
  const auto& a = std::get<SplitAttrs>(op.attrs);
  if (there.size() == op.outputs.size()) {
    context.append("backward", OpKind::kConcat, OpPass::kForward, AxisAttrs{a.axis}, there, {0});
    return context.take();
  }
  const TensorType type = builder.type(op.inputs[0]);
  std::int64_t start = 0;
  std::size_t left = there.size();
  std::optional<TensorId> sum;
  for (std::size_t i = 0; i < op.outputs.size(); start += a.sizes[i], ++i) {
    if (!output_gradients[i]) continue;
    const SliceAttrs slice{a.axis, start, a.sizes[i]};
    const std::string suffix = fmt::format("backward_{}", i);
    --left;
    if (!sum && left == 0) {  // the only one
      context.append(suffix, OpKind::kSlice, OpPass::kBackward, slice, {*output_gradients[i]}, {0});
      continue;
    }
    const TensorId spread =
        builder.op_with_types(op.name + "." + suffix, OpKind::kSlice, OpPass::kBackward, slice,
                              {*output_gradients[i]}, {type}, {TensorRole::kActivation})[0];
    const std::string add = fmt::format("backward_sum_{}", i);
    if (!sum) {
      sum = spread;
    } else if (left > 0) {
      sum = builder.forward(op.name + "." + add, OpKind::kAdd, AddAttrs{}, {*sum, spread});
    } else {
      context.append(add, OpKind::kAdd, OpPass::kForward, AddAttrs{}, {*sum, spread}, {0});
    }
  }
  return context.take();
}

// ---- slice

Result<Types> infer_slice(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& a = std::get<SliceAttrs>(attrs);
  const Operands in(inputs, {"x"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(check_axis(in, a.axis));
  const std::int64_t size = in[0].shape[a.axis];
  if (a.start < 0 || a.length < 1 || a.start >= size || a.length > size - a.start) {
    return invalid_input(
        fmt::format("slice of {} from {} does not lie in axis {} of operand 0 (x), {}", a.length,
                    a.start, a.axis, to_text(in[0].shape)));
  }
  TensorType y = in[0];
  y.shape.dims[a.axis] = a.length;
  return Types{y};
}

void gradient_slice(GradientContext& context) { context.backward({context.dy()}, {0}); }

// ---- reshape

Result<Types> infer_reshape(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const Operands in(inputs, {"x"});
  PLUTO_TRY(in.count());
  const Shape shape{std::get<ReshapeAttrs>(attrs).dims};
  PLUTO_TRY(check_shape(shape));
  if (shape.elements() != in[0].shape.elements()) {
    return in.wrong(0, fmt::format("as many elements as the new shape {}", to_text(shape)));
  }
  return Types{{shape, in[0].dtype, in[0].batch_multiple}};
}

OpWork no_work(OpPass, const OpAttrs&, std::span<const TensorType>, std::span<const TensorType>,
               std::int64_t) {
  return {};
}

void gradient_reshape(GradientContext& context) {
  context.append("backward", OpKind::kReshape, OpPass::kForward,
                 ReshapeAttrs{context.builder().type(context.input(0)).shape.dims}, {context.dy()},
                 {0});
}

// ---- transpose

Result<Types> infer_transpose(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& permutation = std::get<TransposeAttrs>(attrs).permutation;
  const Operands in(inputs, {"x"});
  PLUTO_TRY(in.count());
  std::vector<std::int64_t> sorted = permutation;
  std::sort(sorted.begin(), sorted.end());
  bool valid = sorted.size() == in[0].shape.rank();
  for (std::size_t i = 0; valid && i < sorted.size(); ++i)
    valid = sorted[i] == static_cast<std::int64_t>(i);
  if (!valid) {
    return invalid_input(fmt::format("permutation {} is none of the {} axes of operand 0 (x), {}",
                                     fmt::join(permutation, ","), in[0].shape.rank(),
                                     to_text(in[0].shape)));
  }
  TensorType y = in[0];
  for (std::size_t i = 0; i < permutation.size(); ++i)
    y.shape.dims[i] = in[0].shape[permutation[i]];
  return Types{y};
}

void gradient_transpose(GradientContext& context) {
  const auto& permutation = std::get<TransposeAttrs>(context.op().attrs).permutation;
  TransposeAttrs inverse;
  inverse.permutation.resize(permutation.size());
  for (std::size_t i = 0; i < permutation.size(); ++i) {
    inverse.permutation[permutation[i]] = static_cast<std::int64_t>(i);
  }
  context.append("backward", OpKind::kTranspose, OpPass::kForward, std::move(inverse),
                 {context.dy()}, {0});
}

// A slice reads only what it keeps; its backward writes the zeros too.
OpWork work_slice(OpPass pass, const OpAttrs&, std::span<const TensorType> inputs,
                  std::span<const TensorType> outputs, std::int64_t micro_batch) {
  const WorkOperands operands{pass, inputs, outputs, micro_batch};
  OpWork work = operands.work(0);
  if (operands.forward()) work.read = work.written;
  return work;
}

}  // namespace

std::vector<OpSchema> shape_schemas() {
  return {
      {OpKind::kConcat, infer_concat, per_element_work<0, 0>, gradient_rule<gradient_concat>},
      {OpKind::kSplit, infer_split, per_element_work<0, 0>, gradient_split},
      {OpKind::kSlice, infer_slice, work_slice, gradient_rule<gradient_slice>},
      {OpKind::kReshape, infer_reshape, no_work, gradient_rule<gradient_reshape>,
       OpSchema::Alias::kSameBytes},
      {OpKind::kTranspose, infer_transpose, per_element_work<0, 0>,
       gradient_rule<gradient_transpose>},
  };
}

}  // namespace pluto
