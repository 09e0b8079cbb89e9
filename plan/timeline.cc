#include "plan/timeline.h"

#include <fmt/format.h>

#include <set>

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

std::size_t track_of(const TimelineEntry& entry) {
  return static_cast<std::size_t>(entry.stage) * kResourceCount +
         static_cast<std::size_t>(entry.resource);
}

}  // namespace

std::string to_chrome_trace(const std::vector<Timeline>& timelines) {
  constexpr double kMicroseconds = 1e6;
  Value events = Value::array();
  for (std::size_t process = 0; process < timelines.size(); ++process) {
    const Timeline& timeline = timelines[process];
    events.push_back(name_event("process_name", process, 0, timeline.name));
    std::set<std::size_t> used;
    for (const TimelineEntry& entry : timeline.entries) used.insert(track_of(entry));
    const bool staged = !used.empty() && *used.rbegin() >= kResourceCount;
    for (const std::size_t track : used) {
      std::string name = to_text(static_cast<Resource>(track % kResourceCount));
      if (staged) name = fmt::format("stage {} {}", track / kResourceCount, name);
      events.push_back(name_event("thread_name", process, track, name));
    }
    for (const TimelineEntry& entry : timeline.entries) {
      Value event = Value::object();
      event.set("name", entry.name).set("cat", to_text(entry.resource)).set("ph", "X");
      event.set("ts", entry.start.value() * kMicroseconds);
      event.set("dur", (entry.end - entry.start).value() * kMicroseconds);
      event.set("pid", process).set("tid", track_of(entry));
      events.push_back(std::move(event));
    }
  }
  Value trace = Value::object();
  trace.set("traceEvents", std::move(events)).set("displayTimeUnit", "ms");
  return to_json(trace, true);
}

}  // namespace pluto
