#include "model/activation.h"

#include <fmt/format.h>

#include <array>

#include "model/op.h"

namespace pluto {
namespace {

constexpr std::array kAll = {Activation::kRelu, Activation::kTanh, Activation::kSigmoid,
                             Activation::kGelu, Activation::kSilu};

}  // namespace

OpKind kind_of(Activation activation) {
  switch (activation) {
    case Activation::kTanh:
      return OpKind::kTanh;
    case Activation::kSigmoid:
      return OpKind::kSigmoid;
    case Activation::kGelu:
      return OpKind::kGelu;
    case Activation::kSilu:
      return OpKind::kSilu;
    case Activation::kNone:
    case Activation::kRelu:
      break;
  }
  return OpKind::kRelu;
}

const char* to_text(Activation activation) {
  return activation == Activation::kNone ? "none" : to_text(kind_of(activation));
}

Result<Activation> parse_activation(std::string_view text) {
  if (text == to_text(Activation::kNone)) return Activation::kNone;
  for (const Activation activation : kAll) {
    if (text == to_text(activation)) return activation;
  }
  return invalid_input(fmt::format("unknown activation '{}'", text),
                       "one of none, relu, tanh, sigmoid, gelu, silu");
}

std::optional<Activation> activation_of(OpKind kind) {
  for (const Activation activation : kAll) {
    if (kind == kind_of(activation)) return activation;
  }
  return std::nullopt;
}

bool keeps_operand(Activation activation) {
  return activation == Activation::kGelu || activation == Activation::kSilu;
}

}  // namespace pluto
