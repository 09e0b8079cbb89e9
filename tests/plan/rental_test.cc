#include "plan/rental.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/sample_documents.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

std::string sample_text() { return to_json(to_value(testing::sample_rental()), true); }

TEST(RentalTest, JsonReadsBack) {
  const auto read = rental_from_value(*parse_json(sample_text(), "r.json"), "r.json");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(*read, testing::sample_rental());
}

TEST(RentalTest, ImpossibleTermsAreRefusedWithTheirPlace) {
  const struct {
    const char* from;
    const char* to;
    const char* message;
  } cases[] = {
      {R"("boot_s":240)", R"("boot_s":-1)", "boot_s: must be at least 0, is -1"},
      {R"("billing_step_s":1)", R"("billing_step_s":0)", "billing_step_s: must be above zero"},
      {R"("between_s":5400)", R"("between_s":0)", "interruptions.between_s: must be above zero"},
      {R"("evidence":"calibrated")", R"("evidence":"sure")", "unknown evidence \"sure\""},
      {R"("provisioning_s":60)", R"("provisioning_s":60,"x":1)", "x: unknown key"},
  };
  for (const auto& bad : cases) {
    SCOPED_TRACE(bad.to);
    std::string text = sample_text();
    // Numbers that are whole are written with or without a fraction.
    const std::string from = bad.from;
    const auto at = text.find(from);
    ASSERT_NE(at, std::string::npos) << text;
    text.replace(at, from.size() + (text.substr(at + from.size(), 2) == ".0" ? 2 : 0), bad.to);
    const auto read = rental_from_value(*parse_json(text, "r.json"), "r.json");
    ASSERT_FALSE(read.ok());
    EXPECT_THAT(read.error().message, HasSubstr(bad.message));
  }
}

}  // namespace
}  // namespace pluto
