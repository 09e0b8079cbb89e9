#pragma once
// Pipeline stages that share out a number of devices, each run in one of several ways.

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace pluto {

/// A way to run a stage: `replicas` copies of it take turns with the micro-batches, each on devices
/// / replicas devices (tensor parallel).
struct StageWay {
  int devices = 1, replicas = 1;
};

/// What a stage of the positions [begin, end) takes per micro-batch when it keeps `in_flight`
/// micro-batches per replica; nullopt: it does not fit, or there is no such stage. Never less with
/// more in flight. `way`: index into DeviceRules::ways.
using StageTime = std::function<std::optional<Seconds>(std::size_t begin, std::size_t end,
                                                       std::size_t way, int in_flight)>;

struct DeviceRules {
  std::size_t positions = 0;  ///< layers, or steps of a growing set of nodes
  std::span<const StageWay> ways;
  int devices = 1;   ///< of all stages together, at most
  int replicas = 1;  ///< of all stages together, at most: the micro-batches of a step
};

struct DeviceStage {
  std::size_t begin = 0, end = 0, way = 0;
  int in_flight = 1;  ///< micro-batches kept per replica
  bool operator==(const DeviceStage&) const = default;
};

struct DeviceStages {
  std::vector<DeviceStage> stages;
  Seconds slowest;
  int devices = 0;
};

/// The stages whose slowest is fastest; of equal ones those on the fewest devices.
/// Formula: a stage with r replicas keeps ceil(s / r) micro-batches per replica, s the replicas of
///   it and of all stages behind it.
/// Source: Tarnawski et al. 2021 (Piper), section 4; Narayanan et al. 2019, section 3.3.
/// Method: exact. For a limit on the slowest stage, from the last position to the first, the
///   (devices, replicas) of which no smaller pair will do; the limit is halved, then lowered to
///   what was found until nothing is below. `time` is asked once per question.
/// Valid for: chains; other graphs through positions that are downsets, where `time` refuses pairs
///   that are not nested. Ignores: warm-up and drain of the pipeline.
/// Test: planner/device_stages_test.cc (all stages tried).
/// nullopt: nothing fits. Errors: kInvalidInput without positions, ways, devices or replicas.
Result<std::optional<DeviceStages>> device_stages(const DeviceRules& rules, const StageTime& time);

}  // namespace pluto
