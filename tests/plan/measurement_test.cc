#include "plan/measurement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/sample_documents.h"

namespace pluto {
namespace {

using testing::sample_measurements;
using ::testing::StartsWith;

TEST(MeasurementTest, WordsOfCollectivesReadBack) {
  for (const auto kind :
       {CollectiveKind::kAllReduce, CollectiveKind::kReduceScatter, CollectiveKind::kAllGather,
        CollectiveKind::kBroadcast, CollectiveKind::kAllToAll, CollectiveKind::kSend}) {
    EXPECT_EQ(*parse_collective_kind(to_text(kind)), kind);
  }
  EXPECT_EQ(parse_collective_kind("all_gater").error().help, "did you mean \"all_gather\"?");
}

TEST(MeasurementTest, EveryKindReadsBack) {
  for (const Measurement& measurement : sample_measurements()) {
    SCOPED_TRACE(kind_text(measurement));
    const std::string text = to_json(to_value(measurement), true);
    const auto read = measurement_from_value(*parse_json(text, "m.json"), "m.json");
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(*read, measurement);
  }
}

TEST(MeasurementTest, LossOfADivergedRunIsNull) {
  Measurement measurement{testing::sample_context(), ConvergencePoint{1, 2, 3, std::nan(""), {}}};
  const std::string text = to_json(to_value(measurement), true);
  EXPECT_THAT(text, ::testing::HasSubstr("\"loss\":null"));
  const auto read = measurement_from_value(*parse_json(text, "m.json"), "m.json");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_TRUE(std::isnan(std::get<ConvergencePoint>(read->what).loss));
}

TEST(MeasurementTest, MalformedMeasurementsAreRefusedWithTheirPlace) {
  const std::vector<Measurement> all = sample_measurements();
  const struct {
    std::size_t which;
    const char* from;
    const char* to;
    const char* message;
  } cases[] = {
      {0, R"("kind":"op")", R"("kind":"operator")",
       "m.json:1: kind: unknown kind of measurement \"operator\""},
      {0, R"("kind":"op")", R"("kind":"collective")", "m.json:1: collective: missing"},
      {0, "@32", "@", "m.json:1: signature: "},
      {0, R"("host":"node1",)", "", "m.json:1: context.host: missing"},
      {0, R"("count":40)", R"("count":40,"mean_s":1)", "m.json:1: time.mean_s: unknown key"},
      {0, R"("workspace_bytes":4096)", R"("workspace_bytes":"4k")", "m.json:1: workspace_bytes: "},
      {1, R"("collective":"reduce_scatter")", R"("collective":"gossip")",
       "m.json:1: collective: unknown collective \"gossip\""},
      {1, R"("ranks":4)", R"("ranks":4,"gpus":4)", "m.json:1: gpus: unknown key"},
      {2, R"("bytes_per_sample":3140)", R"("bytes_per_sample":3.5)",
       "m.json:1: bytes_per_sample: "},
      {3, R"("overhead_bytes":91234304,)", "", "m.json:1: overhead_bytes: missing"},
      {4, R"("plan":"fedcba9876543210")", R"("plan":"fed")",
       "m.json:1: plan: \"fed\": expected 16"},
      {5, R"("accuracy":0.875)", R"("accuracy":"good")", "m.json:1: accuracy: \"good\""},
      {7, R"("hidden":2048,)", "", "m.json:1: shape.hidden: missing"},
      {7, R"("recompute":"selective")", R"("recompute":"some")",
       "m.json:1: plan.recompute: 'some' is no way to recompute"},
      {7, R"("tensor":4)", R"("tensors":4)", "m.json:1: plan.tensor: missing"},
  };
  for (const auto& bad : cases) {
    SCOPED_TRACE(bad.to);
    std::string text = to_json(to_value(all[bad.which]), true);
    ASSERT_NE(text.find(bad.from), std::string::npos) << text;
    text.replace(text.find(bad.from), std::string(bad.from).size(), bad.to);
    const auto read = measurement_from_value(*parse_json(text, "m.json"), "m.json");
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.error().code, ErrorCode::kInvalidInput);
    EXPECT_THAT(read.error().message, StartsWith(bad.message));
  }
}

}  // namespace
}  // namespace pluto
