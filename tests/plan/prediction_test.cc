#include "plan/prediction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/sample_documents.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;
using testing::sample_prediction;

TEST(PredictionTest, JsonReadsBack) {
  for (const bool limits : {true, false}) {
    Prediction prediction = sample_prediction();
    if (!limits) prediction.p_deadline = prediction.p_budget = prediction.p_both = std::nullopt;
    const std::string text = to_json(to_value(prediction));
    const auto read = prediction_from_value(*parse_json(text, "p.json"), "p.json");
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(read->step_time, prediction.step_time);
    EXPECT_EQ(read->memory, prediction.memory);
    EXPECT_EQ(read->price, prediction.price);
    EXPECT_EQ(read->time_to_target, prediction.time_to_target);
    EXPECT_EQ(read->terms.size(), 4U);
    EXPECT_EQ(read->terms[1].evidence, Evidence::kInterpolated);
    EXPECT_EQ(read->p_both, prediction.p_both);
    ASSERT_EQ(read->run_terms.size(), 2U);
    EXPECT_EQ(read->run_terms[1].price, Dollars(0.02));
    EXPECT_EQ(read->watermark, 42);
    EXPECT_EQ(to_json(to_value(*read)), text) << "nothing else is lost either";
  }
}

TEST(PredictionTest, UnitsAreInTheKeys) {
  const std::string text = to_json(to_value(sample_prediction()), true);
  EXPECT_THAT(text, HasSubstr(R"("step_s":{"p10":0.01,"p50":0.011,"p90":0.0125})"));
  EXPECT_THAT(text, HasSubstr(R"("price_usd":{"p10":0.04,)"));
  EXPECT_THAT(text, HasSubstr(R"("total":36})"));
}

TEST(PredictionTest, MalformedPredictionsAreRefusedWithTheirPlace) {
  const std::string good = to_json(to_value(sample_prediction()), true);
  const struct {
    const char* from;
    const char* to;
    const char* message;
  } cases[] = {
      {R"("p50":0.011)", R"("p50":0.02)", "p.json:1: step_s: expected p10 <= p50 <= p90"},
      {R"("p50":0.011,)", "", "p.json:1: step_s.p50: missing"},
      {R"("evidence":"interpolated")", R"("evidence":"guessed")",
       "p.json:1: terms[1].evidence: unknown evidence \"guessed\""},
      {R"("total":36)", R"("total":37)", "p.json:1: memory_bytes.total: 37 is not the sum"},
      {R"("workspace":7,)", "", "p.json:1: memory_bytes.workspace: missing"},
      {R"("price_usd":0.02)", R"("price_usd":"dear")",
       "p.json:1: run_terms[1].price_usd: \"dear\""},
      {R"("p_budget":1.0)", R"("p_budget":1.5)", "p.json:1: p_budget: 1.5 is no probability"},
      {R"(["reading is not measured"])", R"([1])", "p.json:1: assumptions: expected a list"},
      {R"("watermark":42)", R"("watermark":42,"x":1)", "p.json:1: x: unknown key"},
      {R"("time_s":0.008)", R"("time_s":"fast")", "p.json:1: terms[0].time_s: \"fast\""},
  };
  for (const auto& bad : cases) {
    SCOPED_TRACE(bad.to);
    std::string text = good;
    ASSERT_NE(text.find(bad.from), std::string::npos);
    text.replace(text.find(bad.from), std::string(bad.from).size(), bad.to);
    const auto read = prediction_from_value(*parse_json(text, "p.json"), "p.json");
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.error().code, ErrorCode::kInvalidInput);
    EXPECT_THAT(read.error().message, ::testing::StartsWith(bad.message));
  }
}

}  // namespace
}  // namespace pluto
