// What holds for the schema of every kind.
#include "model/op_schema.h"

#include <gmock/gmock.h>

#include <set>

#include "tests/model/op_cases.h"

namespace pluto {
namespace {

std::string label(const OpCase& op_case) {
  return std::string(to_text(op_case.kind)) + " " + to_text(op_case.attrs);
}

/// The forward node of each case and all its backward nodes.
std::vector<Graph> all_graphs() {
  std::vector<Graph> graphs;
  for (const OpCase& op_case : op_cases()) {
    if (schema_of(op_case.kind).gradient == nullptr) {
      graphs.push_back(graph_of(op_case));
    } else if (auto result = differentiate_case(op_case)) {
      graphs.push_back(std::move(result->graph));
    }
  }
  return graphs;
}

TEST(OpSchemaTest, EveryKindHasASchemaOfItsOwn) {
  for (std::size_t i = 0; i < kOpKindCount; ++i) {
    const OpSchema& schema = schema_of(static_cast<OpKind>(i));
    EXPECT_EQ(schema.kind, static_cast<OpKind>(i));
    EXPECT_NE(schema.infer, nullptr);
    EXPECT_NE(schema.work, nullptr);
  }
}

TEST(OpSchemaTest, OnlyUpdatesCommunicationAndTermsHaveNoGradient) {
  std::set<OpKind> without;
  for (std::size_t i = 0; i < kOpKindCount; ++i) {
    if (schema_of(static_cast<OpKind>(i)).gradient == nullptr)
      without.insert(static_cast<OpKind>(i));
  }
  EXPECT_EQ(
      without,
      (std::set<OpKind>{OpKind::kAccumulate, OpKind::kSgd, OpKind::kAdam, OpKind::kAllReduce,
                        OpKind::kServerPush, OpKind::kServerPull, OpKind::kFactorGather,
                        OpKind::kFactorPush, OpKind::kPack, OpKind::kUnpack, OpKind::kReduceScatter,
                        OpKind::kParameterGather, OpKind::kAverage, OpKind::kSend, OpKind::kReceive,
                        OpKind::kStageReduce, OpKind::kSoftmaxTerms}));
}

TEST(OpSchemaTest, EveryKindHasACaseThatBuilds) {
  std::set<OpKind> seen;
  for (const OpCase& op_case : op_cases()) {
    SCOPED_TRACE(label(op_case));
    EXPECT_EQ(infer_error(op_case.kind, op_case.attrs, op_case.inputs), "no error");
    EXPECT_EQ(graph_of(op_case).ops().size(), 1u);
    seen.insert(op_case.kind);
  }
  EXPECT_EQ(seen.size(), kOpKindCount);
}

TEST(OpSchemaTest, ShapeRulesRefuseWrongCountsTypesAndBatches) {
  for (const OpCase& op_case : op_cases()) {
    SCOPED_TRACE(label(op_case));
    auto more = op_case.inputs;
    more.push_back(fixed({1, 2, 3, 4, 5}));
    // A bucket has as many tensors as the plan says.
    const bool bucket = op_case.inputs.size() == 1 && op_case.inputs[0].batch_multiple == 0 &&
                        (op_case.kind == OpKind::kPack || op_case.kind == OpKind::kReduceScatter ||
                         op_case.kind == OpKind::kParameterGather);
    EXPECT_EQ(infer_error(op_case.kind, op_case.attrs, more) == "no error", bucket);
    if (op_case.inputs.empty()) continue;
    EXPECT_EQ(infer_error(op_case.kind, op_case.attrs, {}) == "no error",
              op_case.kind == OpKind::kAllReduce);
    for (std::size_t i = 0; i < op_case.inputs.size(); ++i) {
      auto wrong = op_case.inputs;
      wrong[i].dtype = DType::kU8;
      const bool any_type =
          op_case.inputs.size() == 1 &&
          (op_case.kind == OpKind::kCast || op_case.kind == OpKind::kSplit ||
           op_case.kind == OpKind::kSlice || op_case.kind == OpKind::kReshape ||
           op_case.kind == OpKind::kTranspose || op_case.kind == OpKind::kFactorGather ||
           op_case.kind == OpKind::kFactorPush || op_case.kind == OpKind::kGroupPart);
      EXPECT_EQ(infer_error(op_case.kind, op_case.attrs, wrong) == "no error", any_type)
          << "operand " << i;
      if (op_case.inputs.size() == 1) continue;
      wrong = op_case.inputs;
      wrong[i].batch_multiple = 3 - wrong[i].batch_multiple;
      const bool lookup =
          op_case.kind == OpKind::kEmbedding || op_case.kind == OpKind::kEmbeddingBag;
      // The first operand may have any batch when the others are parameters.
      const bool others_fixed =
          std::all_of(op_case.inputs.begin() + 1, op_case.inputs.end(),
                      [](const TensorType& type) { return type.batch_multiple == 0; });
      EXPECT_EQ(infer_error(op_case.kind, op_case.attrs, wrong) == "no error",
                i == 0 && (others_fixed || lookup))
          << "operand " << i;
    }
  }
}

TEST(OpSchemaTest, OutputsHaveTheBatchOfTheFirstOperand) {
  const std::set<OpKind> without = {OpKind::kSoftmaxCrossEntropy, OpKind::kBceWithLogits,
                                    OpKind::kMse, OpKind::kSplitCrossEntropy};
  for (const OpCase& op_case : op_cases()) {
    SCOPED_TRACE(label(op_case));
    const auto outputs = infer(op_case.kind, op_case.attrs, op_case.inputs);
    if (outputs.empty() || op_case.inputs.empty() || op_case.kind == OpKind::kFactorGather ||
        op_case.kind == OpKind::kFactorPush) {
      continue;
    }
    EXPECT_EQ(outputs[0].batch_multiple,
              without.contains(op_case.kind) ? 0 : op_case.inputs[0].batch_multiple);
  }
}

TEST(OpWorkTest, IsNeverNegativeAndGrowsWithTheBatch) {
  for (const Graph& graph : all_graphs()) {
    for (const Op& op : graph.ops()) {
      SCOPED_TRACE(to_text(signature_of(graph, op, 1)));
      OpWork last;
      for (std::int64_t batch : {1, 2, 8, 64}) {
        const OpWork work = op_work(graph, op, batch);
        EXPECT_GE(work.flops, last.flops);
        EXPECT_GE(work.read, last.read);
        EXPECT_GE(work.written, last.written);
        last = work;
      }
    }
  }
}

TEST(OpWorkTest, FlopsAreProportionalToTheBatchWhereOperandsHaveOne) {
  for (const Graph& graph : all_graphs()) {
    for (const Op& op : graph.ops()) {
      SCOPED_TRACE(to_text(signature_of(graph, op, 1)));
      bool batched = false;
      for (TensorId id : op.inputs) batched = batched || graph.tensor(id).type.batch_multiple != 0;
      const double one = op_work(graph, op, 1).flops.value(),
                   sixteen = op_work(graph, op, 16).flops.value();
      EXPECT_DOUBLE_EQ(sixteen, batched ? 16 * one : one);
    }
  }
}

TEST(OpWorkTest, NoMoreTrafficThanAllOperandsAndUpdates) {
  for (const Graph& graph : all_graphs()) {
    for (const Op& op : graph.ops()) {
      SCOPED_TRACE(to_text(signature_of(graph, op, 1)));
      Bytes inputs, outputs, updates;
      for (TensorId id : op.inputs) inputs += graph.tensor(id).type.bytes(4);
      for (TensorId id : op.outputs) outputs += graph.tensor(id).type.bytes(4);
      for (TensorId id : op.updates) updates += graph.tensor(id).type.bytes(4);
      const OpWork work = op_work(graph, op, 4);
      EXPECT_LE(work.read, inputs + updates);
      EXPECT_LE(work.written, outputs + updates);
    }
  }
}

TEST(OpWorkTest, SurvivesOperandsThatAreNotThere) {
  for (std::size_t i = 0; i < kOpKindCount; ++i) {
    const auto kind = static_cast<OpKind>(i);
    for (OpPass pass :
         {OpPass::kForward, OpPass::kBackward, OpPass::kBackwardData, OpPass::kBackwardWeight}) {
      EXPECT_GE(op_work(OpSignature{kind, pass, default_attrs(kind), {}, {}, 1}).flops, Flops(0));
      EXPECT_GE(op_work(OpSignature{kind, pass, default_attrs(kind), {sample({})}, {}, 1}).read,
                Bytes(0));
    }
  }
}

}  // namespace
}  // namespace pluto
