#pragma once
// What a tensor is: element type, per-sample shape, and how many samples it carries.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace pluto {

enum class DType : std::uint8_t { kF32, kF16, kBF16, kI32, kU8 };
const char* to_text(DType dtype);  ///< "f32", "f16", "bf16", "i32", "u8"
Result<DType> parse_dtype(std::string_view text);
std::int64_t element_size(DType dtype);  ///< bytes per element
bool is_floating(DType dtype);           ///< f32, f16 or bf16

/// Dimensions, outermost first, row-major. The batch axis is never among them. Empty = one scalar.
struct Shape {
  std::vector<std::int64_t> dims;
  std::int64_t elements() const;  ///< product of dims; 1 for a scalar
  std::size_t rank() const { return dims.size(); }
  std::int64_t operator[](std::size_t axis) const { return dims[axis]; }
  bool operator==(const Shape&) const = default;
};
std::string to_text(const Shape& shape);  ///< "64x56x56"; "scalar"
/// Reverse of to_text. Errors: kInvalidInput, also those of check_shape.
Result<Shape> parse_shape(std::string_view text);
/// No tensor of one sample is larger: sizes in bytes then fit 64 bits at any sane batch.
inline constexpr std::int64_t kMaxElements = std::int64_t{1} << 48;
/// Errors: kInvalidInput for a dimension below 1 or more than kMaxElements.
Result<void> check_shape(const Shape& shape);

/// Shape and type of a tensor. `batch_multiple` says how many samples it holds in units of the
/// micro-batch: 0 = it has no batch axis (parameters, statistics, losses), 1 = one micro-batch,
/// P = gathered from P ranks. With a batch axis the batch is outermost.
struct TensorType {
  Shape shape;
  DType dtype = DType::kF32;
  int batch_multiple = 1;

  /// Samples at `micro_batch` samples per rank; 1 without a batch axis.
  std::int64_t samples(std::int64_t micro_batch) const;
  /// Elements at `micro_batch` samples per rank.
  std::int64_t elements(std::int64_t micro_batch) const;
  Bytes bytes(std::int64_t micro_batch) const;
  bool operator==(const TensorType&) const = default;
};
std::string to_text(const TensorType& type);  ///< "64x128:f32:b1"
/// Reverse of to_text. Errors: kInvalidInput.
Result<TensorType> parse_tensor_type(std::string_view text);

}  // namespace pluto
