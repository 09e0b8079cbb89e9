#include <gmock/gmock.h>

#include <map>

#include "model/op_schema.h"
#include "model/passes/shard.h"
#include "model/training_graph.h"
#include "tests/support/block_models.h"

namespace pluto {
namespace {

using testing::checked;

const TensorType& type_of(const ModelGraph& model, const std::string& name) {
  return model.graph.tensor(*model.graph.find_tensor(name)).type;
}

TEST(ShardSequenceTest, NodesWorkOnTheirPositions) {
  const ModelGraph model = testing::tiny_gpt();
  const ModelGraph one = checked(shard_sequence(model, 2));
  EXPECT_EQ(type_of(one, "embed").shape, (Shape{{2, 8}}));
  EXPECT_EQ(type_of(one, "h0.qkv").shape, (Shape{{2, 24}}));
  EXPECT_EQ(type_of(one, "h0.split:1.positions").shape, (Shape{{4, 8}}));
  EXPECT_EQ(type_of(one, "h0.attention").shape, (Shape{{2, 8}}));
  EXPECT_EQ(one.graph.tensor(one.logits).type.shape, (Shape{{2, 7}}));
  // The data source delivers whole samples.
  EXPECT_EQ(one.graph.tensor(one.inputs[0]).type.shape, (Shape{{4}}));
  EXPECT_EQ(one.graph.tensor(one.labels).type.shape, (Shape{{4}}));
  EXPECT_EQ(parameter_count(one.graph), parameter_count(model.graph));
  EXPECT_TRUE(one.shards.empty());
}

TEST(ShardSequenceTest, OnlyKeysAndValuesTravel) {
  const ModelGraph one = checked(shard_sequence(testing::tiny_gpt(3), 2));
  const TrainingGraph training = differentiate(one, SgdAttrs{}).value();
  std::map<OpKind, std::vector<std::int64_t>> bytes;
  for (const Op& op : training.graph.ops()) {
    if (!std::holds_alternative<GroupAttrs>(op.attrs) || op.kind == OpKind::kGroupPart) continue;
    const auto& ids = op.kind == OpKind::kGroupAllGather ? op.outputs : op.inputs;
    bytes[op.kind].push_back(training.graph.tensor(ids[0]).type.bytes(1).value());
  }
  const std::vector<std::int64_t> expected(2 * 3, 4 * 8 * 4);
  EXPECT_EQ(bytes.size(), 2u);
  EXPECT_EQ(bytes[OpKind::kGroupAllGather], expected);
  EXPECT_EQ(bytes[OpKind::kGroupReduceScatter], expected);
}

TEST(ShardSequenceTest, WorkDivides) {
  const ModelGraph model = testing::tiny_gpt();
  const auto flops = [](const ModelGraph& m) {
    const TrainingGraph training = differentiate(m, SgdAttrs{}).value();
    double sum = 0;
    for (const Op& op : training.graph.ops()) {
      if (op.kind != OpKind::kLinear && op.kind != OpKind::kAttention) continue;
      sum += op_work(training.graph, op, 2).flops.value();
    }
    return sum;
  };
  for (const int ranks : {2, 4}) {
    EXPECT_DOUBLE_EQ(flops(checked(shard_sequence(model, ranks))) * ranks, flops(model));
  }
}

TEST(ShardSequenceTest, ErrorsSayWhy) {
  const auto error = [](const ModelGraph& model, int ranks) {
    const auto result = shard_sequence(model, ranks);
    return result.ok() ? std::string("no error") : result.error().message;
  };
  EXPECT_EQ(error(testing::tiny_gpt(), 1), "no error");
  EXPECT_EQ(error(testing::tiny_gpt(), 3),
            "a sequence of 4 positions is no multiple of 3 context ranks");
  EXPECT_EQ(error(testing::tiny_convnet(), 2),
            "model tiny-convnet has no attention, so 2 context ranks have no sequence to split");
}

}  // namespace
}  // namespace pluto
