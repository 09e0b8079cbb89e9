// Conv, Gemm, MatMul, norms, pools, embedding look-ups.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/onnx_lower.h"

namespace pluto {
namespace {

Init he(std::int64_t fan_in) {
  return {Init::Kind::kNormal,
          std::sqrt(2.0 / static_cast<double>(std::max<std::int64_t>(1, fan_in)))};
}
constexpr Init kZeros{Init::Kind::kZeros, 0}, kOnes{Init::Kind::kOnes, 0};

DType dtype_of(OnnxContext& c, const OnnxActivation& x) { return c.builder().type(x.id).dtype; }

/// An activation of image layout around a per-sample result.
OnnxActivation image_of(OnnxContext& c, TensorId id) {
  std::vector<std::int64_t> dims = c.builder().type(id).shape.dims;
  dims.insert(dims.begin(), 1);
  return {id, std::move(dims), 0, 1};
}

struct Windows {
  std::int64_t kernel[2] = {1, 1}, stride[2] = {1, 1}, dilation[2] = {1, 1};
  std::int64_t before[2] = {0, 0}, after[2] = {0, 0};
};

Result<void> pair_of(const OnnxContext& c, const char* attribute, std::int64_t (&out)[2]) {
  constexpr std::int64_t kMost = 1 << 20;
  const auto* values = c.node().integers(attribute);
  if (!values || values->empty()) return {};
  if (values->size() != 2)
    return c.refuse(
        fmt::format("'{}' has {} entries; only two axes are supported", attribute, values->size()));
  for (int i = 0; i < 2; ++i) {
    out[i] = (*values)[i];
    if (out[i] < 1 || out[i] > kMost) return c.refuse(fmt::format("'{}' is {}", attribute, out[i]));
  }
  return {};
}

/// Kernel, strides, dilations and padding, explicit or automatic, of an image of this height,
/// width.
Result<Windows> windows(const OnnxContext& c, const std::int64_t* size,
                        const std::int64_t* kernel) {
  Windows w;
  if (kernel) std::copy(kernel, kernel + 2, w.kernel);
  PLUTO_TRY(pair_of(c, "kernel_shape", w.kernel));
  if (kernel && (w.kernel[0] != kernel[0] || w.kernel[1] != kernel[1])) {
    return c.refuse("'kernel_shape' differs from the weight's shape");
  }
  PLUTO_TRY(pair_of(c, "strides", w.stride));
  PLUTO_TRY(pair_of(c, "dilations", w.dilation));
  const std::string automatic = c.node().text("auto_pad", "NOTSET");
  if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
    for (int i = 0; i < 2; ++i) {
      const std::int64_t outputs = (size[i] + w.stride[i] - 1) / w.stride[i];
      const std::int64_t extent = w.dilation[i] * (w.kernel[i] - 1) + 1;
      const std::int64_t pads =
          std::max<std::int64_t>(0, (outputs - 1) * w.stride[i] + extent - size[i]);
      w.before[i] = automatic == "SAME_UPPER" ? pads / 2 : pads - pads / 2;
      w.after[i] = pads - w.before[i];
    }
    return w;
  }
  if (automatic != "NOTSET" && automatic != "VALID")
    return c.refuse(fmt::format("'auto_pad' is '{}'", automatic));
  const auto* pads = c.node().integers("pads");
  if (!pads || pads->empty() || automatic == "VALID") return w;
  if (pads->size() != 4) return c.refuse("'pads' does not have four entries");
  for (int i = 0; i < 2; ++i) {
    w.before[i] = (*pads)[i];
    w.after[i] = (*pads)[i + 2];
  }
  return w;
}

Result<void> conv(OnnxContext& c) {
  PLUTO_ASSIGN(const OnnxActivation x, c.image());
  PLUTO_ASSIGN(const OnnxConstant w, c.weight(1));
  const auto dims = w.plain_dims();
  if (!dims || dims->size() != 4) return c.refuse("only convolutions over two axes are supported");
  PLUTO_ASSIGN(const Windows win, windows(c, &x.dims[2], &(*dims)[2]));
  ConvAttrs attrs;
  attrs.out_channels = (*dims)[0];
  attrs.kernel_h = win.kernel[0], attrs.kernel_w = win.kernel[1];
  attrs.stride_h = win.stride[0], attrs.stride_w = win.stride[1];
  attrs.dilation_h = win.dilation[0], attrs.dilation_w = win.dilation[1];
  attrs.pad_top = win.before[0], attrs.pad_left = win.before[1];
  attrs.pad_bottom = win.after[0], attrs.pad_right = win.after[1];
  attrs.groups = c.node().integer("group", 1);
  attrs.bias = c.has_input(2);
  const Shape shape{*dims};
  if (!check_shape(shape)) return c.refuse("the weight has an impossible shape");
  PLUTO_ASSIGN(const TensorId weight,
               c.parameter(w, shape, he(shape.elements() / attrs.out_channels), dtype_of(c, x)));
  std::vector<TensorId> operands = {x.id, weight};
  if (attrs.bias) {
    PLUTO_ASSIGN(const OnnxConstant b, c.weight(2));
    PLUTO_ASSIGN(const TensorId bias,
                 c.parameter(b, Shape{{attrs.out_channels}}, kZeros, dtype_of(c, x)));
    operands.push_back(bias);
  }
  const TensorId y = c.op(OpKind::kConv2d, attrs, std::move(operands));
  c.set_output(0, image_of(c, y));
  return {};
}

/// y = x W + b on the last axis. `w` is (in, out), or (out, in) with `out_first`.
Result<void> linear(OnnxContext& c, const OnnxActivation& operand, std::size_t weight_operand,
                    std::optional<std::size_t> bias_operand, bool out_first) {
  const OnnxActivation x = c.last_axis_free(operand);
  PLUTO_ASSIGN(const OnnxConstant w, c.weight(weight_operand));
  const auto dims = w.plain_dims();
  if (!dims || dims->size() != 2) return c.refuse("the weight is not a matrix");
  if (!x.sample_axis(-1)) return c.refuse("the product would sum over the batch");
  const std::int64_t out = (*dims)[out_first ? 0 : 1], in = (*dims)[out_first ? 1 : 0];
  if (in != x.dims.back()) {
    return c.refuse(
        fmt::format("the weight takes {} features, operand 0 has {}", in, x.dims.back()),
        "if a batch size was changed in the file, export it again with a symbolic batch "
        "axis (dynamic_axes)");
  }
  PLUTO_ASSIGN(const TensorId weight,
               c.parameter(w, Shape{{out, in}}, he(in), dtype_of(c, x), !out_first));
  std::vector<TensorId> operands = {x.id, weight};
  if (bias_operand) {
    PLUTO_ASSIGN(const OnnxConstant b, c.weight(*bias_operand));
    PLUTO_ASSIGN(const TensorId bias, c.parameter(b, Shape{{out}}, kZeros, dtype_of(c, x)));
    operands.push_back(bias);
  }
  OnnxActivation y = x;
  y.dims.back() = out;
  y.id = c.op(OpKind::kLinear, LinearAttrs{out, bias_operand.has_value()}, std::move(operands));
  c.set_output(0, std::move(y));
  return {};
}

Result<void> gemm(OnnxContext& c) {
  PLUTO_ASSIGN(const OnnxActivation x, c.data(0));
  const OnnxNode& n = c.node();
  const bool bias = c.has_input(2);
  if (n.integer("transA", 0) != 0 || n.number("alpha", 1) != 1 ||
      (bias && n.number("beta", 1) != 1)) {
    return c.refuse("only alpha = beta = 1 and transA = 0 are supported");
  }
  if (x.dims.size() != 2) return c.refuse("operand 0 is not (batch, features)");
  return linear(c, x, 1, bias ? std::optional<std::size_t>(2) : std::nullopt,
                n.integer("transB", 0) != 0);
}

Result<void> matmul(OnnxContext& c) {
  if (!c.activation(1)) {
    PLUTO_ASSIGN(const OnnxActivation x, c.data(0));
    return linear(c, x, 1, c.has_input(2) ? std::optional<std::size_t>(2) : std::nullopt, false);
  }
  PLUTO_ASSIGN(const OnnxActivation a, c.scaled(0));
  PLUTO_ASSIGN(const OnnxActivation b, c.scaled(1));
  const std::size_t rank = a.dims.size();
  if (rank < 3 || b.dims.size() != rank || a.batch_axis != b.batch_axis || a.outer != b.outer ||
      a.batch_axis + 2 >= rank) {
    return c.refuse(
        "only products sample by sample of operands with the same leading axes are supported");
  }
  MatMulAttrs attrs;
  attrs.scale = c.node().number("scale", 1) * a.scale * b.scale;
  OnnxActivation y = a;
  y.scale = 1;
  y.dims.back() = b.dims.back();
  y.id = c.op(OpKind::kMatMul, attrs, {a.id, b.id});
  c.set_output(0, std::move(y));
  return {};
}

Result<void> batch_norm(OnnxContext& c) {
  PLUTO_ASSIGN(const OnnxActivation x, c.data(0));
  if (x.batch_axis != 0 || x.dims[0] != 1 || x.dims.size() < 2)
    return c.refuse("operand 0 is not (batch, channels, ...)");
  const Shape shape{{x.dims[1]}};
  const DType dtype = dtype_of(c, x);
  std::vector<OnnxConstant> w;
  for (std::size_t i = 1; i <= 4; ++i) {
    PLUTO_ASSIGN(OnnxConstant weight, c.weight(i));
    w.push_back(std::move(weight));
  }
  PLUTO_ASSIGN(const TensorId gamma, c.parameter(w[0], shape, kOnes, dtype));
  PLUTO_ASSIGN(const TensorId beta, c.parameter(w[1], shape, kZeros, dtype));
  PLUTO_ASSIGN(const TensorId mean, c.buffer(w[2], shape, kZeros));
  PLUTO_ASSIGN(const TensorId variance, c.buffer(w[3], shape, kOnes));
  BatchNormAttrs attrs;
  attrs.epsilon = c.node().number("epsilon", 1e-5);
  attrs.momentum = 1 - c.node().number("momentum", 0.9);
  OnnxActivation y = x;
  y.id = c.op(OpKind::kBatchNorm, attrs, {x.id, gamma, beta}, {}, {mean, variance});
  c.set_output(0, std::move(y));
  return {};
}

Result<void> layer_norm(OnnxContext& c) {
  PLUTO_ASSIGN(const OnnxActivation x, c.data(0));
  const auto axis = positive_axis(c.node().integer("axis", -1), x.dims.size());
  if (!axis || *axis + 1 != x.dims.size() || !x.sample_axis(-1)) {
    return c.refuse("only norms over the last axis are supported");
  }
  const Shape shape{{x.dims.back()}};
  PLUTO_ASSIGN(const OnnxConstant scale, c.weight(1));
  if (!c.has_input(2)) return c.refuse("a norm without shift is not supported");
  PLUTO_ASSIGN(const OnnxConstant shift, c.weight(2));
  PLUTO_ASSIGN(const TensorId gamma, c.parameter(scale, shape, kOnes, dtype_of(c, x)));
  PLUTO_ASSIGN(const TensorId beta, c.parameter(shift, shape, kZeros, dtype_of(c, x)));
  OnnxActivation y = x;
  y.id = c.op(OpKind::kLayerNorm, NormAttrs{c.node().number("epsilon", 1e-5)}, {x.id, gamma, beta});
  c.set_output(0, std::move(y));
  return {};
}

Result<void> lrn(OnnxContext& c) {
  PLUTO_ASSIGN(const OnnxActivation x, c.image());
  LrnAttrs attrs;
  attrs.size = c.node().integer("size", attrs.size);
  attrs.alpha = c.node().number("alpha", attrs.alpha);
  attrs.beta = c.node().number("beta", attrs.beta);
  attrs.k = c.node().number("bias", attrs.k);
  OnnxActivation y = x;
  y.id = c.op(OpKind::kLrn, attrs, {x.id});
  c.set_output(0, std::move(y));
  return {};
}

Result<void> pool(OnnxContext& c, OpKind kind) {
  PLUTO_ASSIGN(const OnnxActivation x, c.image());
  PLUTO_ASSIGN(const Windows win, windows(c, &x.dims[2], nullptr));
  if (win.dilation[0] != 1 || win.dilation[1] != 1)
    return c.refuse("dilated pools are not supported");
  if (c.node().integer("storage_order", 0) != 0)
    return c.refuse("'storage_order' 1 is not supported");
  PoolAttrs attrs;
  attrs.kernel_h = win.kernel[0], attrs.kernel_w = win.kernel[1];
  attrs.stride_h = win.stride[0], attrs.stride_w = win.stride[1];
  attrs.pad_top = win.before[0], attrs.pad_left = win.before[1];
  attrs.pad_bottom = win.after[0], attrs.pad_right = win.after[1];
  attrs.ceil_mode = c.node().integer("ceil_mode", 0) != 0;
  attrs.count_include_pad = c.node().integer("count_include_pad", 0) != 0;
  const TensorId y = c.op(kind, attrs, {x.id});
  c.set_output(0, image_of(c, y));
  return {};
}
Result<void> max_pool(OnnxContext& c) { return pool(c, OpKind::kMaxPool); }
Result<void> avg_pool(OnnxContext& c) { return pool(c, OpKind::kAvgPool); }

Result<void> mean_of_planes(OnnxContext& c, bool keep) {
  PLUTO_ASSIGN(const OnnxActivation x, c.image());
  OnnxActivation y{c.op(OpKind::kGlobalAvgPool, NoAttrs{}, {x.id}), {1, x.dims[1]}, 0, 1};
  if (keep) y = c.reshaped(y, {1, x.dims[1], 1, 1}, 0, ".keep");
  c.set_output(0, std::move(y));
  return {};
}
Result<void> global_avg_pool(OnnxContext& c) { return mean_of_planes(c, true); }

Result<void> reduce_mean(OnnxContext& c) {
  auto axes = axes_of(c.node(), c.constant(1));
  const OnnxActivation* x = c.activation(0);
  if (x && axes && x->dims.size() == 4) {
    for (std::int64_t& axis : *axes) {
      if (axis < 0) axis += 4;
    }
    std::sort(axes->begin(), axes->end());
    if (*axes == std::vector<std::int64_t>{2, 3}) {
      return mean_of_planes(c, c.node().integer("keepdims", 1) != 0);
    }
  }
  return c.refuse("only the mean over the height and width of an image is supported");
}

/// Look-up in a table, or one position of an axis.
Result<void> gather(OnnxContext& c) {
  const std::int64_t axis = c.node().integer("axis", 0);
  if (c.activation(1)) {
    PLUTO_ASSIGN(const OnnxActivation ids, c.data(1));
    PLUTO_ASSIGN(const OnnxConstant table, c.weight(0));
    const auto dims = table.plain_dims();
    if (axis != 0 || !dims || dims->size() != 2)
      return c.refuse("only look-ups of rows of a matrix are supported");
    constexpr double kStddev = 0.02;
    PLUTO_ASSIGN(const TensorId rows,
                 c.parameter(table, Shape{*dims}, {Init::Kind::kNormal, kStddev}, DType::kF32));
    OnnxActivation y = ids;
    y.dims.push_back((*dims)[1]);
    y.id = c.op(OpKind::kEmbedding, EmbeddingAttrs{(*dims)[0], (*dims)[1]}, {ids.id, rows});
    c.set_output(0, std::move(y));
    return {};
  }
  PLUTO_ASSIGN(const OnnxActivation x, c.data(0));
  const auto index = plain_integers(c.constant(1));
  const auto position = positive_axis(axis, x.dims.size());
  const auto sample_axis = x.sample_axis(axis);
  if (!index || index->size() != 1 || !position || !sample_axis) {
    return c.refuse("only one position of an axis other than the batch can be picked");
  }
  const auto picked = positive_axis((*index)[0], static_cast<std::size_t>(x.dims[*position]));
  if (!picked) return c.refuse(fmt::format("position {} is out of range", (*index)[0]));
  OnnxActivation y = x;
  y.dims[*position] = 1;
  y.id = c.op(
      OpKind::kSlice,
      SliceAttrs{static_cast<std::int64_t>(*sample_axis), static_cast<std::int64_t>(*picked), 1},
      {x.id});
  if (c.constant(1)->dims.empty()) {
    std::vector<std::int64_t> dims = y.dims;
    dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(*position));
    y = c.reshaped(y, std::move(dims), *position < x.batch_axis ? x.batch_axis - 1 : x.batch_axis,
                   ".drop");
  }
  c.set_output(0, std::move(y));
  return {};
}

}  // namespace

OnnxRules onnx_dense_rules() {
  return {{"Conv", conv},
          {"Gemm", gemm},
          {"MatMul", matmul},
          {"BatchNormalization", batch_norm},
          {"LayerNormalization", layer_norm},
          {"LRN", lrn},
          {"MaxPool", max_pool},
          {"AveragePool", avg_pool},
          {"GlobalAveragePool", global_avg_pool},
          {"ReduceMean", reduce_mean},
          {"Gather", gather}};
}

}  // namespace pluto
