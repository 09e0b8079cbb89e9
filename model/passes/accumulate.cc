#include <fmt/format.h>

#include <utility>
#include <vector>

#include "model/passes/graph_rewrite.h"
#include "model/passes/passes.h"

namespace pluto {

Result<TrainingGraph> accumulate_gradients(const TrainingGraph& training, int micro_batches) {
  if (micro_batches < 1) {
    return invalid_input(fmt::format("accumulation over {} micro-batches", micro_batches));
  }
  if (micro_batches == 1) return training;
  GraphRewrite rewrite(training.graph);
  std::vector<TrainedParameter> accumulated = training.trained;
  std::vector<std::vector<OpId>> behind(training.graph.ops().size());
  for (TrainedParameter& trained : accumulated) {
    const Tensor parameter = training.graph.tensor(trained.parameter);
    const Tensor sum = training.graph.tensor(trained.gradient);
    if (!sum.producer) {
      return invalid_input(
          fmt::format("the gradient of {} is accumulated already", parameter.name));
    }
    Tensor& part = rewrite.tensor(trained.gradient);
    part.role = TensorRole::kActivation;
    part.name = sum.name + ".part";
    trained.gradient = rewrite.add_tensor(sum.name, TensorRole::kGradient, sum.type);
    behind[sum.producer->index()].push_back(
        rewrite.add_op(parameter.name + ".accumulate", OpKind::kAccumulate, OpPass::kForward,
                       NoAttrs{}, {sum.id}, {}, {trained.gradient}));
    for (TensorId& operand : rewrite.op(trained.update).inputs) {
      if (operand == sum.id) operand = trained.gradient;
    }
  }
  std::vector<OpId> order;
  for (const Op& op : training.graph.ops()) {
    order.push_back(op.id);
    for (OpId accumulate : behind[op.id.index()]) order.push_back(accumulate);
  }
  std::vector<OpPhase> phase = training.phase;
  phase.resize(rewrite.ops(), OpPhase::kBackward);
  PLUTO_ASSIGN(auto rewritten, rewrite.build(order));
  return carry_over(training, std::move(accumulated), phase, std::move(rewritten));
}

}  // namespace pluto
