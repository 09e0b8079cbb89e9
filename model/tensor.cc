#include "model/tensor.h"

#include <fmt/format.h>

#include <array>

#include "base/text.h"

namespace pluto {
namespace {

struct DTypeRow {
  const char* name;
  std::int64_t size;
};
constexpr std::array<DTypeRow, 5> kDTypes = {
    {{"f32", 4}, {"f16", 2}, {"bf16", 2}, {"i32", 4}, {"u8", 1}}};

}  // namespace

const char* to_text(DType dtype) { return kDTypes[static_cast<std::size_t>(dtype)].name; }

Result<DType> parse_dtype(std::string_view text) {
  for (std::size_t i = 0; i < kDTypes.size(); ++i) {
    if (text == kDTypes[i].name) return static_cast<DType>(i);
  }
  return invalid_input(fmt::format("unknown element type '{}'", text),
                       "element types: f32, f16, bf16, i32, u8");
}

std::int64_t element_size(DType dtype) { return kDTypes[static_cast<std::size_t>(dtype)].size; }

bool is_floating(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

std::int64_t Shape::elements() const {
  std::int64_t product = 1;
  for (std::int64_t dim : dims) product *= dim;
  return product;
}

std::string to_text(const Shape& shape) {
  if (shape.dims.empty()) return "scalar";
  return fmt::format("{}", fmt::join(shape.dims, "x"));
}

Result<Shape> parse_shape(std::string_view text) {
  Shape shape;
  if (text == "scalar") return shape;
  for (const std::string& piece : split(text, 'x')) {
    const auto dim = parse_integer(piece);
    if (!dim) {
      return invalid_input(fmt::format("'{}' is no shape", text),
                           "a shape is written 64x56x56 or scalar");
    }
    shape.dims.push_back(*dim);
  }
  PLUTO_TRY(check_shape(shape));
  return shape;
}

Result<void> check_shape(const Shape& shape) {
  std::int64_t product = 1;
  for (std::int64_t dim : shape.dims) {
    if (dim < 1) {
      return invalid_input(
          fmt::format("shape {} has dimension {}, expected at least 1", to_text(shape), dim));
    }
    if (dim > kMaxElements / product) {
      return invalid_input(fmt::format("shape {} has more than 2^48 elements", to_text(shape)));
    }
    product *= dim;
  }
  return {};
}

std::int64_t TensorType::samples(std::int64_t micro_batch) const {
  return batch_multiple == 0 ? 1 : batch_multiple * micro_batch;
}

std::int64_t TensorType::elements(std::int64_t micro_batch) const {
  return shape.elements() * samples(micro_batch);
}

Bytes TensorType::bytes(std::int64_t micro_batch) const {
  return Bytes(elements(micro_batch) * element_size(dtype));
}

std::string to_text(const TensorType& type) {
  return fmt::format("{}:{}:b{}", to_text(type.shape), to_text(type.dtype), type.batch_multiple);
}

Result<TensorType> parse_tensor_type(std::string_view text) {
  const std::string context = fmt::format("tensor type '{}'", text);
  const std::vector<std::string> parts = split(text, ':');
  if (parts.size() != 3 || parts[2].size() < 2 || parts[2][0] != 'b') {
    return invalid_input(context + ": expected shape:element type:b<batch multiple>",
                         "for example 64x128:f32:b1");
  }
  TensorType type;
  PLUTO_ASSIGN_AT(context, type.shape, parse_shape(parts[0]));
  PLUTO_ASSIGN_AT(context, type.dtype, parse_dtype(parts[1]));
  const auto multiple = parse_integer(std::string_view(parts[2]).substr(1));
  if (!multiple || *multiple < 0 || *multiple > (1 << 20)) {
    return invalid_input(context + ": the batch multiple is no number from 0 to 2^20");
  }
  type.batch_multiple = static_cast<int>(*multiple);
  return type;
}

}  // namespace pluto
