#include "plan/document_parts.h"

#include <fmt/format.h>

#include <limits>

#include "plan/plan.h"

namespace pluto {

Value optimizer_value(const OptimizerAttrs& optimizer) {
  Value value = Value::object();
  if (const auto* sgd = std::get_if<SgdAttrs>(&optimizer)) {
    value.set("name", "sgd")
        .set("momentum", sgd->momentum)
        .set("nesterov", sgd->nesterov)
        .set("weight_decay", sgd->weight_decay);
    return value;
  }
  const AdamAttrs& adam = std::get<AdamAttrs>(optimizer);
  value.set("name", adam.decoupled ? "adamw" : "adam")
      .set("beta1", adam.beta1)
      .set("beta2", adam.beta2)
      .set("epsilon", adam.epsilon)
      .set("weight_decay", adam.weight_decay);
  return value;
}

Result<int> read_int(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const std::int64_t number, reader.integer(key));
  if (number > std::numeric_limits<int>::max() || number < std::numeric_limits<int>::min()) {
    return reader.error(key, fmt::format("{} is out of range", number));
  }
  return static_cast<int>(number);
}

Result<std::uint64_t> read_fingerprint(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const std::string text, reader.string(key));
  PLUTO_ASSIGN_AT(reader.place(key), const std::uint64_t value, parse_fingerprint(text));
  return value;
}

Result<Seconds> read_seconds(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const double value, reader.number(key));
  return Seconds(value);
}

Result<Bytes> read_bytes(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const std::int64_t value, reader.integer(key));
  return Bytes(value);
}

}  // namespace pluto
