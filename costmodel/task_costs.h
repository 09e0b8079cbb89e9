#pragma once
// What every task of one role's program costs, each node asked for once.

#include <vector>

#include "costmodel/cost_source.h"
#include "costmodel/input_pipeline.h"
#include "costmodel/schedule.h"
#include "costmodel/uncertainty.h"
#include "plan/lowering.h"

namespace pluto {

/// The term of the step a task belongs to.
enum class TaskPart : std::uint8_t { kCompute, kUpdate, kCommunication, kInput };

struct TaskCost {
  TimedTask timed;  ///< reading has no duration here: it runs ahead of the step
  TaskPart part = TaskPart::kCompute;
  Seconds alone;          ///< what it takes by itself
  bool averages = false;  ///< of local steps: runs in each local.steps-th step only
  double relative_spread = 0;
  Evidence evidence = Evidence::kMeasured;
  InputBound bound = InputBound::kReaders;  ///< of reading
  double sharing_spread = 0;                ///< of a collective: of what compute loses beside it
  Evidence sharing_evidence = Evidence::kMeasured;
};

/// In the order of program.tasks. Rules: simulate(). Messages between stages cost nothing here.
std::vector<TaskCost> cost_tasks(const LoweredPlan& lowered, const ClusterSpec& cluster,
                                 const DataChoice& data, const CostSource& costs);

/// Evidence and time of each term.
struct TermTallies {
  EvidenceTally compute, update, communication, input;
  EvidenceTally& of(TaskPart part);
  void add(const TermTallies& others);
  /// What compute lost to collectives beside it, as part of communication, with the weakest of what
  /// is known about their sharing.
  void add_slowing(const std::vector<TaskCost>& tasks, Seconds slowed);
};

}  // namespace pluto
