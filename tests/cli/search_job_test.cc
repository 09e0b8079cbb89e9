#include "cli/search_job.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

TEST(SearchJobTest, LimitsAreSaidInWords) {
  TrainingJob job;
  EXPECT_EQ(limits_text(job), "no limits");
  job.budget = Dollars(120);
  EXPECT_EQ(limits_text(job), "$120.00 at confidence 0.90");
  job.deadline = Seconds(21600);
  job.confidence = 0.95;
  EXPECT_EQ(limits_text(job), "$120.00 and 6h00m at confidence 0.95");
}

}  // namespace
}  // namespace pluto
