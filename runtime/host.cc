#include "runtime/host.h"

#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <optional>
#include <vector>

#include "base/text.h"

namespace pluto {
namespace {

/// The text after "key:" of the first such line, as in /proc/meminfo.
std::optional<std::string> proc_field(const char* path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || trim(std::string_view(line).substr(0, colon)) != key)
      continue;
    return std::string(trim(std::string_view(line).substr(colon + 1)));
  }
  return std::nullopt;
}

/// "1234 kB" of /proc files; their kB are KiB.
Bytes proc_kilobytes(const char* path, std::string_view key) {
  const std::string text = proc_field(path, key).value_or("0");
  std::int64_t kilobytes = 0;
  std::from_chars(text.data(), text.data() + text.size(), kilobytes);
  return Bytes(kilobytes * 1024);
}

/// The number a control-group file holds; nullopt when there is no such file or it says "max".
std::optional<std::int64_t> control_group_number(const char* path) {
  std::ifstream file(path);
  std::int64_t number = 0;
  if (!(file >> number)) return std::nullopt;
  return number;
}

/// Limit and use of the container's memory; a missing limit is the largest number.
struct MemoryLimit {
  std::int64_t limit = std::numeric_limits<std::int64_t>::max();
  std::int64_t used = 0;
};
MemoryLimit container_memory() {
  struct Files {
    const char* limit;
    const char* used;
  };
  constexpr std::array<Files, 2> kVersions{
      Files{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
      Files{"/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes"}};
  for (const Files& files : kVersions) {
    if (const auto limit = control_group_number(files.limit)) {
      return {*limit, control_group_number(files.used).value_or(0)};
    }
  }
  return {};
}

double seconds_of(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "unknown host";
  return name.data();
}

std::string cpu_model() {
  return proc_field("/proc/cpuinfo", "model name").value_or("unknown processor");
}

int cpu_cores() {
  // The fixed-size cpu_set_t ends at 1,024 cores; the call fails until the mask is large enough.
  for (int cores = 1024; cores <= 1 << 20; cores *= 2) {
    cpu_set_t* mask = CPU_ALLOC(static_cast<std::size_t>(cores));
    if (mask == nullptr) break;
    const std::size_t size = CPU_ALLOC_SIZE(static_cast<std::size_t>(cores));
    const bool read = sched_getaffinity(0, size, mask) == 0;
    const int count = read ? CPU_COUNT_S(size, mask) : 0;
    CPU_FREE(mask);
    if (read) return std::max(count, 1);
  }
  return 1;
}

Bytes host_memory() {
  return std::min(proc_kilobytes("/proc/meminfo", "MemTotal"), Bytes(container_memory().limit));
}

Bytes available_memory() {
  const MemoryLimit container = container_memory();
  // Page cache counts as used in the container but gives way, so the free part of the limit alone
  // would refuse too much: what the process holds itself is the part that stays.
  const Bytes in_container(container.limit - std::min(container.used, resident_memory().value()));
  return std::min(proc_kilobytes("/proc/meminfo", "MemAvailable"), in_container);
}

Bytes resident_memory() { return proc_kilobytes("/proc/self/status", "VmRSS"); }

Bytes peak_resident_memory() { return proc_kilobytes("/proc/self/status", "VmHWM"); }

double processor_seconds_of_thread() { return seconds_of(CLOCK_THREAD_CPUTIME_ID); }

double utc_seconds() { return seconds_of(CLOCK_REALTIME); }

std::string utc_text(double seconds) {
  const time_t whole = static_cast<time_t>(std::floor(seconds));
  tm parts{};
  gmtime_r(&whole, &parts);
  std::array<char, 32> text{};
  const std::size_t length = strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return std::string(text.data(), length);
}

}  // namespace pluto
