#pragma once
// How shape rules check their operands: each check names the operand, its type and what was
// expected. Private to model/.

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/tensor.h"

namespace pluto {

/// The operands of one shape rule with their names, e.g. {x, w, b}. Errors of all checks are
/// kInvalidInput. Every check but count() has the precondition that count() succeeded.
class Operands {
 public:
  Operands(std::span<const TensorType> types, std::vector<const char*> names)
      : types_(types), names_(std::move(names)) {}

  const TensorType& operator[](std::size_t i) const { return types_[i]; }
  std::size_t size() const { return types_.size(); }

  /// As many operands as names.
  Result<void> count() const;
  /// `layout` names the axes: "C,H,W".
  Result<void> rank(std::size_t i, std::size_t rank, const char* layout) const;
  Result<void> at_least_rank(std::size_t i, std::size_t rank, const char* layout) const;
  Result<void> shape(std::size_t i, const Shape& expected, const char* layout) const;
  Result<void> dtype(std::size_t i, DType expected) const;
  Result<void> floating(std::size_t i) const;
  /// The batch multiple of operand `like`.
  Result<void> batch_of(std::size_t i, std::size_t like) const;
  /// Shape, element type and batch of operand `like`.
  Result<void> same(std::size_t i, std::size_t like) const;
  /// Activation beside operand 0: this shape, operand 0's element type and batch.
  Result<void> activation(std::size_t i, const Shape& expected, const char* layout) const;
  /// Parameter beside operand 0: this shape, operand 0's element type, no batch axis.
  Result<void> parameter(std::size_t i, const Shape& expected, const char* layout) const;
  /// Scale or shift of a normalisation: as parameter(), or in f32 beside a 16-bit operand 0.
  Result<void> affine(std::size_t i, const Shape& expected, const char* layout) const;
  /// "operand i (name) is TYPE, expected ..."
  Error wrong(std::size_t i, const std::string& expected) const;

 private:
  std::span<const TensorType> types_;
  std::vector<const char*> names_;
};

/// Attribute `name` in [low, high]. The default upper limit keeps sums and products within 64 bits.
Result<void> check_attr(const char* name, std::int64_t value, std::int64_t low,
                        std::int64_t high = 1 << 30);
Result<void> check_attr(const char* name, double value, double low, double high);

/// Statistics are kept in f32 whatever the element type.
inline TensorType statistic(Shape shape, int batch_multiple) {
  return {std::move(shape), DType::kF32, batch_multiple};
}

}  // namespace pluto
