#include "plan/timeline.h"

#include <gtest/gtest.h>

#include "base/document.h"

namespace pluto {
namespace {

std::vector<Timeline> two_timelines() {
  return {
      {"predicted",
       {{"fc1", Resource::kCompute, Seconds(0), Seconds(0.002)},
        {"bucket0.all_reduce", Resource::kNetwork, Seconds(0.001), Seconds(0.004)}}},
      {"measured rank 0", {{"fc1 \"quoted\"", Resource::kCompute, Seconds(0.5), Seconds(0.75)}}}};
}

Value parsed(const std::vector<Timeline>& timelines) {
  auto value = parse_json(to_chrome_trace(timelines), "trace");
  EXPECT_TRUE(value.ok()) << value.error().message;
  return *value;
}

/// Events of phase `ph`.
std::vector<Value> events(const Value& trace, const std::string& phase) {
  std::vector<Value> result;
  for (const Value& event : trace.find("traceEvents")->as_array()) {
    if (event.find("ph")->as_string() == phase) result.push_back(event);
  }
  return result;
}

TEST(TimelineTest, EntriesAreCompleteEventsInMicroseconds) {
  const auto complete = events(parsed(two_timelines()), "X");
  ASSERT_EQ(complete.size(), 3U);
  EXPECT_EQ(complete[1].find("name")->as_string(), "bucket0.all_reduce");
  EXPECT_DOUBLE_EQ(complete[1].find("ts")->as_number(), 1000);
  EXPECT_DOUBLE_EQ(complete[1].find("dur")->as_number(), 3000);
  EXPECT_EQ(complete[1].find("cat")->as_string(), "network");
  EXPECT_EQ(complete[2].find("name")->as_string(), "fc1 \"quoted\"");
}

TEST(TimelineTest, EveryTimelineIsAProcessAndEveryResourceATrack) {
  const Value trace = parsed(two_timelines());
  const auto complete = events(trace, "X");
  EXPECT_EQ(complete[0].find("pid")->as_integer(), 0);
  EXPECT_EQ(complete[2].find("pid")->as_integer(), 1);
  EXPECT_NE(complete[0].find("tid")->as_integer(), complete[1].find("tid")->as_integer());
  std::vector<std::string> names;
  for (const Value& event : events(trace, "M")) {
    names.push_back(event.find("args")->find("name")->as_string());
  }
  EXPECT_EQ(names, (std::vector<std::string>{"predicted", "compute", "network", "measured rank 0",
                                             "compute"}));
}

TEST(TimelineTest, NothingIsStillATrace) {
  EXPECT_TRUE(parsed({}).find("traceEvents")->as_array().empty());
}

}  // namespace
}  // namespace pluto
