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

/// In place on the updates; a packed bucket is an operand instead.
Result<Types> infer_in_place(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  PLUTO_TRY(check_comm(std::get<CommAttrs>(attrs)));
  if (inputs.size() == 1 && inputs[0].batch_multiple == 0 && inputs[0].shape.rank() == 1 &&
      element_size(inputs[0].dtype) == 2) {
    return Types{inputs[0]};
  }
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

/// Of parameters or their gradients: none has a batch axis.
Result<void> check_bucket(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  PLUTO_TRY(check_comm(std::get<CommAttrs>(attrs)));
  if (inputs.empty()) return invalid_input("0 operands, expected the tensors of its bucket");
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].batch_multiple != 0 || !is_floating(inputs[i].dtype)) {
      return invalid_input(
          fmt::format("operand {} is {}, expected floating-point numbers without a batch axis", i,
                      to_text(inputs[i])));
    }
  }
  return {};
}

Result<Types> infer_reduce_scatter(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  PLUTO_TRY(check_bucket(attrs, inputs));
  return Types{};
}

Result<Types> infer_parameter_gather(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  PLUTO_TRY(check_bucket(attrs, inputs));
  return Types(inputs.begin(), inputs.end());
}

// ---- pack, unpack: to and from 16 bits on the wire

Result<DType> wire_of(const OpAttrs& attrs) {
  const auto& a = std::get<WireAttrs>(attrs);
  PLUTO_TRY(check_attr("bucket", a.bucket, 0));
  if (!(a.scale > 0)) return invalid_input(fmt::format("scale is {}, expected above 0", a.scale));
  PLUTO_ASSIGN_AT("wire", const DType wire, parse_dtype(a.wire));
  if (is_floating(wire) && element_size(wire) == 2) return wire;
  return invalid_input(fmt::format("wire is {}, expected f16 or bf16", a.wire));
}

Result<Types> infer_pack(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  PLUTO_ASSIGN(const DType wire, wire_of(attrs));
  if (inputs.empty()) return invalid_input("0 operands, expected what is packed");
  std::int64_t elements = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const bool together = inputs.size() == 1 || inputs[i].batch_multiple == 0;
    if (!together || inputs[i].dtype != DType::kF32) {
      return invalid_input(fmt::format("operand {} is {}, expected f32{}", i, to_text(inputs[i]),
                                       together ? "" : " without a batch axis"));
    }
    elements += inputs[i].shape.elements();
  }
  if (inputs[0].batch_multiple == 0) return Types{{Shape{{elements}}, wire, 0}};
  return Types{{inputs[0].shape, wire, inputs[0].batch_multiple}};
}

Result<Types> infer_unpack(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  PLUTO_ASSIGN(const DType wire, wire_of(attrs));
  const Operands in(inputs, {"y"});
  PLUTO_TRY(in.count());
  if (in[0].dtype != wire) {
    return invalid_input(
        fmt::format("operand 0 (y) is {}, expected {}", to_text(in[0]), to_text(wire)));
  }
  if (in[0].batch_multiple == 0) return Types{};
  return Types{{in[0].shape, DType::kF32, in[0].batch_multiple}};
}

// Every element is read in one type, multiplied and written in the other.
OpWork work_wire(std::span<const TensorType> inputs, std::int64_t micro_batch, bool packs) {
  double elements = 0;
  for (const TensorType& type : inputs) {
    elements += static_cast<double>(type.elements(micro_batch));
  }
  const auto bytes = [&](double size) { return Bytes(static_cast<std::int64_t>(size * elements)); };
  return {Flops(elements), bytes(packs ? 4 : 2), bytes(packs ? 2 : 4)};
}
OpWork work_pack(OpPass, const OpAttrs&, std::span<const TensorType> inputs,
                 std::span<const TensorType>, std::int64_t micro_batch) {
  return work_wire(inputs, micro_batch, true);
}
OpWork work_unpack(OpPass, const OpAttrs&, std::span<const TensorType> inputs,
                   std::span<const TensorType>, std::int64_t micro_batch) {
  return work_wire(inputs, micro_batch, false);
}

// ---- average

Result<Types> infer_average(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& a = std::get<AverageAttrs>(attrs);
  PLUTO_TRY(check_attr("ranks", a.ranks, 1, 1 << 20));
  if (!(a.momentum >= 0 && a.momentum < 1)) {
    return invalid_input(fmt::format("momentum is {}, expected 0 to below 1", a.momentum));
  }
  return infer_update(inputs);
}

// The division; with momentum also the difference to the anchor, the velocity and the sum.
OpWork work_average(OpPass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                    std::span<const TensorType>, std::int64_t micro_batch) {
  const bool momentum = std::get<AverageAttrs>(attrs).momentum != 0;
  OpWork work = update_work(inputs, micro_batch, momentum ? 3 : 1, momentum ? 5 : 1);
  work.read = work.written;  // the operand is one of the updates
  return work;
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
      {OpKind::kAllReduce, infer_in_place, no_work, nullptr, OpSchema::Alias::kMayOverwrite},
      {OpKind::kServerPush, infer_in_place, no_work, nullptr, OpSchema::Alias::kMayOverwrite},
      {OpKind::kServerPull, infer_in_place, no_work, nullptr, OpSchema::Alias::kMayOverwrite},
      {OpKind::kFactorGather, infer_factor_gather, per_element_work<0, 0>, nullptr},
      {OpKind::kFactorPush, infer_factor_gather, per_element_work<0, 0>, nullptr},
      {OpKind::kPack, infer_pack, work_pack, nullptr},
      {OpKind::kUnpack, infer_unpack, work_unpack, nullptr},
      {OpKind::kReduceScatter, infer_reduce_scatter, no_work, nullptr},
      {OpKind::kParameterGather, infer_parameter_gather, no_work, nullptr},
      {OpKind::kAverage, infer_average, work_average, nullptr},
  };
}

}  // namespace pluto
