// conv2d, linear, matmul, moe_ffn.
#include <fmt/format.h>

#include <algorithm>

#include "model/schema_check.h"
#include "model/schema_families.h"
#include "model/schema_gradient.h"
#include "model/schema_work.h"

namespace pluto {
namespace {

using Types = std::vector<TensorType>;

// ---- what conv2d and linear do behind their product

/// The result, and what the activation is applied to where backward reads that.
Types with_operand(TensorType y, Activation activation) {
  Types types = {std::move(y)};
  if (keeps_operand(activation)) types.push_back(types.front());
  return types;
}

/// FLOPs of a forward node behind its product: those of the function alone.
double epilogue_flops(const WorkOperands& operands, Activation activation) {
  if (!operands.forward() || activation == Activation::kNone) return 0;
  const std::span<const TensorType> y(&operands.output(0), 1);
  return schema_of(kind_of(activation))
      .work(OpPass::kForward, NoAttrs{}, y, y, operands.micro_batch)
      .flops.value();
}

/// The attributes of the backward products, which are those of a node without activation.
OpAttrs without_activation(OpAttrs attrs) {
  if (auto* conv = std::get_if<ConvAttrs>(&attrs)) conv->activation = Activation::kNone;
  if (auto* linear = std::get_if<LinearAttrs>(&attrs)) linear->activation = Activation::kNone;
  return attrs;
}

/// The gradient in front of the activation, by a node of its own kind.
TensorId before_activation(GradientContext& context, Activation activation) {
  if (activation == Activation::kNone) return context.dy();
  const TensorId read = context.output(keeps_operand(activation) ? 1 : 0);
  const auto nodes = context.builder().op_with_types(
      context.op().name + ".backward", kind_of(activation), OpPass::kBackward, NoAttrs{},
      {context.dy(), read}, {context.builder().type(read)}, {TensorRole::kActivation});
  return nodes.front();
}

// ---- conv2d

Result<void> check_conv_attrs(const ConvAttrs& a) {
  PLUTO_TRY(check_attr("out_channels", a.out_channels, 1));
  PLUTO_TRY(check_attr("kernel_h", a.kernel_h, 1));
  PLUTO_TRY(check_attr("kernel_w", a.kernel_w, 1));
  PLUTO_TRY(check_attr("stride_h", a.stride_h, 1));
  PLUTO_TRY(check_attr("stride_w", a.stride_w, 1));
  PLUTO_TRY(check_attr("pad_top", a.pad_top, 0));
  PLUTO_TRY(check_attr("pad_left", a.pad_left, 0));
  PLUTO_TRY(check_attr("pad_bottom", a.pad_bottom, 0));
  PLUTO_TRY(check_attr("pad_right", a.pad_right, 0));
  PLUTO_TRY(check_attr("dilation_h", a.dilation_h, 1));
  PLUTO_TRY(check_attr("dilation_w", a.dilation_w, 1));
  return check_attr("groups", a.groups, 1);
}

// Outputs along one axis: floor((size + pads - (dilation (kernel - 1) + 1)) / stride) + 1.
Result<std::int64_t> conv_axis(const char* axis, std::int64_t size, std::int64_t pads,
                               std::int64_t kernel, std::int64_t dilation, std::int64_t stride) {
  const std::int64_t extent = dilation * (kernel - 1) + 1;
  if (size + pads < extent) {
    return invalid_input(
        fmt::format("operand 0 (x) has {} {}, with padding {}, smaller than the kernel's extent {}",
                    axis, size, size + pads, extent));
  }
  return (size + pads - extent) / stride + 1;
}

Result<Types> infer_conv(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& a = std::get<ConvAttrs>(attrs);
  PLUTO_TRY(check_conv_attrs(a));
  const Operands in(inputs, a.bias ? std::vector{"x", "w", "b"} : std::vector{"x", "w"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  PLUTO_TRY(in.rank(0, 3, "C,H,W"));
  const Shape& x = in[0].shape;
  if (x[0] % a.groups != 0 || a.out_channels % a.groups != 0) {
    return invalid_input(fmt::format("{} groups do not divide {} input and {} output channels",
                                     a.groups, x[0], a.out_channels));
  }
  PLUTO_TRY(in.parameter(1, {{a.out_channels, x[0] / a.groups, a.kernel_h, a.kernel_w}},
                         "out_channels, channels/groups, kernel_h, kernel_w"));
  if (a.bias) PLUTO_TRY(in.parameter(2, {{a.out_channels}}, "out_channels"));
  PLUTO_ASSIGN(const std::int64_t height, conv_axis("height", x[1], a.pad_top + a.pad_bottom,
                                                    a.kernel_h, a.dilation_h, a.stride_h));
  PLUTO_ASSIGN(const std::int64_t width, conv_axis("width", x[2], a.pad_left + a.pad_right,
                                                   a.kernel_w, a.dilation_w, a.stride_w));
  return with_operand({{{a.out_channels, height, width}}, in[0].dtype, in[0].batch_multiple},
                      a.activation);
}

// Formula: 2 * outputs * (channels/groups) * kernel_h * kernel_w; taps on padding count, as
// everywhere in the literature. A bias adds one per output to forward and, as the sum over dy, to
// backward_weight; an activation what it adds alone.
OpWork work_conv(OpPass pass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                 std::span<const TensorType> outputs, std::int64_t micro_batch) {
  const WorkOperands operands{pass, inputs, outputs, micro_batch};
  const auto& a = std::get<ConvAttrs>(attrs);
  const TensorType& weight =
      pass == OpPass::kBackwardWeight ? operands.output(0) : operands.input(1);
  const double y = operands.forward() ? operands.output_elements(0) : operands.input_elements(0);
  const double products = 2 * y * dim(weight, 1) * dim(weight, 2) * dim(weight, 3);
  return operands.work(products + (a.bias && pass != OpPass::kBackwardData ? y : 0) +
                       epilogue_flops(operands, a.activation));
}

// conv2d and linear: (x, w, [b]).
template <class Attrs>
void weight_then_data(GradientContext& context) {
  const Op& op = context.op();
  const bool bias = op.inputs.size() > 2;
  const TensorId dz = before_activation(context, std::get<Attrs>(op.attrs).activation);
  const OpAttrs attrs = without_activation(op.attrs);
  if (context.wanted(1) || (bias && context.wanted(2))) {
    context.append("backward_weight", op.kind, OpPass::kBackwardWeight, attrs,
                   {dz, context.input(0)},
                   bias ? std::vector<std::size_t>{1, 2} : std::vector<std::size_t>{1});
  }
  if (context.wanted(0)) {
    context.append("backward_data", op.kind, OpPass::kBackwardData, attrs, {dz, context.input(1)},
                   {0});
  }
}

// ---- linear

Result<Types> infer_linear(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& a = std::get<LinearAttrs>(attrs);
  PLUTO_TRY(check_attr("out_features", a.out_features, 1));
  const Operands in(inputs, a.bias ? std::vector{"x", "w", "b"} : std::vector{"x", "w"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  PLUTO_TRY(in.at_least_rank(0, 1, "..., in_features"));
  PLUTO_TRY(
      in.parameter(1, {{a.out_features, in[0].shape.dims.back()}}, "out_features, in_features"));
  if (a.bias) PLUTO_TRY(in.parameter(2, {{a.out_features}}, "out_features"));
  TensorType y = in[0];
  y.shape.dims.back() = a.out_features;
  return with_operand(std::move(y), a.activation);
}

// Formula: 2 * rows * in_features * out_features; bias and activation as for conv2d.
OpWork work_linear(OpPass pass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                   std::span<const TensorType> outputs, std::int64_t micro_batch) {
  const WorkOperands operands{pass, inputs, outputs, micro_batch};
  const auto& a = std::get<LinearAttrs>(attrs);
  const double y = operands.forward() ? operands.output_elements(0) : operands.input_elements(0);
  const double in_features = pass == OpPass::kBackwardData ? dim(operands.input(1), 1)
                             : operands.forward()          ? last_dim(operands.input(0))
                                                           : last_dim(operands.input(1));
  return operands.work(2 * y * in_features + (a.bias && pass != OpPass::kBackwardData ? y : 0) +
                       epilogue_flops(operands, a.activation));
}

// ---- matmul

Result<Types> infer_matmul(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& attr = std::get<MatMulAttrs>(attrs);
  const Operands in(inputs, {"a", "b"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  PLUTO_TRY(in.dtype(1, in[0].dtype));
  PLUTO_TRY(in.at_least_rank(0, 2, "..., M, K"));
  PLUTO_TRY(in.rank(1, in[0].shape.rank(), "as operand 0 (a)"));
  auto batched = in.batch_of(1, 0);
  if (!batched) {
    Error error = batched.error();
    error.help = "a product with a parameter is a linear node";
    return error;
  }
  std::vector<std::int64_t> a = in[0].shape.dims, b = in[1].shape.dims;
  const std::size_t row = a.size() - 2, column = a.size() - 1;
  if (attr.transpose_a) std::swap(a[row], a[column]);
  if (attr.transpose_b) std::swap(b[row], b[column]);
  if (!std::equal(a.begin(), a.end() - 2, b.begin())) {
    return in.wrong(1, fmt::format("the leading axes of operand 0 (a), {}", to_text(in[0].shape)));
  }
  if (a[column] != b[row]) {
    return in.wrong(
        1, fmt::format("{} as inner axis, after transposition, to follow operand 0 (a), {}",
                       a[column], to_text(in[0].shape)));
  }
  a[column] = b[column];
  return Types{{{std::move(a)}, in[0].dtype, in[0].batch_multiple}};
}

// Formula: 2 * M * N * K per matrix, and one per output for a scale other than 1.
OpWork work_matmul(OpPass pass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                   std::span<const TensorType> outputs, std::int64_t micro_batch) {
  const WorkOperands operands{pass, inputs, outputs, micro_batch};
  const auto& attr = std::get<MatMulAttrs>(attrs);
  const TensorType& a = operands.input(0);
  const std::size_t rank = a.shape.rank();
  const double inner = rank < 2 ? 1 : dim(a, attr.transpose_a ? rank - 2 : rank - 1);
  return operands.work(operands.output_elements(0) * (2 * inner + (attr.scale == 1 ? 0 : 1)));
}

// With A = op(a), B = op(b), y = s A B: dA = s dy B', dB = s A' dy; a transposed operand gets the
// transposed product.
void gradient_matmul(GradientContext& context) {
  const auto attr = std::get<MatMulAttrs>(context.op().attrs);
  const bool ta = attr.transpose_a, tb = attr.transpose_b;
  const TensorId a = context.input(0), b = context.input(1), dy = context.dy();
  if (context.wanted(0)) {
    const MatMulAttrs plain{false, !tb, attr.scale}, transposed{tb, true, attr.scale};
    context.append("backward_a", OpKind::kMatMul, OpPass::kForward, ta ? transposed : plain,
                   ta ? std::vector{b, dy} : std::vector{dy, b}, {0});
  }
  if (context.wanted(1)) {
    const MatMulAttrs plain{!ta, false, attr.scale}, transposed{true, ta, attr.scale};
    context.append("backward_b", OpKind::kMatMul, OpPass::kForward, tb ? transposed : plain,
                   tb ? std::vector{dy, a} : std::vector{a, dy}, {1});
  }
}

// ---- moe_ffn

Result<Types> infer_moe(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& a = std::get<MoeAttrs>(attrs);
  PLUTO_TRY(check_attr("experts", a.experts, 1));
  PLUTO_TRY(check_attr("top_k", a.top_k, 1, a.experts));
  PLUTO_TRY(check_attr("intermediate", a.intermediate, 1));
  const Operands in(inputs, {"x", "router", "gate", "up", "down"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  PLUTO_TRY(in.rank(0, 2, "T,D"));
  const std::int64_t width = in[0].shape[1];
  PLUTO_TRY(in.parameter(1, {{a.experts, width}}, "experts, width"));
  // Of experts spread over ranks: the weights of the own ones.
  const Shape& gate = in[2].shape;
  const std::int64_t own =
      gate.rank() == 3 && gate[0] > 0 && a.experts % gate[0] == 0 ? gate[0] : a.experts;
  PLUTO_TRY(in.parameter(2, {{own, a.intermediate, width}}, "experts, intermediate, width"));
  PLUTO_TRY(in.parameter(3, {{own, a.intermediate, width}}, "experts, intermediate, width"));
  PLUTO_TRY(in.parameter(4, {{own, width, a.intermediate}}, "experts, width, intermediate"));
  return Types{in[0]};
}

// Per token, with D width, I intermediate, E experts, k = top_k (only the chosen experts work):
//   router    2 D E, choice E compares, softmax over k: 5 k
//   expert    three products of 2 D I each, silu and product 5 I, weighted sum 2 D
//   backward  keeps nothing of the forward pass, so it repeats router, gate, up and silu; then a
//             data and a weight product for the router, 4 D E, and each of the three, 12 D I; per I
//             the derivative of silu 8, products 3, the gradient of the probability 2; per D the
//             scaled dy and the sum of dx; softmax 4 k
// Weights of experts that no token chose are not read: tokens times k experts at most are. A rank
// that has a part of the experts computes that part of the choices.
OpWork work_moe(OpPass pass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                std::span<const TensorType> outputs, std::int64_t micro_batch) {
  const WorkOperands operands{pass, inputs, outputs, micro_batch};
  const auto& a = std::get<MoeAttrs>(attrs);
  const std::size_t x = operands.forward() ? 0 : 1;
  const double width = last_dim(operands.input(x));
  const double tokens = operands.input_elements(x) / width;
  const double experts = static_cast<double>(a.experts), chosen = static_cast<double>(a.top_k);
  const double own = std::max(1.0, dim(operands.input(x + 2), 0));
  const double done = chosen * std::min(1.0, own / std::max(1.0, experts));
  const double inner = static_cast<double>(a.intermediate);
  const double router = 2 * width * experts + experts + 5 * chosen;
  const double forward = router + done * (6 * width * inner + 5 * inner + 2 * width);
  const double backward = router + 4 * width * experts + 4 * chosen +
                          done * (16 * width * inner + 18 * inner + 2 * width);
  OpWork work = operands.work(tokens * (operands.forward() ? forward : backward));
  const double touched = std::min(own, tokens * done);
  for (std::size_t i = x + 2; i < operands.inputs.size(); ++i) {
    const double all = static_cast<double>(operands.input_bytes(i).value());
    const double untouched = all * (1 - touched / own);
    work.read -= Bytes(static_cast<std::int64_t>(untouched));
  }
  return work;
}

void gradient_moe(GradientContext& context) {
  std::vector<TensorId> inputs = {context.dy()};
  inputs.insert(inputs.end(), context.op().inputs.begin(), context.op().inputs.end());
  context.backward(std::move(inputs), {0, 1, 2, 3, 4});
}

}  // namespace

std::vector<OpSchema> dense_schemas() {
  return {
      {OpKind::kConv2d, infer_conv, work_conv, gradient_rule<weight_then_data<ConvAttrs>>},
      {OpKind::kLinear, infer_linear, work_linear, gradient_rule<weight_then_data<LinearAttrs>>},
      {OpKind::kMatMul, infer_matmul, work_matmul, gradient_rule<gradient_matmul>},
      {OpKind::kMoeFfn, infer_moe, work_moe, gradient_rule<gradient_moe>},
  };
}

}  // namespace pluto
