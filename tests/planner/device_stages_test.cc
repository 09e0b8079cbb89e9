#include "planner/device_stages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <limits>

#include "tests/support/seeded_properties.h"

namespace pluto {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Best {
  double slowest = std::numeric_limits<double>::infinity();
  int devices = 0;
};

/// Every row of stages from the end of the chain on.
void try_all(const DeviceRules& rules, const StageTime& time, std::size_t end, int devices,
             int replicas, double slowest, Best& best) {
  if (end == 0) {
    if (std::pair(slowest, devices) < std::pair(best.slowest, best.devices)) {
      best = {slowest, devices};
    }
    return;
  }
  for (std::size_t begin = 0; begin < end; ++begin) {
    for (std::size_t w = 0; w < rules.ways.size(); ++w) {
      const StageWay& way = rules.ways[w];
      const int all = replicas + way.replicas;
      if (devices + way.devices > rules.devices || all > rules.replicas) continue;
      const auto own = time(begin, end, w, (all + way.replicas - 1) / way.replicas);
      if (!own) continue;
      try_all(rules, time, begin, devices + way.devices, all, std::max(slowest, own->value()),
              best);
    }
  }
}

RC_GTEST_PROP(DeviceStages, AreTheBestOfAll, ()) {
  DeviceRules rules;
  rules.positions = static_cast<std::size_t>(*rc::gen::inRange(1, 6));
  rules.devices = *rc::gen::inRange(1, 8);
  rules.replicas = *rc::gen::inRange(1, 8);
  std::vector<StageWay> ways;
  const int count = *rc::gen::inRange(1, 5);
  for (int w = 0; w < count; ++w) {
    const int replicas = *rc::gen::inRange(1, 4);
    ways.push_back({replicas * *rc::gen::inRange(1, 3), replicas});
  }
  rules.ways = ways;
  const auto work = *rc::gen::container<std::vector<int>>(rules.positions, rc::gen::inRange(0, 9));
  const auto kept = *rc::gen::container<std::vector<int>>(rules.positions, rc::gen::inRange(0, 5));
  const int memory = *rc::gen::inRange(1, 40);
  const StageTime time = [&](std::size_t begin, std::size_t end, std::size_t way,
                             int in_flight) -> std::optional<Seconds> {
    double seconds = 0;
    int held = 0;
    for (std::size_t i = begin; i < end; ++i) {
      seconds += work[i];
      held += kept[i] * in_flight;
    }
    if (held > memory) return std::nullopt;
    // Recompute when it would not fit twice.
    if (2 * held > memory) seconds *= 1.25;
    return Seconds(seconds / ways[way].devices + 0.1 * ways[way].replicas);
  };
  Best best;
  try_all(rules, time, rules.positions, 0, 0, 0, best);
  const auto found = device_stages(rules, time);
  RC_ASSERT(found.ok());
  RC_ASSERT(found->has_value() == (best.slowest < std::numeric_limits<double>::infinity()));
  if (!found->has_value()) return;
  RC_ASSERT((*found)->slowest.value() == best.slowest);
  RC_ASSERT((*found)->devices == best.devices);
  std::size_t at = 0;
  int devices = 0;
  for (const DeviceStage& stage : (*found)->stages) {
    RC_ASSERT(stage.begin == at);
    RC_ASSERT(time(stage.begin, stage.end, stage.way, stage.in_flight)->value() <= best.slowest);
    at = stage.end;
    devices += ways[stage.way].devices;
  }
  RC_ASSERT(at == rules.positions);
  RC_ASSERT(devices == best.devices);
}

TEST(DeviceStages, KeepsMicroBatchesPerReplicaOfAllBehind) {
  // Two positions, the second of which only runs twice: the first keeps 1 + 2 micro-batches.
  const std::vector<StageWay> ways{{1, 1}, {2, 2}};
  DeviceRules rules{2, ways, 3, 3};
  const auto found = device_stages(
      rules,
      [](std::size_t begin, std::size_t end, std::size_t way, int) -> std::optional<Seconds> {
        if (end - begin > 1) return std::nullopt;
        if ((begin == 0) != (way == 0)) return std::nullopt;
        return Seconds(1);
      });
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_THAT((**found).stages, ElementsAre(DeviceStage{0, 1, 0, 3}, DeviceStage{1, 2, 1, 1}));
}

TEST(DeviceStages, RefusesWhatIsEmpty) {
  const StageTime time = [](auto...) { return std::optional<Seconds>(); };
  const std::vector<StageWay> ways{{1, 1}}, unlawful{{1, 0}};
  EXPECT_THAT(device_stages({0, ways, 1, 1}, time).error().message, HasSubstr("0 positions"));
  EXPECT_THAT(device_stages({1, {}, 1, 1}, time).error().message, HasSubstr("0 ways"));
  EXPECT_FALSE(device_stages({1, unlawful, 1, 1}, time).ok());
  EXPECT_FALSE(device_stages({1, ways, 0, 1}, time).ok());
  EXPECT_FALSE(device_stages({1, ways, 1, 0}, time).ok());
  EXPECT_FALSE(device_stages({1, ways, 1, 1}, time)->has_value());
}

}  // namespace
}  // namespace pluto
