#include <gmock/gmock.h>

#include "model/passes/passes.h"
#include "tests/support/graph_checks.h"
#include "tests/support/toy_models.h"

namespace pluto {
namespace {

using pluto::testing::op_named;
using pluto::testing::op_names;
using ::testing::ElementsAre;

std::vector<Bucket> layers(const TrainingGraph& training) {
  std::vector<Bucket> buckets;
  for (const std::string name : {"fc2", "fc1"}) {
    buckets.push_back({SyncMethod::kShard,
                       {*training.graph.find_tensor(name + ".weight"),
                        *training.graph.find_tensor(name + ".bias")}});
  }
  return buckets;
}

TEST(GatherParametersTest, GathersOneBucketAheadInBothDirections) {
  const TrainingGraph training = differentiate(pluto::testing::two_layers(), SgdAttrs{}).value();
  const auto buckets = layers(training);
  const TrainingGraph scattered = insert_sync(training, buckets, 4, 3).value();
  const auto result = gather_parameters(scattered, buckets, 4);
  ASSERT_TRUE(result.ok()) << result.error().message;
  // fc1 reads bucket 1 first; bucket 0 is gathered before that too. Backward needs the weight of
  // fc2 only.
  EXPECT_THAT(op_names(result->graph),
              ElementsAre("bucket1.gather", "bucket0.gather", "fc1", "act1", "fc2", "loss",
                          "loss.backward", "fc2.backward_weight", "bucket0.reduce_scatter",
                          "bucket0.gather_backward", "fc2.backward_data", "act1.backward",
                          "fc1.backward_weight", "bucket1.reduce_scatter", "fc2.weight.update",
                          "fc2.bias.update", "fc1.weight.update", "fc1.bias.update"));
  const Op& gather = op_named(result->graph, "bucket1.gather");
  EXPECT_EQ(result->phase[gather.id.index()], OpPhase::kForward);
  EXPECT_EQ(op_named(result->graph, "fc1").inputs[1], gather.outputs[0]);
  EXPECT_EQ(op_named(result->graph, "fc1").inputs[2], gather.outputs[1]);
  const Op& again = op_named(result->graph, "bucket0.gather_backward");
  EXPECT_EQ(result->phase[again.id.index()], OpPhase::kBackward);
  EXPECT_EQ(op_named(result->graph, "fc2.backward_data").inputs[1], again.outputs[0]);
}

TEST(GatherParametersTest, OneRankHoldsAll) {
  const TrainingGraph training = differentiate(pluto::testing::two_layers(), SgdAttrs{}).value();
  EXPECT_EQ(gather_parameters(training, layers(training), 1)->graph.fingerprint(),
            training.graph.fingerprint());
}

}  // namespace
}  // namespace pluto
