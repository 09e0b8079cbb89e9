#include "plan/document_parts.h"

#include <fmt/format.h>

#include <limits>

#include "plan/plan.h"

namespace pluto {

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
