#include "base/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pluto {
namespace {

using ::testing::ElementsAre;

CsvTable parsed(std::string_view text) {
  Result<CsvTable> table = CsvTable::parse(text, "rates.csv");
  EXPECT_TRUE(table.ok()) << (table.ok() ? "" : table.error().message);
  return table.ok() ? *table : CsvTable();
}

std::string error_of(std::string_view text) {
  const Result<CsvTable> table = CsvTable::parse(text, "rates.csv");
  if (table.ok()) return "accepted";
  EXPECT_EQ(table.error().code, ErrorCode::kInvalidInput);
  return table.error().message;
}

TEST(CsvTest, CellsAreFoundByColumnName) {
  const CsvTable table = parsed("gpu,price\nA100,1.5\nH100,3\n");
  EXPECT_THAT(table.columns(), ElementsAre("gpu", "price"));
  ASSERT_EQ(table.rows(), 2U);
  EXPECT_EQ(table.text(0, "gpu"), "A100");
  EXPECT_EQ(table.number(0, "price"), 1.5);
  EXPECT_EQ(table.number(1, "price"), 3.0);
}

TEST(CsvTest, EmptyAbsentAndUnknownCellsAreNoValue) {
  const CsvTable table = parsed("gpu,price\nA100,\n");
  EXPECT_EQ(table.text(0, "price"), std::nullopt);
  EXPECT_EQ(table.number(0, "price"), std::nullopt);
  EXPECT_EQ(table.text(0, "colour"), std::nullopt);
  EXPECT_EQ(table.text(1, "gpu"), std::nullopt);
}

TEST(CsvTest, OnlyFiniteNumbersAreNumbers) {
  const CsvTable table = parsed("a,b,c,d,e\n12abc,inf,nan, 7 ,1e3\n");
  EXPECT_EQ(table.number(0, "a"), std::nullopt);
  EXPECT_EQ(table.number(0, "b"), std::nullopt);
  EXPECT_EQ(table.number(0, "c"), std::nullopt);
  EXPECT_EQ(table.number(0, "d"), 7.0);
  EXPECT_EQ(table.number(0, "e"), 1000.0);
}

TEST(CsvTest, QuotesHoldCommasQuotesAndLines) {
  const CsvTable table = parsed("name,note\n\"a, b\",\"say \"\"hi\"\"\"\nx,\"two\nlines\"\n");
  EXPECT_EQ(table.text(0, "name"), "a, b");
  EXPECT_EQ(table.text(0, "note"), "say \"hi\"");
  EXPECT_EQ(table.text(1, "note"), "two\nlines");
}

TEST(CsvTest, WindowsLineEndsByteOrderMarkAndBlankLinesAreNoContent) {
  const CsvTable table = parsed("\xEF\xBB\xBFgpu,price\r\nA100,1\r\n\r\nH100,2");
  EXPECT_THAT(table.columns(), ElementsAre("gpu", "price"));
  ASSERT_EQ(table.rows(), 2U);
  EXPECT_EQ(table.number(0, "price"), 1.0);
  EXPECT_EQ(table.text(1, "gpu"), "H100");
}

TEST(CsvTest, TrailingCommaIsAnEmptyCell) {
  const CsvTable table = parsed("a,b\n1,");
  ASSERT_EQ(table.rows(), 1U);
  EXPECT_EQ(table.text(0, "b"), std::nullopt);
}

TEST(CsvTest, HeaderAloneIsATableWithoutRows) { EXPECT_EQ(parsed("a,b\n").rows(), 0U); }

TEST(CsvTest, RaggedRowNamesItsLine) {
  EXPECT_EQ(error_of("a,b\n1,2\n3\n"), "rates.csv:3: 1 cells, but the header has 2");
  EXPECT_EQ(error_of("a,b\n\"x\ny\",2\n1,2,3\n"), "rates.csv:4: 3 cells, but the header has 2");
}

TEST(CsvTest, UnclosedQuoteNamesTheLineItOpenedOn) {
  EXPECT_EQ(error_of("a,b\n1,\"two\nlines\n"), "rates.csv:2: the quote is never closed");
}

TEST(CsvTest, StrayQuotesAreRefused) {
  EXPECT_EQ(error_of("a\nx\"y\n"),
            "rates.csv:2: a quote inside a cell that does not begin with one");
  EXPECT_EQ(error_of("a\n\"x\"y\n"), "rates.csv:2: text after a closing quote");
}

TEST(CsvTest, MissingHeaderAndRepeatedColumnAreRefused) {
  EXPECT_EQ(error_of(""), "rates.csv:1: no header row");
  EXPECT_EQ(error_of("\n\n"), "rates.csv:1: no header row");
  EXPECT_EQ(error_of("a,b,a\n"), "rates.csv:1: the column \"a\" appears twice");
}

}  // namespace
}  // namespace pluto
