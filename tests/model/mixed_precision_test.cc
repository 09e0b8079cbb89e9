#include "model/passes/mixed_precision.h"

#include <gmock/gmock.h>

#include "model/training_graph.h"
#include "model/zoo.h"
#include "tests/support/graph_checks.h"
#include "tests/support/toy_models.h"

namespace pluto {
namespace {

using pluto::testing::op_named;
using pluto::testing::op_names;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

DType type_of(const ModelGraph& model, const std::string& tensor) {
  const auto id = model.graph.find_tensor(tensor);
  EXPECT_TRUE(id.has_value()) << tensor;
  return id ? model.graph.tensor(*id).type.dtype : DType::kU8;
}

TEST(MixedPrecision, ActivationsAreNarrowAndParametersWide) {
  const ModelGraph model = pluto::testing::two_layers();
  const auto narrow = mixed_precision(model, DType::kF16);
  ASSERT_TRUE(narrow.ok()) << narrow.error().message;
  EXPECT_EQ(type_of(*narrow, "fc1"), DType::kF16);
  EXPECT_EQ(type_of(*narrow, "act1"), DType::kF16);
  EXPECT_EQ(type_of(*narrow, "fc1.weight"), DType::kF32);
  EXPECT_EQ(type_of(*narrow, "loss"), DType::kF32);
  EXPECT_THAT(op_names(narrow->graph),
              ElementsAre("x.cast", "fc1.cast1", "fc1.cast2", "fc1", "act1", "fc2.cast1",
                          "fc2.cast2", "fc2", "fc2.cast", "loss"));
  EXPECT_EQ(narrow->graph.tensor(narrow->logits).name, "fc2");
}

TEST(MixedPrecision, GradientsAreWideAgain) {
  const auto narrow = mixed_precision(pluto::testing::two_layers(), DType::kBF16).value();
  const TrainingGraph training = differentiate(narrow, AdamAttrs{}).value();
  ASSERT_EQ(training.trained.size(), 4U);
  for (const TrainedParameter& entry : training.trained) {
    EXPECT_EQ(training.graph.tensor(entry.gradient).type.dtype, DType::kF32);
    for (TensorId state : entry.state) {
      EXPECT_EQ(training.graph.tensor(state).type.dtype, DType::kF32);
    }
  }
  const Op& product = op_named(training.graph, "fc2.backward_weight");
  for (TensorId id : product.inputs) {
    EXPECT_EQ(training.graph.tensor(id).type.dtype, DType::kBF16);
  }
}

TEST(MixedPrecision, NormalisationsReadTheirScalesWide) {
  const auto narrow = mixed_precision(pluto::testing::residual_block(), DType::kF16).value();
  const Op& norm = op_named(narrow.graph, "norm");
  EXPECT_EQ(narrow.graph.tensor(norm.inputs[0]).type.dtype, DType::kF16);
  EXPECT_EQ(narrow.graph.tensor(norm.inputs[1]).type.dtype, DType::kF32);
  EXPECT_EQ(narrow.graph.tensor(norm.outputs[1]).type.dtype, DType::kF32);  // the mean
}

TEST(MixedPrecision, EveryModelOfTheZooNarrowsAndTrains) {
  for (const std::string& name : zoo_names()) {
    SCOPED_TRACE(name);
    const ModelGraph model = build_model(name).value();
    const auto narrow = mixed_precision(model, DType::kF16);
    ASSERT_TRUE(narrow.ok()) << narrow.error().message;
    EXPECT_EQ(parameter_count(narrow->graph), parameter_count(model.graph));
    const auto training = differentiate(*narrow, SgdAttrs{});
    EXPECT_TRUE(training.ok()) << training.error().message;
  }
}

TEST(MixedPrecision, TablesAreReadWideAndWhatTheyGiveIsCast) {
  const auto narrow = mixed_precision(build_model("gpt2").value(), DType::kBF16).value();
  for (const Op& op : narrow.graph.ops()) {
    if (op.kind != OpKind::kEmbedding) continue;
    EXPECT_EQ(narrow.graph.tensor(op.inputs[1]).type.dtype, DType::kF32);
    EXPECT_EQ(narrow.graph.tensor(op.outputs[0]).type.dtype, DType::kF32);
  }
}

TEST(MixedPrecision, OtherTypesAreRefusedAndF32ChangesNothing) {
  const ModelGraph model = pluto::testing::two_layers();
  EXPECT_EQ(mixed_precision(model, DType::kF32)->graph.fingerprint(), model.graph.fingerprint());
  EXPECT_THAT(mixed_precision(model, DType::kI32).error().message, HasSubstr("i32"));
}

}  // namespace
}  // namespace pluto
