#include "costmodel/input_pipeline.h"

#include <algorithm>

#include "costmodel/uncertainty.h"

namespace pluto {

const char* to_text(InputBound bound) {
  switch (bound) {
    case InputBound::kReaders:
      return "readers";
    case InputBound::kProcessors:
      return "processors";
    case InputBound::kStorage:
      return "storage";
  }
  return "?";
}

InputTime input_time(const DataChoice& data, Bytes sample_tensors, const NodeSpec& node,
                     int ranks_on_node, const CostSource& costs) {
  InputTime time;
  Seconds one_reader;
  if (data.sample_time) {
    one_reader = *data.sample_time;
    time.evidence = Evidence::kMeasured;  // the owner's own figure
    time.relative_spread = least_spread(Evidence::kMeasured);
  } else {
    const auto cost = costs.input_sample(data.source, sample_tensors);
    one_reader = cost.time;
    time.evidence = cost.evidence;
    time.relative_spread = cost.relative_spread;
  }
  const double ranks = std::max(1, ranks_on_node);
  double readers = std::max(1, data.readers);
  if (node.cores > 0 && node.cores / ranks < readers) {
    readers = node.cores / ranks;
    time.bound = InputBound::kProcessors;
  }
  time.per_sample = one_reader / readers;
  if (data.storage && data.storage->value() > 0) {
    const Seconds stored =
        data.stored_sample.value_or(sample_tensors) / (*data.storage * (1 / ranks));
    if (stored > time.per_sample) {
      time.per_sample = stored;
      time.bound = InputBound::kStorage;
      time.evidence = Evidence::kDatasheet;
      time.relative_spread = least_spread(Evidence::kDatasheet);
    }
  }
  return time;
}

Seconds exposed_input(const DataChoice& data, Seconds reading, Seconds makespan) {
  return data.queue == 0 ? reading : std::max(Seconds(0), reading - makespan);
}

}  // namespace pluto
