#include "cli/search_inputs.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

TEST(SearchInputsTest, ALawIsSaidWithItsPoints) {
  SamplesLaw law;
  EXPECT_EQ(to_value(law).find("kind")->as_string(), "fixed");
  EXPECT_EQ(to_value(law).find("critical_batch"), nullptr);
  law.kind = LawKind::kFamily;
  law.critical_batch = 34730;
  law.exponent = 1.05;
  law.points = {{1632, 35, 0.026, 15}, {8192, 41.875, 0.02, 8}};
  law.spreads.seed = 0.04;
  law.source = "MLPerf resnet";
  const Value value = to_value(law);
  EXPECT_EQ(value.find("kind")->as_string(), "family");
  EXPECT_EQ(value.find("source")->as_string(), "MLPerf resnet");
  EXPECT_EQ(value.find("critical_batch")->as_number(), 34730);
  ASSERT_EQ(value.find("points")->as_array().size(), 2U);
  const Value& last = value.find("points")->as_array().back();
  EXPECT_EQ(last.find("batch")->as_integer(), 8192);
  EXPECT_EQ(last.find("samples")->as_number(), 41.875);
  EXPECT_EQ(last.find("runs")->as_integer(), 8);
  EXPECT_EQ(value.find("spreads")->find("seed")->as_number(), 0.04);
}

}  // namespace
}  // namespace pluto
