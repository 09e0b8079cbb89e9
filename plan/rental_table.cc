#include "plan/rental_table.h"

#include <fmt/format.h>

#include "plan/document_parts.h"

namespace pluto {
namespace {

constexpr int kSchema = 1;
constexpr double kHour = 3600;

Result<Interruptions> read_interruptions(ObjectReader& reader) {
  Interruptions found;
  PLUTO_ASSIGN(const double between, reader.number("between_h"));
  PLUTO_ASSIGN(const double wait, reader.number("wait_h"));
  if (!(between > 0)) return reader.error("between_h", "must be above zero");
  if (!(wait >= 0)) return reader.error("wait_h", "must not be negative");
  found.between = Seconds(between * kHour);
  found.wait = Seconds(wait * kHour);
  PLUTO_ASSIGN(found.spread, reader.number("spread"));
  PLUTO_ASSIGN(const std::string evidence, reader.string("evidence"));
  PLUTO_ASSIGN_AT(reader.place("evidence"), found.evidence, parse_evidence(evidence));
  PLUTO_ASSIGN(found.source, reader.string("source"));
  return found;
}

Result<RentalTerms> read_terms(const Value& value, const std::string& where,
                               const Interruptions& interruptions) {
  // The file says once for all what a plan says for its instance type.
  Value whole = value;
  if (!value.is_object()) return invalid_input(where + ": expected an object");
  RentalTerms place;
  place.interruptions = interruptions;
  whole.set("interruptions", *to_value(place).find("interruptions"));
  return rental_from_value(whole, where);
}

}  // namespace

Result<RentalTable> RentalTable::load(const std::string& path) {
  PLUTO_ASSIGN(const Value document, read_document(path));
  PLUTO_ASSIGN(ObjectReader root, ObjectReader::open(document, path));
  PLUTO_ASSIGN(const std::int64_t schema, root.integer("schema"));
  if (schema != kSchema) return root.error("schema", fmt::format("expected {}", kSchema));
  PLUTO_ASSIGN(const std::string about, root.string("about"));
  RentalTable table;
  PLUTO_ASSIGN(const Value* other, root.object("interruptions"));
  PLUTO_ASSIGN(ObjectReader others, ObjectReader::open(*other, root.place("interruptions")));
  PLUTO_ASSIGN(const Interruptions otherwise, read_interruptions(others));
  PLUTO_TRY(others.finish());
  PLUTO_ASSIGN(const Value::Array* traces, root.array("traced_interruptions"));
  for (const Value& entry : *traces) {
    PLUTO_ASSIGN(ObjectReader reader,
                 ObjectReader::open(entry, fmt::format("{}[{}]", root.place("traced_interruptions"),
                                                       table.traced_.size())));
    Traced traced;
    PLUTO_ASSIGN(traced.device, reader.string("device"));
    PLUTO_ASSIGN(traced.devices, read_int(reader, "devices"));
    PLUTO_ASSIGN(traced.interruptions, read_interruptions(reader));
    PLUTO_TRY(reader.finish());
    table.traced_.push_back(std::move(traced));
  }
  PLUTO_ASSIGN(const Value* providers, root.object("providers"));
  for (const auto& [name, value] : providers->as_object()) {
    PLUTO_ASSIGN(table.providers_[name],
                 read_terms(value, fmt::format("{}.{}", root.place("providers"), name), otherwise));
  }
  if (!table.providers_.contains("*")) {
    return root.error("providers", "there must be an entry \"*\" for all others");
  }
  PLUTO_TRY(root.finish());
  return table;
}

RentalTerms RentalTable::terms_of(const std::string& instance, const std::string& device,
                                  int devices) const {
  const auto known = providers_.find(instance.substr(0, instance.find(':')));
  RentalTerms terms = known == providers_.end() ? providers_.at("*") : known->second;
  for (const Traced& traced : traced_) {
    if (traced.device == device && traced.devices == devices) {
      terms.interruptions = traced.interruptions;
    }
  }
  return terms;
}

}  // namespace pluto
