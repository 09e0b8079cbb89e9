#include "plan/prediction.h"

#include <fmt/format.h>

#include "plan/document_parts.h"

namespace pluto {
namespace {

template <class Q>
Value interval_value(const Interval<Q>& interval) {
  Value value = Value::object();
  value.set("p10", interval.p10.value())
      .set("p50", interval.p50.value())
      .set("p90", interval.p90.value());
  return value;
}

Value terms_value(const std::vector<Term>& terms) {
  Value list = Value::array();
  for (const Term& term : terms) {
    Value value = Value::object();
    value.set("name", term.name)
        .set("time_s", term.time.value())
        .set("relative_spread", term.relative_spread)
        .set("evidence", to_text(term.evidence));
    list.push_back(std::move(value));
  }
  return list;
}

Value run_terms_value(const std::vector<RunTerm>& terms) {
  Value list = Value::array();
  for (const RunTerm& term : terms) {
    Value value = Value::object();
    value.set("name", term.name)
        .set("time_s", term.time.value())
        .set("price_usd", term.price.value())
        .set("relative_spread", term.relative_spread)
        .set("evidence", to_text(term.evidence));
    list.push_back(std::move(value));
  }
  return list;
}

// One list for both directions.
template <class Memory, class Visit>
void visit_memory(Memory& memory, Visit visit) {
  visit("parameters", memory.parameters);
  visit("buffers", memory.buffers);
  visit("gradients", memory.gradients);
  visit("optimizer_state", memory.optimizer_state);
  visit("inputs", memory.inputs);
  visit("activations", memory.activations);
  visit("workspace", memory.workspace);
  visit("communication", memory.communication);
}

Value memory_value(const MemoryBreakdown& memory) {
  Value value = Value::object();
  visit_memory(memory, [&](const char* name, Bytes bytes) { value.set(name, bytes.value()); });
  value.set("total", memory.total().value());
  return value;
}

template <class Q>
Result<void> read_interval(ObjectReader& outer, std::string_view key, Interval<Q>& interval) {
  PLUTO_ASSIGN(const Value* value, outer.object(key));
  PLUTO_ASSIGN(ObjectReader reader, ObjectReader::open(*value, outer.place(key)));
  PLUTO_ASSIGN(const double p10, reader.number("p10"));
  PLUTO_ASSIGN(const double p50, reader.number("p50"));
  PLUTO_ASSIGN(const double p90, reader.number("p90"));
  if (p10 > p50 || p50 > p90) return outer.error(key, "expected p10 <= p50 <= p90");
  interval = {Q(p10), Q(p50), Q(p90)};
  return reader.finish();
}

Result<void> read_terms(ObjectReader& root, std::vector<Term>& terms) {
  PLUTO_ASSIGN(const Value::Array* list, root.array("terms"));
  for (const Value& entry : *list) {
    PLUTO_ASSIGN(
        ObjectReader reader,
        ObjectReader::open(entry, fmt::format("{}[{}]", root.place("terms"), terms.size())));
    Term term;
    PLUTO_ASSIGN(term.name, reader.string("name"));
    PLUTO_ASSIGN(term.time, read_seconds(reader, "time_s"));
    PLUTO_ASSIGN(term.relative_spread, reader.number("relative_spread"));
    PLUTO_ASSIGN(const std::string evidence, reader.string("evidence"));
    PLUTO_ASSIGN_AT(reader.place("evidence"), term.evidence, parse_evidence(evidence));
    PLUTO_TRY(reader.finish());
    terms.push_back(std::move(term));
  }
  return {};
}

Result<void> read_run_terms(ObjectReader& root, std::vector<RunTerm>& terms) {
  if (root.optional("run_terms") == nullptr) return {};
  PLUTO_ASSIGN(const Value::Array* list, root.array("run_terms"));
  for (const Value& entry : *list) {
    PLUTO_ASSIGN(
        ObjectReader reader,
        ObjectReader::open(entry, fmt::format("{}[{}]", root.place("run_terms"), terms.size())));
    RunTerm term;
    PLUTO_ASSIGN(term.name, reader.string("name"));
    PLUTO_ASSIGN(const double time, reader.number("time_s"));
    PLUTO_ASSIGN(const double price, reader.number("price_usd"));
    term.time = Seconds(time);
    term.price = Dollars(price);
    PLUTO_ASSIGN(term.relative_spread, reader.number("relative_spread"));
    PLUTO_ASSIGN(const std::string evidence, reader.string("evidence"));
    PLUTO_ASSIGN_AT(reader.place("evidence"), term.evidence, parse_evidence(evidence));
    PLUTO_TRY(reader.finish());
    terms.push_back(std::move(term));
  }
  return {};
}

Result<void> read_memory(ObjectReader& root, MemoryBreakdown& memory) {
  PLUTO_ASSIGN(const Value* value, root.object("memory_bytes"));
  PLUTO_ASSIGN(ObjectReader reader, ObjectReader::open(*value, root.place("memory_bytes")));
  std::optional<Error> failed;
  visit_memory(memory, [&](const char* name, Bytes& bytes) {
    if (failed) return;
    const Result<Bytes> read = read_bytes(reader, name);
    if (read.ok()) {
      bytes = *read;
    } else {
      failed = read.error();
    }
  });
  if (failed) return *failed;
  PLUTO_ASSIGN(const Bytes total, read_bytes(reader, "total"));
  if (total != memory.total()) {
    return reader.error("total", fmt::format("{} is not the sum of the parts, {}", total.value(),
                                             memory.total().value()));
  }
  return reader.finish();
}

Result<std::optional<double>> read_probability(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const std::optional<double> p, reader.optional_number(key));
  if (p && !(*p >= 0 && *p <= 1)) {
    return reader.error(key, fmt::format("{} is no probability", *p));
  }
  return p;
}

}  // namespace

Value to_value(const Prediction& prediction) {
  Value assumptions = Value::array();
  for (const std::string& text : prediction.assumptions) assumptions.push_back(text);
  Value value = Value::object();
  value.set("step_s", interval_value(prediction.step_time))
      .set("terms", terms_value(prediction.terms))
      .set("memory_bytes", memory_value(prediction.memory))
      .set("process_overhead_bytes", prediction.process_overhead.value())
      .set("steps", prediction.steps)
      .set("time_s", interval_value(prediction.time_to_target))
      .set("price_usd", interval_value(prediction.price));
  if (!prediction.run_terms.empty()) {
    value.set("run_terms", run_terms_value(prediction.run_terms));
  }
  set_if(value, "p_deadline", prediction.p_deadline);
  set_if(value, "p_budget", prediction.p_budget);
  set_if(value, "p_both", prediction.p_both);
  value.set("watermark", prediction.watermark).set("assumptions", std::move(assumptions));
  return value;
}

Result<Prediction> prediction_from_value(const Value& value, const std::string& source) {
  PLUTO_ASSIGN(ObjectReader root, ObjectReader::open(value, source));
  Prediction prediction;
  PLUTO_TRY(read_interval(root, "step_s", prediction.step_time));
  PLUTO_TRY(read_terms(root, prediction.terms));
  PLUTO_TRY(read_memory(root, prediction.memory));
  PLUTO_ASSIGN(prediction.process_overhead, read_bytes(root, "process_overhead_bytes"));
  PLUTO_ASSIGN(prediction.steps, root.integer("steps"));
  PLUTO_TRY(read_interval(root, "time_s", prediction.time_to_target));
  PLUTO_TRY(read_interval(root, "price_usd", prediction.price));
  PLUTO_TRY(read_run_terms(root, prediction.run_terms));
  PLUTO_ASSIGN(prediction.p_deadline, read_probability(root, "p_deadline"));
  PLUTO_ASSIGN(prediction.p_budget, read_probability(root, "p_budget"));
  PLUTO_ASSIGN(prediction.p_both, read_probability(root, "p_both"));
  PLUTO_ASSIGN(prediction.watermark, root.integer("watermark"));
  PLUTO_ASSIGN(const Value::Array* assumptions, root.array("assumptions"));
  for (const Value& text : *assumptions) {
    if (!text.is_string()) return root.error("assumptions", "expected a list of sentences");
    prediction.assumptions.push_back(text.as_string());
  }
  PLUTO_TRY(root.finish());
  return prediction;
}

}  // namespace pluto
