#include <gmock/gmock.h>

#include "model/passes/passes.h"
#include "tests/support/graph_checks.h"
#include "tests/support/random_model.h"
#include "tests/support/toy_models.h"

namespace pluto {
namespace {

using pluto::testing::op_named;
using pluto::testing::op_names;
using pluto::testing::RandomModel;
using pluto::testing::tensor_names;
using pluto::testing::wiring_faults;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TrainingGraph derived(const ModelGraph& model) {
  auto training = differentiate(model, SgdAttrs{});
  EXPECT_TRUE(training.ok()) << training.error().message;
  return training.ok() ? std::move(*training) : TrainingGraph{};
}

TEST(AccumulateTest, OneMicroBatchChangesNothing) {
  const TrainingGraph training = derived(pluto::testing::two_layers());
  const auto result = accumulate_gradients(training, 1);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->graph.fingerprint(), training.graph.fingerprint());
}

TEST(AccumulateTest, AddsEachGradientWhereItIsMade) {
  const auto result = accumulate_gradients(derived(pluto::testing::two_layers()), 3);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_THAT(op_names(result->graph),
              ElementsAre("fc1", "act1", "fc2", "loss", "loss.backward", "fc2.backward_weight",
                          "fc2.weight.accumulate", "fc2.bias.accumulate", "fc2.backward_data",
                          "act1.backward", "fc1.backward_weight", "fc1.weight.accumulate",
                          "fc1.bias.accumulate", "fc2.weight.update", "fc2.bias.update",
                          "fc1.weight.update", "fc1.bias.update"));
  EXPECT_THAT(wiring_faults(*result), IsEmpty());
  const Op& accumulate = op_named(result->graph, "fc2.bias.accumulate");
  EXPECT_THAT(tensor_names(result->graph, accumulate.inputs), ElementsAre("fc2.bias.grad.part"));
  EXPECT_THAT(tensor_names(result->graph, accumulate.updates), ElementsAre("fc2.bias.grad"));
  EXPECT_EQ(result->phase[accumulate.id.index()], OpPhase::kBackward);
  EXPECT_EQ(result->graph.tensor(accumulate.inputs[0]).role, TensorRole::kActivation);
  EXPECT_FALSE(result->graph.tensor(accumulate.updates[0]).producer.has_value());
}

TEST(AccumulateTest, TheGraphDoesNotDependOnHowMany) {
  const TrainingGraph training = derived(pluto::testing::tied_layers());
  EXPECT_EQ(accumulate_gradients(training, 2)->graph.fingerprint(),
            accumulate_gradients(training, 64)->graph.fingerprint());
}

TEST(AccumulateTest, RefusesNoneAndTwice) {
  const TrainingGraph training = derived(pluto::testing::two_layers());
  EXPECT_FALSE(accumulate_gradients(training, 0).ok());
  const auto twice = accumulate_gradients(*accumulate_gradients(training, 2), 2);
  ASSERT_FALSE(twice.ok());
  EXPECT_THAT(twice.error().message,
              HasSubstr("the gradient of fc2.weight is accumulated already"));
}

TEST(AccumulateTest, RandomModelsStayValid) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const auto result = accumulate_gradients(derived(RandomModel::make(seed)), 2);
    ASSERT_TRUE(result.ok()) << seed << ": " << result.error().message;
    EXPECT_THAT(wiring_faults(*result), IsEmpty()) << seed;
  }
}

}  // namespace
}  // namespace pluto
