#include "db/store.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/fingerprint.h"
#include "base/text.h"
#include "db/journal.h"
#include "db/measurement_rows.h"
#include "db/migrations.h"
#include "db/sqlite.h"
#include "plan/utc_time.h"

namespace pluto {
namespace {

Result<void> prepare_folder(const std::string& path) {
  std::error_code code;
  if (std::filesystem::is_directory(path, code)) {
    return io_error(fmt::format("{}: this is a folder", path),
                    fmt::format("name a file in it, for example {}/profiles.db", path));
  }
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty() || std::filesystem::is_directory(folder, code)) return {};
  std::filesystem::create_directories(folder, code);
  if (!code) return {};
  return io_error(
      fmt::format("{}: cannot create the folder {}: {}", path, folder.string(), code.message()),
      "name a file where you may write");
}

// SQLite takes a last page that is cut off for one that ends in zeros. While there is a log, what
// it holds replaces such a page.
Result<void> refuse_cut_page(const Connection& connection) {
  std::error_code code;
  const std::uintmax_t log = std::filesystem::file_size(connection.path() + "-wal", code);
  if (!code && log > 0) return {};
  const std::uintmax_t size = std::filesystem::file_size(connection.path(), code);
  PLUTO_ASSIGN(const std::int64_t page, connection.integer("PRAGMA page_size"));
  if (code || size % static_cast<std::uintmax_t>(page) == 0) return {};
  return io_error(fmt::format("{}: the database is damaged or cut off", connection.path()),
                  fmt::format("keep it and start a new one: mv {0} {0}.broken", connection.path()));
}

// A document in the database was whole when it was written; what does not read now is damage,
// whatever the reader calls it.
Error damaged(const std::string& path, const Error& error) {
  return io_error(fmt::format("{}: {}", path, error.message), error.help);
}

// Text that compares with taken_at as the times do: a date compares as its midnight.
Result<std::string> comparable_time(const std::string& text) {
  const bool date = text.size() == 10;
  PLUTO_TRY(parse_utc(date ? text + "T00:00:00Z" : text));
  if (date || (text.size() == 20 && text.back() == 'Z')) return text;
  return invalid_input(fmt::format("\"{}\": expected a time in UTC to the second", text),
                       "write for example 2026-11-01 or 2026-11-01T08:00:00Z");
}

}  // namespace

struct Store::Impl {
  // Reading takes the connection too; the interface is const where the contents stay as they are.
  mutable Connection connection;
  std::string journal_mode;
};

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(const std::string& path) {
  PLUTO_TRY(prepare_folder(path));
  PLUTO_ASSIGN(Connection connection, Connection::open(path));
  // Before anything is written: a file of another program stays as it is.
  PLUTO_TRY(recognise(connection, migrations()));
  PLUTO_TRY(refuse_cut_page(connection));
  PLUTO_ASSIGN(const std::int64_t type, file_system_type(path));
  PLUTO_ASSIGN(std::string mode, set_journal(connection, allows_write_ahead_log(type)));
  PLUTO_TRY(connection.execute("PRAGMA foreign_keys = ON"));
  PLUTO_TRY(migrate(connection, migrations()));
  return std::unique_ptr<Store>(
      new Store(std::make_unique<Impl>(Impl{std::move(connection), std::move(mode)})));
}

Result<void> Store::record(const Measurement& measurement) {
  PLUTO_ASSIGN(Transaction transaction, Transaction::begin(impl_->connection));
  PLUTO_TRY(insert_measurement(impl_->connection, measurement));
  return transaction.commit();
}

Result<std::vector<StoredMeasurement>> Store::measurements(
    const std::optional<std::string>& device_fingerprint) const {
  return select_measurements(impl_->connection, device_fingerprint);
}

Result<void> Store::save_plan(const Plan& plan, const std::optional<Prediction>& prediction) {
  const std::string name = to_hex(fingerprint(plan));
  PLUTO_ASSIGN(Transaction transaction, Transaction::begin(impl_->connection));
  PLUTO_ASSIGN(Statement row,
               impl_->connection.prepare("INSERT OR IGNORE INTO plans (fingerprint, job, document) "
                                         "VALUES (?, ?, ?)"));
  PLUTO_TRY(row.bind(1, name).bind(2, plan.job).bind(3, to_json(plan)).run());
  if (prediction) {
    PLUTO_ASSIGN(Statement next, impl_->connection.prepare(
                                     "INSERT INTO predictions (plan, watermark, document) VALUES "
                                     "(?, ?, ?)"));
    PLUTO_TRY(next.bind(1, name)
                  .bind(2, prediction->watermark)
                  .bind(3, to_json(to_value(*prediction)))
                  .run());
  }
  return transaction.commit();
}

Result<std::optional<Plan>> Store::plan(std::uint64_t fingerprint) const {
  const Connection& connection = impl_->connection;
  PLUTO_ASSIGN(Statement row,
               connection.prepare("SELECT document FROM plans WHERE fingerprint = ?"));
  PLUTO_ASSIGN(const bool found, row.bind(1, to_hex(fingerprint)).next());
  if (!found) return std::optional<Plan>();
  Result<Plan> plan = plan_from_json(row.text(0), "plan " + to_hex(fingerprint));
  if (!plan.ok()) return damaged(connection.path(), plan.error());
  return std::optional<Plan>(std::move(plan).value());
}

Result<std::optional<Prediction>> Store::prediction(std::uint64_t plan) const {
  const Connection& connection = impl_->connection;
  PLUTO_ASSIGN(Statement row,
               connection.prepare("SELECT id, document FROM predictions WHERE plan = ? "
                                  "ORDER BY id DESC LIMIT 1"));
  PLUTO_ASSIGN(const bool found, row.bind(1, to_hex(plan)).next());
  if (!found) return std::optional<Prediction>();
  const std::string source = fmt::format("prediction {}", row.integer(0));
  const Result<Value> document = parse_json(row.text(1), source);
  if (!document.ok()) return damaged(connection.path(), document.error());
  Result<Prediction> prediction = prediction_from_value(*document, source);
  if (!prediction.ok()) return damaged(connection.path(), prediction.error());
  return std::optional<Prediction>(std::move(prediction).value());
}

Result<std::int64_t> Store::start_run(std::uint64_t plan, const std::string& started_at) {
  PLUTO_ASSIGN(Statement row,
               impl_->connection.prepare("INSERT INTO runs (plan, started_at, state, report_path) "
                                         "VALUES (?, ?, 'running', '')"));
  PLUTO_TRY(row.bind(1, to_hex(plan)).bind(2, started_at).run());
  return impl_->connection.last_insert_id();
}

Result<void> Store::finish_run(std::int64_t run, const std::string& state,
                               const std::string& report_path) {
  const std::vector<std::string> ends = {"finished", "stopped", "failed"};
  if (std::find(ends.begin(), ends.end(), state) == ends.end()) {
    return invalid_input(fmt::format("\"{}\" is no end of a run", state),
                         fmt::format("one of {}", fmt::join(ends, ", ")));
  }
  PLUTO_ASSIGN(Statement row, impl_->connection.prepare(
                                  "UPDATE runs SET state = ?, report_path = ? WHERE id = ?"));
  PLUTO_TRY(row.bind(1, state).bind(2, report_path).bind(3, run).run());
  if (impl_->connection.changes() == 1) return {};
  return not_found(fmt::format("{}: there is no run {}", impl_->connection.path(), run));
}

Result<std::vector<RunRecord>> Store::runs() const {
  PLUTO_ASSIGN(Statement row, impl_->connection.prepare(
                                  "SELECT id, plan, started_at, state, report_path FROM runs "
                                  "ORDER BY id"));
  std::vector<RunRecord> runs;
  while (true) {
    PLUTO_ASSIGN(const bool more, row.next());
    if (!more) return runs;
    RunRecord run{row.integer(0), 0, row.text(2), row.text(3), row.text(4)};
    const Result<std::uint64_t> plan = parse_fingerprint(row.text(1));
    if (!plan.ok()) {
      return damaged(impl_->connection.path(),
                     with_context(plan.error(), fmt::format("run {}", run.id)));
    }
    run.plan = *plan;
    runs.push_back(std::move(run));
  }
}

Result<StoreSummary> Store::summary() const {
  const Connection& connection = impl_->connection;
  StoreSummary summary;
  summary.path = connection.path();
  summary.journal_mode = impl_->journal_mode;
  PLUTO_ASSIGN(const std::int64_t version, connection.integer("PRAGMA user_version"));
  summary.schema_version = static_cast<int>(version);
  PLUTO_ASSIGN(summary.operators, connection.integer("SELECT count(*) FROM operators"));
  PLUTO_ASSIGN(summary.collectives, connection.integer("SELECT count(*) FROM collectives"));
  PLUTO_ASSIGN(summary.inputs, connection.integer("SELECT count(*) FROM inputs"));
  PLUTO_ASSIGN(summary.processes, connection.integer("SELECT count(*) FROM processes"));
  PLUTO_ASSIGN(summary.steps, connection.integer("SELECT count(*) FROM steps"));
  PLUTO_ASSIGN(summary.convergence, connection.integer("SELECT count(*) FROM convergence"));
  PLUTO_ASSIGN(summary.transformer_steps,
               connection.integer("SELECT count(*) FROM transformer_steps"));
  PLUTO_ASSIGN(summary.plans, connection.integer("SELECT count(*) FROM plans"));
  PLUTO_ASSIGN(summary.runs, connection.integer("SELECT count(*) FROM runs"));
  PLUTO_ASSIGN(Statement devices,
               connection.prepare("SELECT DISTINCT device_fingerprint FROM contexts "
                                  "ORDER BY device_fingerprint"));
  while (true) {
    PLUTO_ASSIGN(const bool more, devices.next());
    if (!more) return summary;
    summary.devices.push_back(devices.text(0));
  }
}

Result<std::int64_t> Store::prune(const std::optional<std::string>& before_utc,
                                  const std::optional<std::string>& device_fingerprint) {
  if (!before_utc && !device_fingerprint) {
    return invalid_input("nothing says which measurements to remove",
                         "give a time or a device; to remove all, delete the file");
  }
  std::optional<std::string> before;
  if (before_utc) {
    PLUTO_ASSIGN(before, comparable_time(*before_utc));
  }
  Connection& connection = impl_->connection;
  PLUTO_ASSIGN(Transaction transaction, Transaction::begin(connection));
  PLUTO_ASSIGN(Statement row,
               connection.prepare("DELETE FROM measurements WHERE (?1 IS NULL OR taken_at < ?1) "
                                  "AND (?2 IS NULL OR context IN (SELECT id FROM contexts WHERE "
                                  "device_fingerprint = ?2))"));
  PLUTO_TRY(row.bind(1, before).bind(2, device_fingerprint).run());
  const std::int64_t removed = connection.changes();
  PLUTO_TRY(connection.execute(
      "DELETE FROM contexts WHERE id NOT IN (SELECT context FROM measurements)"));
  PLUTO_TRY(transaction.commit());
  return removed;
}

}  // namespace pluto
