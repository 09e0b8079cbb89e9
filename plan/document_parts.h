#pragma once
// Small parts that several documents share: optional members, integers with a range, fingerprints.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/document.h"
#include "base/result.h"
#include "base/units.h"
#include "model/training_graph.h"

namespace pluto {

/// Appends the member when the value is there; documents leave out what is unset.
template <class T>
void set_if(Value& object, std::string key, const std::optional<T>& value) {
  if (value) object.set(std::move(key), Value(*value));
}

/// Whole numbers that fit an int. Errors: kInvalidInput with the place.
Result<int> read_int(ObjectReader& reader, std::string_view key);
/// 16 hexadecimal digits, as to_hex() writes them.
Result<std::uint64_t> read_fingerprint(ObjectReader& reader, std::string_view key);

/// With its name, as jobs and plans state it.
Value optimizer_value(const OptimizerAttrs& optimizer);

Result<Seconds> read_seconds(ObjectReader& reader, std::string_view key);
Result<Bytes> read_bytes(ObjectReader& reader, std::string_view key);

}  // namespace pluto
