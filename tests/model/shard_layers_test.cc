#include <gmock/gmock.h>

#include <map>

#include "model/op_schema.h"
#include "model/passes/shard.h"
#include "model/training_graph.h"
#include "tests/support/block_models.h"
#include "tests/support/toy_models.h"

namespace pluto {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::tiny_convnet;

std::vector<std::string> names(const ModelGraph& model, RankGroup group) {
  std::vector<std::string> result;
  for (const Op& op : model.graph.ops()) {
    const auto* attrs = std::get_if<GroupAttrs>(&op.attrs);
    if (attrs != nullptr && attrs->group == group) result.push_back(op.name);
  }
  return result;
}

const TensorType& type_of(const ModelGraph& model, const std::string& name) {
  return model.graph.tensor(*model.graph.find_tensor(name)).type;
}

TEST(ShardLayersTest, BatchesMeetAtTheFirstAndPartAfterTheLast) {
  const ModelGraph model = tiny_convnet();
  const std::vector<std::string> layers = {"fc6", "fc7"};
  const auto one = shard_layers(model, layers, 4);
  ASSERT_TRUE(one.ok()) << one.error().message;
  EXPECT_THAT(names(*one, RankGroup::kData),
              ElementsAre("flatten.gathered", "relu6.gathered", "relu7.own"));
  EXPECT_EQ(type_of(*one, "flatten.gathered"), (TensorType{{{64}}, DType::kF32, 4}));
  EXPECT_EQ(type_of(*one, "fc6"), (TensorType{{{3}}, DType::kF32, 4}));
  EXPECT_EQ(type_of(*one, "relu6.gathered"), (TensorType{{{12}}, DType::kF32, 4}));
  EXPECT_EQ(type_of(*one, "relu7.own"), (TensorType{{{8}}, DType::kF32, 1}));
  EXPECT_EQ(type_of(*one, "fc6.weight").shape, (Shape{{3, 64}}));
  EXPECT_EQ(type_of(*one, "fc8.weight").shape, (Shape{{4, 8}}));
  ASSERT_EQ(one->shards.size(), 4u);
  EXPECT_EQ(one->shards[0], (ParameterShard{"fc6.weight", RankGroup::kData, 0, 4, {12}}));
  EXPECT_EQ(one->graph.tensor(one->logits).name, "fc8");
}

TEST(ShardLayersTest, BackwardSendsTheAdjoints) {
  const std::vector<std::string> layers = {"fc6", "fc7", "fc8"};
  const auto one = shard_layers(tiny_convnet(), layers, 2);
  ASSERT_TRUE(one.ok()) << one.error().message;
  EXPECT_EQ(one->graph.tensor(one->logits).name, "fc8.own");
  const auto training = differentiate(*one, SgdAttrs{});
  ASSERT_TRUE(training.ok()) << training.error().message;
  std::map<OpKind, int> count;
  for (const Op& op : training->graph.ops()) ++count[op.kind];
  EXPECT_EQ(count[OpKind::kGroupAllGather], 3);
  EXPECT_EQ(count[OpKind::kGroupReduceScatter], 3);
  EXPECT_EQ(count[OpKind::kGroupAllToAll], 2);
}

TEST(ShardLayersTest, WorkAndParametersDivide) {
  const ModelGraph model = tiny_convnet();
  const std::vector<std::string> layers = {"fc6", "fc7", "fc8"};
  const auto flops = [](const ModelGraph& m) {
    double sum = 0;
    for (const Op& op : m.graph.ops()) {
      if (op.kind == OpKind::kLinear) sum += op_work(m.graph, op, 8).flops.value();
    }
    return sum;
  };
  const auto one = shard_layers(model, layers, 4);
  ASSERT_TRUE(one.ok());
  // A quarter of the features for four times the samples.
  EXPECT_DOUBLE_EQ(flops(*one), flops(model));
  const auto conv = parameter_count(model.graph) - (64 * 12 + 12 + 12 * 8 + 8 + 8 * 4 + 4);
  EXPECT_EQ(parameter_count(one->graph) - conv, (64 * 12 + 12 + 12 * 8 + 8 + 8 * 4 + 4) / 4);
}

TEST(ShardLayersTest, NothingToDoIsTheModelItself) {
  const ModelGraph model = tiny_convnet();
  const std::vector<std::string> layers = {"fc6"};
  EXPECT_EQ(shard_layers(model, layers, 1)->graph.fingerprint(), model.graph.fingerprint());
  EXPECT_EQ(shard_layers(model, {}, 4)->graph.fingerprint(), model.graph.fingerprint());
}

TEST(ShardLayersTest, ErrorsNameTheLayer) {
  const auto error = [](const ModelGraph& model, const std::string& layer, int ranks) {
    const std::vector<std::string> layers = {layer};
    const auto result = shard_layers(model, layers, ranks);
    return result.ok() ? Error{} : result.error();
  };
  EXPECT_EQ(error(tiny_convnet(), "fc9", 2).message, "fc9 is no linear layer of the model");
  EXPECT_THAT(error(tiny_convnet(), "fc9", 2).help, HasSubstr("did you mean 'fc"));
  EXPECT_EQ(error(tiny_convnet(), "fc6", 5).message,
            "layer fc6: 5 data ranks do not divide 12 features");
  EXPECT_EQ(error(testing::tied_layers(), "fc1", 2).message,
            "layer fc1: shared is read by other nodes too");
}

}  // namespace
}  // namespace pluto
