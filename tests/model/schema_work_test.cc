#include "model/schema_work.h"

#include <gtest/gtest.h>

#include "tests/model/op_cases.h"

namespace pluto {
namespace {

TEST(WorkOperandsTest, MissingOperandsAreScalars) {
  const WorkOperands operands{OpPass::kForward, {}, {}, 32};
  EXPECT_EQ(operands.input_elements(3), 1);
  EXPECT_EQ(operands.output_elements(0), 1);
  EXPECT_EQ(operands.input_bytes(0), Bytes(4));
  EXPECT_EQ(operands.work(5).read, Bytes(0));
  EXPECT_EQ(operands.work(5).flops, Flops(5));
}

TEST(WorkOperandsTest, EveryOperandIsReadOnceAndEveryResultWrittenOnce) {
  const std::vector<TensorType> inputs = {sample({3, 4}), fixed({4}, DType::kF16)},
                                outputs = {sample({2})};
  const WorkOperands operands{OpPass::kForward, inputs, outputs, 10};
  EXPECT_EQ(operands.work(0).read, Bytes(10 * 12 * 4 + 4 * 2));
  EXPECT_EQ(operands.work(0).written, Bytes(10 * 2 * 4));
}

TEST(WorkOperandsTest, DimensionsOutsideTheShapeAreOne) {
  EXPECT_EQ(dim(sample({3, 4}), 1), 4);
  EXPECT_EQ(dim(sample({3, 4}), 2), 1);
  EXPECT_EQ(last_dim(sample({3, 4})), 4);
  EXPECT_EQ(last_dim(sample({})), 1);
}

TEST(WorkOperandsTest, PerElementWorkKnowsItsPass) {
  const std::vector<TensorType> inputs = {sample({6})}, outputs = {sample({6})};
  const auto rule = per_element_work<3, 7>;
  EXPECT_EQ(rule(OpPass::kForward, NoAttrs{}, inputs, outputs, 2).flops, Flops(36));
  EXPECT_EQ(rule(OpPass::kBackward, NoAttrs{}, inputs, outputs, 2).flops, Flops(84));
}

}  // namespace
}  // namespace pluto
