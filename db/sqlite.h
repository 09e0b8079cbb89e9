#pragma once
// SQLite as values that clean up after themselves: a connection, its statements, a transaction.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace pluto {

/// A prepared statement. Parameters are numbered from 1, columns from 0. Must not outlive its
/// connection.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  /// NaN is stored as NULL. Text is copied.
  Statement& bind(int parameter, std::int64_t value);
  Statement& bind(int parameter, int value) { return bind(parameter, std::int64_t{value}); }
  Statement& bind(int parameter, double value);
  Statement& bind(int parameter, std::string_view value);
  template <class T>
  Statement& bind(int parameter, const std::optional<T>& value) {
    return value ? bind(parameter, *value) : *this;  // unbound parameters are NULL
  }

  /// Moves to the next row: false when there is none. Errors: kIo.
  Result<bool> next();
  /// Runs to the end and makes the statement ready for other parameters (all NULL). Errors: kIo.
  Result<void> run();
  void reset();

  bool is_null(int column) const;
  std::int64_t integer(int column) const;
  double number(int column) const;  ///< NaN for NULL
  std::string text(int column) const;

 private:
  friend class Connection;
  Statement(sqlite3_stmt* statement, const std::string& path)
      : statement_(statement), path_(path) {}
  sqlite3_stmt* statement_;
  std::string path_;
};

/// One open database file. Used by one thread.
class Connection {
 public:
  /// Opens or creates the file; waits up to a minute for other processes' locks. Errors: kIo naming
  /// the file.
  static Result<Connection> open(const std::string& path);
  Connection(Connection&& other) noexcept;
  Connection& operator=(Connection&&) = delete;
  ~Connection();

  /// Statements without parameters or results, separated by semicolons. Errors: kIo.
  Result<void> execute(const std::string& sql);
  Result<Statement> prepare(std::string_view sql) const;
  /// The only column of the only row. Errors: kIo.
  Result<std::int64_t> integer(std::string_view sql) const;
  Result<std::string> text(std::string_view sql) const;

  /// "wal" or "delete"; returns the mode in force afterwards. Waits for the moment without other
  /// users that a change needs.
  Result<std::string> set_journal_mode(const std::string& mode);

  std::int64_t last_insert_id() const;
  std::int64_t changes() const;  ///< rows changed by the last statement
  const std::string& path() const { return path_; }

 private:
  Connection(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
  sqlite3* handle_;
  std::string path_;
};

/// Rolls back unless committed.
class Transaction {
 public:
  /// `writing` takes the write lock at once, so that no later statement can find the database
  /// changed under it.
  static Result<Transaction> begin(Connection& connection, bool writing = true);
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Result<void> commit();

 private:
  explicit Transaction(Connection& connection) : connection_(&connection) {}
  Connection* connection_;
};

}  // namespace pluto
