#include "plan/evidence.h"

#include <gtest/gtest.h>

#include <string>

namespace pluto {
namespace {

TEST(EvidenceTest, HasWordsAndLetters) {
  std::string letters;
  for (const Evidence evidence :
       {Evidence::kMeasured, Evidence::kInterpolated, Evidence::kCalibrated, Evidence::kDatasheet,
        Evidence::kAssumed}) {
    EXPECT_EQ(*parse_evidence(to_text(evidence)), evidence);
    letters += evidence_letter(evidence);
  }
  EXPECT_EQ(letters, "MICDA");
}

TEST(EvidenceTest, RefusesOtherWords) { EXPECT_FALSE(parse_evidence("guessed").ok()); }

}  // namespace
}  // namespace pluto
