#include <gmock/gmock.h>

#include "model/passes/passes.h"
#include "tests/support/graph_checks.h"
#include "tests/support/toy_models.h"

namespace pluto {
namespace {

using pluto::testing::op_named;
using pluto::testing::op_names;
using pluto::testing::tensor_names;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Bucket everything(const TrainingGraph& training) {
  Bucket all;
  for (const auto& trained : training.trained) all.parameters.push_back(trained.parameter);
  return all;
}

TEST(AverageParametersTest, AveragesBehindTheUpdates) {
  const TrainingGraph training = differentiate(pluto::testing::two_layers(), SgdAttrs{}).value();
  const auto result = average_parameters(training, std::vector{everything(training)}, 4, 0);
  ASSERT_TRUE(result.ok()) << result.error().message;
  const auto names = op_names(result->graph);
  const std::size_t before = training.graph.ops().size();
  EXPECT_THAT(std::vector(names.begin() + static_cast<std::ptrdiff_t>(before), names.end()),
              ElementsAre("bucket0.all_reduce", "fc2.weight.average", "fc2.bias.average",
                          "fc1.weight.average", "fc1.bias.average"));
  for (const Op& op : result->graph.ops()) {
    EXPECT_EQ(result->phase[op.id.index()] == OpPhase::kAverage, op.id.index() >= before);
  }
  EXPECT_THAT(tensor_names(result->graph, op_named(result->graph, "bucket0.all_reduce").updates),
              ElementsAre("fc2.weight", "fc2.bias", "fc1.weight", "fc1.bias"));
}

TEST(AverageParametersTest, BlockMomentumHasTwoMoreStates) {
  const TrainingGraph training = differentiate(pluto::testing::two_layers(), SgdAttrs{}).value();
  const auto result = average_parameters(training, std::vector{everything(training)}, 4, 0.9);
  ASSERT_TRUE(result.ok()) << result.error().message;
  const Op& average = op_named(result->graph, "fc1.bias.average");
  EXPECT_THAT(tensor_names(result->graph, average.updates),
              ElementsAre("fc1.bias", "fc1.bias.anchor", "fc1.bias.block_velocity"));
  EXPECT_EQ(result->graph.tensor(average.updates[1]).role, TensorRole::kOptimizerState);
}

TEST(AverageParametersTest, RefusesWhatIsNoAverage) {
  const TrainingGraph training = differentiate(pluto::testing::two_layers(), SgdAttrs{}).value();
  Bucket all = everything(training);
  all.method = SyncMethod::kParameterServer;
  const auto served = average_parameters(training, std::vector{all}, 4, 0);
  ASSERT_FALSE(served.ok());
  EXPECT_EQ(served.error().code, ErrorCode::kUnsupported);
  all = everything(training);
  all.parameters.pop_back();
  const auto left_out = average_parameters(training, std::vector{all}, 4, 0);
  ASSERT_FALSE(left_out.ok());
  EXPECT_THAT(left_out.error().message, HasSubstr("fc1.bias is in 0 buckets"));
  EXPECT_EQ(average_parameters(training, {}, 1, 0)->graph.fingerprint(),
            training.graph.fingerprint());
}

}  // namespace
}  // namespace pluto
