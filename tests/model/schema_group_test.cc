#include <gtest/gtest.h>

#include <random>

#include "tests/model/op_cases.h"
#include "tests/support/group_exchange.h"

namespace pluto {
namespace {

using testing::exchanged;
using testing::Values;

constexpr RankGroup kTensor = RankGroup::kTensor;

TensorType gathered(std::vector<std::int64_t> dims, int multiple) {
  return {{std::move(dims)}, DType::kF32, multiple};
}

TEST(GroupSchemaTest, AxesAndBatchesAreJoinedAndCut) {
  const GroupAttrs batch{RankGroup::kData, 4, kBatchAxis};
  EXPECT_EQ(infer(OpKind::kGroupAllGather, batch, {sample({6})})[0], gathered({6}, 4));
  EXPECT_EQ(infer(OpKind::kGroupReduceScatter, batch, {gathered({6}, 4)})[0], sample({6}));
  EXPECT_EQ(infer(OpKind::kGroupAllGather, GroupAttrs{kTensor, 4, 1}, {sample({3, 5})})[0],
            sample({3, 20}));
  EXPECT_EQ(infer(OpKind::kGroupPart, GroupAttrs{kTensor, 2, 0}, {sample({4, 5}, DType::kI32)})[0],
            sample({2, 5}, DType::kI32));
  EXPECT_EQ(infer(OpKind::kGroupAllToAll, GroupAttrs{RankGroup::kData, 4, 0, kBatchAxis},
                  {gathered({6}, 4)})[0],
            sample({24}));
}

TEST(GroupSchemaTest, ErrorsSayWhatCannotBeCut) {
  EXPECT_EQ(infer_error(OpKind::kGroupReduceScatter, GroupAttrs{kTensor, 4, 0}, {sample({6})}),
            "operand 0 (x) is 6:f32:b1, expected an axis that 4 ranks divide");
  EXPECT_EQ(
      infer_error(OpKind::kGroupReduceScatter, GroupAttrs{kTensor, 4, kBatchAxis}, {sample({6})}),
      "operand 0 (x) is 6:f32:b1, expected the batch that 4 ranks divide");
  EXPECT_EQ(infer_error(OpKind::kGroupAllGather, GroupAttrs{kTensor, 4, kBatchAxis}, {fixed({6})}),
            "operand 0 (x) is 6:f32:b0, expected the batch to join");
  EXPECT_EQ(infer_error(OpKind::kGroupAllToAll, GroupAttrs{kTensor, 2, 0, 0}, {sample({6})}),
            "axis 0 is both joined and cut");
  EXPECT_EQ(infer_error(OpKind::kGroupCopy, GroupAttrs{kTensor, 0}, {sample({6})}),
            "ranks is 0, expected 1 to 1048576");
  EXPECT_EQ(infer_error(OpKind::kGroupAllGather, GroupAttrs{kTensor, 2, 1}, {sample({6})}),
            "axis is 1, expected -1 to 0");
}

struct Rule {
  OpKind kind;
  GroupAttrs attrs;
  TensorType from;
  bool shared_in;   ///< all ranks have the same operand
  bool shared_out;  ///< and compute the same from the result
};

double dot(const std::vector<Values>& a, const std::vector<Values>& b) {
  double sum = 0;
  for (std::size_t r = 0; r < a.size(); ++r) {
    for (std::size_t i = 0; i < a[r].size(); ++i) sum += double{a[r][i]} * b[r][i];
  }
  return sum;
}

std::vector<Values> noise(const TensorType& type, std::size_t ranks, bool shared,
                          std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Values> values(ranks);
  for (std::size_t r = 0; r < ranks; ++r) {
    values[r].resize(static_cast<std::size_t>(type.elements(2)));
    for (float& value : values[r]) value = static_cast<float>(random() % 9) - 4.0F;
    if (shared) values[r] = values[0];
  }
  return values;
}

// <A x, dy> = <x, A' dy>, where a tensor that all ranks share counts once.
TEST(GroupSchemaTest, GradientsAreAdjoint) {
  const std::vector<Rule> rules = {
      {OpKind::kGroupCopy, {kTensor, 3}, sample({2, 6}), true, false},
      {OpKind::kGroupAllReduce, {kTensor, 3}, sample({2, 6}), false, true},
      {OpKind::kGroupAllGather, {kTensor, 3, 0}, sample({2, 6}), false, false},
      {OpKind::kGroupAllGather, {kTensor, 3, 1, 0, true}, sample({2, 6}), false, true},
      {OpKind::kGroupAllGather, {kTensor, 3, kBatchAxis}, sample({2, 6}), false, false},
      {OpKind::kGroupReduceScatter, {kTensor, 3, 1}, sample({2, 6}), false, false},
      {OpKind::kGroupReduceScatter, {kTensor, 3, kBatchAxis}, gathered({2}, 3), false, false},
      {OpKind::kGroupAllToAll, {kTensor, 3, 1, kBatchAxis}, gathered({2, 6}, 3), false, false},
      {OpKind::kGroupAllToAll, {kTensor, 3, 0, 1}, sample({2, 6}), false, false},
      {OpKind::kGroupPart, {kTensor, 3, 1}, sample({2, 6}), false, false},
      {OpKind::kGroupPart, {kTensor, 3, 1, 0, true}, sample({2, 6}), true, false},
      {OpKind::kGroupPlace, {kTensor, 3, 0}, sample({2, 6}), false, false},
      {OpKind::kGroupFirst, {kTensor, 3}, sample({6}), true, false},
  };
  for (const Rule& rule : rules) {
    SCOPED_TRACE(std::string(to_text(rule.kind)) + " " + to_text(OpAttrs(rule.attrs)));
    const OpCase op_case{rule.kind, rule.attrs, {rule.from}, {}};
    const auto built = differentiate_case(op_case);
    ASSERT_TRUE(built.ok()) << built.error().message;
    const TensorType to = infer(rule.kind, rule.attrs, {rule.from})[0];
    const auto x = noise(rule.from, 3, rule.shared_in, 1);
    auto dy = noise(to, 3, rule.shared_out, 2);
    // The sum behind a group_first is the same for every rank.
    if (rule.kind == OpKind::kGroupFirst) dy = noise(to, 3, true, 2);
    const auto y = exchanged(rule.kind, rule.attrs, rule.from, to, 2, x);
    std::vector<Values> dx = dy;
    for (std::size_t i = built->forward_ops; i < built->graph.ops().size(); ++i) {
      const Op& op = built->graph.ops()[i];
      dx = exchanged(op.kind, std::get<GroupAttrs>(op.attrs), to, rule.from, 2, dx);
    }
    EXPECT_DOUBLE_EQ(dot(y, dy) / (rule.shared_out ? 3 : 1), dot(x, dx) / (rule.shared_in ? 3 : 1));
    if (rule.shared_in) {
      for (const Values& values : dx) EXPECT_EQ(values, dx[0]);
    }
  }
}

TEST(GroupSchemaTest, OnlyLocalNodesHaveWork) {
  for (const OpCase& op_case : op_cases()) {
    if (!std::holds_alternative<GroupAttrs>(op_case.attrs)) continue;
    const Graph graph = graph_of(op_case);
    const OpWork work = op_work(graph, graph.ops()[0], 4);
    EXPECT_EQ(work.flops.value(), 0);
    const bool local = op_case.kind == OpKind::kGroupPart || op_case.kind == OpKind::kGroupPlace ||
                       op_case.kind == OpKind::kGroupFirst;
    EXPECT_EQ(work.written.value() > 0, local) << to_text(op_case.kind);
  }
}

}  // namespace
}  // namespace pluto
