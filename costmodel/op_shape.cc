#include "costmodel/op_shape.h"

#include <algorithm>
#include <cmath>

namespace pluto {

namespace {

double last(const TensorType& type) {
  return type.shape.rank() == 0 ? 1 : static_cast<double>(type.shape.dims.back());
}
double dim(const TensorType& type, std::size_t axis) {
  return axis < type.shape.rank() ? static_cast<double>(type.shape[axis]) : 1;
}

/// Operands by index; what is not there counts as a scalar.
struct Operands {
  const OpSignature& signature;
  const TensorType& input(std::size_t i) const { return at(signature.inputs, i); }
  const TensorType& output(std::size_t i) const { return at(signature.outputs, i); }
  double elements(const TensorType& type) const {
    return static_cast<double>(type.elements(signature.micro_batch));
  }
  double samples(const TensorType& type) const {
    return static_cast<double>(type.samples(signature.micro_batch));
  }

 private:
  static const TensorType& at(const std::vector<TensorType>& types, std::size_t i) {
    static const TensorType scalar;
    return i < types.size() ? types[i] : scalar;
  }
};

bool multiple_of_8(double number) { return std::fmod(number, 8) == 0; }

/// The type the arithmetic is done in: of the first operand that is no index.
DType arithmetic_type(const OpSignature& signature) {
  for (const auto* types : {&signature.inputs, &signature.outputs}) {
    for (const auto& type : *types) {
      if (is_floating(type.dtype)) return type.dtype;
    }
  }
  return DType::kF32;
}

void add_linear(const OpSignature& signature, OpShape& shape) {
  const Operands op{signature};
  // The three dimensions play the same roles in another order in each pass.
  const TensorType& weight = signature.pass == OpPass::kBackwardWeight ? op.output(0) : op.input(1);
  const double out = dim(weight, 0), in = dim(weight, 1);
  const double rows =
      op.elements(op.input(0)) / (signature.pass == OpPass::kForward ? in : std::max(out, 1.0));
  const double bytes = shape.bytes;
  if (signature.pass == OpPass::kForward) {
    shape.products = {{rows, out, in, 1, bytes}};
  } else if (signature.pass == OpPass::kBackwardWeight) {
    shape.products = {{out, in, rows, 1, bytes}};
  } else {
    shape.products = {{rows, in, out, 1, bytes}};
  }
}

void add_matmul(const OpSignature& signature, OpShape& shape) {
  const Operands op{signature};
  const auto* attrs = std::get_if<MatMulAttrs>(&signature.attrs);
  const TensorType& a = op.input(0);
  const std::size_t rank = a.shape.rank();
  if (rank < 2 || op.output(0).shape.rank() < 2) return;
  const bool transposed = attrs != nullptr && attrs->transpose_a;
  const double k = dim(a, transposed ? rank - 2 : rank - 1);
  const double m = dim(a, transposed ? rank - 1 : rank - 2);
  const double n = last(op.output(0));
  shape.products = {{m, n, k, op.elements(op.output(0)) / (m * n), shape.bytes}};
}

// Tokens spread evenly over the experts; gate, up and down forward, all repeated and two products
// each for the gradients backward.
void add_moe(const OpSignature& signature, OpShape& shape) {
  const Operands op{signature};
  const auto* attrs = std::get_if<MoeAttrs>(&signature.attrs);
  if (attrs == nullptr) return;
  const bool forward = signature.pass == OpPass::kForward;
  const TensorType& x = op.input(forward ? 0 : 1);
  const double width = last(x), inner = static_cast<double>(attrs->intermediate);
  // Of experts spread over ranks, the own ones get their part of the choices.
  const double all = std::max(1.0, static_cast<double>(attrs->experts));
  const double own = std::min(all, dim(op.input(forward ? 2 : 3), 0));
  const double chosen = op.elements(x) / width * static_cast<double>(attrs->top_k) * own / all;
  const double experts = std::min(own, std::max(1.0, chosen));
  const double rows = std::max(1.0, chosen / experts);
  const double repeats = forward ? 3 : 8;
  shape.products = {{rows, inner, width, experts, shape.bytes / repeats, repeats}};
}

void add_conv(const OpSignature& signature, OpShape& shape) {
  const Operands op{signature};
  const auto* a = std::get_if<ConvAttrs>(&signature.attrs);
  if (a == nullptr) return;
  const bool forward = signature.pass == OpPass::kForward;
  const bool weight_pass = signature.pass == OpPass::kBackwardWeight;
  // (x w) -> y, (dy x) -> dw, (dy w) -> dx
  const TensorType& x = forward ? op.input(0) : weight_pass ? op.input(1) : op.output(0);
  const TensorType& y = forward ? op.output(0) : op.input(0);
  const TensorType& weight = weight_pass ? op.output(0) : op.input(1);
  const double groups = static_cast<double>(std::max<std::int64_t>(1, a->groups));
  const double taps = static_cast<double>(a->kernel_h * a->kernel_w);
  const double stride = static_cast<double>(a->stride_h * a->stride_w);
  // A strided kernel reaches a pixel through some of its taps; one product has room for the most.
  const auto reached = [](std::int64_t kernel, std::int64_t by) { return (kernel + by - 1) / by; };
  const double data_taps =
      static_cast<double>(reached(a->kernel_h, a->stride_h) * reached(a->kernel_w, a->stride_w));
  const double in = dim(x, 0) / groups, out = dim(y, 0) / groups;
  const double images = op.samples(y);
  const double positions = images * dim(y, 1) * dim(y, 2);
  const double pixels = images * dim(x, 1) * dim(x, 2);
  Product product{positions, out, in * taps, groups, shape.bytes};
  if (weight_pass) {
    product = {out, in * taps, positions, groups, shape.bytes};
  } else if (!forward) {
    product = {pixels, in, out * data_taps, groups, shape.bytes};
  }
  shape.products = {product};
  shape.aligned = multiple_of_8(in) && multiple_of_8(out);
  const bool square = a->kernel_h == a->kernel_w && (a->kernel_h == 3 || a->kernel_h == 5);
  const bool dense = a->dilation_h == 1 && a->dilation_w == 1 && groups == 1;
  if (square && stride == 1 && dense && in >= 16) {
    const double kernel_bytes = op.elements(weight) * shape.element_bytes;
    shape.winograd = {static_cast<double>(a->kernel_h), images,      dim(y, 1), dim(y, 2), in, out,
                      shape.bytes - kernel_bytes,       kernel_bytes};
  }
}

void add_recurrent(const OpSignature& signature, OpShape& shape) {
  const Operands op{signature};
  const bool forward = signature.pass == OpPass::kForward;
  const TensorType& x = op.input(forward ? 0 : 1);
  const TensorType& w_ih = op.input(forward ? 1 : 2);
  const TensorType& w_hh = op.input(forward ? 2 : 3);
  const double gates = dim(w_ih, 0), in = dim(w_ih, 1), hidden = dim(w_hh, 1);
  const double steps = std::max(1.0, dim(x, 0)), batch = op.samples(x);
  const double size = shape.element_bytes;
  const double state = size * (gates * hidden + batch * (2 * hidden + gates));
  const double input = size * (gates * in + batch * steps * (in + gates));
  shape.sequence = steps;
  shape.products = {{gates, batch, hidden, 1, state, steps}, {gates, batch * steps, in, 1, input}};
  if (!forward) {
    shape.products.push_back({gates, in, batch * steps, 1, input});
    shape.products.push_back({gates, hidden, batch * steps, 1, input});
  }
}

// Fused: scores never leave the chip, so all traffic is compulsory; it is charged once.
void add_attention(const OpSignature& signature, OpShape& shape) {
  const Operands op{signature};
  const auto* attrs = std::get_if<AttentionAttrs>(&signature.attrs);
  if (attrs == nullptr) return;
  const bool forward = signature.pass == OpPass::kForward;
  const TensorType& q = op.input(forward ? 0 : 1);
  const TensorType& k = op.input(forward ? 1 : 2);
  const double heads = static_cast<double>(attrs->heads), batch = heads * op.samples(q);
  const double length = dim(q, 0), keys = dim(k, 0) * (attrs->causal ? 0.5 : 1);
  const double width = last(q) / heads, products = forward ? 2 : 5, bytes = shape.bytes / products;
  const double wide = std::ceil(products / 2);  // as many have the scores as result as have them
  shape.products = {{length, keys, width, batch, bytes, wide},
                    {length, width, keys, batch, bytes, products - wide}};
}

}  // namespace

const char* to_text(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::kF32:
      return "f32";
    case Arithmetic::kTf32:
      return "tf32";
    case Arithmetic::kHalf:
      return "half";
    case Arithmetic::kF8:
      return "f8";
  }
  return "?";
}

OpShape shape_of(const OpSignature& signature, bool tf32) {
  const auto type = arithmetic_type(signature);
  const auto work = op_work(signature);
  OpShape shape;
  shape.op_class = class_of(signature.kind);
  shape.pass = signature.pass;
  shape.arithmetic = type == DType::kF32 ? Arithmetic::kF32 : Arithmetic::kHalf;
  shape.element_bytes = static_cast<double>(element_size(type));
  shape.bytes = static_cast<double>((work.read + work.written).value());
  switch (shape.op_class) {
    case OpClass::kGemm:
      if (signature.kind == OpKind::kLinear) {
        add_linear(signature, shape);
      } else if (signature.kind == OpKind::kMatMul) {
        add_matmul(signature, shape);
      } else {
        add_moe(signature, shape);
      }
      break;
    case OpClass::kConv:
      add_conv(signature, shape);
      break;
    case OpClass::kRecurrent:
      add_recurrent(signature, shape);
      break;
    case OpClass::kAttention:
      add_attention(signature, shape);
      break;
    default:
      break;
  }
  if (!signature.inputs.empty()) {
    const TensorType& x = signature.inputs[0];
    if (signature.kind == OpKind::kSoftmax || signature.kind == OpKind::kLayerNorm ||
        signature.kind == OpKind::kRmsNorm) {
      shape.row = last(x);
    } else if (signature.kind == OpKind::kBatchNorm) {
      shape.row = static_cast<double>(x.elements(signature.micro_batch)) / dim(x, 0);
    }
  }
  if (tf32 && shape.arithmetic == Arithmetic::kF32 &&
      (shape.op_class == OpClass::kGemm || shape.op_class == OpClass::kConv)) {
    shape.arithmetic = Arithmetic::kTf32;
  }
  return shape;
}

std::vector<OpSignature> eager_attention(const OpSignature& attention) {
  const auto* attrs = std::get_if<AttentionAttrs>(&attention.attrs);
  const bool forward = attention.pass == OpPass::kForward;
  if (attrs == nullptr || attention.inputs.size() < (forward ? 2U : 3U)) return {attention};
  const TensorType& q = attention.inputs[forward ? 0 : 1];
  const TensorType& k = attention.inputs[forward ? 1 : 2];
  if (q.shape.rank() < 2 || k.shape.rank() < 2) return {attention};
  const std::int64_t heads = attrs->heads, length = q.shape[0], keys = k.shape[0];
  const std::int64_t width = std::max<std::int64_t>(1, q.shape[1] / heads);
  const auto matrix = [&](std::int64_t rows, std::int64_t columns) {
    return TensorType{Shape{{heads, rows, columns}}, q.dtype, q.batch_multiple};
  };
  const auto scores = matrix(length, keys);
  const auto product = [&](std::int64_t m, std::int64_t n, std::int64_t inner) {
    return OpSignature{OpKind::kMatMul, OpPass::kForward,
                       MatMulAttrs{},   {matrix(m, inner), matrix(inner, n)},
                       {matrix(m, n)},  attention.micro_batch};
  };
  const OpSignature element{OpKind::kRelu, OpPass::kForward, NoAttrs{},
                            {scores},      {scores},         attention.micro_batch};
  OpSignature softmax{OpKind::kSoftmax, OpPass::kForward, NoAttrs{},
                      {scores},         {scores},         attention.micro_batch};
  if (forward) {
    return {product(length, keys, width), element, element, softmax, product(length, width, keys)};
  }
  softmax.pass = OpPass::kBackward;
  softmax.inputs.push_back(scores);
  return {product(keys, width, length), product(length, keys, width), softmax, element, element,
          product(length, width, keys), product(keys, width, length)};
}

}  // namespace pluto
