#include "plan/step_program.h"

#include <fmt/format.h>

#include <algorithm>

namespace pluto {

const char* to_text(Resource resource) {
  switch (resource) {
    case Resource::kCompute:
      return "compute";
    case Resource::kNetwork:
      return "network";
    case Resource::kInput:
      return "input";
    case Resource::kServer:
      return "server";
  }
  return "";
}

ElementRange shard_range(std::int64_t elements, int shard, int shards) {
  return {elements * shard / shards, elements * (shard + 1) / shards};
}

ElementRange ShardSplit::operator[](std::size_t server) const {
  const ElementRange shard = shard_range(bucket_elements, static_cast<int>(server), servers);
  const std::int64_t begin = std::clamp<std::int64_t>(shard.begin - offset, 0, elements);
  return {begin, std::clamp<std::int64_t>(shard.end - offset, begin, elements)};
}

std::string task_name(const TrainingGraph& training, const StepProgram& program, const Task& task) {
  std::string name = "batch";
  int micro_index = 0;
  ElementRange part;
  if (const auto* batch = std::get_if<BatchTask>(&task.payload)) {
    micro_index = batch->micro_index;
  } else if (const auto* collective = std::get_if<CollectiveTask>(&task.payload)) {
    name = training.graph.op(collective->op).name;
    micro_index = collective->micro_index;
    part = collective->part;
  } else if (const auto* op = std::get_if<OpTask>(&task.payload)) {
    name = training.graph.op(op->op).name;
    micro_index = op->micro_index;
    part = op->part;
  }
  if (!part.empty()) name += fmt::format(" [{}, {})", part.begin, part.end);
  return program.accumulation > 1 ? fmt::format("{} #{}", name, micro_index) : name;
}

}  // namespace pluto
