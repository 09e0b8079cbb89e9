#pragma once
// PLUTO_CHECK: for what input cannot cause. Prints where and aborts.

namespace pluto {
/// Writes "file:line: check failed: condition (message)" to stderr and aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               const char* message);
}  // namespace pluto

#define PLUTO_CHECK(condition, message)                                               \
  do {                                                                                \
    if (!(condition)) ::pluto::check_failed(__FILE__, __LINE__, #condition, message); \
  } while (false)
