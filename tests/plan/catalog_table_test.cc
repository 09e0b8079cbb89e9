#include "plan/catalog_table.h"

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

TEST(CatalogTableTest, StarMatchesAnyText) {
  EXPECT_TRUE(matches("aws:p4*", "aws:p4d.24xlarge"));
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("*pcie*", "lambda:gpu_1x_h100_pcie"));
  EXPECT_TRUE(matches("a*b*c", "aXbYbZc"));
  EXPECT_TRUE(matches("exact", "exact"));
  EXPECT_FALSE(matches("exact", "exactly"));
  EXPECT_FALSE(matches("aws:p4*", "gcp:p4"));
  EXPECT_FALSE(matches("a*b", "ac"));
  EXPECT_FALSE(matches("a*a", "a"));
}

TEST(CatalogTableTest, CellsAreReadWithTheirPlace) {
  const testing::TemporaryFolder folder;
  const std::string path =
      folder.write("t.csv", "name,price\n\"two\nlines\",1.5\nx,\ny,-1\nz,dear\n");
  const auto table = CatalogTable::read(path, {"name", "price"});
  ASSERT_TRUE(table.ok()) << table.error().message;
  EXPECT_EQ(*table->positive(0, "price"), 1.5);
  EXPECT_EQ(*table->amount(1, "price"), std::nullopt);
  EXPECT_EQ(table->text(1, "colour"), "");
  // The first row takes two lines.
  EXPECT_EQ(table->positive(1, "price").error().message,
            path + ":4: price: expected a number above zero");
  EXPECT_EQ(table->amount(2, "price").error().message,
            path + ":5: price: \"-1\": expected a number, zero or above");
  EXPECT_FALSE(table->amount(3, "price").ok());
  EXPECT_EQ(table->name(1, "colour").error().message, path + ":4: colour: the cell is empty");
}

TEST(CatalogTableTest, MissingColumnsAndFilesAreNamed) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.write("t.csv", "name,cost\nx,1\n");
  const auto table = CatalogTable::read(path, {"name", "price"});
  ASSERT_FALSE(table.ok());
  EXPECT_EQ(table.error().message, path + ":1: there is no column \"price\"");
  EXPECT_EQ(table.error().help, "the columns are name, cost");
  EXPECT_EQ(CatalogTable::read(folder.file("none.csv"), {}).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace pluto
