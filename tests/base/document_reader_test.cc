#include <gtest/gtest.h>

#include "base/document.h"

namespace pluto {
namespace {

// The text as a YAML document; its lines are the lines in errors.
class ObjectReaderTest : public ::testing::Test {
 protected:
  ObjectReader open(std::string_view text, const std::string& where = "job.yaml") {
    Result<Value> value = parse_yaml(text, "job.yaml");
    EXPECT_TRUE(value.ok());
    value_ = *std::move(value);
    Result<ObjectReader> reader = ObjectReader::open(value_, where);
    EXPECT_TRUE(reader.ok());
    return *reader;
  }
  Value value_;
};

TEST_F(ObjectReaderTest, EveryKindIsRead) {
  ObjectReader reader = open("s: text\nn: 1.5\ni: 7\nb: true\no: {x: 1}\na: [1, 2]\n");
  EXPECT_EQ(*reader.string("s"), "text");
  EXPECT_EQ(*reader.number("n"), 1.5);
  EXPECT_EQ(*reader.number("i"), 7.0);
  EXPECT_EQ(*reader.integer("i"), 7);
  EXPECT_EQ(*reader.boolean("b"), true);
  EXPECT_EQ(*(*reader.object("o"))->find("x"), Value(1));
  EXPECT_EQ((*reader.array("a"))->size(), 2U);
  EXPECT_TRUE(reader.finish().ok());
}

TEST_F(ObjectReaderTest, AbsentAndNullOptionalsAreNoValue) {
  ObjectReader reader = open("null_one:\nn: 2\n");
  EXPECT_EQ(*reader.optional_number("null_one"), std::nullopt);
  EXPECT_EQ(*reader.optional_number("absent"), std::nullopt);
  EXPECT_EQ(*reader.optional_string("absent"), std::nullopt);
  EXPECT_EQ(*reader.optional_boolean("absent"), std::nullopt);
  EXPECT_EQ(*reader.optional_integer("n"), 2);
  EXPECT_EQ(reader.optional("null_one"), nullptr);
  ASSERT_NE(reader.optional("n"), nullptr);
  EXPECT_TRUE(reader.finish().ok());
}

TEST_F(ObjectReaderTest, WholeNumbersMayBeWrittenWithAnExponent) {
  ObjectReader reader = open("tokens: 1e9\nhalf: 0.5\nhuge: 1e18\n");
  EXPECT_EQ(*reader.integer("tokens"), 1'000'000'000);
  EXPECT_EQ(reader.integer("half").error().message,
            "job.yaml:2: half: 0.5: expected a whole number");
  EXPECT_FALSE(reader.integer("huge").ok());
}

TEST_F(ObjectReaderTest, WrongKindSaysWhereWhatWasReadAndWhatIsAllowed) {
  ObjectReader reader = open("model: x\nsteps: 6 hours\nlist: [1]\ncluster:\n  a: 1\n");
  const Error error = reader.integer("steps").error();
  EXPECT_EQ(error.code, ErrorCode::kInvalidInput);
  EXPECT_EQ(error.message, "job.yaml:2: steps: \"6 hours\": expected a whole number");
  EXPECT_EQ(reader.number("list").error().message,
            "job.yaml:3: list: expected a number, found an array");
  EXPECT_EQ(reader.string("cluster").error().message,
            "job.yaml:4: cluster: expected a string, found an object");
  EXPECT_EQ(reader.array("model").error().message, "job.yaml:1: model: \"x\": expected an array");
  EXPECT_EQ(reader.optional_boolean("model").error().message,
            "job.yaml:1: model: \"x\": expected true or false");
}

TEST_F(ObjectReaderTest, NullIsNoRequiredValue) {
  ObjectReader reader = open("a: 1\nmodel:\n");
  EXPECT_EQ(reader.string("model").error().message,
            "job.yaml:2: model: expected a string, found null");
}

TEST_F(ObjectReaderTest, MissingKeyNamesTheMisspeltOne) {
  ObjectReader reader = open("# job\ndedline: 6h\n");
  const Error error = reader.string("deadline").error();
  EXPECT_EQ(error.message, "job.yaml:2: deadline: missing (expected a string)");
  EXPECT_EQ(error.help, "is \"dedline\" meant to be \"deadline\"?");
  EXPECT_EQ(reader.string("model").error().help, "add the key \"model\"");
}

TEST_F(ObjectReaderTest, UnknownKeySuggestsTheNearestKnownOne) {
  ObjectReader reader = open("model: x\nbugdet: 5\n");
  (void)reader.string("model");
  (void)reader.optional_number("budget");
  const Result<void> finished = reader.finish();
  ASSERT_FALSE(finished.ok());
  EXPECT_EQ(finished.error().code, ErrorCode::kInvalidInput);
  EXPECT_EQ(finished.error().message, "job.yaml:2: bugdet: unknown key");
  EXPECT_EQ(finished.error().help, "did you mean \"budget\"?");
}

TEST_F(ObjectReaderTest, UnknownKeyFarFromAllListsTheKnownOnes) {
  ObjectReader reader = open("colour: red\n");
  (void)reader.optional_string("model");
  (void)reader.optional_string("budget");
  (void)reader.optional_string("model");
  EXPECT_EQ(reader.finish().error().help, "known keys: model, budget");
}

TEST_F(ObjectReaderTest, PlacesOfNestedObjectsHaveOneLineAndTheWholePath) {
  ObjectReader job = open("cluster:\n  nodes:\n    - gpu: A100\n      count: many\n");
  Result<ObjectReader> cluster = ObjectReader::open(**job.object("cluster"), job.place("cluster"));
  ASSERT_TRUE(cluster.ok());
  EXPECT_EQ(cluster->place("nodes"), "job.yaml:2: cluster.nodes");
  const Value& node = (*cluster->array("nodes"))->front();
  Result<ObjectReader> reader = ObjectReader::open(node, cluster->place("nodes") + "[0]");
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(reader->integer("count").error().message,
            "job.yaml:4: cluster.nodes[0].count: \"many\": expected a whole number");
  EXPECT_EQ(reader->string("name").error().message,
            "job.yaml:3: cluster.nodes[0].name: missing (expected a string)");
}

TEST_F(ObjectReaderTest, WhereMayHoldAPath) {
  const ObjectReader reader = open("mode: x\n", "plan.json: sync[3]");
  EXPECT_EQ(reader.place("mode"), "plan.json:1: sync[3].mode");
  EXPECT_EQ(reader.error("mode", "no such mode", "use ring").message,
            "plan.json:1: sync[3].mode: no such mode");
  EXPECT_EQ(reader.error("mode", "no such mode", "use ring").help, "use ring");
}

TEST_F(ObjectReaderTest, ValuesMadeByHandHaveNoLine) {
  const Value value(Value::Object{{"a", 1}});
  const Result<ObjectReader> reader = ObjectReader::open(value, "plan.json");
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(reader->place("a"), "plan.json: a");
}

TEST_F(ObjectReaderTest, OnlyObjectsOpen) {
  Value list = Value::array();
  list.set_line(4);
  EXPECT_EQ(ObjectReader::open(list, "job.yaml: nodes").error().message,
            "job.yaml:4: nodes: expected an object, found an array");
  EXPECT_EQ(ObjectReader::open(Value("x"), "job.yaml").error().message,
            "job.yaml: \"x\": expected an object");
}

}  // namespace
}  // namespace pluto
