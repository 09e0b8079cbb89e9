#pragma once
// Result<T>: a value or an Error. The only way an expected failure travels.

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace pluto {

/// What the caller can do about it.
enum class ErrorCode {
  kInvalidInput,  ///< fix the flag, file or document
  kNotFound,      ///< name something that exists
  kUnsupported,   ///< lawful, but not built or not implemented here
  kIo,            ///< disk, permission, corrupted file
  kDevice,        ///< device, communicator, launcher
  kWorker,        ///< a rank of a running job failed
  kInternal,      ///< a bug of ours
};

/// What went wrong, where (contexts are prepended on the way up: "job.yaml:12: deadline: ...") and
/// the command or edit that fixes it (may be empty).
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string help;
};

inline Error invalid_input(std::string message, std::string help = {}) {
  return {ErrorCode::kInvalidInput, std::move(message), std::move(help)};
}
inline Error not_found(std::string message, std::string help = {}) {
  return {ErrorCode::kNotFound, std::move(message), std::move(help)};
}
inline Error unsupported(std::string message, std::string help = {}) {
  return {ErrorCode::kUnsupported, std::move(message), std::move(help)};
}
inline Error io_error(std::string message, std::string help = {}) {
  return {ErrorCode::kIo, std::move(message), std::move(help)};
}
inline Error device_error(std::string message, std::string help = {}) {
  return {ErrorCode::kDevice, std::move(message), std::move(help)};
}
inline Error worker_error(std::string message, std::string help = {}) {
  return {ErrorCode::kWorker, std::move(message), std::move(help)};
}
inline Error internal_error(std::string message) {
  return {ErrorCode::kInternal, std::move(message), {}};
}
/// The same error, `context` put before its message: "context: message".
inline Error with_context(Error error, const std::string& context) {
  error.message = context + ": " + error.message;
  return error;
}

template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  /// Precondition: ok().
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  /// Precondition: !ok().
  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit by design
  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const { return *error_; }

 private:
  std::optional<Error> error_;
};

}  // namespace pluto

#define PLUTO_CONCAT_INNER(a, b) a##b
#define PLUTO_CONCAT(a, b) PLUTO_CONCAT_INNER(a, b)

/// Returns the error of `expression` (a Result<void> or Result<T>) from the enclosing function.
#define PLUTO_TRY(expression)                                   \
  do {                                                          \
    if (auto pluto_result = (expression); !pluto_result.ok()) { \
      return pluto_result.error();                              \
    }                                                           \
  } while (false)

/// `PLUTO_ASSIGN(auto graph, load(path));` binds the value or returns the error.
#define PLUTO_ASSIGN(declaration, expression) \
  PLUTO_ASSIGN_INNER(PLUTO_CONCAT(pluto_result_, __COUNTER__), declaration, expression)
#define PLUTO_ASSIGN_INNER(name, declaration, expression) \
  auto name = (expression);                               \
  if (!name.ok()) return name.error();                    \
  declaration = std::move(name).value()

/// As the two above; the error gets `context` (a std::string) in front.
#define PLUTO_TRY_AT(context, expression)                            \
  do {                                                               \
    if (auto pluto_result = (expression); !pluto_result.ok()) {      \
      return ::pluto::with_context(pluto_result.error(), (context)); \
    }                                                                \
  } while (false)
#define PLUTO_ASSIGN_AT(context, declaration, expression) \
  PLUTO_ASSIGN_AT_INNER(PLUTO_CONCAT(pluto_result_, __COUNTER__), context, declaration, expression)
#define PLUTO_ASSIGN_AT_INNER(name, context, declaration, expression)    \
  auto name = (expression);                                              \
  if (!name.ok()) return ::pluto::with_context(name.error(), (context)); \
  declaration = std::move(name).value()
