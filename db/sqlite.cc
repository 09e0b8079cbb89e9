#include "db/sqlite.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cstring>
#include <limits>
#include <utility>

namespace pluto {
namespace {

constexpr int kBusyMilliseconds = 60'000;

Error sqlite_error(sqlite3* handle, int code, const std::string& path) {
  const std::string fresh = fmt::format("keep it and start a new one: mv {0} {0}.broken", path);
  switch (code & 0xff) {
    case SQLITE_NOTADB:
      return io_error(fmt::format("{}: this is no database file", path),
                      "name another file, or " + fresh);
    case SQLITE_CORRUPT:
      return io_error(fmt::format("{}: the database is damaged or cut off", path), fresh);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return io_error(
          fmt::format("{}: another process kept the database locked for a minute", path),
          fmt::format("see who holds it: fuser {}", path));
    case SQLITE_READONLY:
      return io_error(fmt::format("{}: the database cannot be written", path),
                      "check the permissions of the file and of its folder");
    case SQLITE_FULL:
      return io_error(fmt::format("{}: the disk is full", path), "make room and run again");
    case SQLITE_CANTOPEN: {
      const int reason = handle == nullptr ? 0 : sqlite3_system_errno(handle);
      return io_error(fmt::format("{}: cannot open the database: {}", path,
                                  reason == 0 ? sqlite3_errstr(code) : std::strerror(reason)),
                      "check the permissions of the file and of its folder");
    }
    default:
      return io_error(fmt::format(
          "{}: {}", path, handle == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(handle)));
  }
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : statement_(std::exchange(other.statement_, nullptr)), path_(std::move(other.path_)) {}

Statement::~Statement() { sqlite3_finalize(statement_); }

// Binding fails only for a parameter that does not exist or for lack of memory: bugs, which the
// next step reports.
Statement& Statement::bind(int parameter, std::int64_t value) {
  sqlite3_bind_int64(statement_, parameter, value);
  return *this;
}

Statement& Statement::bind(int parameter, double value) {
  sqlite3_bind_double(statement_, parameter, value);
  return *this;
}

Statement& Statement::bind(int parameter, std::string_view value) {
  sqlite3_bind_text64(statement_, parameter, value.data(), value.size(), SQLITE_TRANSIENT,
                      SQLITE_UTF8);
  return *this;
}

Result<bool> Statement::next() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return sqlite_error(sqlite3_db_handle(statement_), code, path_);
}

Result<void> Statement::run() {
  while (true) {
    const Result<bool> row = next();
    if (row.ok() && *row) continue;
    reset();
    if (!row.ok()) return row.error();
    return {};
  }
}

void Statement::reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

double Statement::number(int column) const {
  return is_null(column) ? std::numeric_limits<double>::quiet_NaN()
                         : sqlite3_column_double(statement_, column);
}

std::string Statement::text(int column) const {
  const unsigned char* text = sqlite3_column_text(statement_, column);
  if (text == nullptr) return {};
  return {reinterpret_cast<const char*>(text),
          static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

Result<Connection> Connection::open(const std::string& path) {
  sqlite3* handle = nullptr;
  constexpr int kFlags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_EXRESCODE;
  const int code = sqlite3_open_v2(path.c_str(), &handle, kFlags, nullptr);
  Connection connection(handle, path);
  if (code != SQLITE_OK) return sqlite_error(handle, code, path);
  // A file that may only be read opens all the same.
  if (sqlite3_db_readonly(handle, "main") == 1) return sqlite_error(handle, SQLITE_READONLY, path);
  sqlite3_busy_timeout(handle, kBusyMilliseconds);
  return connection;
}

Connection::Connection(Connection&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), path_(std::move(other.path_)) {}

Connection::~Connection() { sqlite3_close_v2(handle_); }

Result<void> Connection::execute(const std::string& sql) {
  const int code = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return sqlite_error(handle_, code, path_);
  return {};
}

Result<Statement> Connection::prepare(std::string_view sql) const {
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v2(handle_, sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  if (code != SQLITE_OK) return sqlite_error(handle_, code, path_);
  return Statement(statement, path_);
}

Result<std::int64_t> Connection::integer(std::string_view sql) const {
  PLUTO_ASSIGN(Statement statement, prepare(sql));
  PLUTO_TRY(statement.next());
  return statement.integer(0);
}

Result<std::string> Connection::text(std::string_view sql) const {
  PLUTO_ASSIGN(Statement statement, prepare(sql));
  PLUTO_TRY(statement.next());
  return statement.text(0);
}

Result<std::string> Connection::set_journal_mode(const std::string& mode) {
  PLUTO_ASSIGN(std::string current, text("PRAGMA journal_mode"));
  if (current == mode) return current;
  // SQLite's own waiting does not cover this change, so we wait for it, in steps.
  constexpr int kPauseMilliseconds = 10;
  const std::string sql = "PRAGMA journal_mode = " + mode;
  sqlite3_busy_timeout(handle_, 0);
  int code = SQLITE_BUSY;
  for (int waited = 0; waited < kBusyMilliseconds; waited += kPauseMilliseconds) {
    code = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
    if ((code & 0xff) != SQLITE_BUSY && (code & 0xff) != SQLITE_LOCKED) break;
    sqlite3_sleep(kPauseMilliseconds);
  }
  sqlite3_busy_timeout(handle_, kBusyMilliseconds);
  if (code != SQLITE_OK) return sqlite_error(handle_, code, path_);
  return text("PRAGMA journal_mode");
}

std::int64_t Connection::last_insert_id() const { return sqlite3_last_insert_rowid(handle_); }

std::int64_t Connection::changes() const { return sqlite3_changes64(handle_); }

Result<Transaction> Transaction::begin(Connection& connection, bool writing) {
  PLUTO_TRY(connection.execute(writing ? "BEGIN IMMEDIATE" : "BEGIN"));
  return Transaction(connection);
}

Transaction::Transaction(Transaction&& other) noexcept
    : connection_(std::exchange(other.connection_, nullptr)) {}

Transaction::~Transaction() {
  // A failed rollback leaves nothing behind either: the connection or the process ends it.
  if (connection_ != nullptr) (void)connection_->execute("ROLLBACK");
}

Result<void> Transaction::commit() {
  PLUTO_TRY(connection_->execute("COMMIT"));
  connection_ = nullptr;
  return {};
}

}  // namespace pluto
