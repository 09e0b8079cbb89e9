// OpSignature: made from a graph, written as one line, read back.
#include <fmt/format.h>

#include "base/text.h"
#include "model/op_schema.h"

namespace pluto {
namespace {

std::string types_text(const std::vector<TensorType>& types) {
  std::string text = "(";
  for (const TensorType& type : types) text += (text.size() > 1 ? ", " : "") + to_text(type);
  return text + ")";
}

/// Takes the text up to `end` off the front of `rest`, and `end` with it.
Result<std::string_view> take(std::string_view& rest, std::string_view end) {
  const std::size_t at = rest.find(end);
  if (at == std::string_view::npos)
    return invalid_input(fmt::format("expected '{}' in '{}'", end, rest));
  const std::string_view piece = rest.substr(0, at);
  rest.remove_prefix(at + end.size());
  return piece;
}

Result<std::vector<TensorType>> parse_types(std::string_view text) {
  std::vector<TensorType> types;
  if (text.empty()) return types;
  for (const std::string& piece : split(text, ',')) {
    PLUTO_ASSIGN(TensorType type, parse_tensor_type(trim(piece)));
    types.push_back(std::move(type));
  }
  return types;
}

Result<OpSignature> parse(std::string_view rest) {
  OpSignature signature;
  PLUTO_ASSIGN(const auto kind, take(rest, " "));
  PLUTO_ASSIGN(signature.kind, parse_op_kind(kind));
  PLUTO_ASSIGN(const auto pass, take(rest, " ["));
  PLUTO_ASSIGN(signature.pass, parse_op_pass(pass));
  PLUTO_ASSIGN(const auto attrs, take(rest, "] ("));
  PLUTO_ASSIGN(signature.attrs, parse_attrs(signature.kind, attrs));
  PLUTO_ASSIGN(const auto inputs, take(rest, ") -> ("));
  PLUTO_ASSIGN_AT("inputs", signature.inputs, parse_types(inputs));
  PLUTO_ASSIGN(const auto outputs, take(rest, ") @"));
  PLUTO_ASSIGN_AT("outputs", signature.outputs, parse_types(outputs));
  const auto micro_batch = parse_integer(rest);
  if (!micro_batch || *micro_batch < 1 || *micro_batch > 1 << 30) {
    return invalid_input(fmt::format("micro-batch '{}', expected 1 or more", rest));
  }
  signature.micro_batch = *micro_batch;
  return signature;
}

// Larger sums of bytes than 2^60 would overflow in the work rules.
Result<void> check_sizes(const OpSignature& signature) {
  double elements = 0;
  for (const auto* types : {&signature.inputs, &signature.outputs}) {
    for (const TensorType& type : *types) {
      elements += static_cast<double>(type.shape.elements()) *
                  static_cast<double>(type.samples(signature.micro_batch));
    }
  }
  if (elements > static_cast<double>(std::int64_t{1} << 57))
    return invalid_input("the operands are larger than memory");
  return {};
}

}  // namespace

OpAttrs cost_attrs(OpAttrs attrs) {
  if (auto* dropout = std::get_if<DropoutAttrs>(&attrs)) dropout->stream = 0;
  if (auto* communication = std::get_if<CommAttrs>(&attrs)) communication->bucket = 0;
  if (auto* wire = std::get_if<WireAttrs>(&attrs)) wire->bucket = 0;
  return attrs;
}

OpSignature signature_of(const Graph& graph, const Op& op, std::int64_t micro_batch) {
  OpSignature signature{op.kind, op.pass, op.attrs, {}, {}, micro_batch};
  for (TensorId id : op.inputs) signature.inputs.push_back(graph.tensor(id).type);
  for (TensorId id : op.outputs) signature.outputs.push_back(graph.tensor(id).type);
  return signature;
}

OpWork op_work(const OpSignature& signature) {
  return schema_of(signature.kind)
      .work(signature.pass, signature.attrs, signature.inputs, signature.outputs,
            signature.micro_batch);
}

OpWork op_work(const Graph& graph, const Op& op, std::int64_t micro_batch) {
  return op_work(signature_of(graph, op, micro_batch));
}

std::string family_text(const OpSignature& signature) {
  return fmt::format("{} {} [{}] {} -> {}", to_text(signature.kind), to_text(signature.pass),
                     to_text(cost_attrs(signature.attrs)), types_text(signature.inputs),
                     types_text(signature.outputs));
}

std::string to_text(const OpSignature& signature) {
  return fmt::format("{} @{}", family_text(signature), signature.micro_batch);
}

Result<OpSignature> parse_signature(std::string_view text) {
  const std::string context = fmt::format("op signature '{}'", text);
  PLUTO_ASSIGN_AT(context, OpSignature signature, parse(text));
  PLUTO_TRY_AT(context, check_sizes(signature));
  if (signature.pass == OpPass::kForward) {
    PLUTO_ASSIGN_AT(context, const auto outputs,
                    schema_of(signature.kind).infer(signature.attrs, signature.inputs));
    if (outputs != signature.outputs) {
      return invalid_input(fmt::format("{}: the outputs are not those of the shape rule", context));
    }
  }
  return signature;
}

}  // namespace pluto
