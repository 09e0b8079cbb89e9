#include "db/measurement_rows.h"

#include <fmt/format.h>

#include "base/fingerprint.h"
#include "plan/plan.h"

namespace pluto {
namespace {

// What a measurement is of: together with its context the key by which it is looked for.
std::string subject_of(const OpMeasurement& op) { return to_text(op.signature); }
std::string subject_of(const CollectiveMeasurement& collective) { return to_text(collective.kind); }
std::string subject_of(const InputMeasurement& input) { return input.source; }
std::string subject_of(const ProcessMeasurement&) { return "process"; }
std::string subject_of(const StepMeasurement& step) { return to_hex(step.plan); }
std::string subject_of(const ConvergencePoint& point) { return to_hex(point.plan); }
std::string subject_of(const TransformerStepMeasurement& one) { return to_text(one.shape); }

const Timing* timing_of(const OpMeasurement& op) { return &op.time; }
const Timing* timing_of(const CollectiveMeasurement& collective) { return &collective.time; }
const Timing* timing_of(const InputMeasurement& input) { return &input.time_per_sample; }
const Timing* timing_of(const StepMeasurement& step) { return &step.step; }
const Timing* timing_of(const ProcessMeasurement&) { return nullptr; }
const Timing* timing_of(const ConvergencePoint&) { return nullptr; }
const Timing* timing_of(const TransformerStepMeasurement& one) { return &one.step; }

// The table of a kind: how to write it, how to read it, and both directions of the columns after
// the id.
template <class What>
struct Table;

template <>
struct Table<OpMeasurement> {
  static constexpr const char* kInsert = "INSERT INTO operators VALUES (?, ?, ?)";
  static constexpr const char* kSelect =
      "SELECT implementation, workspace_bytes FROM operators WHERE measurement = ?";
  static void bind(Statement& row, const OpMeasurement& op) {
    row.bind(2, op.implementation).bind(3, op.workspace.value());
  }
  static Result<void> read(const Statement& row, const std::string& subject, const Timing& time,
                           OpMeasurement& op) {
    PLUTO_ASSIGN(op.signature, parse_signature(subject));
    op.implementation = row.text(0);
    op.workspace = Bytes(row.integer(1));
    op.time = time;
    return {};
  }
};

template <>
struct Table<CollectiveMeasurement> {
  static constexpr const char* kInsert = "INSERT INTO collectives VALUES (?, ?, ?, ?, ?)";
  static constexpr const char* kSelect =
      "SELECT bytes, ranks, transport, cpu_share FROM collectives WHERE measurement = ?";
  static void bind(Statement& row, const CollectiveMeasurement& collective) {
    row.bind(2, collective.bytes.value())
        .bind(3, collective.ranks)
        .bind(4, collective.transport)
        .bind(5, collective.cpu_share);
  }
  static Result<void> read(const Statement& row, const std::string& subject, const Timing& time,
                           CollectiveMeasurement& collective) {
    PLUTO_ASSIGN(collective.kind, parse_collective_kind(subject));
    collective.bytes = Bytes(row.integer(0));
    collective.ranks = static_cast<int>(row.integer(1));
    collective.transport = row.text(2);
    collective.cpu_share = row.number(3);
    collective.time = time;
    return {};
  }
};

template <>
struct Table<InputMeasurement> {
  static constexpr const char* kInsert = "INSERT INTO inputs VALUES (?, ?)";
  static constexpr const char* kSelect =
      "SELECT bytes_per_sample FROM inputs WHERE measurement = ?";
  static void bind(Statement& row, const InputMeasurement& input) {
    row.bind(2, input.bytes_per_sample.value());
  }
  static Result<void> read(const Statement& row, const std::string& subject, const Timing& time,
                           InputMeasurement& input) {
    input.source = subject;
    input.bytes_per_sample = Bytes(row.integer(0));
    input.time_per_sample = time;
    return {};
  }
};

template <>
struct Table<ProcessMeasurement> {
  static constexpr const char* kInsert = "INSERT INTO processes VALUES (?, ?, ?)";
  static constexpr const char* kSelect =
      "SELECT overhead_bytes, ranks FROM processes WHERE measurement = ?";
  static void bind(Statement& row, const ProcessMeasurement& process) {
    row.bind(2, process.overhead.value()).bind(3, process.ranks);
  }
  static Result<void> read(const Statement& row, const std::string& /*subject*/,
                           const Timing& /*time*/, ProcessMeasurement& process) {
    process.overhead = Bytes(row.integer(0));
    process.ranks = static_cast<int>(row.integer(1));
    return {};
  }
};

template <>
struct Table<StepMeasurement> {
  static constexpr const char* kInsert = "INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
  static constexpr const char* kSelect =
      "SELECT first_step, compute_s, exposed_comm_s, exposed_input_s, update_s, arena_bytes, "
      "peak_resident_bytes FROM steps WHERE measurement = ?";
  static void bind(Statement& row, const StepMeasurement& step) {
    row.bind(2, step.first_step)
        .bind(3, step.compute.value())
        .bind(4, step.exposed_comm.value())
        .bind(5, step.exposed_input.value())
        .bind(6, step.update.value())
        .bind(7, step.arena.value())
        .bind(8, step.peak_resident.value());
  }
  static Result<void> read(const Statement& row, const std::string& subject, const Timing& time,
                           StepMeasurement& step) {
    PLUTO_ASSIGN(step.plan, parse_fingerprint(subject));
    step.first_step = row.integer(0);
    step.compute = Seconds(row.number(1));
    step.exposed_comm = Seconds(row.number(2));
    step.exposed_input = Seconds(row.number(3));
    step.update = Seconds(row.number(4));
    step.arena = Bytes(row.integer(5));
    step.peak_resident = Bytes(row.integer(6));
    step.step = time;
    return {};
  }
};

template <>
struct Table<ConvergencePoint> {
  static constexpr const char* kInsert = "INSERT INTO convergence VALUES (?, ?, ?, ?, ?)";
  static constexpr const char* kSelect =
      "SELECT step, samples, loss, accuracy FROM convergence WHERE measurement = ?";
  static void bind(Statement& row, const ConvergencePoint& point) {
    row.bind(2, point.step).bind(3, point.samples).bind(4, point.loss).bind(5, point.accuracy);
  }
  static Result<void> read(const Statement& row, const std::string& subject, const Timing& /*time*/,
                           ConvergencePoint& point) {
    PLUTO_ASSIGN(point.plan, parse_fingerprint(subject));
    point.step = row.integer(0);
    point.samples = row.integer(1);
    point.loss = row.number(2);
    if (!row.is_null(3)) point.accuracy = row.number(3);
    return {};
  }
};

template <>
struct Table<TransformerStepMeasurement> {
  static constexpr const char* kInsert = "INSERT INTO transformer_steps VALUES (?, ?, ?, ?)";
  static constexpr const char* kSelect =
      "SELECT shape, layout, cluster FROM transformer_steps WHERE measurement = ?";
  static void bind(Statement& row, const TransformerStepMeasurement& one) {
    row.bind(2, to_json(to_value(one.shape), true))
        .bind(3, to_json(to_value(one.plan), true))
        .bind(4, to_json(to_value(one.cluster), true));
  }
  static Result<void> read(const Statement& row, const std::string& /*subject*/, const Timing& time,
                           TransformerStepMeasurement& one) {
    PLUTO_ASSIGN(const Value shape, parse_json(row.text(0), "shape"));
    PLUTO_ASSIGN(one.shape, transformer_shape_from_value(shape, "shape"));
    PLUTO_ASSIGN(const Value layout, parse_json(row.text(1), "layout"));
    PLUTO_ASSIGN(one.plan, transformer_plan_from_value(layout, "layout"));
    PLUTO_ASSIGN(const Value cluster, parse_json(row.text(2), "cluster"));
    PLUTO_ASSIGN(one.cluster, cluster_from_value(cluster, "cluster"));
    one.step = time;
    return {};
  }
};

Result<std::int64_t> context_id(Connection& connection, const RunContext& context) {
  const auto bind = [&](Statement& statement) {
    statement.bind(1, context.device_fingerprint)
        .bind(2, context.busy_ranks)
        .bind(3, context.host)
        .bind(4, context.device);
  };
  PLUTO_ASSIGN(Statement find,
               connection.prepare("SELECT id FROM contexts WHERE device_fingerprint = ? AND "
                                  "busy_ranks = ? AND host = ? AND device = ?"));
  bind(find);
  PLUTO_ASSIGN(const bool known, find.next());
  if (known) return find.integer(0);
  PLUTO_ASSIGN(Statement insert,
               connection.prepare("INSERT INTO contexts (device_fingerprint, busy_ranks, host, "
                                  "device) VALUES (?, ?, ?, ?)"));
  bind(insert);
  PLUTO_TRY(insert.run());
  return connection.last_insert_id();
}

template <class What>
Result<void> insert_detail(Connection& connection, std::int64_t id, const What& what) {
  PLUTO_ASSIGN(Statement row, connection.prepare(Table<What>::kInsert));
  row.bind(1, id);
  Table<What>::bind(row, what);
  return row.run();
}

// The rows of one kind are read by one statement, prepared when the first is met.
class DetailReader {
 public:
  explicit DetailReader(const Connection& connection) : connection_(&connection) {}

  // Fills `measurement.what` when its kind is `kind`, trying each alternative.
  template <std::size_t I = 0>
  Result<void> read(std::int64_t id, const std::string& kind, const std::string& subject,
                    const Timing& time, Measurement& measurement) {
    if constexpr (I == kCount) {
      return io_error(fmt::format("unknown kind \"{}\"", kind));
    } else {
      measurement.what.emplace<I>();
      if (kind != kind_text(measurement)) return read<I + 1>(id, kind, subject, time, measurement);
      using What = std::variant_alternative_t<I, decltype(Measurement::what)>;
      std::optional<Statement>& row = rows_[I];
      if (!row) {
        PLUTO_ASSIGN(Statement prepared, connection_->prepare(Table<What>::kSelect));
        row.emplace(std::move(prepared));
      }
      row->reset();
      row->bind(1, id);
      PLUTO_ASSIGN(const bool found, row->next());
      if (!found) return io_error(fmt::format("the row of its kind ({}) is missing", kind));
      return Table<What>::read(*row, subject, time, std::get<I>(measurement.what));
    }
  }

 private:
  static constexpr std::size_t kCount = std::variant_size_v<decltype(Measurement::what)>;
  const Connection* connection_;
  std::optional<Statement> rows_[kCount];
};

}  // namespace

Result<std::int64_t> insert_measurement(Connection& connection, const Measurement& measurement) {
  PLUTO_ASSIGN(const std::int64_t context, context_id(connection, measurement.context));
  PLUTO_ASSIGN(
      Statement row,
      connection.prepare("INSERT INTO measurements (context, kind, subject, taken_at, "
                         "median_s, relative_spread, repeats) VALUES (?, ?, ?, ?, ?, ?, ?)"));
  row.bind(1, context)
      .bind(2, kind_text(measurement))
      .bind(3, std::visit([](const auto& what) { return subject_of(what); }, measurement.what))
      .bind(4, measurement.context.taken_at);
  if (const Timing* time =
          std::visit([](const auto& what) { return timing_of(what); }, measurement.what)) {
    row.bind(5, time->median.value()).bind(6, time->relative_spread).bind(7, time->count);
  }
  PLUTO_TRY(row.run());
  const std::int64_t id = connection.last_insert_id();
  PLUTO_TRY(std::visit([&](const auto& what) { return insert_detail(connection, id, what); },
                       measurement.what));
  return id;
}

Result<std::vector<StoredMeasurement>> select_measurements(
    Connection& connection, const std::optional<std::string>& device_fingerprint) {
  // One snapshot for the common rows and those of each kind.
  PLUTO_ASSIGN(Transaction snapshot, Transaction::begin(connection, false));
  PLUTO_ASSIGN(Statement rows,
               connection.prepare(
                   "SELECT m.id, m.kind, m.subject, m.taken_at, m.median_s, m.relative_spread, "
                   "m.repeats, c.device_fingerprint, c.busy_ranks, c.host, c.device "
                   "FROM measurements m JOIN contexts c ON c.id = m.context "
                   "WHERE ?1 IS NULL OR c.device_fingerprint = ?1 ORDER BY m.id"));
  rows.bind(1, device_fingerprint);
  DetailReader details(connection);
  std::vector<StoredMeasurement> found;
  while (true) {
    PLUTO_ASSIGN(const bool more, rows.next());
    if (!more) break;
    StoredMeasurement stored;
    stored.id = rows.integer(0);
    RunContext& context = stored.measurement.context;
    context.taken_at = rows.text(3);
    context.device_fingerprint = rows.text(7);
    context.busy_ranks = static_cast<int>(rows.integer(8));
    context.host = rows.text(9);
    context.device = rows.text(10);
    const Timing time{Seconds(rows.number(4)), rows.number(5), rows.integer(6)};
    const Result<void> read =
        details.read(stored.id, rows.text(1), rows.text(2), time, stored.measurement);
    if (!read.ok()) {
      return io_error(
          fmt::format("{}: measurement {}: {}", connection.path(), stored.id, read.error().message),
          read.error().help);
    }
    found.push_back(std::move(stored));
  }
  PLUTO_TRY(snapshot.commit());
  return found;
}

}  // namespace pluto
