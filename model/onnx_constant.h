#pragma once
// What is known before any sample flows: weights (by name and shape) and the small whole numbers
// that shapes are computed from, with the batch as a symbol.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/onnx_file.h"

namespace pluto {

/// `value`, or `value` times the batch. A batch written into the file as a number is not
/// distinguished here: only the shapes of activations tell (model/onnx_lower.h).
struct BatchInt {
  std::int64_t value = 0;
  bool batch = false;
  bool operator==(const BatchInt&) const = default;
};

/// A tensor that does not depend on the sample.
struct OnnxConstant {
  OnnxType type = OnnxType::kFloat;
  std::vector<BatchInt> dims;  ///< a batch dimension comes from Expand only
  /// Row-major contents where they are known: at most OnnxTensor::kMaxKept.
  std::optional<std::vector<BatchInt>> integers;
  std::optional<std::vector<double>> floats;
  std::string root;         ///< the initializer or node this is a view of
  bool transposed = false;  ///< the two last axes are exchanged with respect to the root

  /// The only element, where the contents are known.
  std::optional<double> scalar() const;
  /// Product of the dimensions without the batch. Errors: kInvalidInput when it does not fit.
  Result<std::int64_t> elements() const;
  /// dims as plain numbers; nullopt with a batch dimension.
  std::optional<std::vector<std::int64_t>> plain_dims() const;
};

OnnxConstant to_constant(const OnnxTensor& tensor);

/// The output of a node all of whose inputs are constants. Nullopt: the node is none of those
/// understood here, or its contents would be needed and are not known. An input left out is
/// nullptr. Errors: kInvalidInput for a malformed node.
Result<std::optional<OnnxConstant>> evaluate_constant(const OnnxNode& node,
                                                      std::span<const OnnxConstant* const> inputs);

/// The axes of Squeeze and Unsqueeze: attribute up to operator set 12, input since.
std::optional<std::vector<std::int64_t>> axes_of(const OnnxNode& node, const OnnxConstant* input);
/// Whole numbers without batch. Nullopt when unknown.
std::optional<std::vector<std::int64_t>> plain_integers(const OnnxConstant* constant);
/// `axis` counted from the front; nullopt when out of range.
std::optional<std::size_t> positive_axis(std::int64_t axis, std::size_t rank);

}  // namespace pluto
