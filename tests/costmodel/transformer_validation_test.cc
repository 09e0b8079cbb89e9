#include "costmodel/transformer_validation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace pluto {
namespace {

const std::string kData = std::string(PLUTO_SOURCE_DIR) + "/data";

class TransformerValidation : public ::testing::Test {
 protected:
  TransformerValidation() {
    auto loaded = load_transformer_families(kData);
    EXPECT_TRUE(loaded.ok()) << loaded.error().message;
    families = std::move(*loaded);
    auto read = TransformerCostTable::load(kData + "/transformer.json");
    EXPECT_TRUE(read.ok()) << read.error().message;
    table = std::move(*read);
    costs = shipped_costs(families, table);
  }
  const TransformerFamily& family(const std::string& name) const {
    return *std::ranges::find(families, name, &TransformerFamily::name);
  }
  /// Rows of the first family whose measured step is `factor` times the predicted one.
  std::vector<TransformerRow> rows_at(std::initializer_list<double> factors) const {
    std::vector<TransformerRow> rows;
    for (const double factor : factors) {
      TransformerRow row = families.front().rows[rows.size()];
      row.point.step = predicted_step(row, costs).step() * factor;
      rows.push_back(row);
    }
    return rows;
  }
  std::vector<TransformerFamily> families;
  TransformerCostTable table;
  CostsByGeneration costs;
};

TEST_F(TransformerValidation, ErrorsAreOfPredictedOverMeasured) {
  const StepErrors errors = errors_of(rows_at({0.5, 1, 2, 0.8, 1}), costs);
  ASSERT_EQ(errors.relative.size(), 5U);
  EXPECT_NEAR(errors.relative[0], 1, 1e-12);
  EXPECT_NEAR(errors.relative[2], -0.5, 1e-12);
  EXPECT_NEAR(errors.median, 0.25, 1e-12);
  EXPECT_NEAR(errors.bias, std::pow(0.5 * 2 * 0.8, -0.2) - 1, 1e-12);
  EXPECT_NEAR(errors.coverage, 0.4, 1e-12) << "only the two exact ones are within the spread";
}

TEST_F(TransformerValidation, RowsWithoutATimeDoNotCount) {
  auto rows = rows_at({1, 1});
  rows[0].point.step = Seconds(0);
  EXPECT_EQ(errors_of(rows, costs).relative.size(), 1U);
  EXPECT_TRUE(errors_of({}, costs).relative.empty());
}

TEST_F(TransformerValidation, RegretIsWhatTheFirstChoiceCosts) {
  // One model and batch with three micro-batches; what is measured is the reverse of what is
  // predicted, or the same order.
  std::vector<TransformerRow> rows;
  std::vector<Seconds> steps;
  TransformerRow row = families.front().rows.front();
  for (const int micro_batch : {1, 2, 4}) {
    row.point.plan.micro_batch = micro_batch;
    row.point.plan.global_batch = 16;
    steps.push_back(predicted_step(row, costs).step());
    rows.push_back(row);
  }
  ASSERT_GT(steps[0], steps[1]);
  ASSERT_GT(steps[1], steps[2]);
  for (std::size_t i = 0; i < 3; ++i) rows[i].point.step = steps[i];
  PlanRanking ranking = ranking_of(rows, costs);
  EXPECT_EQ(ranking.groups, 1);
  EXPECT_NEAR(ranking.tau, 1, 1e-12);
  EXPECT_NEAR(ranking.worst_regret, 0, 1e-12);
  for (std::size_t i = 0; i < 3; ++i) rows[i].point.step = steps[2 - i];
  ranking = ranking_of(rows, costs);
  EXPECT_NEAR(ranking.tau, -1, 1e-12);
  EXPECT_NEAR(ranking.worst_regret, steps[0] / steps[2] - 1, 1e-12);
}

TEST_F(TransformerValidation, AFamilyIsNotFittedToItself) {
  const auto before = fit_without(families, "vtrain", table);
  for (TransformerFamily& one : families) {
    if (system_of(one.name) != "vtrain") continue;
    for (TransformerRow& row : one.rows) row.point.step = row.point.step * 3;
  }
  EXPECT_EQ(fit_without(families, "vtrain", table).at("A100").value, before.at("A100").value);
  EXPECT_NE(fit_without(families, "mosaic", table).at("A100").value, before.at("A100").value);
}

TEST_F(TransformerValidation, AFitOfADeviceStartsAtWhatWasBelievedOfIt) {
  // Without rows of its own an H100 has the A100's constants, but for what was known beforehand.
  std::erase_if(families, [](const auto& one) { return system_of(one.name) != "mosaic"; });
  const auto fitted = fit_without(families, "mosaic", table);
  const auto attention = static_cast<std::size_t>(TransformerConstant::kAttentionFraction);
  EXPECT_EQ(fitted.at("A100").value, table.believed().value);
  EXPECT_LT(fitted.at("H100").value[attention], 0.6 * fitted.at("A100").value[attention]);
  auto rest = fitted.at("H100").value;
  rest[attention] = fitted.at("A100").value[attention];
  EXPECT_EQ(rest, fitted.at("A100").value);
}

TEST_F(TransformerValidation, SystemsShareTheFirstWordOfTheirFamilies) {
  EXPECT_EQ(system_of("vtrain_cluster"), system_of("vtrain_node"));
  EXPECT_EQ(system_of("mosaic"), "mosaic");
}

}  // namespace
}  // namespace pluto
