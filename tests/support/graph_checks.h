#pragma once
// What every training graph must obey, checked from its public parts alone.

#include <set>
#include <string>
#include <vector>

#include "model/training_graph.h"

namespace pluto::testing {

/// Empty when operands come before their readers, producers and ids agree, phases and trained
/// parameters fit.
inline std::vector<std::string> wiring_faults(const TrainingGraph& training) {
  std::vector<std::string> faults;
  const Graph& graph = training.graph;
  std::set<TensorId> made;
  std::set<std::string> names;
  for (const Tensor& tensor : graph.tensors()) {
    if (!tensor.producer) made.insert(tensor.id);
    if (!names.insert(tensor.name).second) faults.push_back("two tensors " + tensor.name);
  }
  for (std::size_t i = 0; i < graph.ops().size(); ++i) {
    const Op& op = graph.ops()[i];
    if (op.id != OpId(i)) faults.push_back(op.name + ": id");
    for (TensorId id : op.inputs) {
      if (!made.contains(id))
        faults.push_back(op.name + " reads " + graph.tensor(id).name + " too early");
    }
    for (TensorId id : op.updates) {
      if (!made.contains(id))
        faults.push_back(op.name + " updates " + graph.tensor(id).name + " too early");
      if (!is_persistent(graph.tensor(id).role))
        faults.push_back(op.name + " updates an activation");
    }
    for (TensorId id : op.outputs) {
      if (graph.tensor(id).producer != op.id) faults.push_back(op.name + ": producer");
      made.insert(id);
    }
  }
  if (training.phase.size() != graph.ops().size()) faults.push_back("phases");
  if (training.trained.size() != graph.with_role(TensorRole::kParameter).size()) {
    faults.push_back("trained parameters");
  }
  for (const TrainedParameter& trained : training.trained) {
    const std::string& name = graph.tensor(trained.parameter).name;
    if (graph.tensor(trained.gradient).role != TensorRole::kGradient)
      faults.push_back(name + ": gradient role");
    if (graph.tensor(trained.gradient).type != graph.tensor(trained.parameter).type) {
      faults.push_back(name + ": gradient type");
    }
    const Op& update = graph.op(trained.update);
    if (update.inputs != std::vector{trained.gradient}) faults.push_back(name + ": update operand");
    if (update.updates.empty() || update.updates.front() != trained.parameter) {
      faults.push_back(name + ": updated tensor");
    }
    if (training.phase[trained.update.index()] != OpPhase::kUpdate)
      faults.push_back(name + ": update phase");
  }
  std::size_t gradients = graph.with_role(TensorRole::kGradient).size();
  if (gradients != training.trained.size()) faults.push_back("gradients without parameters");
  return faults;
}

/// Names of the nodes, in order.
inline std::vector<std::string> op_names(const Graph& graph) {
  std::vector<std::string> names;
  for (const Op& op : graph.ops()) names.push_back(op.name);
  return names;
}

/// Node by name; the first node when there is none, which no test expects.
inline const Op& op_named(const Graph& graph, const std::string& name) {
  for (const Op& op : graph.ops()) {
    if (op.name == name) return op;
  }
  return graph.ops().front();
}

inline std::vector<std::string> tensor_names(const Graph& graph, const std::vector<TensorId>& ids) {
  std::vector<std::string> names;
  for (TensorId id : ids) names.push_back(graph.tensor(id).name);
  return names;
}

}  // namespace pluto::testing
