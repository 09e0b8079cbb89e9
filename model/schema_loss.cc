// softmax_cross_entropy, bce_with_logits, mse, and cross-entropy of split logits. The loss has no
// batch axis; its rule starts the chain of gradients.
#include <fmt/format.h>

#include <algorithm>

#include "model/schema_check.h"
#include "model/schema_families.h"
#include "model/schema_gradient.h"
#include "model/schema_work.h"

namespace pluto {
namespace {

using Types = std::vector<TensorType>;

Result<Types> infer_cross_entropy(const OpAttrs&, std::span<const TensorType> inputs) {
  const Operands in(inputs, {"logits", "labels"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  PLUTO_TRY(in.at_least_rank(0, 1, "..., classes"));
  Shape positions = in[0].shape;
  positions.dims.pop_back();
  PLUTO_TRY(in.shape(1, positions, "the logits' axes but the last"));
  PLUTO_TRY(in.dtype(1, DType::kI32));
  PLUTO_TRY(in.batch_of(1, 0));
  return Types{statistic({}, 0), in[0]};
}

// ---- cross-entropy of logits that are split over ranks: softmax_terms, split_cross_entropy

Result<Types> infer_terms(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  PLUTO_ASSIGN(const Types whole, infer_cross_entropy(attrs, inputs));
  Shape terms = whole[1].shape;
  terms.dims.back() = 2;
  return Types{statistic(std::move(terms), whole[1].batch_multiple)};
}

Result<Types> infer_split_cross_entropy(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const Operands in(inputs, {"logits", "labels", "terms"});
  PLUTO_TRY(in.count());
  PLUTO_ASSIGN(Types types, infer_cross_entropy(attrs, inputs.first(2)));
  Shape terms = in[0].shape;
  const std::int64_t width = in[2].shape.dims.empty() ? 0 : in[2].shape.dims.back();
  terms.dims.back() = std::max<std::int64_t>(2, width / 2 * 2);
  PLUTO_TRY(in.shape(2, terms, "the logits' axes but the last, two terms of each rank"));
  PLUTO_TRY(in.dtype(2, DType::kF32));
  PLUTO_TRY(in.batch_of(2, 0));
  return types;
}

Result<Types> infer_elementwise_loss(const OpAttrs&, std::span<const TensorType> inputs) {
  const Operands in(inputs, {"x", "target"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  PLUTO_TRY(in.shape(1, in[0].shape, "as operand 0 (x)"));
  PLUTO_TRY(in.dtype(1, DType::kF32));
  PLUTO_TRY(in.batch_of(1, 0));
  return Types{statistic({}, 0)};
}

template <void (*kAppend)(GradientContext&)>
Result<Gradients> loss_rule(const Op& op, std::span<const std::optional<TensorId>> output_gradients,
                            const std::vector<bool>& wanted, GraphBuilder& builder) {
  for (const auto& gradient : output_gradients) {
    if (gradient) {
      return unsupported(fmt::format(
          "node {} ({}): a loss must be the end of the model, but a node reads its output", op.name,
          to_text(op.kind)));
    }
  }
  GradientContext context(op, output_gradients, wanted, builder);
  if (context.wanted(0)) kAppend(context);
  return context.take();
}

void gradient_cross_entropy(GradientContext& context) {
  context.backward({context.output(1), context.input(1)}, {0});
}

void gradient_elementwise_loss(GradientContext& context) {
  context.backward({context.input(0), context.input(1)}, {0});
}

}  // namespace

std::vector<OpSchema> loss_schemas() {
  using Alias = OpSchema::Alias;
  // FLOPs per element. softmax_cross_entropy: as softmax, backward subtract and scale.
  // bce_with_logits: max(x, 0) - x t + log(1 + exp(-|x|)) summed, 9; backward sigmoid 4, subtract,
  // scale. mse: subtract, multiply-add; backward 2. softmax_terms: maximum, subtract, exp, add;
  // split_cross_entropy: subtract, exp, its terms not counted.
  return {
      {OpKind::kSoftmaxCrossEntropy, infer_cross_entropy, per_element_work<5, 2>,
       loss_rule<gradient_cross_entropy>, Alias::kMayOverwrite},
      {OpKind::kBceWithLogits, infer_elementwise_loss, per_element_work<9, 6>,
       loss_rule<gradient_elementwise_loss>, Alias::kMayOverwrite},
      {OpKind::kMse, infer_elementwise_loss, per_element_work<3, 2>,
       loss_rule<gradient_elementwise_loss>, Alias::kMayOverwrite},
      {OpKind::kSoftmaxTerms, infer_terms, per_element_work<4, 0>, nullptr},
      {OpKind::kSplitCrossEntropy, infer_split_cross_entropy, per_element_work<2, 2>,
       loss_rule<gradient_cross_entropy>, Alias::kMayOverwrite},
  };
}

}  // namespace pluto
