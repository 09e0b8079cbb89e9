#include <gmock/gmock.h>

#include <set>

#include "tests/model/op_cases.h"

namespace pluto {
namespace {

using testing::HasSubstr;

TEST(SignatureTest, TextIsOneStableLine) {
  const auto result = differentiate_case(
      {OpKind::kLinear, LinearAttrs{10, true}, {sample({64}), fixed({10, 64}), fixed({10})}, {}});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(to_text(signature_of(result->graph, result->graph.ops()[1], 32)),
            "linear backward_weight [out_features=10 bias=1] (10:f32:b1, 64:f32:b1) -> "
            "(10x64:f32:b0, 10:f32:b0) @32");
  EXPECT_EQ(family_text(signature_of(result->graph, result->graph.ops()[1], 32)),
            "linear backward_weight [out_features=10 bias=1] (10:f32:b1, 64:f32:b1) -> "
            "(10x64:f32:b0, 10:f32:b0)");
  EXPECT_EQ(to_text(OpSignature{OpKind::kAllReduce, OpPass::kForward, CommAttrs{0, 4}, {}, {}, 1}),
            "all_reduce forward [bucket=0 ranks=4] () -> () @1");
}

TEST(SignatureTest, RoundTripsForEveryKindAndPass) {
  std::size_t nodes = 0;
  for (const OpCase& op_case : op_cases()) {
    Graph graph = graph_of(op_case);
    if (schema_of(op_case.kind).gradient != nullptr) {
      auto result = differentiate_case(op_case);
      ASSERT_TRUE(result.ok());
      graph = std::move(result->graph);
    }
    for (const Op& op : graph.ops()) {
      for (std::int64_t batch : {1, 32, 8192}) {
        const OpSignature signature = signature_of(graph, op, batch);
        const std::string text = to_text(signature);
        EXPECT_EQ(text.find('\n'), std::string::npos);
        const auto parsed = parse_signature(text);
        ASSERT_TRUE(parsed.ok()) << parsed.error().message;
        EXPECT_EQ(*parsed, signature) << text;
        EXPECT_EQ(to_text(*parsed), text);
        EXPECT_EQ(op_work(*parsed).flops, op_work(graph, op, batch).flops);
        ++nodes;
      }
    }
  }
  EXPECT_GT(nodes, 3 * 2 * kOpKindCount);
}

TEST(SignatureTest, FamilyLeavesOutOnlyTheMicroBatch) {
  OpSignature signature{OpKind::kRelu, OpPass::kForward, NoAttrs{},
                        {sample({3})}, {sample({3})},    1};
  OpSignature larger = signature, wider = signature;
  larger.micro_batch = 2;
  wider.inputs = wider.outputs = {sample({4})};
  EXPECT_EQ(family_text(signature), family_text(larger));
  EXPECT_NE(to_text(signature), to_text(larger));
  EXPECT_NE(family_text(signature), family_text(wider));
}

TEST(SignatureTest, WhatOnlyTellsOpsApartIsLeftOut) {
  const auto dropout = [](std::int64_t stream, double p) {
    return to_text(OpSignature{OpKind::kDropout,
                               OpPass::kForward,
                               DropoutAttrs{p, stream},
                               {sample({3})},
                               {sample({3})},
                               1});
  };
  EXPECT_EQ(dropout(1, 0.5), dropout(2, 0.5));
  EXPECT_NE(dropout(1, 0.5), dropout(1, 0.1));
  const auto reduce = [](std::int64_t bucket, std::int64_t ranks) {
    return to_text(
        OpSignature{OpKind::kAllReduce, OpPass::kForward, CommAttrs{bucket, ranks}, {}, {}, 1});
  };
  EXPECT_EQ(reduce(1, 4), reduce(2, 4));
  EXPECT_NE(reduce(1, 4), reduce(1, 8));
  EXPECT_EQ(cost_attrs(DropoutAttrs{0.5, 3}), OpAttrs(DropoutAttrs{0.5, 0}));
  EXPECT_EQ(cost_attrs(LinearAttrs{3, true}), OpAttrs(LinearAttrs{3, true}));
}

TEST(SignatureTest, ReadsBackUnderItsCostAttributes) {
  const OpSignature signature{OpKind::kDropout, OpPass::kForward, DropoutAttrs{0.5, 3},
                              {sample({3})},    {sample({3})},    1};
  const auto parsed = parse_signature(to_text(signature));
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->attrs, cost_attrs(signature.attrs));
}

TEST(SignatureTest, TextsOfDifferentNodesDiffer) {
  std::set<std::string> texts;
  std::size_t count = 0;
  for (const OpCase& op_case : op_cases()) {
    const Graph graph = graph_of(op_case);
    texts.insert(to_text(signature_of(graph, graph.ops()[0], 4)));
    ++count;
  }
  EXPECT_EQ(texts.size(), count);
}

TEST(SignatureTest, ParseErrorsSayWhichPart) {
  const auto error = [](const std::string& text) {
    const auto parsed = parse_signature(text);
    return parsed ? std::string("no error") : parsed.error().message;
  };
  EXPECT_EQ(error("relu"), "op signature 'relu': expected ' ' in 'relu'");
  EXPECT_THAT(error("rely forward [] (3:f32:b1) -> (3:f32:b1) @1"),
              HasSubstr("unknown op kind 'rely'"));
  EXPECT_THAT(error("relu sideways [] (3:f32:b1) -> (3:f32:b1) @1"),
              HasSubstr("unknown pass 'sideways'"));
  EXPECT_THAT(error("add forward [] (3:f32:b1, 3:f32:b1) -> (3:f32:b1) @1"),
              HasSubstr("attributes of add: relu is missing"));
  EXPECT_THAT(error("relu forward [] (3:f31:b1) -> (3:f32:b1) @1"),
              HasSubstr("inputs: tensor type '3:f31:b1'"));
  EXPECT_THAT(error("relu forward [] (3:f32:b1) -> (0:f32:b1) @1"),
              HasSubstr("outputs: tensor type '0:f32:b1'"));
  EXPECT_THAT(error("relu forward [] (3:f32:b1) -> (3:f32:b1)"), HasSubstr("expected ') @'"));
  EXPECT_THAT(error("relu forward [] (3:f32:b1) -> (3:f32:b1) @0"),
              HasSubstr("micro-batch '0', expected 1 or more"));
  EXPECT_THAT(error("relu forward [] (3:f32:b1) -> (3:f32:b1) @1x"), HasSubstr("micro-batch '1x'"));
  EXPECT_THAT(error("relu forward [] (3:f32:b1) -> (4:f32:b1) @1"),
              HasSubstr("the outputs are not those of the shape rule"));
  EXPECT_THAT(error("add forward [relu=0] (3:f32:b1) -> (3:f32:b1) @1"),
              HasSubstr("1 operands, expected 2 (a, b)"));
  EXPECT_THAT(error("relu forward [] (281474976710656:f32:b1) -> (281474976710656:f32:b1) @1024"),
              HasSubstr("larger than memory"));
}

TEST(SignatureTest, TruncatedTextIsAlwaysAnError) {
  const std::string text = "conv2d forward [" + to_text(OpAttrs(ConvAttrs{8})) +
                           "] (4x9x7:f32:b1, 8x4x1x1:f32:b0) -> (8x9x7:f32:b1) @32";
  ASSERT_TRUE(parse_signature(text).ok());
  for (std::size_t length = 0; length + 1 < text.size(); ++length) {
    EXPECT_FALSE(parse_signature(text.substr(0, length)).ok()) << text.substr(0, length);
  }
}

}  // namespace
}  // namespace pluto
