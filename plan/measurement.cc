#include "plan/measurement.h"

#include <fmt/format.h>

#include <array>
#include <limits>

#include "base/fingerprint.h"
#include "plan/document_parts.h"
#include "plan/words.h"

namespace pluto {
namespace {

constexpr std::array<Word<CollectiveKind>, 7> kCollectives = {
    {{CollectiveKind::kAllReduce, "all_reduce"},
     {CollectiveKind::kReduceScatter, "reduce_scatter"},
     {CollectiveKind::kAllGather, "all_gather"},
     {CollectiveKind::kBroadcast, "broadcast"},
     {CollectiveKind::kAllToAll, "all_to_all"},
     {CollectiveKind::kSend, "send"},
     {CollectiveKind::kGather, "gather"}}};

// In the order of Measurement::what.
constexpr const char* kKinds[] = {"op",   "collective",  "input",           "process",
                                  "step", "convergence", "transformer_step"};

Value context_value(const RunContext& context) {
  Value value = Value::object();
  value.set("host", context.host)
      .set("device", context.device)
      .set("device_fingerprint", context.device_fingerprint)
      .set("taken_at", context.taken_at)
      .set("busy_ranks", context.busy_ranks);
  return value;
}

Value timing_value(const Timing& timing) {
  Value value = Value::object();
  value.set("median_s", timing.median.value())
      .set("relative_spread", timing.relative_spread)
      .set("count", timing.count);
  return value;
}

void write(Value& value, const OpMeasurement& op) {
  value.set("signature", to_text(op.signature))
      .set("implementation", op.implementation)
      .set("time", timing_value(op.time))
      .set("workspace_bytes", op.workspace.value());
}

void write(Value& value, const CollectiveMeasurement& collective) {
  value.set("collective", to_text(collective.kind))
      .set("bytes", collective.bytes.value())
      .set("ranks", collective.ranks)
      .set("transport", collective.transport)
      .set("time", timing_value(collective.time))
      .set("cpu_share", collective.cpu_share);
}

void write(Value& value, const InputMeasurement& input) {
  value.set("source", input.source)
      .set("bytes_per_sample", input.bytes_per_sample.value())
      .set("time_per_sample", timing_value(input.time_per_sample));
}

void write(Value& value, const ProcessMeasurement& process) {
  value.set("overhead_bytes", process.overhead.value()).set("ranks", process.ranks);
}

void write(Value& value, const StepMeasurement& step) {
  value.set("plan", to_hex(step.plan))
      .set("first_step", step.first_step)
      .set("step", timing_value(step.step))
      .set("compute_s", step.compute.value())
      .set("exposed_comm_s", step.exposed_comm.value())
      .set("exposed_input_s", step.exposed_input.value())
      .set("update_s", step.update.value())
      .set("arena_bytes", step.arena.value())
      .set("peak_resident_bytes", step.peak_resident.value());
}

void write(Value& value, const ConvergencePoint& point) {
  value.set("plan", to_hex(point.plan))
      .set("step", point.step)
      .set("samples", point.samples)
      .set("loss", point.loss);  // null when it is not finite: a run that diverged
  set_if(value, "accuracy", point.accuracy);
}

void write(Value& value, const TransformerStepMeasurement& one) {
  value.set("shape", to_value(one.shape))
      .set("plan", to_value(one.plan))
      .set("cluster", to_value(one.cluster))
      .set("step", timing_value(one.step));
}

Result<RunContext> read_context(ObjectReader& root) {
  PLUTO_ASSIGN(const Value* value, root.object("context"));
  PLUTO_ASSIGN(ObjectReader reader, ObjectReader::open(*value, root.place("context")));
  RunContext context;
  PLUTO_ASSIGN(context.host, reader.string("host"));
  PLUTO_ASSIGN(context.device, reader.string("device"));
  PLUTO_ASSIGN(context.device_fingerprint, reader.string("device_fingerprint"));
  PLUTO_ASSIGN(context.taken_at, reader.string("taken_at"));
  PLUTO_ASSIGN(context.busy_ranks, read_int(reader, "busy_ranks"));
  PLUTO_TRY(reader.finish());
  return context;
}

Result<Timing> read_timing(ObjectReader& outer, std::string_view key) {
  PLUTO_ASSIGN(const Value* value, outer.object(key));
  PLUTO_ASSIGN(ObjectReader reader, ObjectReader::open(*value, outer.place(key)));
  Timing timing;
  PLUTO_ASSIGN(timing.median, read_seconds(reader, "median_s"));
  PLUTO_ASSIGN(timing.relative_spread, reader.number("relative_spread"));
  PLUTO_ASSIGN(timing.count, reader.integer("count"));
  PLUTO_TRY(reader.finish());
  return timing;
}

Result<void> read(ObjectReader& reader, OpMeasurement& op) {
  PLUTO_ASSIGN(const std::string signature, reader.string("signature"));
  PLUTO_ASSIGN_AT(reader.place("signature"), op.signature, parse_signature(signature));
  PLUTO_ASSIGN(op.implementation, reader.string("implementation"));
  PLUTO_ASSIGN(op.time, read_timing(reader, "time"));
  PLUTO_ASSIGN(op.workspace, read_bytes(reader, "workspace_bytes"));
  return {};
}

Result<void> read(ObjectReader& reader, CollectiveMeasurement& collective) {
  PLUTO_ASSIGN(const std::string kind, reader.string("collective"));
  PLUTO_ASSIGN_AT(reader.place("collective"), collective.kind, parse_collective_kind(kind));
  PLUTO_ASSIGN(collective.bytes, read_bytes(reader, "bytes"));
  PLUTO_ASSIGN(collective.ranks, read_int(reader, "ranks"));
  PLUTO_ASSIGN(collective.transport, reader.string("transport"));
  PLUTO_ASSIGN(collective.time, read_timing(reader, "time"));
  PLUTO_ASSIGN(collective.cpu_share, reader.number("cpu_share"));
  return {};
}

Result<void> read(ObjectReader& reader, InputMeasurement& input) {
  PLUTO_ASSIGN(input.source, reader.string("source"));
  PLUTO_ASSIGN(input.bytes_per_sample, read_bytes(reader, "bytes_per_sample"));
  PLUTO_ASSIGN(input.time_per_sample, read_timing(reader, "time_per_sample"));
  return {};
}

Result<void> read(ObjectReader& reader, ProcessMeasurement& process) {
  PLUTO_ASSIGN(process.overhead, read_bytes(reader, "overhead_bytes"));
  PLUTO_ASSIGN(process.ranks, read_int(reader, "ranks"));
  return {};
}

Result<void> read(ObjectReader& reader, StepMeasurement& step) {
  PLUTO_ASSIGN(step.plan, read_fingerprint(reader, "plan"));
  PLUTO_ASSIGN(step.first_step, reader.integer("first_step"));
  PLUTO_ASSIGN(step.step, read_timing(reader, "step"));
  PLUTO_ASSIGN(step.compute, read_seconds(reader, "compute_s"));
  PLUTO_ASSIGN(step.exposed_comm, read_seconds(reader, "exposed_comm_s"));
  PLUTO_ASSIGN(step.exposed_input, read_seconds(reader, "exposed_input_s"));
  PLUTO_ASSIGN(step.update, read_seconds(reader, "update_s"));
  PLUTO_ASSIGN(step.arena, read_bytes(reader, "arena_bytes"));
  PLUTO_ASSIGN(step.peak_resident, read_bytes(reader, "peak_resident_bytes"));
  return {};
}

Result<void> read(ObjectReader& reader, ConvergencePoint& point) {
  PLUTO_ASSIGN(point.plan, read_fingerprint(reader, "plan"));
  PLUTO_ASSIGN(point.step, reader.integer("step"));
  PLUTO_ASSIGN(point.samples, reader.integer("samples"));
  PLUTO_ASSIGN(const std::optional<double> loss, reader.optional_number("loss"));
  point.loss = loss.value_or(std::numeric_limits<double>::quiet_NaN());
  PLUTO_ASSIGN(point.accuracy, reader.optional_number("accuracy"));
  return {};
}

Result<void> read(ObjectReader& reader, TransformerStepMeasurement& one) {
  PLUTO_ASSIGN(const Value* shape, reader.object("shape"));
  PLUTO_ASSIGN(one.shape, transformer_shape_from_value(*shape, reader.place("shape")));
  PLUTO_ASSIGN(const Value* plan, reader.object("plan"));
  PLUTO_ASSIGN(one.plan, transformer_plan_from_value(*plan, reader.place("plan")));
  PLUTO_ASSIGN(const Value* cluster, reader.object("cluster"));
  PLUTO_ASSIGN(one.cluster, cluster_from_value(*cluster, reader.place("cluster")));
  PLUTO_ASSIGN(one.step, read_timing(reader, "step"));
  return {};
}

// The empty alternative whose kind is `text`.
template <std::size_t I = 0>
bool select(std::string_view text, decltype(Measurement::what)& what) {
  if constexpr (I == std::variant_size_v<decltype(Measurement::what)>) {
    return false;
  } else {
    if (text != kKinds[I]) return select<I + 1>(text, what);
    what.emplace<I>();
    return true;
  }
}

}  // namespace

const char* to_text(CollectiveKind kind) { return word_of(kCollectives, kind); }

Result<CollectiveKind> parse_collective_kind(std::string_view text) {
  return parse_word(kCollectives, "collective", text);
}

const char* kind_text(const Measurement& measurement) { return kKinds[measurement.what.index()]; }

Value to_value(const Measurement& measurement) {
  Value value = Value::object();
  value.set("kind", kind_text(measurement)).set("context", context_value(measurement.context));
  std::visit([&](const auto& what) { write(value, what); }, measurement.what);
  return value;
}

Result<Measurement> measurement_from_value(const Value& value, const std::string& where) {
  PLUTO_ASSIGN(ObjectReader reader, ObjectReader::open(value, where));
  Measurement measurement;
  PLUTO_ASSIGN(const std::string kind, reader.string("kind"));
  if (!select(kind, measurement.what)) {
    return reader.error("kind", fmt::format("unknown kind of measurement \"{}\"", kind),
                        fmt::format("one of {}", fmt::join(kKinds, ", ")));
  }
  PLUTO_ASSIGN(measurement.context, read_context(reader));
  PLUTO_TRY(std::visit([&](auto& what) { return read(reader, what); }, measurement.what));
  PLUTO_TRY(reader.finish());
  return measurement;
}

}  // namespace pluto
