#pragma once
// What ops of a kind are told besides their operands: one attribute struct per kind.
// Each lists its fields once, in visit(); text, JSON, equality and fingerprint follow from it.
// Texts leave out a field marked kOptional that has its default, so that what came later changes no
// names.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "model/activation.h"
#include "model/group_attrs.h"
#include "model/pass_attrs.h"

namespace pluto {

/// Mark of a field: v(name, field, kOptional).
inline constexpr bool kOptional = true;

// clang-format off
struct NoAttrs {
  template <class V> void visit(V&&) {}
  bool operator==(const NoAttrs&) const = default;
};
/// groups: 1 dense, = channels depth-wise. Weight (out_channels, in/groups, kernel_h, kernel_w).
/// `activation` of conv2d and linear: y = activation(z), z the sum with its bias; forward only.
struct ConvAttrs {
  std::int64_t out_channels = 0, kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1;
  std::int64_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  std::int64_t dilation_h = 1, dilation_w = 1, groups = 1;
  bool bias = false;
  Activation activation = Activation::kNone;
  template <class V> void visit(V&& v) {
    v("out_channels", out_channels); v("kernel_h", kernel_h); v("kernel_w", kernel_w);
    v("stride_h", stride_h); v("stride_w", stride_w); v("pad_top", pad_top); v("pad_left", pad_left);
    v("pad_bottom", pad_bottom); v("pad_right", pad_right); v("dilation_h", dilation_h);
    v("dilation_w", dilation_w); v("groups", groups); v("bias", bias);
    v("activation", activation, kOptional);
  }
  bool operator==(const ConvAttrs&) const = default;
};
/// Weight (out_features, in_features), row-major; applies to the last axis.
struct LinearAttrs {
  std::int64_t out_features = 0;
  bool bias = true;
  Activation activation = Activation::kNone;
  template <class V> void visit(V&& v) {
    v("out_features", out_features); v("bias", bias); v("activation", activation, kOptional);
  }
  bool operator==(const LinearAttrs&) const = default;
};
/// Batched product over the last two axes: scale * op(a) * op(b).
struct MatMulAttrs {
  bool transpose_a = false, transpose_b = false;
  double scale = 1;
  template <class V> void visit(V&& v) {
    v("transpose_a", transpose_a); v("transpose_b", transpose_b); v("scale", scale);
  }
  bool operator==(const MatMulAttrs&) const = default;
};
/// Gated experts (SwiGLU), softmax over the top_k router logits.
struct MoeAttrs {
  std::int64_t experts = 0, top_k = 0, intermediate = 0;
  template <class V> void visit(V&& v) { v("experts", experts); v("top_k", top_k); v("intermediate", intermediate); }
  bool operator==(const MoeAttrs&) const = default;
};
struct PoolAttrs {
  std::int64_t kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1;
  std::int64_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  bool ceil_mode = false, count_include_pad = true;
  template <class V> void visit(V&& v) {
    v("kernel_h", kernel_h); v("kernel_w", kernel_w); v("stride_h", stride_h); v("stride_w", stride_w);
    v("pad_top", pad_top); v("pad_left", pad_left); v("pad_bottom", pad_bottom); v("pad_right", pad_right);
    v("ceil_mode", ceil_mode); v("count_include_pad", count_include_pad);
  }
  bool operator==(const PoolAttrs&) const = default;
};
/// running = (1 - momentum) * running + momentum * batch. Made by the fuse pass: `relu`: y = max(0, norm(x));
/// `add`, with relu only: y = max(0, norm(x) + residual), the residual a fourth operand.
struct BatchNormAttrs {
  double epsilon = 1e-5, momentum = 0.1;
  bool relu = false, add = false;
  template <class V> void visit(V&& v) {
    v("epsilon", epsilon); v("momentum", momentum); v("relu", relu); v("add", add, kOptional);
  }
  bool operator==(const BatchNormAttrs&) const = default;
};
/// Across channels, as Krizhevsky 2012: y = x / (k + alpha/size * sum x^2)^beta.
struct LrnAttrs {
  std::int64_t size = 5;
  double alpha = 1e-4, beta = 0.75, k = 1;
  template <class V> void visit(V&& v) { v("size", size); v("alpha", alpha); v("beta", beta); v("k", k); }
  bool operator==(const LrnAttrs&) const = default;
};
struct NormAttrs {
  double epsilon = 1e-5;
  template <class V> void visit(V&& v) { v("epsilon", epsilon); }
  bool operator==(const NormAttrs&) const = default;
};
/// Inverted dropout; the mask is philox_uniform(seed, stream, step, global element) >= p.
struct DropoutAttrs {
  double p = 0.5;
  std::int64_t stream = 0;
  template <class V> void visit(V&& v) { v("p", p); v("stream", stream); }
  bool operator==(const DropoutAttrs&) const = default;
};
/// `relu`: y = max(0, a + b), made by the fuse pass.
struct AddAttrs {
  bool relu = false;
  template <class V> void visit(V&& v) { v("relu", relu); }
  bool operator==(const AddAttrs&) const = default;
};
struct AxisAttrs {  // concat
  std::int64_t axis = 0;
  template <class V> void visit(V&& v) { v("axis", axis); }
  bool operator==(const AxisAttrs&) const = default;
};
struct SplitAttrs {
  std::int64_t axis = 0;
  std::vector<std::int64_t> sizes;
  template <class V> void visit(V&& v) { v("axis", axis); v("sizes", sizes); }
  bool operator==(const SplitAttrs&) const = default;
};
struct SliceAttrs {
  std::int64_t axis = 0, start = 0, length = 0;
  template <class V> void visit(V&& v) { v("axis", axis); v("start", start); v("length", length); }
  bool operator==(const SliceAttrs&) const = default;
};
struct ReshapeAttrs {
  std::vector<std::int64_t> dims;
  template <class V> void visit(V&& v) { v("dims", dims); }
  bool operator==(const ReshapeAttrs&) const = default;
};
struct TransposeAttrs {
  std::vector<std::int64_t> permutation;
  template <class V> void visit(V&& v) { v("permutation", permutation); }
  bool operator==(const TransposeAttrs&) const = default;
};
/// Scaled dot-product attention; key/value heads divide heads (grouped queries).
struct AttentionAttrs {
  std::int64_t heads = 1, kv_heads = 1;
  bool causal = false;
  template <class V> void visit(V&& v) { v("heads", heads); v("kv_heads", kv_heads); v("causal", causal); }
  bool operator==(const AttentionAttrs&) const = default;
};
struct RotaryAttrs {
  std::int64_t heads = 1;
  double theta = 10000;
  template <class V> void visit(V&& v) { v("heads", heads); v("theta", theta); }
  bool operator==(const RotaryAttrs&) const = default;
};
/// One layer, one direction; `reverse` walks the sequence from its end; `initial_state` adds operands.
struct RecurrentAttrs {
  std::int64_t hidden = 0;
  bool reverse = false, initial_state = false;
  template <class V> void visit(V&& v) { v("hidden", hidden); v("reverse", reverse); v("initial_state", initial_state); }
  bool operator==(const RecurrentAttrs&) const = default;
};
/// `part`: the table is the rank's rows of one split over tensor ranks; ids of other rows read zeros.
struct EmbeddingAttrs {
  std::int64_t rows = 0, width = 0;
  bool part = false;
  template <class V> void visit(V&& v) { v("rows", rows); v("width", width); v("part", part, kOptional); }
  bool operator==(const EmbeddingAttrs&) const = default;
};
struct ScaleAttrs {  // cosine similarity
  double scale = 1;
  template <class V> void visit(V&& v) { v("scale", scale); }
  bool operator==(const ScaleAttrs&) const = default;
};
// clang-format on

using OpAttrs =
    std::variant<NoAttrs, ConvAttrs, LinearAttrs, MatMulAttrs, MoeAttrs, PoolAttrs, BatchNormAttrs,
                 LrnAttrs, NormAttrs, DropoutAttrs, AddAttrs, AxisAttrs, SplitAttrs, SliceAttrs,
                 ReshapeAttrs, TransposeAttrs, AttentionAttrs, RotaryAttrs, RecurrentAttrs,
                 EmbeddingAttrs, ScaleAttrs, CastAttrs, SgdAttrs, AdamAttrs, CommAttrs, StageAttrs,
                 WireAttrs, AverageAttrs, GroupAttrs>;

}  // namespace pluto
