#pragma once
// The simplest interpreter of a graph: every tensor its own memory, every op in order, on one
// device.

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "model/graph.h"
#include "tests/support/run_kernel.h"

namespace pluto::testing {

/// Communication nodes are left out: one rank. Precondition: the device computes in host memory. A
/// kernel that does not compile fails the test.
class GraphRunner {
 public:
  GraphRunner(const Graph& graph, Device& device, std::int64_t micro_batch) : graph_(&graph) {
    for (const Tensor& tensor : graph.tensors()) tensors_.emplace_back(tensor.type, micro_batch);
    std::int64_t workspace = 1;
    for (const Op& op : graph.ops()) {
      kernels_.push_back(nullptr);
      if (op.kind >= OpKind::kAllReduce) continue;
      KernelRequest request{signature_of(graph, op, micro_batch), {}};
      for (TensorId id : op.updates) request.updates.push_back(graph.tensor(id).type);
      auto kernel = device.compile(request);
      EXPECT_TRUE(kernel.ok()) << op.name << ": " << (kernel.ok() ? "" : kernel.error().message);
      if (!kernel.ok()) continue;
      workspace = std::max(workspace, (*kernel)->workspace().value());
      kernels_.back() = std::move(*kernel);
    }
    workspace_ = std::make_unique<Workspace>(Bytes(workspace));
  }

  void set(TensorId id, const Values& values) { tensors_[id.index()].set(values); }
  Values get(TensorId id) const { return tensors_[id.index()].get(); }

  /// All ops, in order.
  void run(const StepScalars& scalars) {
    for (const Op& op : graph_->ops()) run(op.id, scalars);
  }
  void run(OpId id, const StepScalars& scalars) {
    const Op& op = graph_->op(id);
    if (kernels_[id.index()] == nullptr) return;
    std::vector<const void*> inputs;
    std::vector<void*> outputs, updates;
    for (TensorId t : op.inputs) inputs.push_back(tensors_[t.index()].data());
    for (TensorId t : op.outputs) outputs.push_back(tensors_[t.index()].data());
    for (TensorId t : op.updates) updates.push_back(tensors_[t.index()].data());
    kernels_[id.index()]->run({inputs, outputs, updates, workspace_->data(), scalars});
  }

 private:
  const Graph* graph_;
  std::vector<HostTensor> tensors_;
  std::vector<std::unique_ptr<Kernel>> kernels_;
  std::unique_ptr<Workspace> workspace_;
};

}  // namespace pluto::testing
