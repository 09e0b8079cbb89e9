// send, receive, stage_reduce: between pipeline stages.
#include <fmt/format.h>

#include "model/schema_check.h"
#include "model/schema_families.h"
#include "model/schema_work.h"

namespace pluto {
namespace {

using Types = std::vector<TensorType>;

Result<TensorType> message_type(const OpAttrs& attrs) {
  const auto& a = std::get<StageAttrs>(attrs);
  PLUTO_TRY(check_attr("peer", a.peer, 0, 1 << 20));
  PLUTO_ASSIGN_AT("type", TensorType type, parse_tensor_type(a.type));
  return type;
}

Result<Types> infer_send(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  PLUTO_ASSIGN(const TensorType type, message_type(attrs));
  const Operands in(inputs, {"x"});
  PLUTO_TRY(in.count());
  if (in[0] == type) return Types{};
  return invalid_input(
      fmt::format("operand 0 (x) is {}, expected {}", to_text(in[0]), to_text(type)));
}

Result<Types> infer_receive(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  PLUTO_ASSIGN(const TensorType type, message_type(attrs));
  PLUTO_TRY(Operands(inputs, {}).count());
  return Types{type};
}

Result<Types> infer_stage_reduce(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  PLUTO_TRY(message_type(attrs));
  PLUTO_TRY(Operands(inputs, {}).count());
  return Types{};
}

OpWork no_work(OpPass, const OpAttrs&, std::span<const TensorType>, std::span<const TensorType>,
               std::int64_t) {
  return {};
}

}  // namespace

std::vector<OpSchema> stage_schemas() {
  return {
      {OpKind::kSend, infer_send, no_work, nullptr},
      {OpKind::kReceive, infer_receive, no_work, nullptr},
      {OpKind::kStageReduce, infer_stage_reduce, no_work, nullptr},
  };
}

}  // namespace pluto
