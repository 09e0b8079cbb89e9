#pragma once
// One training step as tasks on resources: what the simulator costs and the executor runs.

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/strong_id.h"
#include "base/units.h"
#include "model/training_graph.h"
#include "plan/measurement.h"
#include "plan/strategy.h"

namespace pluto {

using TaskId = StrongId<struct TaskTag>;

/// Each resource runs its tasks one at a time, in task order; the network one in each direction.
/// kServer: the devices of servers with nodes of their own.
enum class Resource : std::uint8_t { kCompute, kNetwork, kInput, kServer };
constexpr std::size_t kResourceCount = 4;
const char* to_text(Resource resource);

/// Elements [begin, end) of an update node's flattened parameter.
struct ElementRange {
  std::int64_t begin = 0, end = 0;
  bool empty() const { return begin >= end; }
  bool operator==(const ElementRange&) const = default;
};

/// Elements [begin, end) of shard s of S of n elements: n*s/S to n*(s+1)/S. The one rule of
/// lowering, collectives and checkpoints; runtime/communicator.h has its twin.
ElementRange shard_range(std::int64_t elements, int shard, int shards);

/// How the servers of a bucket share one of its parameters: server s owns operator[](s), the part
/// of shard s of the bucket's flat slice that falls into the parameter. A rule, not a list, so that
/// 4,096 servers cost nothing.
struct ShardSplit {
  std::int64_t bucket_elements = 0;  ///< of the whole slice
  std::int64_t offset = 0;           ///< of the parameter in the slice
  std::int64_t elements = 0;         ///< of the parameter
  int servers = 0;                   ///< 0: not sharded
  bool empty() const { return servers == 0; }
  std::size_t size() const { return static_cast<std::size_t>(servers); }
  /// In elements of the parameter; an empty range: the server owns nothing of it.
  ElementRange operator[](std::size_t server) const;
  bool operator==(const ShardSplit&) const = default;
};

/// Run one node. `shards`: for update nodes under a parameter server; ranks that serve nothing skip
/// the node. Empty: every rank runs the whole node.
struct OpTask {
  OpId op;
  int micro_index = 0;
  ShardSplit shards;
  /// Of a bucket in chunks: the elements this task works on, of an update's parameter or of the
  /// slice that is packed or unpacked; `shards` splits these, from their first. Empty: all.
  ElementRange part = {};
  /// Position in Plan::servers of the only rank that runs the node (factor_server).
  std::optional<int> server = std::nullopt;
};

/// Which way the bytes of a collective go at a rank that owns no shard. One task runs in each
/// direction at a time.
enum class Direction : std::uint8_t { kBoth, kUp, kDown };

/// Run one communication node. `bytes` in CollectiveMeasurement's convention. `servers`: how many
/// shards (reduce_scatter and all_gather of parameter-server buckets; equal to ranks otherwise).
/// It is between `ranks` ranks, each `stride` after the one before; every such group does the same.
struct CollectiveTask {
  OpId op;
  CollectiveKind kind = CollectiveKind::kAllReduce;
  Bytes bytes;
  int micro_index = 0;
  int servers = 1;
  CollectiveAlgorithm algorithm = CollectiveAlgorithm::kRing;  ///< of an all_reduce
  int server_nodes = 0;  ///< nodes of the owners of shards, where these are no ranks of the group
  Direction direction = Direction::kBoth;
  ElementRange part = {};  ///< of the bucket's slice, which is cut into chunks; empty: all
  std::optional<int> server =
      std::nullopt;  ///< position in Plan::servers of the only owner (factor_server)
  int ranks = 1, stride = 1;
};

/// Make the rank's micro-batch available in the input tensors.
struct BatchTask {
  int micro_index = 0;
  Bytes bytes;
};

struct Task {
  TaskId id;
  Resource resource = Resource::kCompute;
  std::variant<OpTask, CollectiveTask, BatchTask> payload;
  std::vector<TaskId> predecessors;  ///< all earlier in `tasks`
};

/// By how much two consecutive steps overlap (Plan::priority): for each task, by TaskId.
struct StepOverlap {
  /// Tasks of the step before that must have ended.
  std::vector<std::vector<TaskId>> across;
  /// The forward task of the next step that needs the task first; unset: this step does. Of the
  /// tasks that are ready on a resource the one needed first runs; those of this step keep their
  /// order on the compute stream.
  std::vector<std::optional<TaskId>> needed_by;
};

/// A trained parameter in the flat slice of its bucket.
struct BucketSlot {
  std::size_t bucket = 0;
  std::int64_t offset = 0, elements = 0;  ///< of the parameter
  std::int64_t bucket_elements = 0;
};

/// The program of one rank; all ranks of a stage run the same one (servers run the shards their
/// position among `servers` owns). Tasks are in a topological order that is also the issue order of
/// each resource.
struct StepProgram {
  std::vector<Task> tasks;
  int ranks = 1;       ///< of the stage
  int sync_ranks = 1;  ///< of these, that hold the same parameters: plan/groups.h, sync_group()
  std::int64_t micro_batch = 1;
  int accumulation = 1;
  int shard = 0;                    ///< Plan::shard
  int server_nodes = 0;             ///< Plan::server_nodes
  std::vector<BucketSlot> slots;    ///< by position in TrainingGraph::trained; empty: no buckets
  std::vector<SyncMethod> methods;  ///< by bucket
  LocalSteps local;                 ///< tasks of OpPhase::kAverage run in each local.steps-th step
  std::optional<StepOverlap> overlap;  ///< unset: a step begins when the one before has ended
};

/// What a timeline calls the task: the node's name, "batch" for a BatchTask; with more than one
/// micro-batch " #2" behind it.
std::string task_name(const TrainingGraph& training, const StepProgram& program, const Task& task);

}  // namespace pluto
