#include "db/migrations.h"

#include <fmt/format.h>

namespace pluto {
namespace {

// Version 1. Names of a kind's table follow StoreSummary.
constexpr const char* kFirst = R"sql(
CREATE TABLE contexts (
  id INTEGER PRIMARY KEY,
  device_fingerprint TEXT NOT NULL,
  busy_ranks INTEGER NOT NULL,
  host TEXT NOT NULL,
  device TEXT NOT NULL,
  UNIQUE (device_fingerprint, busy_ranks, host, device)
);
CREATE TABLE measurements (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  context INTEGER NOT NULL REFERENCES contexts (id),
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  taken_at TEXT NOT NULL,
  median_s REAL,
  relative_spread REAL,
  repeats INTEGER
);
CREATE INDEX measurements_by_subject ON measurements (subject, context);
CREATE INDEX measurements_by_context ON measurements (context);
CREATE TABLE operators (
  measurement INTEGER PRIMARY KEY REFERENCES measurements (id) ON DELETE CASCADE,
  implementation TEXT NOT NULL,
  workspace_bytes INTEGER NOT NULL
);
CREATE TABLE collectives (
  measurement INTEGER PRIMARY KEY REFERENCES measurements (id) ON DELETE CASCADE,
  bytes INTEGER NOT NULL,
  ranks INTEGER NOT NULL,
  transport TEXT NOT NULL,
  cpu_share REAL
);
CREATE TABLE inputs (
  measurement INTEGER PRIMARY KEY REFERENCES measurements (id) ON DELETE CASCADE,
  bytes_per_sample INTEGER NOT NULL
);
CREATE TABLE processes (
  measurement INTEGER PRIMARY KEY REFERENCES measurements (id) ON DELETE CASCADE,
  overhead_bytes INTEGER NOT NULL,
  ranks INTEGER NOT NULL
);
CREATE TABLE steps (
  measurement INTEGER PRIMARY KEY REFERENCES measurements (id) ON DELETE CASCADE,
  first_step INTEGER NOT NULL,
  compute_s REAL,
  exposed_comm_s REAL,
  exposed_input_s REAL,
  update_s REAL,
  arena_bytes INTEGER NOT NULL,
  peak_resident_bytes INTEGER NOT NULL
);
CREATE TABLE convergence (
  measurement INTEGER PRIMARY KEY REFERENCES measurements (id) ON DELETE CASCADE,
  step INTEGER NOT NULL,
  samples INTEGER NOT NULL,
  loss REAL,
  accuracy REAL
);
CREATE TRIGGER measurements_append_only BEFORE UPDATE ON measurements
  BEGIN SELECT RAISE (ABORT, 'measurements are append-only'); END;
CREATE TABLE plans (
  fingerprint TEXT PRIMARY KEY,
  job TEXT NOT NULL,
  document TEXT NOT NULL
);
CREATE TABLE predictions (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  plan TEXT NOT NULL REFERENCES plans (fingerprint),
  watermark INTEGER NOT NULL,
  document TEXT NOT NULL
);
CREATE INDEX predictions_by_plan ON predictions (plan);
CREATE TABLE runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  plan TEXT NOT NULL,
  started_at TEXT NOT NULL,
  state TEXT NOT NULL,
  report_path TEXT NOT NULL
);
)sql";

// Version 2: steps of transformers that other programs trained. The three documents are JSON.
constexpr const char* kTransformerSteps = R"sql(
CREATE TABLE transformer_steps (
  measurement INTEGER PRIMARY KEY REFERENCES measurements (id) ON DELETE CASCADE,
  shape TEXT NOT NULL,
  layout TEXT NOT NULL,
  cluster TEXT NOT NULL
);
)sql";

constexpr const char* kMigrations[] = {kFirst, kTransformerSteps};

}  // namespace

std::span<const char* const> migrations() { return kMigrations; }

Result<void> recognise(const Connection& connection, std::span<const char* const> steps) {
  PLUTO_ASSIGN(const std::int64_t tables, connection.integer("SELECT count(*) FROM sqlite_master"));
  PLUTO_ASSIGN(const std::int64_t application, connection.integer("PRAGMA application_id"));
  if (tables == 0 && application == 0) return {};
  if (application != kApplicationId) {
    return io_error(fmt::format("{}: a database of another program", connection.path()),
                    "name another file; Pluto leaves this one alone");
  }
  PLUTO_ASSIGN(const std::int64_t version, connection.integer("PRAGMA user_version"));
  const auto newest = static_cast<std::int64_t>(steps.size());
  if (version <= newest) return {};
  return unsupported(fmt::format("{}: a newer Pluto wrote this database (schema {}; this one knows "
                                 "schemas up to {})",
                                 connection.path(), version, newest),
                     "use that Pluto, or name another file");
}

Result<void> migrate(Connection& connection, std::span<const char* const> steps) {
  const auto newest = static_cast<std::int64_t>(steps.size());
  PLUTO_ASSIGN(std::int64_t version, connection.integer("PRAGMA user_version"));
  if (version == newest) return {};
  PLUTO_ASSIGN(Transaction transaction, Transaction::begin(connection));
  // Another process may have been here while we waited for the lock.
  PLUTO_TRY(recognise(connection, steps));
  PLUTO_ASSIGN(version, connection.integer("PRAGMA user_version"));
  for (; version < newest; ++version) {
    PLUTO_TRY_AT(fmt::format("schema {}", version + 1),
                 connection.execute(steps[static_cast<std::size_t>(version)]));
  }
  PLUTO_TRY(connection.execute(
      fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", kApplicationId, newest)));
  return transaction.commit();
}

}  // namespace pluto
