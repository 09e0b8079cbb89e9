// Activations, softmax, dropout, sums and products.
#include <fmt/format.h>

#include <algorithm>

#include "model/onnx_lower.h"

namespace pluto {
namespace {

template <OpKind kKind>
Result<void> unary(OnnxContext& c) {
  PLUTO_ASSIGN(OnnxActivation x, c.data(0));
  x.id = c.op(kKind, NoAttrs{}, {x.id});
  c.set_output(0, std::move(x));
  return {};
}

/// Up to operator set 12 the axes from `axis` on are one.
Result<void> softmax(OnnxContext& c) {
  constexpr std::int64_t kOneAxis = 13;
  PLUTO_ASSIGN(OnnxActivation x, c.data(0));
  const bool one_axis = c.opset() >= kOneAxis;
  const auto axis = positive_axis(c.node().integer("axis", one_axis ? -1 : 1), x.dims.size());
  const bool rest_is_one = axis && !one_axis &&
                           std::all_of(x.dims.begin() + static_cast<std::ptrdiff_t>(*axis) + 1,
                                       x.dims.end(), [](std::int64_t dim) { return dim == 1; });
  if (axis && rest_is_one && *axis + 1 < x.dims.size() && x.batch_axis < *axis) {
    std::vector<std::int64_t> dims(x.dims.begin(),
                                   x.dims.begin() + static_cast<std::ptrdiff_t>(*axis) + 1);
    const std::vector<std::int64_t> before = x.dims;
    OnnxActivation y = c.reshaped(x, std::move(dims), x.batch_axis, ".flat");
    y.id = c.op(OpKind::kSoftmax, NoAttrs{}, {y.id});
    c.set_output(0, c.reshaped(y, before, x.batch_axis, ".keep"));
    return {};
  }
  if (!axis || *axis + 1 != x.dims.size() || !x.sample_axis(-1)) {
    return c.refuse("only softmax over the last axis is supported");
  }
  x.id = c.op(OpKind::kSoftmax, NoAttrs{}, {x.id});
  c.set_output(0, std::move(x));
  return {};
}

Result<void> dropout(OnnxContext& c) {
  PLUTO_ASSIGN(OnnxActivation x, c.data(0));
  double ratio = c.node().number("ratio", 0.5);
  if (c.has_input(1)) {
    const OnnxConstant* input = c.constant(1);
    if (!input || !input->scalar()) return c.refuse("the ratio is not a constant");
    ratio = *input->scalar();
  }
  if (ratio > 0) x.id = c.op(OpKind::kDropout, DropoutAttrs{ratio, c.next_dropout()}, {x.id});
  c.set_output(0, std::move(x));
  return {};
}

Result<void> same_value(OnnxContext& c) {
  PLUTO_ASSIGN(OnnxActivation x, c.scaled(0));
  c.set_output(0, std::move(x));
  return {};
}

Result<void> cast(OnnxContext& c) {
  PLUTO_ASSIGN(OnnxActivation x, c.scaled(0));
  const DType from = c.builder().type(x.id).dtype;
  const auto to = static_cast<OnnxType>(static_cast<std::int32_t>(c.node().integer("to", 1)));
  if (is_floating(from) != is_float(to)) {
    return c.refuse("conversion between whole numbers and floating point is not supported");
  }
  c.set_output(0, std::move(x));  // which floating type to train in is the plan's choice
  return {};
}

bool same_layout(const OnnxActivation& a, const OnnxActivation& b) {
  return a.dims == b.dims && a.batch_axis == b.batch_axis && a.outer == b.outer;
}

/// The constant's dims beside `x`, leading ones added, the batch axis left out. Nullopt: it does
/// not broadcast onto x alone.
std::optional<std::vector<std::int64_t>> beside(const OnnxConstant& constant,
                                                const OnnxActivation& x) {
  const auto dims = constant.plain_dims();
  if (!dims || dims->size() > x.dims.size()) return std::nullopt;
  std::vector<std::int64_t> aligned(x.dims.size() - dims->size(), 1);
  aligned.insert(aligned.end(), dims->begin(), dims->end());
  for (std::size_t i = 0; i < aligned.size(); ++i) {
    if (aligned[i] != 1 && (aligned[i] != x.dims[i] || i == x.batch_axis)) return std::nullopt;
  }
  if (x.dims[x.batch_axis] != 1) return std::nullopt;
  aligned.erase(aligned.begin() + static_cast<std::ptrdiff_t>(x.batch_axis));
  return aligned;
}

/// x + a weight that differs at every position: rows of a position table.
Result<void> add_weight(OnnxContext& c, const OnnxActivation& x, const OnnxConstant& constant) {
  if (const auto value = constant.scalar(); value && *value == 0) {
    c.set_output(0, x);
    return {};
  }
  const auto aligned = beside(constant, x);
  const Shape shape = x.sample_shape();
  if (!aligned || *aligned != shape.dims || constant.root.empty()) {
    return c.refuse(
        "a weight or constant is added that is neither the bias of a product nor one per "
        "position");
  }
  const DType dtype = c.builder().type(x.id).dtype;
  constexpr Init kStart{Init::Kind::kNormal, 0.02};
  OnnxActivation y = x;
  const bool table = shape.rank() == 2;
  const Shape rows = table ? shape : Shape{{1, shape.elements()}};
  PLUTO_ASSIGN(const TensorId weight, c.parameter(constant, rows, kStart, dtype));
  if (!table) y.id = c.op(OpKind::kReshape, ReshapeAttrs{rows.dims}, {y.id}, ".row");
  y.id = c.op(OpKind::kPositionAdd, NoAttrs{}, {y.id, weight});
  if (!table) y.id = c.op(OpKind::kReshape, ReshapeAttrs{shape.dims}, {y.id}, ".shape");
  c.set_output(0, std::move(y));
  return {};
}

Result<void> add(OnnxContext& c) {
  if (c.input_count() < 1) return c.refuse("it has no operands");
  if (c.input_count() == 2) {
    for (const std::size_t weight : {0, 1}) {
      const OnnxConstant* constant = c.constant(weight);
      if (!constant) continue;
      PLUTO_ASSIGN(const OnnxActivation x, c.data(1 - weight));
      return add_weight(c, x, *constant);
    }
  }
  PLUTO_ASSIGN(OnnxActivation sum, c.data(0));
  for (std::size_t i = 1; i < c.input_count(); ++i) {
    PLUTO_ASSIGN(const OnnxActivation x, c.data(i));
    if (!same_layout(sum, x))
      return c.refuse("sums of activations of different shapes are not supported");
    const bool last = i + 1 == c.input_count();
    sum.id = c.op(OpKind::kAdd, AddAttrs{}, {sum.id, x.id}, last ? "" : fmt::format(".{}", i));
  }
  c.set_output(0, std::move(sum));
  return {};
}

/// x times one weight per channel: a depth-wise convolution of one tap.
Result<void> scale_channels(OnnxContext& c, const OnnxActivation& x, const OnnxConstant& constant) {
  const auto aligned = beside(constant, x);
  const bool image = x.dims.size() == 4 && x.batch_axis == 0;
  if (!aligned || !image || constant.root.empty() ||
      *aligned != std::vector<std::int64_t>{x.dims[1], 1, 1}) {
    return c.refuse(
        "a product with a weight that is neither a matrix product nor one factor per channel");
  }
  ConvAttrs attrs;
  attrs.out_channels = attrs.groups = x.dims[1];
  PLUTO_ASSIGN(const TensorId weight,
               c.parameter(constant, Shape{{x.dims[1], 1, 1, 1}}, {Init::Kind::kOnes, 0},
                           c.builder().type(x.id).dtype));
  OnnxActivation y = x;
  y.id = c.op(OpKind::kConv2d, attrs, {x.id, weight});
  c.set_output(0, std::move(y));
  return {};
}

Result<void> mul(OnnxContext& c) {
  for (const std::size_t weight : {0, 1}) {
    const OnnxConstant* constant = c.constant(weight);
    if (!constant) continue;
    const auto factor = constant->scalar();
    PLUTO_ASSIGN(OnnxActivation x, c.scaled(1 - weight));
    if (factor && constant->dims.size() <= x.dims.size()) {
      x.scale *= *factor;
      c.set_output(0, std::move(x));
      return {};
    }
    PLUTO_ASSIGN(const OnnxActivation plain, c.data(1 - weight));
    return scale_channels(c, plain, *constant);
  }
  PLUTO_ASSIGN(OnnxActivation a, c.data(0));
  PLUTO_ASSIGN(const OnnxActivation b, c.data(1));
  if (!same_layout(a, b))
    return c.refuse("products of activations of different shapes are not supported");
  a.id = c.op(OpKind::kMul, NoAttrs{}, {a.id, b.id});
  c.set_output(0, std::move(a));
  return {};
}

Result<void> div(OnnxContext& c) {
  const OnnxConstant* constant = c.constant(1);
  const auto divisor = constant ? constant->scalar() : std::nullopt;
  if (!divisor || *divisor == 0) return c.refuse("only division by a constant is supported");
  PLUTO_ASSIGN(OnnxActivation x, c.scaled(0));
  x.scale /= *divisor;
  c.set_output(0, std::move(x));
  return {};
}

}  // namespace

OnnxRules onnx_elementwise_rules() {
  return {{"Relu", unary<OpKind::kRelu>},
          {"Sigmoid", unary<OpKind::kSigmoid>},
          {"Tanh", unary<OpKind::kTanh>},
          {"Gelu", unary<OpKind::kGelu>},
          {"Silu", unary<OpKind::kSilu>},
          {"Softmax", softmax},
          {"Dropout", dropout},
          {"Identity", same_value},
          {"Cast", cast},
          {"Add", add},
          {"Sum", add},
          {"Mul", mul},
          {"Div", div}};
}

}  // namespace pluto
