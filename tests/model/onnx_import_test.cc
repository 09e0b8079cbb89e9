// Small graphs: what exporters write, and what is refused.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "model/model_source.h"
#include "model/onnx_fold.h"
#include "model/onnx_lower.h"
#include "model/op_schema.h"
#include "model/passes/fuse_attention.h"
#include "model/passes/passes.h"
#include "model/training_graph.h"
#include "tests/model/onnx_bytes.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using testing::attribute;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Integers;
using ::testing::IsEmpty;
using testing::OnnxBytes;
using ::testing::SizeIs;
constexpr std::int64_t kN = OnnxBytes::kSymbolic;

Result<ImportedModel> import(const OnnxBytes& bytes) {
  const testing::TemporaryFolder folder;
  return import_onnx(folder.write("small.onnx", bytes.text()));
}

std::vector<OpKind> kinds(const Graph& graph) {
  std::vector<OpKind> result;
  for (const Op& op : graph.ops()) result.push_back(op.kind);
  return result;
}

TEST(OnnxImport, FoldsABiasIntoTheProduct) {
  OnnxBytes b;
  b.input("x", {kN, 8}).weight("w", {8, 10}).weight("b", {10});
  b.node("MatMul", {"x", "w"}, {"xw"}).node("Add", {"b", "xw"}, {"y"}).output("y");
  const auto imported = import(b);
  ASSERT_TRUE(imported.ok()) << imported.error().message;
  const Graph& g = imported->model.graph;
  EXPECT_EQ(kinds(g), (std::vector{OpKind::kLinear, OpKind::kSoftmaxCrossEntropy}));
  EXPECT_EQ(parameter_count(g), 90);
  EXPECT_EQ(g.tensor(*g.find_tensor("w")).type.shape, (Shape{{10, 8}}));
}

TEST(OnnxImport, DropsTheFinalSoftmax) {
  OnnxBytes b;
  b.input("x", {4, 8})
      .weight("w", {3, 8})
      .node("Gemm", {"x", "w"}, {"y"}, {attribute("transB", 1)});
  b.node("Softmax", {"y"}, {"p"}).output("p");
  const auto imported = import(b);
  ASSERT_TRUE(imported.ok()) << imported.error().message;
  EXPECT_EQ(kinds(imported->model.graph),
            (std::vector{OpKind::kLinear, OpKind::kSoftmaxCrossEntropy}));
}

TEST(OnnxImport, HasNoLossWhereTheAnswerIsNoClass) {
  OnnxBytes b;
  b.input("x", {kN, 5, 8}).weight("w", {8, 3}).node("MatMul", {"x", "w"}, {"y"});
  b.node("Softmax", {"y"}, {"p"}).output("p");
  const auto imported = import(b);
  ASSERT_TRUE(imported.ok()) << imported.error().message;
  EXPECT_FALSE(imported->model.loss.valid());
  EXPECT_EQ(kinds(imported->model.graph), (std::vector{OpKind::kLinear, OpKind::kSoftmax}));
  ASSERT_EQ(imported->warnings.size(), 1u);
  EXPECT_THAT(imported->warnings[0], HasSubstr("no loss: the output 'p' is 5x3"));
}

OnnxBytes layer_norm(bool square_by_product) {
  OnnxBytes b;
  b.input("x", {kN, 5, 8}).weight("gamma", {8}).weight("beta", {8});
  b.scalar("two", 2).scalar("epsilon", 1e-6F);
  b.node("ReduceMean", {"x"}, {"mean"}, {attribute("axes", Integers{-1})});
  b.node("Sub", {"x", "mean"}, {"d"});
  if (square_by_product) {
    b.node("Mul", {"d", "d"}, {"sq"});
  } else {
    b.node("Pow", {"d", "two"}, {"sq"});
  }
  b.node("ReduceMean", {"sq"}, {"var"}, {attribute("axes", Integers{-1})});
  b.node("Add", {"var", "epsilon"}, {"ve"})
      .node("Sqrt", {"ve"}, {"s"})
      .node("Div", {"d", "s"}, {"n"});
  b.node("Mul", {"n", "gamma"}, {"g"}).node("Add", {"g", "beta"}, {"y"}).output("y");
  return b;
}

TEST(OnnxImport, RecognisesLayerNorms) {
  for (bool product : {false, true}) {
    const auto imported = import(layer_norm(product));
    ASSERT_TRUE(imported.ok()) << imported.error().message;
    const Graph& g = imported->model.graph;
    ASSERT_EQ(kinds(g), std::vector{OpKind::kLayerNorm});
    EXPECT_NEAR(std::get<NormAttrs>(g.ops()[0].attrs).epsilon, 1e-6, 1e-9);
    EXPECT_EQ(parameter_count(g), 16);
  }
}

TEST(OnnxImport, RecognisesGeluInEveryOrder) {
  for (int order = 0; order < 3; ++order) {
    OnnxBytes b;
    b.input("x", {kN, 5, 8}).scalar("root", 1.41421354F).scalar("one", 1).scalar("half", 0.5F);
    b.node("Div", {"x", "root"}, {"z"}).node("Erf", {"z"}, {"e"}).node("Add", {"e", "one"}, {"a"});
    if (order == 0) b.node("Mul", {"x", "a"}, {"m"}).node("Mul", {"m", "half"}, {"y"});
    if (order == 1) b.node("Mul", {"half", "x"}, {"m"}).node("Mul", {"m", "a"}, {"y"});
    if (order == 2) b.node("Mul", {"a", "half"}, {"m"}).node("Mul", {"x", "m"}, {"y"});
    const auto imported = import(b.output("y"));
    ASSERT_TRUE(imported.ok()) << imported.error().message;
    EXPECT_EQ(kinds(imported->model.graph), std::vector{OpKind::kGelu});
  }
}

TEST(OnnxImport, DoesNotTakeAnotherCurveForGelu) {
  OnnxBytes b;
  b.input("x", {kN, 5, 8}).scalar("root", 2).scalar("one", 1).scalar("half", 0.5F);
  b.node("Div", {"x", "root"}, {"z"}).node("Erf", {"z"}, {"e"}).node("Add", {"e", "one"}, {"a"});
  b.node("Mul", {"x", "a"}, {"m"}).node("Mul", {"m", "half"}, {"y"}).output("y");
  const auto imported = import(b);
  ASSERT_FALSE(imported.ok());
  EXPECT_THAT(imported.error().message, HasSubstr("node 'make_e' (Erf)"));
}

/// Attention as torch traces it: time first, the batch between, heads merged with it.
OnnxBytes attention(std::int64_t batch) {
  const std::int64_t t = 7, h = 3, d = 4, width = h * d;
  OnnxBytes b;
  b.input("x", {batch, t, width}).scalar("root", 2).weight("wq", {width, width});
  b.weight("wo", {width, width})
      .integers("heads", {t, batch * h, d})
      .integers("joined", {t, batch, width});
  b.node("Transpose", {"x"}, {"tbd"}, {attribute("perm", Integers{1, 0, 2})});
  b.node("MatMul", {"tbd", "wq"}, {"q"});
  b.node("Reshape", {"q", "heads"}, {"qh"});
  b.node("Transpose", {"qh"}, {"qt"}, {attribute("perm", Integers{1, 0, 2})});
  b.node("Transpose", {"qh"}, {"kt"}, {attribute("perm", Integers{1, 2, 0})});
  b.node("Div", {"qt", "root"}, {"qs"}).node("MatMul", {"qs", "kt"}, {"scores"});
  b.node("Softmax", {"scores"}, {"p"}, {attribute("axis", -1)}).node("MatMul", {"p", "qt"}, {"o"});
  b.node("Transpose", {"o"}, {"ot"}, {attribute("perm", Integers{1, 0, 2})});
  b.node("Reshape", {"ot", "joined"}, {"oj"}).node("MatMul", {"oj", "wo"}, {"z"});
  b.node("Transpose", {"z"}, {"y"}, {attribute("perm", Integers{1, 0, 2})}).output("y");
  return b;
}

TEST(OnnxImport, FollowsTheBatchThroughAttentionAtAnyExportedBatch) {
  const auto at_one = import(attention(1));
  ASSERT_TRUE(at_one.ok()) << at_one.error().message;
  const Graph& g = at_one->model.graph;
  EXPECT_EQ(g.tensor(at_one->model.logits).type.shape, (Shape{{7, 12}}));
  double scale = 0;
  for (const Op& op : g.ops()) {
    if (op.name == "make_scores") {
      scale = std::get<MatMulAttrs>(op.attrs).scale;
      EXPECT_EQ(g.tensor(op.outputs[0]).type.shape, (Shape{{3, 7, 7}}));
    }
  }
  EXPECT_EQ(scale, 0.5);
  // 1 / sqrt(d): it is the attention node, of q with itself, without what split and joined heads.
  const auto fused = fuse_attention(at_one->model);
  ASSERT_TRUE(fused.ok()) << fused.error().message;
  const auto& ops = fused->graph.ops();
  const auto node = std::find_if(ops.begin(), ops.end(),
                                 [](const Op& op) { return op.kind == OpKind::kAttention; });
  ASSERT_NE(node, ops.end());
  EXPECT_EQ(node->attrs, OpAttrs(AttentionAttrs{3, 3, false}));
  EXPECT_EQ(node->inputs, std::vector<TensorId>(3, node->inputs[0]));
  EXPECT_EQ(ops.size(), 3U);  // between the two projections
  for (std::int64_t batch : {2, 5, 16}) {
    const auto other = import(attention(batch));
    ASSERT_TRUE(other.ok()) << other.error().message;
    EXPECT_EQ(other->model.graph.fingerprint(), g.fingerprint());
  }
}

/// What torch's nn.MultiheadAttention ends with: tokens and batch merged for one Gemm, tokens
/// first. `written`: the batch in the constants.
OnnxBytes merged_tokens(std::int64_t batch, std::int64_t written) {
  OnnxBytes b;
  b.input("x", {batch, 7, 12}).weight("w", {4, 12}).weight("b", {4});
  b.integers("flat", {7 * written, 12}).integers("apart", {7, written, 4});
  b.node("Transpose", {"x"}, {"tbd"}, {attribute("perm", Integers{1, 0, 2})});
  b.node("Reshape", {"tbd", "flat"}, {"f"});
  b.node("Gemm", {"f", "w", "b"}, {"g"}, {attribute("transB", 1)});
  b.node("Reshape", {"g", "apart"}, {"tbo"});
  b.node("Transpose", {"tbo"}, {"y"}, {attribute("perm", Integers{1, 0, 2})}).output("y");
  return b;
}

TEST(OnnxImport, FollowsTheBatchMergedBehindTheTokens) {
  const auto at_two = import(merged_tokens(2, 2));
  ASSERT_TRUE(at_two.ok()) << at_two.error().message;
  const Graph& g = at_two->model.graph;
  EXPECT_EQ(kinds(g), std::vector{OpKind::kLinear});  // (7,12) per sample throughout
  EXPECT_EQ(g.tensor(at_two->model.logits).type.shape, (Shape{{7, 4}}));
  for (std::int64_t batch : {1, 3, 7, 32}) {
    const auto other = import(merged_tokens(batch, batch));
    ASSERT_TRUE(other.ok()) << batch << ": " << other.error().message;
    EXPECT_EQ(other->model.graph.fingerprint(), g.fingerprint());
    EXPECT_THAT(other->warnings, SizeIs(1));  // no loss
  }
}

TEST(OnnxImport, ReadsTheBatchOfTheExportWhereTheInputHasAnother) {
  const auto same = import(merged_tokens(2, 2));
  ASSERT_TRUE(same.ok()) << same.error().message;
  for (const auto& [batch, written] :
       {std::pair<std::int64_t, std::int64_t>{32, 1}, {1, 32}, {kN, 1}, {kN, 5}, {7, 5}}) {
    const auto other = import(merged_tokens(batch, written));
    ASSERT_TRUE(other.ok()) << batch << " " << written << ": " << other.error().message;
    EXPECT_EQ(other->model.graph.fingerprint(), same->model.graph.fingerprint());
    EXPECT_THAT(other->warnings,
                ElementsAre(HasSubstr("no loss"),
                            HasSubstr(fmt::format("node 'make_f' (Reshape) still has the batch of "
                                                  "the export, {};",
                                                  written))));
  }
}

TEST(OnnxImport, RefusesTwoBatchesOfAnExport) {
  OnnxBytes b;
  b.input("x", {8, 6}).integers("two", {2, 6}).integers("three", {3, 6});
  b.node("Reshape", {"x", "two"}, {"h"}).node("Reshape", {"h", "three"}, {"y"}).output("y");
  const auto imported = import(b);
  ASSERT_FALSE(imported.ok());
  EXPECT_THAT(imported.error().message,
              HasSubstr("node 'make_y' (Reshape): it is written for a batch of 3, nodes before it "
                        "for 2"));
}

TEST(OnnxImport, FollowsASymbolicBatchBehindTheTokens) {
  OnnxBytes b;
  b.input("x", {kN, 7, 12}).weight("w", {12, 4});
  b.integers("zero", {0}).integers("seven", {7}).integers("width", {12}).integers("out", {4});
  b.node("Shape", {"x"}, {"shape"}).node("Gather", {"shape", "zero"}, {"n"});
  b.node("Mul", {"n", "seven"}, {"n7"});
  b.node("Concat", {"n7", "width"}, {"flat"}, {attribute("axis", 0)});
  b.node("Concat", {"seven", "n", "out"}, {"apart"}, {attribute("axis", 0)});
  b.node("Transpose", {"x"}, {"tbd"}, {attribute("perm", Integers{1, 0, 2})});
  b.node("Reshape", {"tbd", "flat"}, {"f"}).node("Gemm", {"f", "w"}, {"g"});
  b.node("Reshape", {"g", "apart"}, {"tbo"});
  b.node("Transpose", {"tbo"}, {"y"}, {attribute("perm", Integers{1, 0, 2})}).output("y");
  const auto imported = import(b);
  ASSERT_TRUE(imported.ok()) << imported.error().message;
  EXPECT_EQ(kinds(imported->model.graph), std::vector{OpKind::kLinear});
  EXPECT_EQ(imported->model.graph.tensor(imported->model.logits).type.shape, (Shape{{7, 4}}));
}

TEST(OnnxImport, DoesNotAddTensorsWhoseBatchIsElsewhere) {
  OnnxBytes b;  // (3*2,8) from (3,batch,8) and from (batch,3,8)
  b.input("x", {2, 3, 8}).integers("s", {6, 8});
  b.node("Transpose", {"x"}, {"t"}, {attribute("perm", Integers{1, 0, 2})});
  b.node("Reshape", {"t", "s"}, {"behind"}).node("Reshape", {"x", "s"}, {"leading"});
  b.node("Add", {"behind", "leading"}, {"y"}).output("y");
  const auto imported = import(b);
  ASSERT_FALSE(imported.ok());
  EXPECT_THAT(imported.error().message, HasSubstr("node 'make_y' (Add): sums of activations of"));
}

TEST(OnnxImport, FollowsASymbolicBatchThroughShapeArithmetic) {
  OnnxBytes b;
  b.input("x", {kN, 6, 4, 4}).weight("token", {1, 1, 6}).weight("w", {6, 10});
  b.integers("zero", {}, {0}).integers("axis0", {0}).integers("rest", {6, 16});
  b.integers("minus", {-1, -1}).integers("minus1", {-1}).integers("one", {}, {1});
  b.node("Shape", {"x"}, {"shape"}).node("Gather", {"shape", "zero"}, {"n"});
  b.node("Unsqueeze", {"n", "axis0"}, {"n1"})
      .node("Concat", {"n1", "rest"}, {"to"}, {attribute("axis", 0)});
  b.node("Reshape", {"x", "to"}, {"flat"});
  b.node("Transpose", {"flat"}, {"tokens"}, {attribute("perm", Integers{0, 2, 1})});
  // token.expand(n, -1, -1) as torch writes it
  b.node("Concat", {"n1", "minus"}, {"asked"}, {attribute("axis", 0)});
  b.integers("ones", {1, 1, 1}).integers("minuses", {-1, -1, -1});
  b.node("Equal", {"asked", "minuses"}, {"keep"});
  b.node("Where", {"keep", "ones", "asked"}, {"wanted"})
      .node("Expand", {"token", "wanted"}, {"first"});
  b.node("Concat", {"first", "tokens"}, {"all"}, {attribute("axis", 1)});
  b.node("Gather", {"all", "zero"}, {"head"}, {attribute("axis", 1)});
  b.node("MatMul", {"head", "w"}, {"y"}).output("y");
  const auto imported = import(b);
  ASSERT_TRUE(imported.ok()) << imported.error().message;
  const Graph& g = imported->model.graph;
  EXPECT_EQ(parameter_count(g), 6 + 60);
  EXPECT_EQ(g.tensor(*g.find_tensor("make_all")).type.shape, (Shape{{17, 6}}));
  EXPECT_TRUE(differentiate(imported->model, SgdAttrs{}).ok());
}

TEST(OnnxImport, AddsAPositionTable) {
  OnnxBytes b;
  b.input("x", {2, 5, 8}).weight("p", {1, 5, 8}).node("Add", {"x", "p"}, {"y"}).output("y");
  const auto imported = import(b);
  ASSERT_TRUE(imported.ok()) << imported.error().message;
  EXPECT_EQ(kinds(imported->model.graph), std::vector{OpKind::kPositionAdd});
  EXPECT_EQ(parameter_count(imported->model.graph), 40);
}

TEST(OnnxImport, CountsAnAliasAsAParameterOfItsOwn) {
  OnnxBytes b;
  b.input("x", {2, 8}).weight("w", {8, 8}).node("Identity", {"w"}, {"w2"});
  b.node("MatMul", {"x", "w"}, {"h"}).node("MatMul", {"h", "w2"}, {"y"}).output("y");
  const auto imported = import(b);
  ASSERT_TRUE(imported.ok()) << imported.error().message;
  EXPECT_EQ(parameter_count(imported->model.graph), 128);
}

TEST(OnnxImport, TiesTheHeadToTheEmbedding) {
  OnnxBytes b;
  b.input("ids", {kN, 5}, 7).weight("table", {100, 8});
  b.node("Gather", {"table", "ids"}, {"x"});
  b.node("Transpose", {"table"}, {"t"}, {attribute("perm", Integers{1, 0})});
  b.node("MatMul", {"x", "t"}, {"y"}).output("y");
  const auto imported = import(b);
  ASSERT_TRUE(imported.ok()) << imported.error().message;
  EXPECT_EQ(kinds(imported->model.graph), (std::vector{OpKind::kEmbedding, OpKind::kLinear}));
  EXPECT_EQ(parameter_count(imported->model.graph), 800);
}

TEST(OnnxImport, DoesNotCountRunningStatistics) {
  OnnxBytes b;
  b.input("x", {2, 3, 8, 8}).weight("w", {4, 3, 3, 3});
  for (const char* name : {"scale", "shift", "mean", "var"}) b.weight(name, {4});
  b.node("Conv", {"x", "w"}, {"c"}, {attribute("pads", Integers{1, 1, 1, 1})});
  b.node("BatchNormalization", {"c", "scale", "shift", "mean", "var"}, {"y"}).output("y");
  const auto imported = import(b);
  ASSERT_TRUE(imported.ok()) << imported.error().message;
  EXPECT_EQ(parameter_count(imported->model.graph), 108 + 8);
  EXPECT_EQ(imported->model.graph.with_role(TensorRole::kBuffer).size(), 2u);
}

TEST(OnnxImport, TakesListedWeightsForWeights) {
  OnnxBytes b;
  b.input("image", {2, 3, 8, 8}).input("conv.weight", {4, 3, 1, 1}).input("fc.weight", {10, 4});
  b.node("Conv", {"image", "conv.weight"}, {"c"}).node("GlobalAveragePool", {"c"}, {"p"});
  b.node("Flatten", {"p"}, {"f"}).node("Gemm", {"f", "fc.weight"}, {"y"}, {attribute("transB", 1)});
  const auto imported = import(b.output("y"));
  ASSERT_TRUE(imported.ok()) << imported.error().message;
  EXPECT_EQ(parameter_count(imported->model.graph), 52);
  EXPECT_THAT(imported->warnings.at(0), HasSubstr("only image taken as data"));
}

TEST(OnnxImport, AddsTheLossOfAnAuxiliaryClassifier) {
  OnnxBytes b;
  b.input("x", {2, 8}).weight("w", {8, 3}).weight("a", {8, 3});
  b.node("MatMul", {"x", "w"}, {"y"}).node("MatMul", {"x", "a"}, {"aux"}).output("y").output("aux");
  const auto imported = import(b);
  ASSERT_TRUE(imported.ok()) << imported.error().message;
  EXPECT_THAT(imported->warnings.at(0), HasSubstr("'aux' is taken for an auxiliary classifier"));
  const auto training = differentiate(imported->model, SgdAttrs{});
  ASSERT_TRUE(training.ok()) << training.error().message;
  EXPECT_EQ(training->trained.size(), 2u);
}

TEST(OnnxImport, ComputesAutomaticPadding) {
  OnnxBytes b;
  b.input("x", {1, 3, 9, 9}).weight("w", {4, 3, 3, 3});
  b.node("Conv", {"x", "w"}, {"y"},
         {attribute("auto_pad", std::string("SAME_UPPER")), attribute("strides", Integers{2, 2})});
  const auto imported = import(b.output("y"));
  ASSERT_TRUE(imported.ok()) << imported.error().message;
  EXPECT_EQ(imported->model.graph.tensor(imported->model.logits).type.shape, (Shape{{4, 5, 5}}));
}

TEST(OnnxImport, TakesZerosAroundAnImageIntoTheNodeThatReadsThem) {
  const auto padded = [](const char* kind, std::vector<std::string> operands,
                         std::vector<std::string> attributes) {
    OnnxBytes b;
    b.input("x", {2, 4, 8, 8}).weight("w", {4, 4, 3, 3});
    b.integers("pads", {0, 0, 1, 2, 0, 0, 0, 1}).node("Pad", {"x", "pads"}, {"p"});
    operands.insert(operands.begin(), "p");
    return b.node(kind, operands, {"y"}, attributes).output("y");
  };
  const std::string window = attribute("kernel_shape", Integers{3, 3});
  const auto pool = import(padded("AveragePool", {}, {window}));
  ASSERT_TRUE(pool.ok()) << pool.error().message;
  const Graph& g = pool->model.graph;
  ASSERT_EQ(kinds(g), std::vector{OpKind::kAvgPool});
  EXPECT_TRUE(std::get<PoolAttrs>(g.ops()[0].attrs).count_include_pad);
  EXPECT_EQ(g.tensor(pool->model.logits).type.shape, (Shape{{4, 7, 9}}));
  const auto conv =
      import(padded("Conv", {"w"}, {window, attribute("pads", Integers{1, 1, 1, 1})}));
  ASSERT_TRUE(conv.ok()) << conv.error().message;
  EXPECT_EQ(conv->model.graph.tensor(conv->model.logits).type.shape, (Shape{{4, 9, 11}}));
  // Another mean, or another maximum: the padding does not belong to them.
  const std::vector<std::vector<std::string>> others = {
      {window, attribute("pads", Integers{1, 1, 1, 1})}, {window, attribute("ceil_mode", 1)}};
  for (const auto& attributes : others) {
    const auto other = import(padded("AveragePool", {}, attributes));
    ASSERT_FALSE(other.ok());
    EXPECT_THAT(other.error().message, HasSubstr("node 'make_p' (Pad)"));
  }
  EXPECT_FALSE(import(padded("MaxPool", {}, {window})).ok());
}

TEST(OnnxImport, RefusesPaddingThatIsNotZerosAroundAnImage) {
  for (int trial = 0; trial < 3; ++trial) {
    OnnxBytes b;
    b.input("x", {2, 4, 8, 8}).weight("w", {4, 4, 3, 3}).scalar("one", 1);
    b.integers("pads", {0, trial == 0 ? 1 : 0, 1, 1, 0, 0, 1, 1});
    b.node("Pad", {"x", "pads", trial == 1 ? "one" : ""}, {"p"},
           {attribute("mode", std::string(trial == 2 ? "reflect" : "constant"))});
    b.node("Conv", {"p", "w"}, {"y"}).output("y");
    const auto imported = import(b);
    ASSERT_FALSE(imported.ok());
    EXPECT_THAT(imported.error().message, HasSubstr("node 'make_p' (Pad)"));
  }
}

TEST(OnnxImport, SaysHowManyNormsAnExportFolded) {
  OnnxBytes b;  // as torch names them; the second norm could not be folded
  b.input("x", {2, 3, 8, 8}).weight("onnx::Conv_7", {4, 3, 1, 1}).weight("onnx::Conv_8", {4});
  b.weight("conv.weight", {4, 4, 1, 1});
  for (const char* name : {"scale", "shift", "mean", "var"}) b.weight(name, {4});
  b.node("Conv", {"x", "onnx::Conv_7", "onnx::Conv_8"}, {"c"});
  b.node("BatchNormalization", {"c", "scale", "shift", "mean", "var"}, {"n"});
  b.node("Conv", {"n", "conv.weight"}, {"y"}).output("y");
  const auto imported = import(b);
  ASSERT_TRUE(imported.ok()) << imported.error().message;
  EXPECT_THAT(imported->warnings,
              ElementsAre(HasSubstr("no loss"),
                          HasSubstr("the export folded norms into 1 of 2 convolutions")));
}

struct Refused {
  const char* what;
  OnnxBytes bytes;
  std::string message;
};

TEST(OnnxImport, NamesTheNodeItRefuses) {
  const auto image = [] { return OnnxBytes().input("x", {2, 4, 8, 8}); };
  std::vector<Refused> cases;
  cases.push_back({"unknown kind", image().node("HardSwish", {"x"}, {"y"}),
                   "node 'make_y' (HardSwish): this kind"});
  cases.push_back({"squeeze-and-excitation",
                   image().node("GlobalAveragePool", {"x"}, {"g"}).node("Mul", {"x", "g"}, {"y"}),
                   "node 'make_y' (Mul): products of activations of different shapes"});
  cases.push_back({"batch lost", image().integers("s", {8, 64}).node("Reshape", {"x", "s"}, {"y"}),
                   ""});  // 2*4 x 64: the batch is the outer part of the first axis
  cases.push_back({"batch mixed",
                   OnnxBytes()
                       .input("x", {2, 3, 8})
                       .node("Transpose", {"x"}, {"t"}, {attribute("perm", Integers{1, 0, 2})})
                       .integers("s", {2, 24})
                       .node("Reshape", {"t", "s"}, {"y"}),
                   "node 'make_y' (Reshape): the batch would be mixed"});
  cases.push_back({"product over the batch",
                   OnnxBytes()
                       .input("x", {2, 3, 8})
                       .weight("w", {16, 4})
                       .node("Transpose", {"x"}, {"t"}, {attribute("perm", Integers{1, 0, 2})})
                       .integers("s", {3, 16})
                       .node("Reshape", {"t", "s"}, {"f"})
                       .node("Gemm", {"f", "w"}, {"y"}),
                   "node 'make_y' (Gemm): the product would sum over the batch"});
  cases.push_back(
      {"batch cut",
       image().integers("a", {0}).integers("e", {1}).node("Slice", {"x", "a", "e", "a"}, {"y"}),
       "node 'make_y' (Slice): the batch would be cut"});
  cases.push_back({"elements", image().integers("s", {2, 5}).node("Reshape", {"x", "s"}, {"y"}),
                   "node 'make_y' (Reshape): 2 samples of 256 elements"});
  cases.push_back({"mean over tokens",
                   OnnxBytes()
                       .input("x", {2, 5, 8})
                       .node("ReduceMean", {"x"}, {"y"}, {attribute("axes", Integers{1})}),
                   "node 'make_y' (ReduceMean)"});
  cases.push_back({"factor",
                   image().scalar("k", 3).node("Mul", {"x", "k"}, {"m"}).node("Relu", {"m"}, {"y"}),
                   "node 'make_y' (Relu): operand 0 is multiplied by a constant"});
  cases.push_back({"computed weight",
                   image().node("Relu", {"x"}, {"h"}).node("Conv", {"x", "h"}, {"y"}),
                   "node 'make_y' (Conv): operand 1 is computed"});
  cases.push_back({"three axes",
                   OnnxBytes()
                       .input("x", {2, 4, 8, 8, 8})
                       .weight("w", {4, 4, 1, 1, 1})
                       .node("Conv", {"x", "w"}, {"y"}),
                   "node 'make_y' (Conv): operand 0 is not"});
  cases.push_back({"weight size", image().weight("w", {4, 3, 1, 1}).node("Conv", {"x", "w"}, {"y"}),
                   "node make_y (conv2d)"});
  cases.push_back({"unsorted", image().node("Relu", {"h"}, {"y"}).node("Relu", {"x"}, {"h"}),
                   "node 'make_y' (Relu): operand 'h' is not made by an earlier node"});
  for (Refused& refused : cases) {
    SCOPED_TRACE(refused.what);
    const auto imported = import(refused.bytes.output("y"));
    if (refused.message.empty()) {
      EXPECT_TRUE(imported.ok()) << imported.error().message;
      continue;
    }
    ASSERT_FALSE(imported.ok());
    EXPECT_THAT(imported.error().message, HasSubstr(refused.message));
    EXPECT_THAT(imported.error().message, HasSubstr("small.onnx"));
  }
}

TEST(OnnxImport, RefusesAReshapeWhoseLeadingNumberIsAmbiguous) {
  OnnxBytes b;
  b.input("x", {2, 8, 6}).integers("s", {8, -1, 6}).node("Reshape", {"x", "s"}, {"y"}).output("y");
  const auto imported = import(b);
  ASSERT_FALSE(imported.ok());
  EXPECT_THAT(imported.error().message, HasSubstr("leading number 8 may be a batch size or not"));
  EXPECT_THAT(imported.error().help, HasSubstr("dynamic_axes"));
}

TEST(OnnxImport, RefusesInputsWithoutSizes) {
  OnnxBytes b;
  b.input("image", {kN, 3, kN, 224}).node("Relu", {"image"}, {"y"}).output("y");
  const auto imported = import(b);
  ASSERT_FALSE(imported.ok());
  EXPECT_THAT(imported.error().message,
              HasSubstr("input 'image' has an axis of unknown size, 2 ('N')"));
}

TEST(OnnxImport, IgnoresNodesNothingNeeds) {
  OnnxBytes b;
  b.input("x", {2, 8}).node("NonZero", {"x"}, {"unused"}).node("Relu", {"x"}, {"y"}).output("y");
  const auto imported = import(b);
  ASSERT_TRUE(imported.ok()) << imported.error().message;
  EXPECT_EQ(imported->model.graph.ops().size(), 2u);
}

TEST(OnnxImport, SaysThatAFileIsMissing) {
  const auto imported = import_onnx("/nowhere/model.onnx");
  ASSERT_FALSE(imported.ok());
  EXPECT_EQ(imported.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(imported.error().message, HasSubstr("/nowhere/model.onnx"));
}

TEST(OnnxFold, LeavesAProductThatIsUsedTwice) {
  OnnxBytes b;
  b.input("x", {2, 8}).weight("w", {8, 4}).weight("b", {4});
  b.node("MatMul", {"x", "w"}, {"m"}).node("Add", {"m", "b"}, {"y"}).output("y").output("m");
  auto file = parse_onnx(b.text());
  ASSERT_TRUE(file.ok());
  std::vector<std::string> warnings;
  fold_patterns(*file, constants_of(*file), warnings);
  EXPECT_EQ(file->nodes[1].kind, "Add");
  EXPECT_THAT(warnings, IsEmpty());
}

TEST(OnnxActivation, KnowsItsAxesWithoutTheBatch) {
  const OnnxActivation plain{TensorId(0), {7, 1, 12}, 1, 1}, merged{TensorId(0), {3, 7, 4}, 0, 1};
  EXPECT_EQ(plain.outer, 1);
  EXPECT_EQ(plain.sample_shape(), (Shape{{7, 12}}));
  EXPECT_EQ(plain.sample_axis(2), 1u);
  EXPECT_EQ(plain.sample_axis(-3), 0u);
  EXPECT_FALSE(plain.sample_axis(1).has_value());
  EXPECT_EQ(merged.sample_shape(), (Shape{{3, 7, 4}}));
  EXPECT_EQ(merged.sample_axis(2), 2u);
}

}  // namespace
}  // namespace pluto
