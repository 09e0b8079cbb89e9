#pragma once
// An independent judge of memory plans: two values may share bytes only when every use of one
// happens before every use of the other, by dependencies and resource order alone.

#include <algorithm>
#include <cstdint>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "model/op_schema.h"
#include "plan/memory_plan.h"

namespace pluto::testing {

class MemoryChecker {
 public:
  MemoryChecker(const TrainingGraph& training, const StepProgram& program, const MemoryPlan& plan)
      : training_(training), graph_(training.graph), program_(program), plan_(plan) {
    find_order();
    find_values();
  }

  /// One line per pair of values that can meet in memory.
  std::vector<std::string> faults() const {
    std::vector<std::string> faults = static_faults();
    for (std::size_t a = 0; a < values_.size(); ++a) {
      for (std::size_t b = a + 1; b < values_.size(); ++b) {
        const Value &x = values_[a], &y = values_[b];
        if (!overlap(x.begin, x.end, y.begin, y.end)) continue;
        if (!all_before(x, y) && !all_before(y, x)) {
          faults.push_back(text(x) + " and " + text(y) + " share bytes while both are needed");
        }
      }
    }
    return faults;
  }

  /// Bytes no plan can do without: what is used before and after some compute task.
  Bytes lower_bound() const {
    Bytes bound;
    for (const Task& task : program_.tasks) {
      if (task.resource != Resource::kCompute) continue;
      Bytes crossing;
      for (const Value& value : values_) {
        const auto used = [&](auto relation) {
          return std::any_of(value.uses.begin(), value.uses.end(), relation);
        };
        if (used([&](std::size_t use) { return before(use, task.id.index()); }) &&
            used([&](std::size_t use) { return before(task.id.index(), use); })) {
          crossing += value.end - value.begin;
        }
      }
      bound = std::max(bound, crossing);
    }
    return bound;
  }

 private:
  /// A tensor of one micro-batch, or several that are the same bytes.
  struct Value {
    std::vector<TensorId> tensors;
    int micro_index = 0;
    Bytes begin, end;
    std::vector<std::size_t> uses;  // tasks
  };

  static bool overlap(Bytes a_begin, Bytes a_end, Bytes b_begin, Bytes b_end) {
    return a_begin < b_end && b_begin < a_end;
  }
  std::string text(const Value& value) const {
    return graph_.tensor(value.tensors.front()).name + " #" + std::to_string(value.micro_index);
  }
  bool before(std::size_t a, std::size_t b) const { return earlier_[b][a]; }
  bool all_before(const Value& x, const Value& y) const {
    for (std::size_t a : x.uses) {
      for (std::size_t b : y.uses) {
        if (!before(a, b) && !(a == b && overwrites(a, x, y))) return false;
      }
    }
    return true;
  }

  const Op* op_of(const Task& task, int& micro_index) const {
    if (const auto* op = std::get_if<OpTask>(&task.payload)) {
      micro_index = op->micro_index;
      return &graph_.op(op->op);
    }
    if (const auto* collective = std::get_if<CollectiveTask>(&task.payload)) {
      micro_index = collective->micro_index;
      return &graph_.op(collective->op);
    }
    return nullptr;
  }

  /// Whether the task may write `y` over its operand `x`.
  bool overwrites(std::size_t task, const Value& x, const Value& y) const {
    int micro_index = 0;
    const Op* op = op_of(program_.tasks[task], micro_index);
    const auto in = [](const Value& value, TensorId id) {
      return std::find(value.tensors.begin(), value.tensors.end(), id) != value.tensors.end();
    };
    if (op == nullptr || !may_overwrite(graph_, *op) || x.begin != y.begin) return false;
    if (!in(x, op->inputs.front()) || !in(y, op->outputs.front())) return false;
    return std::none_of(op->inputs.begin() + 1, op->inputs.end(),
                        [&](TensorId id) { return in(x, id); });
  }

  void find_order() {
    const std::size_t n = program_.tasks.size();
    earlier_.assign(n, std::vector<bool>(n));
    std::map<Resource, std::size_t> last;
    for (const Task& task : program_.tasks) {
      auto& mine = earlier_[task.id.index()];
      const auto include = [&](std::size_t other) {
        mine[other] = true;
        for (std::size_t i = 0; i < other; ++i) {
          if (earlier_[other][i]) mine[i] = true;
        }
      };
      for (TaskId id : task.predecessors) include(id.index());
      if (last.contains(task.resource)) include(last[task.resource]);
      last[task.resource] = task.id.index();
    }
  }

  void find_values() {
    // Reshapes in place make one value of two tensors.
    std::vector<std::size_t> same(graph_.tensors().size());
    std::iota(same.begin(), same.end(), std::size_t{0});
    for (const Op& op : graph_.ops()) {
      if (op.kind != OpKind::kReshape) continue;
      const TensorId from = op.inputs.front(), to = op.outputs.front();
      if (graph_.tensor(from).role != TensorRole::kActivation) continue;
      if (graph_.tensor(to).role != TensorRole::kActivation) continue;
      if (plan_.offset[from.index()] == plan_.offset[to.index()])
        same[to.index()] = same[from.index()];
    }
    std::map<std::pair<std::size_t, int>, Value> values;
    for (const Task& task : program_.tasks) {
      int micro_index = 0;
      const Op* op = op_of(task, micro_index);
      if (op == nullptr) continue;
      for (const auto* operands : {&op->inputs, &op->outputs}) {
        for (TensorId id : *operands) {
          if (graph_.tensor(id).role != TensorRole::kActivation) continue;
          Value& value = values[{same[id.index()], micro_index}];
          if (std::find(value.tensors.begin(), value.tensors.end(), id) == value.tensors.end()) {
            value.tensors.push_back(id);
          }
          value.micro_index = micro_index;
          value.begin = plan_.offset[id.index()];
          value.end = value.begin + plan_.size[id.index()];
          value.uses.push_back(task.id.index());
        }
      }
    }
    for (auto& [key, value] : values) values_.push_back(std::move(value));
  }

  /// What has a place of its own overlaps nothing; everything lies inside the arena.
  std::vector<std::string> static_faults() const {
    struct Range {
      Bytes begin, end;
      std::string name;
    };
    std::vector<Range> own, arena;
    const MemoryBreakdown& sizes = plan_.breakdown;
    own.push_back({plan_.workspace_offset, plan_.workspace_offset + sizes.workspace, "workspace"});
    own.push_back({plan_.communication_offset, plan_.communication_offset + sizes.communication,
                   "communication"});
    for (const Tensor& tensor : graph_.tensors()) {
      const Bytes begin = plan_.offset[tensor.id.index()];
      const Bytes end = begin + plan_.size[tensor.id.index()];
      const bool shared = tensor.role == TensorRole::kActivation && tensor.id != training_.loss;
      (shared ? arena : own).push_back({begin, end, tensor.name});
      if (tensor.role == TensorRole::kInput) {
        own.push_back({begin + plan_.input_set_stride, end + plan_.input_set_stride,
                       tensor.name + " of the second set"});
      }
    }
    std::vector<std::string> faults;
    for (std::size_t a = 0; a < own.size(); ++a) {
      for (std::size_t b = a + 1; b < own.size() + arena.size(); ++b) {
        const Range& other = b < own.size() ? own[b] : arena[b - own.size()];
        if (overlap(own[a].begin, own[a].end, other.begin, other.end)) {
          faults.push_back(own[a].name + " and " + other.name + " overlap");
        }
      }
    }
    for (const auto* ranges : {&own, &arena}) {
      for (const Range& range : *ranges) {
        if (range.begin < Bytes(0) || range.end > sizes.total()) {
          faults.push_back(range.name + " is outside the arena");
        }
      }
    }
    return faults;
  }

  const TrainingGraph& training_;
  const Graph& graph_;
  const StepProgram& program_;
  const MemoryPlan& plan_;
  std::vector<std::vector<bool>> earlier_;  // earlier_[b][a]: task a has ended when b starts
  std::vector<Value> values_;
};

}  // namespace pluto::testing
