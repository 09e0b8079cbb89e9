#include "costmodel/measured_row.h"

#include <gmock/gmock.h>

namespace pluto {
namespace {

using ::testing::HasSubstr;

class MeasuredRowTest : public ::testing::Test {
 protected:
  CsvTable table = *CsvTable::parse("a,b,c\n2,,x\n", "rows.csv");
  MeasuredRow row{table, 0, "rows.csv"};
};

TEST_F(MeasuredRowTest, EmptyCellsHaveTheirFallback) {
  EXPECT_EQ(row.whole("a"), 2);
  EXPECT_EQ(row.number("b", 1.5), 1.5);
  EXPECT_EQ(row.text("b", "none"), "none");
  EXPECT_FALSE(row.flag("b"));
  EXPECT_TRUE(row.finish().ok());
}

TEST_F(MeasuredRowTest, TheFirstErrorStays) {
  row.number("c");
  row.positive("b");
  ASSERT_FALSE(row.finish().ok());
  EXPECT_THAT(row.finish().error().message, HasSubstr("rows.csv:2: c: '"));
  EXPECT_THAT(row.finish().error().message, HasSubstr("is no number"));
  EXPECT_THAT(row.finish().error().help, HasSubstr("plain number"));
}

TEST_F(MeasuredRowTest, FlagsAndWholeNumbersAreChecked) {
  row.flag("a");
  ASSERT_FALSE(row.finish().ok());
  EXPECT_EQ(row.finish().error().message, "rows.csv:2: a: is 2");
  EXPECT_THAT(row.finish().error().help, HasSubstr("1 for yes"));
}

}  // namespace
}  // namespace pluto
