#include "plan/timeline.h"

#include <array>

#include "base/document.h"

namespace pluto {
namespace {

/// A metadata event: the name of process `process`, or of its thread `track`.
Value name_event(const char* what, std::size_t process, std::size_t track,
                 const std::string& name) {
  Value event = Value::object();
  event.set("name", what).set("ph", "M").set("pid", process).set("tid", track);
  event.set("args", Value(Value::Object{{"name", Value(name)}}));
  return event;
}

}  // namespace

std::string to_chrome_trace(const std::vector<Timeline>& timelines) {
  constexpr double kMicroseconds = 1e6;
  Value events = Value::array();
  for (std::size_t process = 0; process < timelines.size(); ++process) {
    const Timeline& timeline = timelines[process];
    events.push_back(name_event("process_name", process, 0, timeline.name));
    std::array<bool, kResourceCount> used{};
    for (const TimelineEntry& entry : timeline.entries) {
      used[static_cast<std::size_t>(entry.resource)] = true;
    }
    for (std::size_t track = 0; track < kResourceCount; ++track) {
      if (!used[track]) continue;
      events.push_back(
          name_event("thread_name", process, track, to_text(static_cast<Resource>(track))));
    }
    for (const TimelineEntry& entry : timeline.entries) {
      Value event = Value::object();
      event.set("name", entry.name).set("cat", to_text(entry.resource)).set("ph", "X");
      event.set("ts", entry.start.value() * kMicroseconds);
      event.set("dur", (entry.end - entry.start).value() * kMicroseconds);
      event.set("pid", process).set("tid", static_cast<std::size_t>(entry.resource));
      events.push_back(std::move(event));
    }
  }
  Value trace = Value::object();
  trace.set("traceEvents", std::move(events)).set("displayTimeUnit", "ms");
  return to_json(trace, true);
}

}  // namespace pluto
