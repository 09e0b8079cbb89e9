#include "costmodel/part_validation.h"

#include <gtest/gtest.h>

#include <string>
#include <tuple>

namespace pluto {
namespace {

const std::string kData = std::string(PLUTO_SOURCE_DIR) + "/data";

// Loose enough to hold when constants are fitted again, tight enough to notice a lost term.
TEST(PartValidation, CollectivesComeOutNearTheirMeasurements) {
  const auto rows = validate_collectives(kData);
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  const StepErrors errors = errors_of(*rows, false);
  EXPECT_GT(errors.relative.size(), 1000U);
  EXPECT_LE(errors.median, 0.15);
  EXPECT_LE(errors.p90, 0.45);
  EXPECT_TRUE(errors_of(*rows, true).relative.empty()) << "no constant is without these rows";
}

TEST(PartValidation, OperatorsComeOutNearTheirMeasurements) {
  for (const auto& [table, median, p90] :
       {std::tuple("deepbench_gemm", 0.25, 0.7), std::tuple("deepbench_conv", 0.3, 0.9),
        std::tuple("deepbench_rnn", 0.35, 1.0)}) {
    const auto rows = validate_operators(kData, table);
    ASSERT_TRUE(rows.ok()) << rows.error().message;
    const StepErrors errors = errors_of(*rows, false);
    EXPECT_GT(errors.relative.size(), 300U) << table;
    EXPECT_LE(errors.median, median) << table;
    EXPECT_LE(errors.p90, p90) << table;
    for (const auto& row : *rows) EXPECT_GT(row.line, 1);
  }
}

TEST(PartValidation, LargeTablesAreSampledTheSameWayEachTime) {
  const auto once = validate_operators(kData, "gemm_measured"),
             again = validate_operators(kData, "gemm_measured");
  ASSERT_TRUE(once.ok() && again.ok());
  ASSERT_EQ(once->size(), kMostOperators);
  for (std::size_t i = 0; i < once->size(); ++i) EXPECT_EQ((*once)[i].line, (*again)[i].line);
  EXPECT_LE(errors_of(*once, false).median, 0.2);
}

TEST(PartValidation, WholeModelsAreSumsOfTheirOperators) {
  const auto rows = validate_whole_models(kData);
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  EXPECT_GT(rows->size(), 60U);
  EXPECT_LE(errors_of(*rows, false).median, 0.25);
  for (const auto& row : *rows) {
    double shares = 0;
    for (const auto& [name, share] : row.terms) shares += share;
    EXPECT_NEAR(shares, 1, 1e-9) << row.what;
  }
}

TEST(PartValidation, AnUnknownTableIsRefused) {
  EXPECT_FALSE(validate_operators(kData, "deepbench_gem").ok());
  EXPECT_FALSE(validate_collectives("/nowhere").ok());
}

}  // namespace
}  // namespace pluto
