#include "model/schema_check.h"

#include <fmt/format.h>

namespace pluto {
namespace {

const char* batch_text(int batch_multiple) {
  return batch_multiple == 0 ? "no batch axis" : "a batch axis";
}

}  // namespace

Result<void> Operands::count() const {
  if (types_.size() == names_.size()) return {};
  return invalid_input(fmt::format("{} operands, expected {} ({})", types_.size(), names_.size(),
                                   fmt::join(names_, ", ")));
}

Error Operands::wrong(std::size_t i, const std::string& expected) const {
  return invalid_input(fmt::format("operand {} ({}) is {}, expected {}", i, names_[i],
                                   to_text(types_[i].shape), expected));
}

Result<void> Operands::rank(std::size_t i, std::size_t rank, const char* layout) const {
  if (types_[i].shape.rank() == rank) return {};
  return wrong(i, fmt::format("rank {} ({})", rank, layout));
}

Result<void> Operands::at_least_rank(std::size_t i, std::size_t rank, const char* layout) const {
  if (types_[i].shape.rank() >= rank) return {};
  return wrong(i, fmt::format("rank {} or more ({})", rank, layout));
}

Result<void> Operands::shape(std::size_t i, const Shape& expected, const char* layout) const {
  if (types_[i].shape == expected) return {};
  return wrong(i, fmt::format("{} ({})", to_text(expected), layout));
}

Result<void> Operands::dtype(std::size_t i, DType expected) const {
  if (types_[i].dtype == expected) return {};
  return invalid_input(fmt::format("operand {} ({}) has element type {}, expected {}", i, names_[i],
                                   to_text(types_[i].dtype), to_text(expected)));
}

Result<void> Operands::floating(std::size_t i) const {
  if (is_floating(types_[i].dtype)) return {};
  return invalid_input(fmt::format("operand {} ({}) has element type {}, expected f32, f16 or bf16",
                                   i, names_[i], to_text(types_[i].dtype)));
}

Result<void> Operands::batch_of(std::size_t i, std::size_t like) const {
  const int batch = types_[i].batch_multiple, expected = types_[like].batch_multiple;
  if (batch == expected) return {};
  if ((batch == 0) != (expected == 0)) {
    return invalid_input(fmt::format("operand {} ({}) has {}, expected {} as operand {} ({})", i,
                                     names_[i], batch_text(batch), batch_text(expected), like,
                                     names_[like]));
  }
  return invalid_input(
      fmt::format("operand {} ({}) holds {} micro-batches, expected {} as operand {} ({})", i,
                  names_[i], batch, expected, like, names_[like]));
}

Result<void> Operands::same(std::size_t i, std::size_t like) const {
  if (types_[i].shape != types_[like].shape) {
    return wrong(
        i, fmt::format("{} as operand {} ({})", to_text(types_[like].shape), like, names_[like]));
  }
  PLUTO_TRY(dtype(i, types_[like].dtype));
  return batch_of(i, like);
}

Result<void> Operands::activation(std::size_t i, const Shape& expected, const char* layout) const {
  PLUTO_TRY(shape(i, expected, layout));
  PLUTO_TRY(dtype(i, types_[0].dtype));
  return batch_of(i, 0);
}

Result<void> Operands::parameter(std::size_t i, const Shape& expected, const char* layout) const {
  PLUTO_TRY(shape(i, expected, layout));
  PLUTO_TRY(dtype(i, types_[0].dtype));
  if (types_[i].batch_multiple == 0) return {};
  return invalid_input(
      fmt::format("operand {} ({}) has a batch axis, expected none", i, names_[i]));
}

Result<void> Operands::affine(std::size_t i, const Shape& expected, const char* layout) const {
  if (types_[i].dtype != DType::kF32) return parameter(i, expected, layout);
  PLUTO_TRY(shape(i, expected, layout));
  if (types_[i].batch_multiple == 0) return {};
  return invalid_input(
      fmt::format("operand {} ({}) has a batch axis, expected none", i, names_[i]));
}

Result<void> check_attr(const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value >= low && value <= high) return {};
  if (high == 1 << 30) {
    return invalid_input(fmt::format("{} is {}, expected {} or more", name, value, low));
  }
  return invalid_input(fmt::format("{} is {}, expected {} to {}", name, value, low, high));
}

Result<void> check_attr(const char* name, double value, double low, double high) {
  if (value >= low && value <= high) return {};  // NaN fails both
  return invalid_input(fmt::format("{} is {}, expected {} to {}", name, value, low, high));
}

}  // namespace pluto
