#pragma once
// Attributes of the kinds that passes make: casts, updates, communication. As in op_attrs.h.

#include <cstdint>
#include <string>

namespace pluto {

// clang-format off
struct CastAttrs {
  std::string to = "f32";
  template <class V> void visit(V&& v) { v("to", to); }
  bool operator==(const CastAttrs&) const = default;
};
struct SgdAttrs {
  double momentum = 0, weight_decay = 0;
  bool nesterov = false;
  template <class V> void visit(V&& v) { v("momentum", momentum); v("weight_decay", weight_decay); v("nesterov", nesterov); }
  bool operator==(const SgdAttrs&) const = default;
};
/// `decoupled`: AdamW.
struct AdamAttrs {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  bool decoupled = false;
  template <class V> void visit(V&& v) {
    v("beta1", beta1); v("beta2", beta2); v("epsilon", epsilon); v("weight_decay", weight_decay); v("decoupled", decoupled);
  }
  bool operator==(const AdamAttrs&) const = default;
};
/// Communication kinds: which bucket of the plan this is, over how many ranks.
struct CommAttrs {
  std::int64_t bucket = 0, ranks = 1;
  template <class V> void visit(V&& v) { v("bucket", bucket); v("ranks", ranks); }
  bool operator==(const CommAttrs&) const = default;
};
/// pack and unpack: of which bucket, in which element type (f16, bf16); packing multiplies by `scale`.
struct WireAttrs {
  std::int64_t bucket = 0;
  std::string wire = "bf16";
  double scale = 1;
  template <class V> void visit(V&& v) { v("bucket", bucket); v("wire", wire); v("scale", scale); }
  bool operator==(const WireAttrs&) const = default;
};
/// Of the sum over `ranks`; `momentum` of the averaged update.
struct AverageAttrs {
  std::int64_t ranks = 1;
  double momentum = 0;
  template <class V> void visit(V&& v) { v("ranks", ranks); v("momentum", momentum); }
  bool operator==(const AverageAttrs&) const = default;
};
/// send, receive and stage_reduce: the other pipeline stage, and the type of the message as text.
struct StageAttrs {
  std::int64_t peer = 0;
  std::string type = "scalar:f32:b0";
  template <class V> void visit(V&& v) { v("peer", peer); v("type", type); }
  bool operator==(const StageAttrs&) const = default;
};
// clang-format on

}  // namespace pluto
