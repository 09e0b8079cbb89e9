// cast, accumulate, sgd, adam, all_reduce, server_push, server_pull, factor_gather.
#include <fmt/format.h>

#include "model/schema_check.h"
#include "model/schema_families.h"
#include "model/schema_gradient.h"
#include "model/schema_work.h"

namespace pluto {
namespace {

using Types = std::vector<TensorType>;

// ---- cast

Result<Types> infer_cast(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  PLUTO_ASSIGN_AT("to", const DType to, parse_dtype(std::get<CastAttrs>(attrs).to));
  const Operands in(inputs, {"x"});
  PLUTO_TRY(in.count());
  TensorType y = in[0];
  y.dtype = to;
  return Types{y};
}

void gradient_cast(GradientContext& context) {
  const DType from = context.builder().type(context.input(0)).dtype;
  const DType to = context.builder().type(context.output(0)).dtype;
  if (!is_floating(from) || !is_floating(to)) return;
  context.append("backward", OpKind::kCast, OpPass::kForward, CastAttrs{to_text(from)},
                 {context.dy()}, {0});
}

// ---- accumulate, sgd, adam: one gradient in, no outputs

Result<Types> infer_update(std::span<const TensorType> inputs) {
  const Operands in(inputs, {"g"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  if (in[0].batch_multiple != 0) {
    return invalid_input("operand 0 (g) has a batch axis, expected the sum over the samples");
  }
  return Types{};
}

Result<Types> infer_accumulate(const OpAttrs&, std::span<const TensorType> inputs) {
  return infer_update(inputs);
}

Result<Types> infer_sgd(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& a = std::get<SgdAttrs>(attrs);
  if (!(a.momentum >= 0 && a.momentum < 1)) {
    return invalid_input(fmt::format("momentum is {}, expected 0 to below 1", a.momentum));
  }
  if (a.nesterov && a.momentum == 0) return invalid_input("nesterov needs a momentum above 0");
  PLUTO_TRY(check_attr("weight_decay", a.weight_decay, 0, 1));
  return infer_update(inputs);
}

Result<Types> infer_adam(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& a = std::get<AdamAttrs>(attrs);
  for (const auto& [name, beta] : {std::pair("beta1", a.beta1), std::pair("beta2", a.beta2)}) {
    if (!(beta >= 0 && beta < 1))
      return invalid_input(fmt::format("{} is {}, expected 0 to below 1", name, beta));
  }
  PLUTO_TRY(check_attr("epsilon", a.epsilon, 0, 1));
  PLUTO_TRY(check_attr("weight_decay", a.weight_decay, 0, 1));
  return infer_update(inputs);
}

// The updated tensors are like the gradient: `states` of them read and written. FLOPs per element.
OpWork update_work(std::span<const TensorType> inputs, std::int64_t micro_batch,
                   std::int64_t states, double flops) {
  const WorkOperands operands{OpPass::kForward, inputs, {}, micro_batch};
  const Bytes size = operands.input_bytes(0);
  return {Flops(flops * operands.input_elements(0)), size * (states + 1), size * states};
}

OpWork work_accumulate(OpPass, const OpAttrs&, std::span<const TensorType> inputs,
                       std::span<const TensorType>, std::int64_t micro_batch) {
  return update_work(inputs, micro_batch, 1, 1);
}

// A multiply-add each for the step, the decay, the velocity and the look-ahead of Nesterov.
OpWork work_sgd(OpPass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                std::span<const TensorType>, std::int64_t micro_batch) {
  const auto& a = std::get<SgdAttrs>(attrs);
  const double flops =
      2 + (a.weight_decay != 0 ? 2 : 0) + (a.momentum != 0 ? 2 : 0) + (a.nesterov ? 2 : 0);
  return update_work(inputs, micro_batch, a.momentum != 0 ? 2 : 1, flops);
}

// First moment 3, second moment 4, two bias corrections, square root, epsilon, division, step 2;
// decay 2.
OpWork work_adam(OpPass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                 std::span<const TensorType>, std::int64_t micro_batch) {
  return update_work(inputs, micro_batch, 3,
                     14 + (std::get<AdamAttrs>(attrs).weight_decay != 0 ? 2 : 0));
}

// ---- communication

Result<void> check_comm(const CommAttrs& a) {
  PLUTO_TRY(check_attr("bucket", a.bucket, 0));
  return check_attr("ranks", a.ranks, 1, 1 << 20);
}

Result<Types> infer_in_place(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  PLUTO_TRY(check_comm(std::get<CommAttrs>(attrs)));
  PLUTO_TRY(Operands(inputs, {}).count());
  return Types{};
}

Result<Types> infer_factor_gather(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& a = std::get<CommAttrs>(attrs);
  PLUTO_TRY(check_comm(a));
  const Operands in(inputs, {"x"});
  PLUTO_TRY(in.count());
  if (in[0].batch_multiple != 1) {
    return invalid_input(
        fmt::format("operand 0 (x) holds {} micro-batches, expected 1", in[0].batch_multiple));
  }
  TensorType y = in[0];
  y.batch_multiple = static_cast<int>(a.ranks);
  return Types{y};
}

OpWork no_work(OpPass, const OpAttrs&, std::span<const TensorType>, std::span<const TensorType>,
               std::int64_t) {
  return {};
}

}  // namespace

std::vector<OpSchema> training_schemas() {
  return {
      {OpKind::kCast, infer_cast, per_element_work<0, 0>, gradient_rule<gradient_cast>},
      {OpKind::kAccumulate, infer_accumulate, work_accumulate, nullptr},
      {OpKind::kSgd, infer_sgd, work_sgd, nullptr},
      {OpKind::kAdam, infer_adam, work_adam, nullptr},
      {OpKind::kAllReduce, infer_in_place, no_work, nullptr},
      {OpKind::kServerPush, infer_in_place, no_work, nullptr},
      {OpKind::kServerPull, infer_in_place, no_work, nullptr},
      {OpKind::kFactorGather, infer_factor_gather, per_element_work<0, 0>, nullptr},
  };
}

}  // namespace pluto
