#include "base/document_builder.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

TEST(DocumentBuilderTest, EventsBecomeATree) {
  DocumentBuilder builder("a.json");
  EXPECT_FALSE(builder.expects_key());
  EXPECT_TRUE(builder.open_object(1));
  EXPECT_TRUE(builder.expects_key());
  EXPECT_TRUE(builder.key("list", 2));
  EXPECT_FALSE(builder.expects_key());
  EXPECT_TRUE(builder.open_array(3));
  EXPECT_TRUE(builder.scalar(1, 4));
  EXPECT_TRUE(builder.close());
  EXPECT_TRUE(builder.expects_key());
  EXPECT_TRUE(builder.close());
  const Result<Value> value = builder.finish();
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(*value, Value(Value::Object{{"list", Value(Value::Array{1})}}));
  EXPECT_EQ(value->line(), 1);
  EXPECT_EQ(value->find("list")->line(), 2);
  EXPECT_EQ(value->find("list")->as_array()[0].line(), 4);
}

TEST(DocumentBuilderTest, FirstRefusalStandsAndStopsAll) {
  DocumentBuilder builder("a.json");
  builder.open_array(1);
  EXPECT_FALSE(builder.refuse(2, "first", "do so"));
  EXPECT_FALSE(builder.refuse(3, "second"));
  EXPECT_FALSE(builder.scalar(1, 4));
  EXPECT_FALSE(builder.close());
  const Result<Value> value = builder.finish();
  ASSERT_FALSE(value.ok());
  EXPECT_EQ(value.error().message, "a.json:2: first");
  EXPECT_EQ(value.error().help, "do so");
}

TEST(DocumentBuilderTest, SameKeyInTwoObjectsIsLawful) {
  DocumentBuilder builder("a.json");
  builder.open_object(1);
  builder.key("x", 1);
  builder.open_object(1);
  EXPECT_TRUE(builder.key("x", 1));
  builder.scalar(1, 1);
  builder.close();
  EXPECT_FALSE(builder.key("x", 2));
  EXPECT_EQ(builder.finish().error().message, "a.json:2: x: the key appears twice");
}

TEST(DocumentBuilderDeathTest, UnfinishedDocumentIsABug) {
  DocumentBuilder builder("a.json");
  builder.open_array(1);
  EXPECT_DEATH((void)builder.finish(), "unfinished document");
}

}  // namespace
}  // namespace pluto
