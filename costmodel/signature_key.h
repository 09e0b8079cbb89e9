#pragma once
// Signatures as hash keys: a million look-ups a second without making text.

#include <cstdint>

#include "model/op_schema.h"

namespace pluto {

/// Everything that determines an op's cost but the batch, and the batch. `family` is a fingerprint
/// of kind, pass, attributes and operand types. Batches are put in normal form, so that equal work
/// is one family:
///   operands gathered from P ranks at micro-batch m count as micro-batch P m;
///   an op without any batch axis (an update) has batch 1 whatever the micro-batch.
/// Two families share a fingerprint with probability 2^-64.
struct SignatureKey {
  std::uint64_t family = 0;
  std::int64_t batch = 1;
  bool operator==(const SignatureKey&) const = default;
};
SignatureKey key_of(const OpSignature& signature);

/// The kind and pass alone, as one number: what a calibration ratio is kept by.
inline std::uint32_t kind_and_pass(const OpSignature& signature) {
  return static_cast<std::uint32_t>(signature.kind) << 8 |
         static_cast<std::uint32_t>(signature.pass);
}

}  // namespace pluto
