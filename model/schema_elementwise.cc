// relu, gelu, silu, sigmoid, tanh, dropout, add, mul, position_add.
#include <fmt/format.h>

#include "model/schema_check.h"
#include "model/schema_families.h"
#include "model/schema_gradient.h"
#include "model/schema_work.h"

namespace pluto {
namespace {

using Types = std::vector<TensorType>;

Result<Types> infer_unary(const OpAttrs&, std::span<const TensorType> inputs) {
  const Operands in(inputs, {"x"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  return Types{in[0]};
}

Result<Types> infer_dropout(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& a = std::get<DropoutAttrs>(attrs);
  if (!(a.p >= 0 && a.p < 1))
    return invalid_input(fmt::format("p is {}, expected 0 to below 1", a.p));
  PLUTO_TRY(check_attr("stream", a.stream, 0, (std::int64_t{1} << 32) - 1));
  return infer_unary(attrs, inputs);
}

Result<Types> infer_binary(const OpAttrs&, std::span<const TensorType> inputs) {
  const Operands in(inputs, {"a", "b"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  PLUTO_TRY(in.same(1, 0));
  return Types{in[0]};
}

Result<Types> infer_position_add(const OpAttrs&, std::span<const TensorType> inputs) {
  const Operands in(inputs, {"x", "table"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  PLUTO_TRY(in.rank(0, 2, "T,D"));
  PLUTO_TRY(in.rank(1, 2, "positions, width"));
  const Shape &x = in[0].shape, &table = in[1].shape;
  if (table[0] < x[0] || table[1] != x[1]) {
    return in.wrong(
        1, fmt::format("at least {} positions of width {} (positions, width)", x[0], x[1]));
  }
  PLUTO_TRY(in.parameter(1, table, "positions, width"));
  return Types{in[0]};
}

OpWork work_add(OpPass pass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                std::span<const TensorType> outputs, std::int64_t micro_batch) {
  const WorkOperands operands{pass, inputs, outputs, micro_batch};
  const double flops = operands.forward() && std::get<AddAttrs>(attrs).relu ? 2 : 1;
  return operands.work(flops * operands.input_elements(0));
}

// Only the first T rows of the table are read.
OpWork work_position_add(OpPass pass, const OpAttrs&, std::span<const TensorType> inputs,
                         std::span<const TensorType> outputs, std::int64_t micro_batch) {
  const WorkOperands operands{pass, inputs, outputs, micro_batch};
  OpWork work = operands.work(operands.input_elements(0));
  if (operands.forward()) {
    const TensorType& x = operands.input(0);
    work.read =
        operands.input_bytes(0) + Bytes(x.shape.elements() * element_size(operands.input(1).dtype));
  }
  return work;
}

void from_output(GradientContext& context) {
  context.backward({context.dy(), context.output(0)}, {0});
}
void from_input(GradientContext& context) {
  context.backward({context.dy(), context.input(0)}, {0});
}
void from_mask(GradientContext& context) { context.backward({context.dy()}, {0}); }

void gradient_add(GradientContext& context) {
  TensorId gradient = context.dy();
  const auto attrs = std::get<AddAttrs>(context.op().attrs);
  if (attrs.relu) {
    const std::size_t of = context.wanted(0) ? 0 : 1;
    const Tensor& operand = context.builder().tensor_at(context.input(of));
    const auto nodes = context.builder().op_with_types(
        context.op().name + ".backward", OpKind::kRelu, OpPass::kBackward, NoAttrs{},
        {context.dy(), context.output(0)}, {operand.type}, {TensorRole::kActivation});
    gradient = nodes.front();
  }
  for (std::size_t i = 0; i < 2; ++i) {
    if (context.wanted(i)) context.set(i, gradient);
  }
}

void gradient_mul(GradientContext& context) {
  context.backward({context.dy(), context.input(0), context.input(1)}, {0, 1});
}

void gradient_position_add(GradientContext& context) {
  if (context.wanted(1)) {
    context.append("backward_weight", OpKind::kPositionAdd, OpPass::kBackwardWeight, NoAttrs{},
                   {context.dy()}, {1});
  }
  if (context.wanted(0)) context.set(0, context.dy());
}

}  // namespace

std::vector<OpSchema> elementwise_schemas() {
  using Alias = OpSchema::Alias;
  // FLOPs per element, forward and backward. gelu: cubic 4, scale 1, tanh 1, half (1 + t) x 3; its
  // derivative 17. silu: negate, exp, add, divide; derivative 8. Drawing the dropout mask is not
  // counted.
  return {
      {OpKind::kRelu, infer_unary, per_element_work<1, 1>, gradient_rule<from_output>,
       Alias::kMayOverwrite},
      {OpKind::kGelu, infer_unary, per_element_work<9, 17>, gradient_rule<from_input>,
       Alias::kMayOverwrite},
      {OpKind::kSilu, infer_unary, per_element_work<4, 8>, gradient_rule<from_input>,
       Alias::kMayOverwrite},
      {OpKind::kSigmoid, infer_unary, per_element_work<4, 3>, gradient_rule<from_output>,
       Alias::kMayOverwrite},
      {OpKind::kTanh, infer_unary, per_element_work<1, 3>, gradient_rule<from_output>,
       Alias::kMayOverwrite},
      {OpKind::kDropout, infer_dropout, per_element_work<2, 2>, gradient_rule<from_mask>,
       Alias::kMayOverwrite},
      {OpKind::kAdd, infer_binary, work_add, gradient_rule<gradient_add>, Alias::kMayOverwrite},
      {OpKind::kMul, infer_binary, per_element_work<1, 2>, gradient_rule<gradient_mul>,
       Alias::kMayOverwrite},
      {OpKind::kPositionAdd, infer_position_add, work_position_add,
       gradient_rule<gradient_position_add>, Alias::kMayOverwrite},
  };
}

}  // namespace pluto
