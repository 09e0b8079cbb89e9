#include <gmock/gmock.h>

#include "tests/model/op_cases.h"

namespace pluto {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ConvAttrs conv(std::int64_t channels, std::int64_t kernel, std::int64_t stride, std::int64_t pad) {
  ConvAttrs a;
  a.out_channels = channels;
  a.kernel_h = a.kernel_w = kernel;
  a.stride_h = a.stride_w = stride;
  a.pad_top = a.pad_left = a.pad_bottom = a.pad_right = pad;
  return a;
}

Flops forward_flops(OpKind kind, const OpAttrs& attrs, const std::vector<TensorType>& inputs,
                    std::int64_t batch) {
  return schema_of(kind)
      .work(OpPass::kForward, attrs, inputs, infer(kind, attrs, inputs), batch)
      .flops;
}

TEST(Conv2dTest, FirstLayerOfResNet) {
  const auto y =
      infer(OpKind::kConv2d, conv(64, 7, 2, 3), {sample({3, 224, 224}), fixed({64, 3, 7, 7})});
  EXPECT_THAT(y, ElementsAre(sample({64, 112, 112})));
}

TEST(Conv2dTest, FirstLayerOfAlexNetDropsTheRemainder) {
  // (227 - 11) / 4 + 1 = 55; one column less leaves 54 and three columns unread.
  EXPECT_THAT(
      infer(OpKind::kConv2d, conv(96, 11, 4, 0), {sample({3, 227, 227}), fixed({96, 3, 11, 11})}),
      ElementsAre(sample({96, 55, 55})));
  EXPECT_THAT(
      infer(OpKind::kConv2d, conv(96, 11, 4, 0), {sample({3, 226, 226}), fixed({96, 3, 11, 11})}),
      ElementsAre(sample({96, 54, 54})));
}

TEST(Conv2dTest, DilationWidensTheKernel) {
  ConvAttrs a = conv(8, 3, 1, 0);
  a.dilation_h = 2;
  a.dilation_w = 3;  // extents 5 and 7
  EXPECT_THAT(infer(OpKind::kConv2d, a, {sample({4, 10, 10}), fixed({8, 4, 3, 3})}),
              ElementsAre(sample({8, 6, 4})));
}

TEST(Conv2dTest, PaddingMayDifferOnEachSide) {
  ConvAttrs a = conv(8, 3, 2, 0);
  a.pad_top = 1;
  a.pad_bottom = 2;
  a.pad_right = 1;
  // height (8 + 3 - 3) / 2 + 1 = 5, width (8 + 1 - 3) / 2 + 1 = 4
  EXPECT_THAT(infer(OpKind::kConv2d, a, {sample({4, 8, 8}), fixed({8, 4, 3, 3})}),
              ElementsAre(sample({8, 5, 4})));
}

TEST(Conv2dTest, KernelMayBeRectangular) {
  ConvAttrs a = conv(8, 1, 1, 0);
  a.kernel_w = 7;
  a.pad_left = a.pad_right = 3;
  EXPECT_THAT(infer(OpKind::kConv2d, a, {sample({4, 17, 17}), fixed({8, 4, 1, 7})}),
              ElementsAre(sample({8, 17, 17})));
}

TEST(Conv2dTest, ErrorsSayWhatIsWrong) {
  const auto error = [](const ConvAttrs& a, const std::vector<TensorType>& inputs) {
    return infer_error(OpKind::kConv2d, a, inputs);
  };
  const TensorType x = sample({4, 9, 9}), w = fixed({8, 4, 3, 3});
  EXPECT_EQ(error(conv(8, 3, 1, 1), {x}), "1 operands, expected 2 (x, w)");
  EXPECT_EQ(error(conv(8, 3, 1, 1), {sample({9, 9}), w}),
            "operand 0 (x) is 9x9, expected rank 3 (C,H,W)");
  EXPECT_EQ(error(conv(8, 5, 1, 1), {x, w}),
            "operand 1 (w) is 8x4x3x3, expected 8x4x5x5 (out_channels, channels/groups, kernel_h, "
            "kernel_w)");
  EXPECT_EQ(error(conv(8, 3, 1, 1), {x, sample({8, 4, 3, 3})}),
            "operand 1 (w) has a batch axis, expected none");
  EXPECT_EQ(error(conv(8, 3, 1, 1), {x, fixed({8, 4, 3, 3}, DType::kF16)}),
            "operand 1 (w) has element type f16, expected f32");
  EXPECT_EQ(error(conv(8, 11, 1, 0), {x, fixed({8, 4, 11, 11})}),
            "operand 0 (x) has height 9, with padding 9, smaller than the kernel's extent 11");
  EXPECT_EQ(error(conv(8, 3, 0, 1), {x, w}), "stride_h is 0, expected 1 or more");
  ConvAttrs groups = conv(8, 3, 1, 1);
  groups.groups = 3;
  EXPECT_EQ(error(groups, {x, w}), "3 groups do not divide 4 input and 8 output channels");
  ConvAttrs bias = conv(8, 3, 1, 1);
  bias.bias = true;
  EXPECT_EQ(error(bias, {x, w, fixed({4})}), "operand 2 (b) is 4, expected 8 (out_channels)");
}

TEST(Conv2dTest, FlopsAreTwoPerMultiplyAdd) {
  // Source: torchvision's resnet50, conv1: 118,013,952 multiply-adds.
  EXPECT_EQ(forward_flops(OpKind::kConv2d, conv(64, 7, 2, 3),
                          {sample({3, 224, 224}), fixed({64, 3, 7, 7})}, 1),
            Flops(2.0 * 118013952));
  ConvAttrs grouped = conv(8, 3, 1, 1);
  grouped.groups = 4;
  EXPECT_EQ(forward_flops(OpKind::kConv2d, grouped, {sample({4, 9, 7}), fixed({8, 1, 3, 3})}, 2),
            Flops(2 * 2.0 * 8 * 63 * 9));
}

TEST(Conv2dTest, EachBackwardPassCostsTheForwardProducts) {
  for (bool bias : {false, true}) {
    ConvAttrs a = conv(8, 3, 2, 1);
    a.bias = bias;
    OpCase op_case{OpKind::kConv2d, a, {sample({4, 9, 7}), fixed({8, 4, 3, 3})}, {}};
    if (bias) op_case.inputs.push_back(fixed({8}));
    const auto result = differentiate_case(op_case);
    ASSERT_TRUE(result.ok());
    const auto& ops = result->graph.ops();
    ASSERT_EQ(ops.size(), 3u);
    const double forward = op_work(result->graph, ops[0], 5).flops.value();
    const double y = 5 * 8 * 5 * 4;
    EXPECT_EQ(forward, y * (2 * 4 * 9 + (bias ? 1 : 0)));
    EXPECT_EQ(op_work(result->graph, ops[1], 5).flops, Flops(forward));  // backward_weight
    EXPECT_EQ(op_work(result->graph, ops[2], 5).flops, Flops(y * 2 * 4 * 9));
  }
}

TEST(Conv2dTest, FirstLayerHasNoDataGradient) {
  const OpCase op_case{
      OpKind::kConv2d, conv(8, 3, 2, 1), {sample({4, 9, 7}), fixed({8, 4, 3, 3})}, {}};
  const auto result = differentiate_case(op_case, {false, true}, {true});
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->graph.ops().size(), 2u);
  EXPECT_EQ(result->graph.ops()[1].name, "node.backward_weight");
  EXPECT_FALSE(result->gradients[0].has_value());
  const auto frozen = differentiate_case(op_case, {true, false}, {true});
  ASSERT_EQ(frozen->graph.ops().size(), 2u);
  EXPECT_EQ(frozen->graph.ops()[1].name, "node.backward_data");
}

TEST(LinearTest, AppliesToTheLastAxis) {
  EXPECT_THAT(infer(OpKind::kLinear, LinearAttrs{10, true},
                    {sample({7, 3, 4}), fixed({10, 4}), fixed({10})}),
              ElementsAre(sample({7, 3, 10})));
  EXPECT_THAT(infer(OpKind::kLinear, LinearAttrs{10, false}, {sample({4}), fixed({10, 4})}),
              ElementsAre(sample({10})));
}

TEST(LinearTest, ErrorsSayWhatIsWrong) {
  EXPECT_EQ(infer_error(OpKind::kLinear, LinearAttrs{10, false}, {sample({5}), fixed({10, 4})}),
            "operand 1 (w) is 10x4, expected 10x5 (out_features, in_features)");
  EXPECT_EQ(infer_error(OpKind::kLinear, LinearAttrs{10, false}, {sample({}), fixed({10, 4})}),
            "operand 0 (x) is scalar, expected rank 1 or more (..., in_features)");
  EXPECT_EQ(infer_error(OpKind::kLinear, LinearAttrs{0, false}, {sample({5}), fixed({10, 4})}),
            "out_features is 0, expected 1 or more");
  EXPECT_EQ(infer_error(OpKind::kLinear, LinearAttrs{10, true}, {sample({4}), fixed({10, 4})}),
            "2 operands, expected 3 (x, w, b)");
  EXPECT_EQ(infer_error(OpKind::kLinear, LinearAttrs{10, false},
                        {sample({4}, DType::kI32), fixed({10, 4})}),
            "operand 0 (x) has element type i32, expected f32, f16 or bf16");
}

TEST(LinearTest, WorkOfTheThreePasses) {
  const OpCase op_case{
      OpKind::kLinear, LinearAttrs{6, true}, {sample({3, 5}), fixed({6, 5}), fixed({6})}, {}};
  const auto result = differentiate_case(op_case);
  ASSERT_TRUE(result.ok());
  const auto& ops = result->graph.ops();
  ASSERT_EQ(ops.size(), 3u);
  const double rows = 4 * 3;
  const OpWork forward = op_work(result->graph, ops[0], 4);
  EXPECT_EQ(forward.flops, Flops(rows * 6 * (2 * 5 + 1)));
  EXPECT_EQ(forward.read, Bytes(4 * (4 * 15 + 30 + 6)));
  EXPECT_EQ(forward.written, Bytes(4 * 4 * 18));
  const OpWork weight = op_work(result->graph, ops[1], 4);
  EXPECT_EQ(weight.flops, Flops(rows * 6 * (2 * 5 + 1)));
  EXPECT_EQ(weight.read, Bytes(4 * 4 * (18 + 15)));
  EXPECT_EQ(weight.written, Bytes(4 * (30 + 6)));
  const OpWork data = op_work(result->graph, ops[2], 4);
  EXPECT_EQ(data.flops, Flops(rows * 6 * 2 * 5));
  EXPECT_EQ(data.read, Bytes(4 * (4 * 18 + 30)));
}

TEST(LinearTest, GatheredFactorsCountEveryRank) {
  GraphBuilder builder;
  const TensorId dy = builder.tensor("dy", TensorRole::kActivation, sample({6}));
  const TensorId x = builder.tensor("x", TensorRole::kActivation, sample({5}));
  const TensorId all_dy =
      builder.forward("gather_dy", OpKind::kFactorGather, CommAttrs{0, 8}, {dy});
  const TensorId all_x = builder.forward("gather_x", OpKind::kFactorGather, CommAttrs{0, 8}, {x});
  builder.op_with_types("late", OpKind::kLinear, OpPass::kBackwardWeight, LinearAttrs{6, false},
                        {all_dy, all_x}, {fixed({6, 5})}, {TensorRole::kGradient});
  const auto graph = std::move(builder).build();
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  const OpWork work = op_work(*graph, graph->ops()[2], 4);
  EXPECT_EQ(work.flops, Flops(8 * 4 * 2.0 * 6 * 5));
  EXPECT_EQ(work.read, Bytes(8 * 4 * 4 * (6 + 5)));
  EXPECT_EQ(work.written, Bytes(4 * 30));
}

TEST(MatMulTest, TransposesSwapTheLastTwoAxes) {
  const auto y = [](bool ta, bool tb, std::vector<std::int64_t> a, std::vector<std::int64_t> b) {
    return infer(OpKind::kMatMul, MatMulAttrs{ta, tb, 1},
                 {sample(std::move(a)), sample(std::move(b))});
  };
  EXPECT_THAT(y(false, false, {2, 3, 4}, {2, 4, 5}), ElementsAre(sample({2, 3, 5})));
  EXPECT_THAT(y(true, false, {2, 4, 3}, {2, 4, 5}), ElementsAre(sample({2, 3, 5})));
  EXPECT_THAT(y(false, true, {2, 3, 4}, {2, 5, 4}), ElementsAre(sample({2, 3, 5})));
  EXPECT_THAT(y(true, true, {4, 3}, {5, 4}), ElementsAre(sample({3, 5})));
}

TEST(MatMulTest, ErrorsSayWhatIsWrong) {
  const auto error = [](const TensorType& a, const TensorType& b) {
    return infer_error(OpKind::kMatMul, MatMulAttrs{}, {a, b});
  };
  EXPECT_EQ(error(sample({3, 4}), sample({5, 6})),
            "operand 1 (b) is 5x6, expected 4 as inner axis, after transposition, to follow "
            "operand 0 (a), 3x4");
  EXPECT_EQ(error(sample({2, 3, 4}), sample({3, 4, 5})),
            "operand 1 (b) is 3x4x5, expected the leading axes of operand 0 (a), 2x3x4");
  EXPECT_THAT(error(sample({2, 3, 4}), sample({4, 5})),
              HasSubstr("operand 1 (b) is 4x5, expected rank 3"));
  EXPECT_THAT(error(sample({4}), sample({4, 5})),
              HasSubstr("operand 0 (a) is 4, expected rank 2 or more"));
  const auto parameter =
      schema_of(OpKind::kMatMul).infer(MatMulAttrs{}, std::vector{sample({3, 4}), fixed({4, 5})});
  ASSERT_FALSE(parameter.ok());
  EXPECT_THAT(parameter.error().message, HasSubstr("operand 1 (b) has no batch axis"));
  EXPECT_EQ(parameter.error().help, "a product with a parameter is a linear node");
}

TEST(MatMulTest, WorkCountsTheProductAndTheScale) {
  EXPECT_EQ(
      forward_flops(OpKind::kMatMul, MatMulAttrs{}, {sample({2, 3, 4}), sample({2, 4, 5})}, 7),
      Flops(7 * 2 * 3 * 5 * 2.0 * 4));
  EXPECT_EQ(forward_flops(OpKind::kMatMul, MatMulAttrs{true, false, 0.5},
                          {sample({2, 4, 3}), sample({2, 4, 5})}, 7),
            Flops(7 * 2 * 3 * 5 * (2.0 * 4 + 1)));
}

// The rule as numbers: the emitted matmuls, computed by hand, against finite differences of sum(dy
// * y).
using Matrix = std::vector<std::vector<double>>;
Matrix transposed(const Matrix& m) {
  Matrix t(m[0].size(), std::vector<double>(m.size()));
  for (std::size_t i = 0; i < m.size(); ++i) {
    for (std::size_t j = 0; j < m[0].size(); ++j) t[j][i] = m[i][j];
  }
  return t;
}
Matrix product(const MatMulAttrs& attrs, Matrix a, Matrix b) {
  if (attrs.transpose_a) a = transposed(a);
  if (attrs.transpose_b) b = transposed(b);
  Matrix y(a.size(), std::vector<double>(b[0].size()));
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < b[0].size(); ++j) {
      for (std::size_t k = 0; k < b.size(); ++k) y[i][j] += attrs.scale * a[i][k] * b[k][j];
    }
  }
  return y;
}
Matrix filled(std::int64_t rows, std::int64_t columns, double seed) {
  Matrix m(rows, std::vector<double>(columns));
  for (auto& row : m) {
    for (double& value : row) value = (seed = seed * 1.7 - static_cast<int>(seed * 1.7) + 0.1);
  }
  return m;
}
double dot(const Matrix& a, const Matrix& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < a[0].size(); ++j) sum += a[i][j] * b[i][j];
  }
  return sum;
}

TEST(MatMulTest, GradientEqualsFiniteDifferences) {
  for (int transposes = 0; transposes < 4; ++transposes) {
    const MatMulAttrs attrs{(transposes & 1) != 0, (transposes & 2) != 0, 0.5};
    const std::vector<std::int64_t> a_dims =
        attrs.transpose_a ? std::vector<std::int64_t>{4, 3} : std::vector<std::int64_t>{3, 4};
    const std::vector<std::int64_t> b_dims =
        attrs.transpose_b ? std::vector<std::int64_t>{5, 4} : std::vector<std::int64_t>{4, 5};
    const auto result =
        differentiate_case({OpKind::kMatMul, attrs, {sample(a_dims), sample(b_dims)}, {}});
    ASSERT_TRUE(result.ok());
    const Graph& graph = result->graph;
    ASSERT_EQ(graph.ops().size(), 3u);
    const std::vector<Matrix> operands = {filled(a_dims[0], a_dims[1], 0.3),
                                          filled(b_dims[0], b_dims[1], 0.7)};
    const Matrix dy = filled(3, 5, 0.9);
    for (std::size_t which = 0; which < 2; ++which) {
      const Op& op = graph.ops()[1 + which];
      const auto value = [&](TensorId id) { return id.index() < 2 ? operands[id.index()] : dy; };
      const Matrix gradient =
          product(std::get<MatMulAttrs>(op.attrs), value(op.inputs[0]), value(op.inputs[1]));
      ASSERT_EQ(gradient.size(), operands[which].size());
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        for (std::size_t j = 0; j < gradient[0].size(); ++j) {
          std::vector<Matrix> moved = operands;
          moved[which][i][j] += 1;  // y is linear in each operand: the step may be large
          const double difference = dot(dy, product(attrs, moved[0], moved[1])) -
                                    dot(dy, product(attrs, operands[0], operands[1]));
          EXPECT_NEAR(gradient[i][j], difference, 1e-9) << transposes << " operand " << which;
        }
      }
    }
  }
}

TEST(MoeFfnTest, OutputIsLikeTheInput) {
  const MoeAttrs a{4, 2, 7};
  const std::vector<TensorType> inputs = {sample({3, 5}), fixed({4, 5}), fixed({4, 7, 5}),
                                          fixed({4, 7, 5}), fixed({4, 5, 7})};
  EXPECT_THAT(infer(OpKind::kMoeFfn, a, inputs), ElementsAre(sample({3, 5})));
  auto wrong = inputs;
  wrong[4] = fixed({4, 7, 5});
  EXPECT_EQ(infer_error(OpKind::kMoeFfn, a, wrong),
            "operand 4 (down) is 4x7x5, expected 4x5x7 (experts, width, intermediate)");
  EXPECT_EQ(infer_error(OpKind::kMoeFfn, MoeAttrs{4, 5, 7}, inputs), "top_k is 5, expected 1 to 4");
}

TEST(MoeFfnTest, OnlyChosenExpertsWork) {
  const auto flops = [](std::int64_t experts, std::int64_t chosen) {
    return forward_flops(OpKind::kMoeFfn, MoeAttrs{experts, chosen, 70},
                         {sample({30, 50}), fixed({experts, 50}), fixed({experts, 70, 50}),
                          fixed({experts, 70, 50}), fixed({experts, 50, 70})},
                         2)
        .value();
  };
  // Per token: router 2 D E + E + 5 k; expert 6 D I + 5 I + 2 D.
  EXPECT_EQ(flops(8, 2), 60 * (2 * 50 * 8 + 8 + 10 + 2.0 * (6 * 50 * 70 + 5 * 70 + 2 * 50)));
  EXPECT_EQ(flops(16, 2) - flops(8, 2),
            60 * (2.0 * 50 * 8 + 8));  // more experts: only the router grows
}

TEST(MoeFfnTest, ReadsTheWeightsOfChosenExpertsOnly) {
  const MoeAttrs a{8, 2, 7};
  const std::vector<TensorType> inputs = {sample({1, 5}), fixed({8, 5}), fixed({8, 7, 5}),
                                          fixed({8, 7, 5}), fixed({8, 5, 7})};
  const auto read = [&](std::int64_t batch) {
    return schema_of(OpKind::kMoeFfn)
        .work(OpPass::kForward, a, inputs, infer(OpKind::kMoeFfn, a, inputs), batch)
        .read;
  };
  EXPECT_EQ(read(1), Bytes(4 * (5 + 40 + 3 * 2 * 35)));     // one token, two experts
  EXPECT_EQ(read(50), Bytes(4 * (250 + 40 + 3 * 8 * 35)));  // every expert, once
}

TEST(MoeFfnTest, BackwardCountsEveryPart) {
  const std::vector<TensorType> inputs = {sample({3, 5}), fixed({4, 5}), fixed({4, 7, 5}),
                                          fixed({4, 7, 5}), fixed({4, 5, 7})};
  const auto result = differentiate_case({OpKind::kMoeFfn, MoeAttrs{4, 2, 7}, inputs, {}});
  ASSERT_TRUE(result.ok());
  // Router again 2 D E + E + 5 k, its gradients 4 D E + 4 k; per expert 16 D I + 18 I + 2 D.
  EXPECT_EQ(op_work(result->graph, result->graph.ops()[1], 2).flops,
            Flops(6 * (40 + 4 + 10 + 80 + 8 + 2.0 * (16 * 35 + 18 * 7 + 10))));
}

TEST(MoeFfnTest, BackwardRepeatsTwoOfThreeProducts) {
  // Large sizes, so that the products rule: (2 + 6) / 3 of the forward pass.
  const OpCase op_case{OpKind::kMoeFfn,
                       MoeAttrs{8, 2, 4096},
                       {sample({16, 4096}), fixed({8, 4096}), fixed({8, 4096, 4096}),
                        fixed({8, 4096, 4096}), fixed({8, 4096, 4096})},
                       {}};
  const auto result = differentiate_case(op_case);
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->graph.ops().size(), 2u);
  const double forward = op_work(result->graph, result->graph.ops()[0], 4).flops.value();
  EXPECT_NEAR(op_work(result->graph, result->graph.ops()[1], 4).flops.value() / forward, 8.0 / 3,
              0.01);
}

}  // namespace
}  // namespace pluto
