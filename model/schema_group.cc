// group_copy, group_all_reduce, group_all_gather, group_reduce_scatter, group_all_to_all,
// group_part, group_place, group_first: each rule is the adjoint of its node, where the loss is the
// sum over the ranks of a group, or the same on all of them.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "model/schema_check.h"
#include "model/schema_families.h"
#include "model/schema_gradient.h"
#include "model/schema_work.h"

namespace pluto {
namespace {

using Types = std::vector<TensorType>;

const GroupAttrs& attrs_of(const OpAttrs& attrs) { return std::get<GroupAttrs>(attrs); }

Result<void> check_group(const GroupAttrs& a, const Operands& in) {
  PLUTO_TRY(check_attr("ranks", a.ranks, 1, 1 << 20));
  PLUTO_TRY(in.count());
  const auto last = static_cast<std::int64_t>(in[0].shape.rank()) - 1;
  PLUTO_TRY(check_attr("axis", a.axis, kBatchAxis, std::max<std::int64_t>(0, last)));
  return check_attr("cut", a.cut, kBatchAxis, std::max<std::int64_t>(0, last));
}

/// The length of an axis; the micro-batches along the batch axis.
std::int64_t length(const TensorType& type, std::int64_t axis) {
  if (axis == kBatchAxis) return type.batch_multiple;
  return axis < static_cast<std::int64_t>(type.shape.rank())
             ? type.shape[static_cast<std::size_t>(axis)]
             : 0;
}

void set_length(TensorType& type, std::int64_t axis, std::int64_t value) {
  if (axis == kBatchAxis) {
    type.batch_multiple = static_cast<int>(value);
  } else {
    type.shape.dims[static_cast<std::size_t>(axis)] = value;
  }
}

const char* axis_text(std::int64_t axis) { return axis == kBatchAxis ? "the batch" : "an axis"; }

/// The type joined from all ranks along `axis`.
Result<TensorType> joined(TensorType type, std::int64_t axis, std::int64_t ranks) {
  const std::int64_t before = length(type, axis);
  if (before < 1) {
    return invalid_input(
        fmt::format("operand 0 (x) is {}, expected {} to join", to_text(type), axis_text(axis)));
  }
  set_length(type, axis, before * ranks);
  return type;
}

/// The type of one rank's part along `axis`.
Result<TensorType> cut(TensorType type, std::int64_t axis, std::int64_t ranks) {
  const std::int64_t before = length(type, axis);
  if (before < 1 || before % ranks != 0) {
    return invalid_input(fmt::format("operand 0 (x) is {}, expected {} that {} ranks divide",
                                     to_text(type), axis_text(axis), ranks));
  }
  set_length(type, axis, before / ranks);
  return type;
}

Result<Types> infer_same(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const Operands in(inputs, {"x"});
  PLUTO_TRY(check_group(attrs_of(attrs), in));
  PLUTO_TRY(in.floating(0));
  return Types{in[0]};
}

Result<Types> infer_all_gather(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const Operands in(inputs, {"x"});
  PLUTO_TRY(check_group(attrs_of(attrs), in));
  PLUTO_TRY(in.floating(0));
  PLUTO_ASSIGN(TensorType y, joined(in[0], attrs_of(attrs).axis, attrs_of(attrs).ranks));
  return Types{std::move(y)};
}

Result<Types> infer_part(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const Operands in(inputs, {"x"});
  PLUTO_TRY(check_group(attrs_of(attrs), in));
  PLUTO_ASSIGN(TensorType y, cut(in[0], attrs_of(attrs).axis, attrs_of(attrs).ranks));
  return Types{std::move(y)};
}

Result<Types> infer_reduce_scatter(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  PLUTO_ASSIGN(Types y, infer_part(attrs, inputs));
  PLUTO_TRY(Operands(inputs, {"x"}).floating(0));
  return y;
}

Result<Types> infer_all_to_all(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const GroupAttrs& a = attrs_of(attrs);
  const Operands in(inputs, {"x"});
  PLUTO_TRY(check_group(a, in));
  PLUTO_TRY(in.floating(0));
  if (a.axis == a.cut) return invalid_input(fmt::format("axis {} is both joined and cut", a.axis));
  PLUTO_ASSIGN(TensorType part, cut(in[0], a.cut, a.ranks));
  PLUTO_ASSIGN(TensorType y, joined(std::move(part), a.axis, a.ranks));
  return Types{std::move(y)};
}

// ---- gradients

void emit(GradientContext& context, OpKind kind, GroupAttrs attrs) {
  context.append("backward", kind, OpPass::kForward, attrs, {context.dy()}, {0});
}

void gradient_copy(GradientContext& context) {
  emit(context, OpKind::kGroupAllReduce, attrs_of(context.op().attrs));
}

// The sum is the same on every rank, and so is what becomes of it.
void pass_on(GradientContext& context) { context.set(0, context.dy()); }

void gradient_all_gather(GradientContext& context) {
  const GroupAttrs a = attrs_of(context.op().attrs);
  emit(context, a.shared ? OpKind::kGroupPart : OpKind::kGroupReduceScatter, a);
}

void gradient_reduce_scatter(GradientContext& context) {
  emit(context, OpKind::kGroupAllGather, attrs_of(context.op().attrs));
}

void gradient_all_to_all(GradientContext& context) {
  GroupAttrs a = attrs_of(context.op().attrs);
  std::swap(a.axis, a.cut);
  emit(context, OpKind::kGroupAllToAll, a);
}

void gradient_part(GradientContext& context) {
  const GroupAttrs a = attrs_of(context.op().attrs);
  emit(context, a.shared ? OpKind::kGroupAllGather : OpKind::kGroupPlace, a);
}

void gradient_place(GradientContext& context) {
  emit(context, OpKind::kGroupPart, attrs_of(context.op().attrs));
}

// ---- work: what crosses links is the lowering's; local nodes copy.

OpWork no_work(OpPass, const OpAttrs&, std::span<const TensorType>, std::span<const TensorType>,
               std::int64_t) {
  return {};
}

OpWork work_part(OpPass pass, const OpAttrs&, std::span<const TensorType> inputs,
                 std::span<const TensorType> outputs, std::int64_t micro_batch) {
  const WorkOperands operands{pass, inputs, outputs, micro_batch};
  const Bytes part = std::min(operands.input_bytes(0), operands.output_bytes(0));
  return {Flops(0), part, operands.output_bytes(0)};
}

}  // namespace

std::vector<OpSchema> group_schemas() {
  return {
      {OpKind::kGroupCopy, infer_same, no_work, gradient_rule<gradient_copy>,
       OpSchema::Alias::kSameBytes},
      {OpKind::kGroupAllReduce, infer_same, no_work, gradient_rule<pass_on>},
      {OpKind::kGroupAllGather, infer_all_gather, no_work, gradient_rule<gradient_all_gather>},
      {OpKind::kGroupReduceScatter, infer_reduce_scatter, no_work,
       gradient_rule<gradient_reduce_scatter>},
      {OpKind::kGroupAllToAll, infer_all_to_all, no_work, gradient_rule<gradient_all_to_all>},
      {OpKind::kGroupPart, infer_part, work_part, gradient_rule<gradient_part>},
      {OpKind::kGroupPlace, infer_all_gather, work_part, gradient_rule<gradient_place>},
      {OpKind::kGroupFirst, infer_same, work_part, gradient_rule<pass_on>},
  };
}

}  // namespace pluto
