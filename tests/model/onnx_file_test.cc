// The wire format, what is kept of a file, and arithmetic on constants.
#include "model/onnx_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/onnx_constant.h"
#include "model/onnx_wire.h"
#include "tests/model/onnx_bytes.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using testing::attribute;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Integers;
using testing::OnnxBytes;
using testing::WireBytes;

TEST(WireReader, ReadsEveryFieldType) {
  const std::string bytes =
      WireBytes().varint(1, 300).bytes(2, "abc").number(3, 1.5F).varint(4, -1).text();
  WireReader reader(bytes);
  EXPECT_EQ(reader.next()->value, 300u);
  EXPECT_EQ(reader.next()->bytes, "abc");
  EXPECT_EQ(reader.next()->value, 0x3FC00000u);
  EXPECT_EQ(reader.next()->as_integer(), -1);
  EXPECT_TRUE(reader.done());
}

TEST(WireReader, RefusesDamage) {
  const std::string cases[] = {
      "\x0a\x05"
      "ab",                        // longer than what is left
      "\x08\xff",                  // ends inside a number
      std::string("\x00\x01", 2),  // field 0
      "\x0b",                      // a group
      std::string(11, '\xff')};    // a number of eleven bytes
  for (const std::string& bytes : cases) {
    WireReader reader(bytes);
    const auto field = reader.next();
    ASSERT_FALSE(field.ok());
    EXPECT_THAT(field.error().message, HasSubstr("not a readable ONNX file"));
  }
}

TEST(MappedFile, IsEmptyForAnEmptyFile) {
  const testing::TemporaryFolder folder;
  const auto file = MappedFile::open(folder.write("empty.onnx", ""));
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(file->bytes().empty());
  EXPECT_EQ(MappedFile::open(folder.path()).error().code, ErrorCode::kIo);
}

TEST(OnnxFile, KeepsNamesShapesAndSmallContents) {
  OnnxBytes b(17);
  b.input("x", {OnnxBytes::kSymbolic, 3})
      .weight("w", {3, 100'000})
      .integers("s", {-1, 4})
      .scalar("k", 0.5F);
  b.node("Conv", {"x", "", "w"}, {"y"},
         {attribute("strides", Integers{2, 3}), attribute("group", 0)});
  const auto file = parse_onnx(b.output("y").text());
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->opset, 17);
  EXPECT_FALSE(file->inputs[0].dims[0].has_value());
  EXPECT_EQ(file->inputs[0].dim_names[0], "N");
  EXPECT_EQ(file->inputs[0].dims[1], 3);
  EXPECT_FALSE(file->initializers[0].floats.has_value());
  EXPECT_THAT(file->initializers[0].dims, ElementsAre(3, 100'000));
  EXPECT_THAT(*file->initializers[1].integers, ElementsAre(-1, 4));
  EXPECT_THAT(*file->initializers[2].floats, ElementsAre(0.5));
  const OnnxNode& node = file->nodes[0];
  EXPECT_THAT(*node.integers("strides"), ElementsAre(2, 3));
  EXPECT_EQ(node.integer("group", 1), 0);
  EXPECT_EQ(node.integer("other", 7), 7);
  EXPECT_THAT(node.inputs, ElementsAre("x", "", "w"));
}

TEST(OnnxFile, GivesNamelessNodesNames) {
  const std::string node = WireBytes().bytes(2, "y").bytes(4, "Relu").text();
  const auto file =
      parse_onnx(WireBytes().bytes(7, WireBytes().bytes(1, node).bytes(1, node).text()).text());
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->nodes[0].name, "Relu_0");
  EXPECT_EQ(file->nodes[1].name, "Relu_1");
}

TEST(OnnxFile, IsNoModelWithoutAGraph) {
  EXPECT_THAT(parse_onnx("").error().message, HasSubstr("it has no graph"));
  EXPECT_FALSE(parse_onnx("not a model").ok());
}

OnnxConstant whole(std::vector<BatchInt> values) {
  OnnxConstant c;
  c.type = OnnxType::kInt64;
  c.dims = {{static_cast<std::int64_t>(values.size()), false}};
  c.integers = std::move(values);
  return c;
}
std::optional<OnnxConstant> evaluate(const std::string& kind,
                                     const std::vector<OnnxConstant>& inputs) {
  OnnxNode node;
  node.name = node.kind = kind;
  node.outputs = {"out"};
  std::vector<const OnnxConstant*> pointers;
  for (const OnnxConstant& input : inputs) pointers.push_back(&input);
  return *evaluate_constant(node, pointers);
}

TEST(OnnxConstant, CountsWithTheBatchAsASymbol) {
  const OnnxConstant n = whole({{1, true}}), twelve = whole({{12, false}}),
                     four = whole({{4, false}});
  const auto product = evaluate("Mul", {n, twelve});
  EXPECT_EQ((*product->integers)[0], (BatchInt{12, true}));
  EXPECT_EQ((*evaluate("Div", {*product, four})->integers)[0], (BatchInt{3, true}));
  EXPECT_EQ((*evaluate("Div", {*product, n})->integers)[0], (BatchInt{12, false}));
  EXPECT_EQ((*evaluate("Sub", {*product, *product})->integers)[0], (BatchInt{0, false}));
}

TEST(OnnxConstant, DoesNotGuess) {
  const OnnxConstant n = whole({{1, true}}), two = whole({{2, false}});
  EXPECT_FALSE(evaluate("Add", {n, two}).has_value());  // n + 2
  EXPECT_FALSE(evaluate("Mul", {n, n}).has_value());
  EXPECT_FALSE(evaluate("Div", {n, two}).has_value());
  EXPECT_FALSE(evaluate("Div", {two, whole({{0, false}})}).has_value());
  EXPECT_FALSE(evaluate("Equal", {n, two}).has_value());
  const std::int64_t large = std::int64_t{1} << 62;
  EXPECT_FALSE(evaluate("Mul", {whole({{large, false}}), two}).has_value());
}

TEST(OnnxConstant, KnowsThatTheBatchIsPositive) {
  const OnnxConstant n = whole({{3, true}});
  EXPECT_EQ((*evaluate("Equal", {n, whole({{-1, false}})})->integers)[0].value, 0);
  EXPECT_EQ((*evaluate("Equal", {n, whole({{2, false}})})->integers)[0].value, 0);
  EXPECT_EQ((*evaluate("Equal", {n, n})->integers)[0].value, 1);
}

TEST(OnnxConstant, FollowsRangesAndJoins) {
  const auto range =
      evaluate("Range", {whole({{2, false}}), whole({{9, false}}), whole({{3, false}})});
  EXPECT_EQ(plain_integers(&*range), (std::vector<std::int64_t>{2, 5, 8}));
  const auto joined = evaluate("Concat", {*range, whole({{1, true}})});
  EXPECT_EQ(joined->integers->size(), 4u);
  EXPECT_FALSE(plain_integers(&*joined).has_value());
}

}  // namespace
}  // namespace pluto
