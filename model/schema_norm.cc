// batch_norm, lrn, layer_norm, rms_norm.
#include "model/schema_check.h"
#include "model/schema_families.h"
#include "model/schema_gradient.h"
#include "model/schema_work.h"

namespace pluto {
namespace {

using Types = std::vector<TensorType>;

// ---- batch_norm

Result<Types> infer_batch_norm(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& a = std::get<BatchNormAttrs>(attrs);
  PLUTO_TRY(check_attr("epsilon", a.epsilon, 0, 1));
  PLUTO_TRY(check_attr("momentum", a.momentum, 0, 1));
  if (a.add && !a.relu) return invalid_input("add is 1 and relu 0; a sum is merged with its relu");
  const Operands in(inputs, a.add ? std::vector{"x", "gamma", "beta", "residual"}
                                  : std::vector{"x", "gamma", "beta"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  PLUTO_TRY(in.at_least_rank(0, 1, "C, ..."));
  if (a.add) PLUTO_TRY(in.same(3, 0));
  const Shape channels{{in[0].shape[0]}};
  PLUTO_TRY(in.affine(1, channels, "channels"));
  PLUTO_TRY(in.affine(2, channels, "channels"));
  return Types{in[0], statistic(channels, 0), statistic(channels, 0)};
}

// Per element, forward: mean 1, variance 3 (subtract, multiply-add), normalise and scale 4;
// backward: sum of dy 1, normalised x 2 and its product with dy 2, then normalised x again 2 and
// dx 4. ReLU: one more; the sum: one more, forward. The running statistics are read and rewritten.
OpWork work_batch_norm(OpPass pass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                       std::span<const TensorType> outputs, std::int64_t micro_batch) {
  const WorkOperands operands{pass, inputs, outputs, micro_batch};
  const auto& a = std::get<BatchNormAttrs>(attrs);
  const double more = (a.relu ? 1 : 0) + (a.add && operands.forward() ? 1 : 0);
  OpWork work = operands.work(operands.input_elements(0) * ((operands.forward() ? 8 : 11) + more));
  if (operands.forward()) {
    const Bytes running = operands.output_bytes(1) + operands.output_bytes(2);
    work.read += running;
    work.written += running;
  }
  return work;
}

void gradient_batch_norm(GradientContext& context) {
  std::vector<TensorId> inputs = {context.dy(), context.input(0), context.input(1),
                                  context.output(1), context.output(2)};
  const auto& attrs = std::get<BatchNormAttrs>(context.op().attrs);
  if (attrs.relu) inputs.push_back(context.output(0));
  context.backward(std::move(inputs), attrs.add ? std::vector<std::size_t>{0, 1, 2, 3}
                                                : std::vector<std::size_t>{0, 1, 2});
}

// ---- lrn

Result<Types> infer_lrn(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  PLUTO_TRY(check_attr("size", std::get<LrnAttrs>(attrs).size, 1));
  const Operands in(inputs, {"x"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  PLUTO_TRY(in.rank(0, 3, "C,H,W"));
  return Types{in[0], in[0]};
}

// Per element, forward: a multiply-add per channel of the window, scale 2, power 1, product 1;
// backward: ratio 2, an add per channel of the window, and 5 for dx.
OpWork work_lrn(OpPass pass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                std::span<const TensorType> outputs, std::int64_t micro_batch) {
  const WorkOperands operands{pass, inputs, outputs, micro_batch};
  const double size = static_cast<double>(std::get<LrnAttrs>(attrs).size);
  return operands.work(operands.input_elements(0) * (operands.forward() ? 2 * size + 4 : size + 7));
}

void gradient_lrn(GradientContext& context) {
  context.backward({context.dy(), context.input(0), context.output(0), context.output(1)}, {0});
}

// ---- layer_norm, rms_norm: over the last axis; one statistic per row.

Result<Types> infer_row_norm(const OpAttrs& attrs, std::span<const TensorType> inputs,
                             std::vector<const char*> names, std::size_t statistics) {
  PLUTO_TRY(check_attr("epsilon", std::get<NormAttrs>(attrs).epsilon, 0, 1));
  const Operands in(inputs, std::move(names));
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  PLUTO_TRY(in.at_least_rank(0, 1, "..., D"));
  for (std::size_t i = 1; i < in.size(); ++i)
    PLUTO_TRY(in.affine(i, {{in[0].shape.dims.back()}}, "width"));
  Shape rows = in[0].shape;
  rows.dims.pop_back();
  Types types = {in[0]};
  types.insert(types.end(), statistics, statistic(rows, in[0].batch_multiple));
  return types;
}

Result<Types> infer_layer_norm(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  return infer_row_norm(attrs, inputs, {"x", "gamma", "beta"}, 2);
}

Result<Types> infer_rms_norm(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  return infer_row_norm(attrs, inputs, {"x", "gamma"}, 1);
}

void gradient_layer_norm(GradientContext& context) {
  context.backward(
      {context.dy(), context.input(0), context.input(1), context.output(1), context.output(2)},
      {0, 1, 2});
}

void gradient_rms_norm(GradientContext& context) {
  context.backward({context.dy(), context.input(0), context.input(1), context.output(1)}, {0, 1});
}

}  // namespace

std::vector<OpSchema> norm_schemas() {
  // layer_norm per element: forward as batch_norm; backward: dbeta 1, normalised x 2, dgamma 2, dy
  // gamma 1, row sums 3, dx 4. rms_norm: forward square-add 2, two products; backward: normalised x
  // 1, dgamma 2, dy gamma 1, row sum 2, dx 3.
  return {
      {OpKind::kBatchNorm, infer_batch_norm, work_batch_norm, gradient_rule<gradient_batch_norm>},
      {OpKind::kLrn, infer_lrn, work_lrn, gradient_rule<gradient_lrn>},
      {OpKind::kLayerNorm, infer_layer_norm, per_element_work<8, 13>,
       gradient_rule<gradient_layer_norm>},
      {OpKind::kRmsNorm, infer_rms_norm, per_element_work<4, 9>, gradient_rule<gradient_rms_norm>},
  };
}

}  // namespace pluto
