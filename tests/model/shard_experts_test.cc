#include <gtest/gtest.h>

#include "model/op_schema.h"
#include "model/passes/shard.h"
#include "model/training_graph.h"
#include "tests/support/block_models.h"

namespace pluto {
namespace {

using testing::checked;

ModelGraph experts_model() {
  DecoderConfig config = testing::tiny_decoder_config();
  config.experts = 4;
  config.experts_per_token = 2;
  return checked(build_decoder(config));
}

TEST(ShardExpertsTest, ARankHasItsExpertsAndTheTokensOfAll) {
  const ModelGraph one = checked(shard_experts(experts_model(), 2));
  const auto type = [&](const std::string& name) {
    return one.graph.tensor(*one.graph.find_tensor(name)).type;
  };
  EXPECT_EQ(type("layer0.experts_gate").shape, (Shape{{2, 12, 8}}));
  EXPECT_EQ(type("layer0.router").shape, (Shape{{4, 8}}));
  EXPECT_EQ(type("layer0.moe.tokens").batch_multiple, 2);
  EXPECT_EQ(type("layer0.moe.sum").batch_multiple, 1);
  ASSERT_EQ(one.shards.size(), 6u);
  EXPECT_EQ(one.shards[0], (ParameterShard{"layer0.experts_gate", RankGroup::kExpert, 0, 2, {4}}));
}

TEST(ShardExpertsTest, ExpertsDoTheSameWorkForMoreTokens) {
  const ModelGraph model = experts_model();
  const auto flops = [](const ModelGraph& m) {
    double sum = 0;
    for (const Op& op : m.graph.ops()) {
      if (op.kind != OpKind::kMoeFfn) continue;
      const auto router = 2.0 * 4 * 8 + 4 + 5 * 2;  // of every gathered token
      const auto tokens = static_cast<double>(m.graph.tensor(op.inputs[0]).type.elements(2)) / 8;
      sum += op_work(m.graph, op, 2).flops.value() - tokens * router;
    }
    return sum;
  };
  for (const int ranks : {2, 4}) {
    EXPECT_DOUBLE_EQ(flops(checked(shard_experts(model, ranks))), flops(model));
  }
}

TEST(ShardExpertsTest, ErrorsSayWhy) {
  const auto error = [](const ModelGraph& model, int ranks) {
    const auto result = shard_experts(model, ranks);
    return result.ok() ? std::string("no error") : result.error().message;
  };
  EXPECT_EQ(error(experts_model(), 1), "no error");
  EXPECT_EQ(error(experts_model(), 3),
            "node layer0.moe (moe_ffn): 4 experts are no multiple of 3 expert ranks");
  EXPECT_EQ(error(testing::tiny_gpt(), 2), "model gpt2 has no experts to spread");
}

}  // namespace
}  // namespace pluto
