#include "model/passes/split_stages.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "model/op_schema.h"
#include "model/passes/passes.h"
#include "model/zoo.h"
#include "tests/support/graph_checks.h"
#include "tests/support/small_models.h"
#include "tests/support/toy_models.h"

namespace pluto {
namespace {

using pluto::testing::op_named;
using pluto::testing::op_names;
using pluto::testing::wiring_faults;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<StageGraph> split(const ModelGraph& model, std::vector<std::string> cuts, int stages) {
  const auto chunk = chunks_of(model.graph, cuts).value();
  const UntiedModel untied = untie_stages(model, chunk, stages).value();
  const TrainingGraph training = differentiate(untied.model, SgdAttrs{}).value();
  auto parts = split_stages(training, untied.model.graph, chunk, stages, untied.copies);
  EXPECT_TRUE(parts.ok()) << parts.error().message;
  return parts.ok() ? std::move(*parts) : std::vector<StageGraph>{};
}

TEST(ChunksTest, EveryNodeBelongsToTheCutBeforeIt) {
  const ModelGraph model = pluto::testing::two_layers();  // fc1 act1 fc2 loss
  const std::vector<std::string> cuts = {"fc2"};
  EXPECT_THAT(*chunks_of(model.graph, cuts), ElementsAre(0, 0, 1, 1));
  const std::vector<std::string> twice = {"fc2", "fc2"}, wrong = {"fc22"};
  EXPECT_THAT(chunks_of(model.graph, twice).error().message, HasSubstr("cuts[1]"));
  EXPECT_THAT(chunks_of(model.graph, wrong).error().help, HasSubstr("fc2"));
}

TEST(ChunksTest, EvenCutsBalanceWork) {
  const ModelGraph model =
      pluto::testing::perceptron({32, 32, 32, 32, 32, 32, 32, 32, 32});  // 8 equal layers
  for (const int chunks : {1, 2, 4, 8}) {
    const auto cuts = even_cuts(model.graph, chunks);
    ASSERT_TRUE(cuts.ok());
    const auto chunk = chunks_of(model.graph, *cuts).value();
    std::vector<int> products(static_cast<std::size_t>(chunks), 0);
    for (const Op& op : model.graph.ops()) {
      if (op.kind == OpKind::kLinear) ++products[static_cast<std::size_t>(chunk[op.id.index()])];
    }
    for (const int count : products) EXPECT_EQ(count, 8 / chunks);
  }
  EXPECT_THAT(even_cuts(model.graph, 100).error().message, HasSubstr("100 chunks"));
}

// Inside a block the branch and the shortcut cross; even work asks for that where blocks are large.
TEST(ChunksTest, CutsOfResNetAreEvenAndNarrow) {
  const ModelGraph model = build_model("resnet50").value();
  const auto cuts = even_cuts(model.graph, 4).value();
  const auto chunk = chunks_of(model.graph, cuts).value();
  std::vector<int> crossing(3, 0);
  for (const Op& op : model.graph.ops()) {
    for (TensorId id : op.outputs) {
      int last = chunk[op.id.index()];
      for (OpId reader : model.graph.consumers(id)) last = std::max(last, chunk[reader.index()]);
      for (int c = chunk[op.id.index()]; c < last; ++c) ++crossing[static_cast<std::size_t>(c)];
    }
  }
  for (const int tensors : crossing) EXPECT_LE(tensors, 2);
  std::vector<double> work(4, 0);
  for (const Op& op : model.graph.ops()) {
    work[static_cast<std::size_t>(chunk[op.id.index()])] +=
        op_work(model.graph, op, 1).flops.value();
  }
  EXPECT_LT(*std::ranges::max_element(work), 1.06 * *std::ranges::min_element(work));
}

TEST(SplitStagesTest, MessagesStandBetweenTheStages) {
  const auto parts = split(pluto::testing::two_layers(), {"fc2"}, 2);
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_THAT(op_names(parts[0].training.graph),
              ElementsAre("fc1", "act1", "act1.send", "fc2.backward_data.receive", "act1.backward",
                          "fc1.backward_weight", "fc1.weight.update", "fc1.bias.update"));
  EXPECT_THAT(op_names(parts[1].training.graph),
              ElementsAre("act1.receive", "fc2", "loss", "loss.backward", "fc2.backward_weight",
                          "fc2.backward_data", "fc2.backward_data.send", "fc2.weight.update",
                          "fc2.bias.update"));
  for (const StageGraph& part : parts) {
    EXPECT_THAT(wiring_faults(part.training), IsEmpty());
    EXPECT_EQ(part.chunk.size(), part.training.graph.ops().size());
  }
  EXPECT_FALSE(parts[0].training.loss.valid());
  EXPECT_TRUE(parts[1].training.loss.valid());
  EXPECT_FALSE(parts[1].training.graph.find_tensor("fc1.weight").has_value());
}

TEST(SplitStagesTest, PhasesOfMessagesAreThoseOfTheirTensors) {
  const auto parts = split(pluto::testing::two_layers(), {"fc2"}, 2);
  const auto phase = [&](std::size_t part, const std::string& name) {
    const auto& training = parts[part].training;
    return training.phase[op_named(training.graph, name).id.index()];
  };
  EXPECT_EQ(phase(0, "act1.send"), OpPhase::kForward);
  EXPECT_EQ(phase(0, "fc2.backward_data.receive"), OpPhase::kBackward);
  EXPECT_EQ(phase(1, "act1.receive"), OpPhase::kForward);
  EXPECT_EQ(phase(1, "fc2.backward_data.send"), OpPhase::kBackward);
}

TEST(SplitStagesTest, ATiedParameterHasACopyOnEachStage) {
  const ModelGraph model = pluto::testing::tied_layers();
  const auto chunk = chunks_of(model.graph, std::vector<std::string>{"fc2"}).value();
  const UntiedModel untied = untie_stages(model, chunk, 2).value();
  EXPECT_THAT(untied.copies, ElementsAre(std::pair("shared.stage1", "shared")));
  const auto parts = split(model, {"fc2"}, 2);
  EXPECT_THAT(op_names(parts[0].training.graph), Contains("shared.grad.stage_reduce"));
  EXPECT_THAT(op_names(parts[1].training.graph), Contains("shared.stage1.grad.stage_reduce"));
  // on one stage nothing is copied
  EXPECT_TRUE(untie_stages(model, chunk, 1).value().copies.empty());
}

TEST(SplitStagesTest, AParameterOnThreeStagesIsRefused) {
  GraphBuilder b;
  ModelGraph model;
  model.name = "thrice";
  model.inputs = {b.input("x", {{4}})};
  model.labels = b.input("labels", {}, DType::kI32);
  const TensorId shared = b.parameter("shared", {{4, 4}}, {Init::Kind::kNormal, 0.5});
  TensorId x = model.inputs[0];
  for (const char* name : {"a", "b", "c"}) {
    x = b.forward(name, OpKind::kLinear, LinearAttrs{4, false}, {x, shared});
  }
  model.logits = x;
  model.loss = b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {x, model.labels});
  model.graph = std::move(b).build().value();
  const auto chunk = chunks_of(model.graph, std::vector<std::string>{"b", "c"}).value();
  const UntiedModel untied = untie_stages(model, chunk, 3).value();
  const TrainingGraph training = differentiate(untied.model, SgdAttrs{}).value();
  const auto refused = split_stages(training, untied.model.graph, chunk, 3, untied.copies);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(refused.error().message, HasSubstr("shared is read on more than two stages"));
}

}  // namespace
}  // namespace pluto
