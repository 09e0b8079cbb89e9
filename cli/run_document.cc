#include "cli/run_document.h"

#include "base/fingerprint.h"

namespace pluto {

namespace {

constexpr const char* kEnds[] = {"finished", "stopped", "budget", "deadline"};

Value timing_value(const StepMeasurement& step) {
  Value value = Value::object();
  value.set("first_step", step.first_step).set("count", step.step.count);
  value.set("step_s", step.step.median.value()).set("step_spread", step.step.relative_spread);
  value.set("compute_s", step.compute.value()).set("exposed_comm_s", step.exposed_comm.value());
  value.set("exposed_input_s", step.exposed_input.value()).set("update_s", step.update.value());
  value.set("arena_bytes", step.arena.value())
      .set("peak_resident_bytes", step.peak_resident.value());
  return value;
}

Result<StepMeasurement> timing_from(const Value& value, const std::string& where) {
  StepMeasurement step;
  PLUTO_ASSIGN(ObjectReader reader, ObjectReader::open(value, where));
  PLUTO_ASSIGN(step.first_step, reader.integer("first_step"));
  PLUTO_ASSIGN(step.step.count, reader.integer("count"));
  PLUTO_ASSIGN(const double median, reader.number("step_s"));
  PLUTO_ASSIGN(step.step.relative_spread, reader.number("step_spread"));
  PLUTO_ASSIGN(const double compute, reader.number("compute_s"));
  PLUTO_ASSIGN(const double comm, reader.number("exposed_comm_s"));
  PLUTO_ASSIGN(const double input, reader.number("exposed_input_s"));
  PLUTO_ASSIGN(const double update, reader.number("update_s"));
  PLUTO_ASSIGN(const std::int64_t arena, reader.integer("arena_bytes"));
  PLUTO_ASSIGN(const std::int64_t resident, reader.integer("peak_resident_bytes"));
  PLUTO_TRY(reader.finish());
  step.step.median = Seconds(median);
  step.compute = Seconds(compute);
  step.exposed_comm = Seconds(comm);
  step.exposed_input = Seconds(input);
  step.update = Seconds(update);
  step.arena = Bytes(arena);
  step.peak_resident = Bytes(resident);
  return step;
}

Value timeline_value(const Timeline& timeline) {
  Value entries = Value::array();
  for (const TimelineEntry& entry : timeline.entries) {
    Value one = Value::object();
    one.set("name", entry.name).set("resource", static_cast<int>(entry.resource));
    one.set("start_s", entry.start.value()).set("end_s", entry.end.value());
    entries.push_back(std::move(one));
  }
  Value value = Value::object();
  value.set("name", timeline.name).set("entries", std::move(entries));
  return value;
}

Result<Timeline> timeline_from(const Value& value, const std::string& where) {
  Timeline timeline;
  PLUTO_ASSIGN(ObjectReader reader, ObjectReader::open(value, where));
  PLUTO_ASSIGN(timeline.name, reader.string("name"));
  PLUTO_ASSIGN(const Value::Array* entries, reader.array("entries"));
  PLUTO_TRY(reader.finish());
  for (const Value& one : *entries) {
    PLUTO_ASSIGN(ObjectReader entry, ObjectReader::open(one, where + ": entries"));
    PLUTO_ASSIGN(const std::string name, entry.string("name"));
    PLUTO_ASSIGN(const std::int64_t resource, entry.integer("resource"));
    PLUTO_ASSIGN(const double start, entry.number("start_s"));
    PLUTO_ASSIGN(const double end, entry.number("end_s"));
    PLUTO_TRY(entry.finish());
    if (resource < 0 || resource >= static_cast<std::int64_t>(kResourceCount))
      return entry.error("resource", "is no resource");
    timeline.entries.push_back(
        {name, static_cast<Resource>(resource), Seconds(start), Seconds(end)});
  }
  return timeline;
}

}  // namespace

Value to_value(const RunReport& report) {
  Value steps = Value::array(), curve = Value::array();
  for (const StepMeasurement& step : report.steps) steps.push_back(timing_value(step));
  for (const ConvergencePoint& point : report.curve) {
    Value one = Value::object();
    one.set("step", point.step).set("samples", point.samples).set("loss", point.loss);
    one.set("accuracy", Value::of(point.accuracy));
    curve.push_back(std::move(one));
  }
  Value value = Value::object();
  value.set("end", kEnds[static_cast<int>(report.end)]);
  value.set("first_step", report.first_step).set("last_step", report.last_step);
  value.set("overall", timing_value(report.overall))
      .set("intervals", std::move(steps))
      .set("curve", std::move(curve));
  value.set("test_accuracy", Value::of(report.test_accuracy)).set("final_loss", report.final_loss);
  value.set("wall_s", report.wall.value());
  value.set("arena_predicted_bytes", report.arena_predicted.value())
      .set("arena_allocated_bytes", report.arena_allocated.value());
  value.set("resident_before_bytes", report.resident_before.value())
      .set("peak_resident_bytes", report.peak_resident.value());
  value.set("parameter_fingerprint", to_hex(report.parameter_fingerprint));
  value.set("checkpoint", report.checkpoint).set("timeline", timeline_value(report.timeline));
  return value;
}

Result<RunReport> report_from_value(const Value& value, const std::string& source) {
  RunReport report;
  PLUTO_ASSIGN(ObjectReader reader, ObjectReader::open(value, source));
  PLUTO_ASSIGN(const std::string end, reader.string("end"));
  bool known = false;
  for (int i = 0; i < 4; ++i) {
    if (end == kEnds[i]) report.end = static_cast<RunEnd>(i), known = true;
  }
  if (!known) return reader.error("end", "\"" + end + "\" is no way a run ends");
  PLUTO_ASSIGN(report.first_step, reader.integer("first_step"));
  PLUTO_ASSIGN(report.last_step, reader.integer("last_step"));
  PLUTO_ASSIGN(const Value* overall, reader.object("overall"));
  PLUTO_ASSIGN(report.overall, timing_from(*overall, reader.place("overall")));
  PLUTO_ASSIGN(const Value::Array* intervals, reader.array("intervals"));
  for (const Value& one : *intervals) {
    PLUTO_ASSIGN(const StepMeasurement step, timing_from(one, reader.place("intervals")));
    report.steps.push_back(step);
  }
  PLUTO_ASSIGN(const Value::Array* curve, reader.array("curve"));
  for (const Value& one : *curve) {
    PLUTO_ASSIGN(ObjectReader point, ObjectReader::open(one, reader.place("curve")));
    ConvergencePoint read;
    PLUTO_ASSIGN(read.step, point.integer("step"));
    PLUTO_ASSIGN(read.samples, point.integer("samples"));
    PLUTO_ASSIGN(read.loss, point.number("loss"));
    PLUTO_ASSIGN(read.accuracy, point.optional_number("accuracy"));
    PLUTO_TRY(point.finish());
    report.curve.push_back(read);
  }
  PLUTO_ASSIGN(report.test_accuracy, reader.optional_number("test_accuracy"));
  PLUTO_ASSIGN(report.final_loss, reader.number("final_loss"));
  PLUTO_ASSIGN(const double wall, reader.number("wall_s"));
  report.wall = Seconds(wall);
  PLUTO_ASSIGN(const std::int64_t predicted, reader.integer("arena_predicted_bytes"));
  PLUTO_ASSIGN(const std::int64_t allocated, reader.integer("arena_allocated_bytes"));
  PLUTO_ASSIGN(const std::int64_t before, reader.integer("resident_before_bytes"));
  PLUTO_ASSIGN(const std::int64_t peak, reader.integer("peak_resident_bytes"));
  report.arena_predicted = Bytes(predicted);
  report.arena_allocated = Bytes(allocated);
  report.resident_before = Bytes(before);
  report.peak_resident = Bytes(peak);
  PLUTO_ASSIGN(const std::string fingerprint, reader.string("parameter_fingerprint"));
  report.parameter_fingerprint = std::strtoull(fingerprint.c_str(), nullptr, 16);
  PLUTO_ASSIGN(report.checkpoint, reader.string("checkpoint"));
  PLUTO_ASSIGN(const Value* timeline, reader.object("timeline"));
  PLUTO_ASSIGN(report.timeline, timeline_from(*timeline, reader.place("timeline")));
  PLUTO_TRY(reader.finish());
  return report;
}

std::string to_json(const RunDocument& run) {
  Value value = Value::object();
  value.set("schema", RunDocument::kSchema).set("kind", "pluto.run");
  value.set("started_at", run.started_at).set("host", run.host);
  // A plan is a document of its own, with its own strict reader: kept as its text.
  value.set("plan", to_json(run.plan)).set("prediction", to_value(run.prediction));
  value.set("predicted_timeline", timeline_value(run.predicted_timeline))
      .set("report", to_value(run.report));
  return to_json(value) + "\n";
}

Result<RunDocument> run_from_json(std::string_view text, const std::string& source) {
  PLUTO_ASSIGN(const Value document, parse_json(text, source));
  PLUTO_ASSIGN(ObjectReader reader, ObjectReader::open(document, source));
  PLUTO_ASSIGN(const std::string kind, reader.string("kind"));
  if (kind != "pluto.run")
    return reader.error("kind", "this is no run report",
                        "give the file that `pluto-plan run -o` wrote");
  PLUTO_ASSIGN(const std::int64_t schema, reader.integer("schema"));
  if (schema != RunDocument::kSchema)
    return reader.error("schema", "was written by another version of Pluto");
  RunDocument run;
  PLUTO_ASSIGN(run.started_at, reader.string("started_at"));
  PLUTO_ASSIGN(run.host, reader.string("host"));
  PLUTO_ASSIGN(const std::string plan, reader.string("plan"));
  PLUTO_ASSIGN(run.plan, plan_from_json(plan, reader.place("plan")));
  PLUTO_ASSIGN(const Value* prediction, reader.object("prediction"));
  PLUTO_ASSIGN(run.prediction, prediction_from_value(*prediction, reader.place("prediction")));
  PLUTO_ASSIGN(const Value* timeline, reader.object("predicted_timeline"));
  PLUTO_ASSIGN(run.predicted_timeline,
               timeline_from(*timeline, reader.place("predicted_timeline")));
  PLUTO_ASSIGN(const Value* report, reader.object("report"));
  PLUTO_ASSIGN(run.report, report_from_value(*report, reader.place("report")));
  PLUTO_TRY(reader.finish());
  return run;
}

std::optional<double> Comparison::error() const {
  if (measured == 0) return std::nullopt;
  return (predicted - measured) / measured;
}

std::vector<Comparison> compare(const RunDocument& run) {
  const Prediction& p = run.prediction;
  const StepMeasurement& m = run.report.overall;
  auto inside = [](const auto& interval, double value) {
    return interval.p10.value() <= value && value <= interval.p90.value();
  };
  auto term = [&](const std::string& name) {
    for (const Term& one : p.terms) {
      if (one.name == name) return one;
    }
    return Term{};
  };
  Evidence weakest = Evidence::kMeasured;
  for (const Term& one : p.terms) {
    if (one.time.value() >= 0.05 * p.step_time.p50.value())
      weakest = std::max(weakest, one.evidence);
  }
  std::vector<Comparison> all;
  all.push_back({"step", "s", p.step_time.p50.value(), m.step.median.value(), weakest,
                 inside(p.step_time, m.step.median.value())});
  const std::pair<const char*, Seconds> parts[] = {{"compute", m.compute},
                                                   {"update", m.update},
                                                   {"exposed_comm", m.exposed_comm},
                                                   {"exposed_input", m.exposed_input}};
  for (const auto& [name, measured] : parts) {
    const Term one = term(name);
    all.push_back({name, "s", one.time.value(), measured.value(), one.evidence, std::nullopt});
  }
  all.push_back({"arena", "bytes", static_cast<double>(p.memory.total().value()),
                 static_cast<double>(run.report.arena_allocated.value()), Evidence::kMeasured,
                 std::nullopt});
  const double resident = static_cast<double>((p.memory.total() + p.process_overhead).value());
  all.push_back({"resident", "bytes", resident,
                 static_cast<double>(run.report.peak_resident.value()), Evidence::kMeasured,
                 std::nullopt});
  const double share = static_cast<double>(run.report.last_step - run.report.first_step) /
                       static_cast<double>(std::max<std::int64_t>(1, p.steps));
  const double wall = run.report.wall.value();
  if (share == 1) {
    all.push_back({"time_to_target", "s", p.time_to_target.p50.value(), wall, weakest,
                   inside(p.time_to_target, wall)});
    const double price = (run.plan.cluster.price() * run.report.wall).value();
    if (price > 0)
      all.push_back({"price", "usd", p.price.p50.value(), price, weakest, inside(p.price, price)});
  }
  return all;
}

}  // namespace pluto
