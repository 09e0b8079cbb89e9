#include "model/schema_check.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/model/op_cases.h"

namespace pluto {
namespace {

std::string message(const Result<void>& result) {
  return result ? std::string("no error") : result.error().message;
}

TEST(OperandsTest, CountNamesTheOperands) {
  const std::vector<TensorType> one = {sample({4})};
  EXPECT_EQ(message(Operands(one, {"x", "w"}).count()), "1 operands, expected 2 (x, w)");
  EXPECT_EQ(message(Operands(one, {"x"}).count()), "no error");
  EXPECT_EQ(message(Operands(one, {}).count()), "1 operands, expected 0 ()");
}

TEST(OperandsTest, ShapeChecksShowBothShapes) {
  const std::vector<TensorType> types = {sample({4, 5}), fixed({5})};
  const Operands in(types, {"x", "w"});
  EXPECT_EQ(message(in.rank(0, 3, "C,H,W")), "operand 0 (x) is 4x5, expected rank 3 (C,H,W)");
  EXPECT_EQ(message(in.rank(0, 2, "T,D")), "no error");
  EXPECT_EQ(message(in.at_least_rank(1, 2, "T,D")),
            "operand 1 (w) is 5, expected rank 2 or more (T,D)");
  EXPECT_EQ(message(in.shape(1, {{6}}, "width")), "operand 1 (w) is 5, expected 6 (width)");
  EXPECT_EQ(message(in.shape(1, {{5}}, "width")), "no error");
}

TEST(OperandsTest, TypeChecksShowBothTypes) {
  const std::vector<TensorType> types = {sample({4}, DType::kI32), sample({4}, DType::kF16)};
  const Operands in(types, {"ids", "x"});
  EXPECT_EQ(message(in.floating(0)),
            "operand 0 (ids) has element type i32, expected f32, f16 or bf16");
  EXPECT_EQ(message(in.floating(1)), "no error");
  EXPECT_EQ(message(in.dtype(1, DType::kF32)), "operand 1 (x) has element type f16, expected f32");
}

TEST(OperandsTest, BatchChecksSayWhoHasABatch) {
  const std::vector<TensorType> types = {sample({4}), fixed({4}), {{{4}}, DType::kF32, 8}};
  const Operands in(types, {"a", "b", "c"});
  EXPECT_EQ(message(in.batch_of(1, 0)),
            "operand 1 (b) has no batch axis, expected a batch axis as operand 0 (a)");
  EXPECT_EQ(message(in.batch_of(0, 1)),
            "operand 0 (a) has a batch axis, expected no batch axis as operand 1 (b)");
  EXPECT_EQ(message(in.batch_of(2, 0)),
            "operand 2 (c) holds 8 micro-batches, expected 1 as operand 0 (a)");
  EXPECT_EQ(message(in.parameter(2, {{4}}, "width")),
            "operand 2 (c) has a batch axis, expected none");
  EXPECT_EQ(message(in.parameter(1, {{4}}, "width")), "no error");
}

TEST(OperandsTest, SameComparesShapeTypeAndBatch) {
  const std::vector<TensorType> types = {sample({4}), sample({5}), sample({4}, DType::kF16),
                                         fixed({4}), sample({4})};
  const Operands in(types, {"a", "b", "c", "d", "e"});
  EXPECT_EQ(message(in.same(1, 0)), "operand 1 (b) is 5, expected 4 as operand 0 (a)");
  EXPECT_EQ(message(in.same(2, 0)), "operand 2 (c) has element type f16, expected f32");
  EXPECT_EQ(message(in.same(3, 0)),
            "operand 3 (d) has no batch axis, expected a batch axis as operand 0 (a)");
  EXPECT_EQ(message(in.same(4, 0)), "no error");
  EXPECT_EQ(message(in.activation(3, {{4}}, "width")),
            "operand 3 (d) has no batch axis, expected a batch axis as operand 0 (a)");
}

TEST(CheckAttrTest, ShowsTheRange) {
  EXPECT_EQ(message(check_attr("groups", std::int64_t{0}, 1)), "groups is 0, expected 1 or more");
  EXPECT_EQ(message(check_attr("pad_top", std::int64_t{3}, 0, 2)), "pad_top is 3, expected 0 to 2");
  EXPECT_EQ(message(check_attr("epsilon", -0.5, 0, 1)), "epsilon is -0.5, expected 0 to 1");
  EXPECT_EQ(message(check_attr("epsilon", 1e-5, 0, 1)), "no error");
  EXPECT_NE(message(check_attr("epsilon", std::nan(""), 0, 1)), "no error");
  EXPECT_NE(message(check_attr("groups", std::int64_t{1} << 40, 1)), "no error");
}

}  // namespace
}  // namespace pluto
