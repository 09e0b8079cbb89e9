// mpirun of the bundled executor, and Horovod. tests/cli/cmd_export_test.cc runs the first.

#include <gmock/gmock.h>

#include "base/text.h"
#include "plan/export_trainers.h"
#include "tests/plan/export_cases.h"

namespace pluto {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using enum ExportTarget;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::string& line : split(text, '\n')) {
    if (!line.empty() && line.front() != '#') lines.push_back(std::move(line));
  }
  return lines;
}

TEST(ExportMpiTest, HostfilesOfBothFamilies) {
  testing::ExportCase c;
  c.plan.backend = "cpu";
  c.facts.hosts = {"alpha", "beta"};
  const auto files = c.files({kMpi, {}});
  EXPECT_THAT(lines_of(testing::file_of(files, "hostfile.openmpi")),
              ElementsAre("alpha slots=8", "beta slots=8"));
  EXPECT_THAT(lines_of(testing::file_of(files, "hostfile.mpich")),
              ElementsAre("alpha:8", "beta:8"));
  EXPECT_THAT(testing::file_of(files, "launch.sh"), HasSubstr("\nranks=16\n"));
}

TEST(ExportMpiTest, GivenPlanAndOrderAreKept) {
  testing::ExportCase c;
  c.plan.backend = "cpu";
  BucketPlan factors = c.plan.buckets.front(), rest = factors;
  factors.method = SyncMethod::kSufficientFactor;
  factors.parameters.clear();
  for (const GradientInfo& one : c.gradients) {
    if (!one.sufficient_factors) continue;
    factors.parameters.push_back(one.name);
    std::erase(rest.parameters, one.name);
  }
  c.plan.buckets = {factors};
  if (!rest.parameters.empty()) c.plan.buckets.push_back(rest);
  const auto read = plan_from_json(testing::file_of(c.files({kMpi, {}}), "plan.json"), "plan.json");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(*read, c.plan);
}

TEST(ExportMpiTest, HorovodHasItsKnobs) {
  testing::ExportCase c;
  c.facts.hosts = {"alpha", "beta"};
  c.plan.buckets.front().algorithm = CollectiveAlgorithm::kHierarchical;
  c.plan.buckets.front().wire = DType::kF16;
  const auto files = c.files({kHorovod, {}});
  const std::string script = testing::file_of(files, "launch.sh");
  EXPECT_THAT(script, HasSubstr("export HOROVOD_FUSION_THRESHOLD=26214400\n"));
  EXPECT_THAT(script, HasSubstr("export HOROVOD_HIERARCHICAL_ALLREDUCE=1\n"));
  EXPECT_THAT(script, HasSubstr("\nhosts=alpha:8,beta:8\n"));
  const auto words = testing::command_of(script, "exec horovodrun");
  EXPECT_TRUE(testing::has_word(words, "-np"));
  EXPECT_TRUE(testing::has_word(words, "16"));
  EXPECT_EQ(testing::at(testing::json_of(files, "settings.json"), "wire").as_string(), "f16");
}

}  // namespace
}  // namespace pluto
