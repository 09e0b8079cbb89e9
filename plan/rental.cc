#include "plan/rental.h"

#include <fmt/format.h>

#include <string_view>

#include "plan/document_parts.h"

namespace pluto {
namespace {

Result<double> amount(ObjectReader& reader, std::string_view key, bool may_be_zero) {
  PLUTO_ASSIGN(const double number, reader.number(key));
  if (number > 0 || (may_be_zero && number == 0)) return number;
  return reader.error(
      key, fmt::format("must be {}, is {}", may_be_zero ? "at least 0" : "above zero", number));
}

Result<Interruptions> read_interruptions(const Value& value, const std::string& where) {
  PLUTO_ASSIGN(ObjectReader reader, ObjectReader::open(value, where));
  Interruptions found;
  PLUTO_ASSIGN(const double between, amount(reader, "between_s", false));
  PLUTO_ASSIGN(const double wait, amount(reader, "wait_s", true));
  found.between = Seconds(between);
  found.wait = Seconds(wait);
  PLUTO_ASSIGN(found.spread, amount(reader, "spread", true));
  PLUTO_ASSIGN(const std::string evidence, reader.string("evidence"));
  PLUTO_ASSIGN_AT(reader.place("evidence"), found.evidence, parse_evidence(evidence));
  PLUTO_ASSIGN(found.source, reader.string("source"));
  PLUTO_TRY(reader.finish());
  return found;
}

}  // namespace

Value to_value(const RentalTerms& terms) {
  Value interruptions = Value::object();
  interruptions.set("between_s", terms.interruptions.between.value())
      .set("wait_s", terms.interruptions.wait.value())
      .set("spread", terms.interruptions.spread)
      .set("evidence", to_text(terms.interruptions.evidence))
      .set("source", terms.interruptions.source);
  Value value = Value::object();
  value.set("provisioning_s", terms.provisioning.value())
      .set("boot_s", terms.boot.value())
      .set("billing_step_s", terms.billing_step.value())
      .set("billing_minimum_s", terms.billing_minimum.value())
      .set("storage_bytes_per_s", terms.storage.value())
      .set("storage_usd_per_gb_month", terms.storage_usd_per_gb_month)
      .set("spot_price_spread", terms.spot_price_spread)
      .set("interruptions", std::move(interruptions))
      .set("source", terms.source);
  return value;
}

Result<RentalTerms> rental_from_value(const Value& value, const std::string& where) {
  PLUTO_ASSIGN(ObjectReader reader, ObjectReader::open(value, where));
  RentalTerms terms;
  PLUTO_ASSIGN(const double provisioning, amount(reader, "provisioning_s", true));
  PLUTO_ASSIGN(const double boot, amount(reader, "boot_s", true));
  PLUTO_ASSIGN(const double step, amount(reader, "billing_step_s", false));
  PLUTO_ASSIGN(const double minimum, amount(reader, "billing_minimum_s", true));
  PLUTO_ASSIGN(const double storage, amount(reader, "storage_bytes_per_s", false));
  terms.provisioning = Seconds(provisioning);
  terms.boot = Seconds(boot);
  terms.billing_step = Seconds(step);
  terms.billing_minimum = Seconds(minimum);
  terms.storage = BytesPerSecond(storage);
  PLUTO_ASSIGN(terms.storage_usd_per_gb_month, amount(reader, "storage_usd_per_gb_month", true));
  PLUTO_ASSIGN(terms.spot_price_spread, amount(reader, "spot_price_spread", true));
  PLUTO_ASSIGN(const Value* interruptions, reader.object("interruptions"));
  PLUTO_ASSIGN(terms.interruptions,
               read_interruptions(*interruptions, reader.place("interruptions")));
  PLUTO_ASSIGN(terms.source, reader.string("source"));
  PLUTO_TRY(reader.finish());
  return terms;
}

}  // namespace pluto
