#include "costmodel/signature_key.h"

#include <algorithm>
#include <bit>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

namespace pluto {

namespace {

/// Mixes 64-bit words: multiply and fold. Source: the mixer of Steele, Lea, Flood 2014
/// (SplitMix64). Not stored anywhere, so it need not be the stable Fingerprint, which is eight
/// times slower.
class Mixer {
 public:
  void add(std::uint64_t word) {
    state_ += 0x9e3779b97f4a7c15ULL + word;
    state_ = (state_ ^ (state_ >> 30)) * 0xbf58476d1ce4e5b9ULL;
    state_ = (state_ ^ (state_ >> 27)) * 0x94d049bb133111ebULL;
    state_ ^= state_ >> 31;
  }
  void add(std::int64_t number) { add(static_cast<std::uint64_t>(number)); }
  void add(RankGroup group) { add(static_cast<std::uint64_t>(group)); }
  void add(Activation activation) { add(static_cast<std::uint64_t>(activation)); }
  void add(bool flag) { add(std::uint64_t{flag}); }
  void add(double number) { add(std::bit_cast<std::uint64_t>(number + 0.0)); }
  void add(const std::vector<std::int64_t>& numbers) {
    add(static_cast<std::uint64_t>(numbers.size()));
    for (const auto number : numbers) add(number);
  }
  void add(const std::string& text) {
    add(static_cast<std::uint64_t>(text.size()));
    for (const char letter : text) add(static_cast<std::uint64_t>(letter));
  }
  std::uint64_t value() const { return state_; }

 private:
  std::uint64_t state_ = 0;
};

/// The one multiple all batched operands share, or 1 when they differ; 0 when no operand has a
/// batch.
int common_multiple(const OpSignature& signature) {
  int common = 0;
  for (const auto* types : {&signature.inputs, &signature.outputs}) {
    for (const auto& type : *types) {
      if (type.batch_multiple == 0 || type.batch_multiple == common) continue;
      if (common != 0) return 1;
      common = type.batch_multiple;
    }
  }
  return common;
}

}  // namespace

SignatureKey key_of(const OpSignature& signature) {
  const int common = common_multiple(signature);
  Mixer mixer;
  mixer.add(static_cast<std::uint64_t>(kind_and_pass(signature)));
  mixer.add(static_cast<std::uint64_t>(signature.attrs.index()));
  // A measurement read back has its cost attributes only; a node of a graph has all.
  auto attrs = cost_attrs(signature.attrs);
  std::visit(
      [&](auto& fields) {
        fields.visit([&](const char*, auto& field, bool = false) { mixer.add(field); });
      },
      attrs);
  for (const auto* types : {&signature.inputs, &signature.outputs}) {
    mixer.add(static_cast<std::uint64_t>(types->size()));
    for (const auto& type : *types) {
      mixer.add(type.shape.dims);
      mixer.add(static_cast<std::uint64_t>(type.dtype));
      mixer.add(std::int64_t{common > 1 ? type.batch_multiple / common : type.batch_multiple});
    }
  }
  return {mixer.value(), common == 0 ? 1 : signature.micro_batch * common};
}

}  // namespace pluto
