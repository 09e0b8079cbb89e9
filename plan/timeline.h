#pragma once
// When each task of a step ran, predicted or measured; one writer for both, so they open side by
// side.

#include <string>
#include <vector>

#include "base/units.h"
#include "plan/step_program.h"

namespace pluto {

struct TimelineEntry {
  std::string name;
  Resource resource = Resource::kCompute;
  Seconds start, end;
  int stage = 0;  ///< of a pipeline
};

struct Timeline {
  std::string name;  ///< "predicted", "measured rank 0"
  std::vector<TimelineEntry> entries;
};

/// Chrome trace event format (complete events, one track per timeline, stage and resource),
/// readable by Perfetto. Source: "Trace Event Format", Google, 2016.
std::string to_chrome_trace(const std::vector<Timeline>& timelines);

}  // namespace pluto
