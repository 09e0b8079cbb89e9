#include <gmock/gmock.h>

#include <map>

#include "model/op_schema.h"
#include "model/passes/shard.h"
#include "model/training_graph.h"
#include "tests/support/block_models.h"
#include "tests/support/toy_models.h"

namespace pluto {
namespace {

using testing::checked;
using testing::tiny_gpt;

ModelGraph split(const ModelGraph& model, int ranks, bool sequence_parallel = false) {
  return checked(shard_tensor(model, ranks, sequence_parallel));
}

const TensorType& type_of(const ModelGraph& model, const std::string& name) {
  return model.graph.tensor(*model.graph.find_tensor(name)).type;
}

/// Bytes of group nodes of a training step, forward and backward, by kind; all_gather by its
/// result, the others by their operand.
std::map<OpKind, std::vector<std::int64_t>> volumes(const ModelGraph& model) {
  const TrainingGraph training = differentiate(model, SgdAttrs{}).value();
  std::map<OpKind, std::vector<std::int64_t>> bytes;
  for (const Op& op : training.graph.ops()) {
    if (!std::holds_alternative<GroupAttrs>(op.attrs)) continue;
    const auto& ids = op.kind == OpKind::kGroupAllGather ? op.outputs : op.inputs;
    bytes[op.kind].push_back(training.graph.tensor(ids[0]).type.bytes(1).value());
  }
  return bytes;
}

TEST(ShardTensorTest, ColumnsThenRows) {
  const ModelGraph one = split(tiny_gpt(), 2);
  EXPECT_EQ(type_of(one, "h0.qkv.weight").shape, (Shape{{12, 8}}));
  EXPECT_EQ(type_of(one, "h0.qkv.bias").shape, (Shape{{12}}));
  EXPECT_EQ(type_of(one, "h0.proj.weight").shape, (Shape{{8, 4}}));
  EXPECT_EQ(type_of(one, "h0.proj.bias").shape, (Shape{{8}}));
  EXPECT_EQ(type_of(one, "h1.up.weight").shape, (Shape{{16, 8}}));
  EXPECT_EQ(type_of(one, "h1.down.weight").shape, (Shape{{8, 16}}));
  EXPECT_EQ(type_of(one, "wte").shape, (Shape{{7, 8}}));
  // Queries, keys and values of the own heads.
  const auto shard = std::ranges::find(one.shards, "h0.qkv.weight", &ParameterShard::parameter);
  ASSERT_NE(shard, one.shards.end());
  EXPECT_EQ(*shard, (ParameterShard{"h0.qkv.weight", RankGroup::kTensor, 0, 2, {8, 8, 8}}));
  EXPECT_EQ(one.shards.size(), 2u * 6);
}

TEST(ShardTensorTest, VolumeIsMegatrons) {
  // Shoeybi et al. 2019, section 3: 2 all_reduce forward and 2 backward of b s h per layer.
  const std::int64_t layers = 3, bytes = 4 * 8 * 4;
  const auto sent = volumes(split(tiny_gpt(layers), 2));
  EXPECT_EQ(sent.at(OpKind::kGroupAllReduce), std::vector<std::int64_t>(4 * layers, bytes));
  EXPECT_FALSE(sent.contains(OpKind::kGroupAllGather));
  EXPECT_FALSE(sent.contains(OpKind::kGroupReduceScatter));
}

TEST(ShardTensorTest, SequenceParallelVolumeIsMegatrons) {
  // Korthikanti et al. 2022, section 4.2.2: the bytes of the all_reduces as all_gather and
  // reduce_scatter, 2 of each forward and 2 backward per layer; here one more all_gather forward to
  // the whole logits and one backward to the whole embedding.
  const std::int64_t layers = 3, bytes = 4 * 8 * 4;
  const auto sent = volumes(split(tiny_gpt(layers), 2, true));
  EXPECT_EQ(sent.at(OpKind::kGroupAllGather), std::vector<std::int64_t>(4 * layers + 2, bytes));
  EXPECT_EQ(sent.at(OpKind::kGroupReduceScatter), std::vector<std::int64_t>(4 * layers, bytes));
  // Only parameters of norms: their gradients are sums over positions.
  EXPECT_EQ(sent.at(OpKind::kGroupAllReduce),
            std::vector<std::int64_t>(2 * (2 * layers + 1), 8 * 4));
}

TEST(ShardTensorTest, VolumeOfASplitVocabularyIsMegatrons) {
  // Shoeybi et al. 2019, section 3: one all_reduce of b s h behind the embedding, one of the
  // gradient of the last layer's input, and numbers per position instead of b s v logits.
  const std::int64_t layers = 3, bytes = 4 * 8 * 4, ranks = 2;
  const auto sent = volumes(split(tiny_gpt(layers, 4, 8), ranks));
  EXPECT_EQ(sent.at(OpKind::kGroupAllReduce), std::vector<std::int64_t>(4 * layers + 2, bytes));
  EXPECT_EQ(sent.at(OpKind::kGroupAllGather), std::vector<std::int64_t>(1, 4 * 2 * ranks * 4));
}

TEST(ShardTensorTest, VocabularyIsSplitByRows) {
  const ModelGraph one = split(tiny_gpt(2, 4, 8), 4);
  EXPECT_EQ(type_of(one, "wte").shape, (Shape{{2, 8}}));
  EXPECT_EQ(type_of(one, "head").shape, (Shape{{4, 2}}));
  EXPECT_EQ(one.graph.tensor(one.logits).name, "head");
  const auto shard = std::ranges::find(one.shards, "wte", &ParameterShard::parameter);
  ASSERT_NE(shard, one.shards.end());
  EXPECT_EQ(*shard, (ParameterShard{"wte", RankGroup::kTensor, 0, 4, {8}}));
}

TEST(ShardTensorTest, WorkOfBlocksDivides) {
  const ModelGraph model = tiny_gpt(2, 8);
  const auto flops = [](const ModelGraph& m, bool blocks) {
    const TrainingGraph training = differentiate(m, SgdAttrs{}).value();
    double sum = 0;
    for (const Op& op : training.graph.ops()) {
      const bool product = op.kind == OpKind::kLinear || op.kind == OpKind::kAttention;
      const bool head = op.name.starts_with("head");
      if (product && blocks != head) sum += op_work(training.graph, op, 2).flops.value();
    }
    return sum;
  };
  for (const int ranks : {2, 4, 8}) {
    const ModelGraph one = split(model, ranks);
    // Biases of row layers are added to every partial sum: a hair more than the part.
    EXPECT_NEAR(flops(one, true) * ranks / flops(model, true), 1, 0.06) << ranks;
    EXPECT_DOUBLE_EQ(flops(one, false), flops(model, false)) << ranks;
  }
}

TEST(ShardTensorTest, NormsAndSumsTakePartsOfTheSequence) {
  const ModelGraph one = split(tiny_gpt(), 2, true);
  EXPECT_EQ(type_of(one, "h0.ln1").shape, (Shape{{2, 8}}));
  EXPECT_EQ(type_of(one, "h0.add1").shape, (Shape{{2, 8}}));
  EXPECT_EQ(type_of(one, "ln_f").shape, (Shape{{2, 8}}));
  EXPECT_EQ(type_of(one, "h0.qkv").shape, (Shape{{4, 12}}));
  EXPECT_EQ(type_of(one, "head").shape, (Shape{{4, 7}}));
}

TEST(ShardTensorTest, OneRankIsTheModelItself) {
  EXPECT_EQ(split(tiny_gpt(), 1).graph.fingerprint(), tiny_gpt().graph.fingerprint());
}

TEST(ShardTensorTest, ErrorsNameWhatCannotBeSplit) {
  const auto error = [](const ModelGraph& model, int ranks, bool sequence_parallel = false) {
    const auto result = shard_tensor(model, ranks, sequence_parallel);
    EXPECT_FALSE(result.ok());
    return result.ok() ? std::string() : result.error().message;
  };
  EXPECT_EQ(error(tiny_gpt(2, 4), 8),
            "node h0.attention (attention): 4 heads are no multiple of 8 tensor ranks");
  EXPECT_EQ(error(tiny_gpt(2, 4), 3),
            "node h0.qkv (linear): 8 features are no multiple of 3 "
            "tensor ranks");
  DecoderConfig grouped = testing::tiny_decoder_config();
  EXPECT_EQ(error(checked(build_decoder(grouped)), 4),
            "node layer0.k.rotary (rotary): 2 heads are no multiple of 4 tensor ranks");
  EXPECT_EQ(error(testing::residual_block(), 2),
            "model residual-block has nothing that 2 tensor ranks can split: layer head: "
            "head is the model's answer");
  EXPECT_EQ(error(testing::tied_layers(), 2),
            "model tied-layers has nothing that 2 tensor ranks can split: layer fc1: other nodes "
            "read the weight of fc1");
  EXPECT_EQ(error(testing::tiny_convnet(), 2, true),
            "node fc7 (linear): sequence_parallel splits (sequence, features) by positions, but 2 "
            "ranks cannot split 8");
}

}  // namespace
}  // namespace pluto
