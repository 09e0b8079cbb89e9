#pragma once
// How fast a rank gets its samples: readers, the processors they run on, and the storage.

#include "costmodel/cost_source.h"
#include "plan/job.h"

namespace pluto {

/// What sets the pace of reading.
enum class InputBound : std::uint8_t { kReaders, kProcessors, kStorage };
const char* to_text(InputBound bound);  ///< "readers", "processors", "storage"

struct InputTime {
  Seconds per_sample;  ///< of one rank, all its readers at work
  InputBound bound = InputBound::kReaders;
  double relative_spread = 0;
  Evidence evidence = Evidence::kAssumed;
};

/// Formula: per_sample = max(t / min(R, C / L), s L / B), with t what one reader takes for a sample
/// (decoding included), R the readers of a rank, C the processor threads of the node (unknown: no
/// bound), L its ranks, s the stored bytes of a sample and B what the storage gives the node
/// (unset: no bound). Readers share processors evenly; what frameworks need of them besides is
/// ignored, as is contention for memory. A queue between reading and the step (DataChoice::queue >=
/// 1) hides reading behind the step as long as it is faster; without one the two alternate.
/// Source: a pipeline is as fast as its slowest stage (Murray et al. 2021, tf.data, section 3.3).
/// Valid for: readers that do not wait for each other. Test: costmodel/input_pipeline_test.cc.
InputTime input_time(const DataChoice& data, Bytes sample_tensors, const NodeSpec& node,
                     int ranks_on_node, const CostSource& costs);

/// What reading adds to a step that takes `makespan`, when reading for it takes `reading`.
Seconds exposed_input(const DataChoice& data, Seconds reading, Seconds makespan);

}  // namespace pluto
