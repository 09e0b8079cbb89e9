#pragma once
// Threads of a CPU kernel: fixed partition, so the same number of threads always gives the same
// bits.

#include <algorithm>
#include <cstdint>

namespace pluto::cpu {

/// Below this many elements a loop stays on the calling thread: a parallel region costs about 2 us
/// on idle cores and far more on busy ones.
constexpr std::int64_t kSerialElements = 16384;

/// Calls body(begin, end) for disjoint ranges that cover [0, n): at most `threads` of them, each of
/// at least `grain` items, their inner borders multiples of `align`. The ranges depend on the
/// arguments only.
template <class Body>
void parallel_for(int threads, std::int64_t n, std::int64_t grain, std::int64_t align,
                  Body&& body) {
  const std::int64_t parts =
      std::clamp<std::int64_t>(n / std::max<std::int64_t>(grain, 1), 1, threads);
  if (parts == 1) {
    if (n > 0) body(std::int64_t{0}, n);
    return;
  }
  const auto border = [=](std::int64_t part) {
    return part == parts ? n : n * part / parts / align * align;
  };
#pragma omp parallel for num_threads(static_cast <int>(parts)) schedule(static, 1)
  for (std::int64_t part = 0; part < parts; ++part) {
    const std::int64_t begin = border(part), end = border(part + 1);
    if (begin < end) body(begin, end);
  }
}

/// Ranges of elements of flat loops.
template <class Body>
void parallel_elements(int threads, std::int64_t n, Body&& body) {
  parallel_for(threads, n, kSerialElements, 64, body);
}

/// Ranges of rows (or planes) of `elements` each.
template <class Body>
void parallel_rows(int threads, std::int64_t rows, std::int64_t elements, Body&& body) {
  parallel_for(threads, rows, kSerialElements / std::max<std::int64_t>(elements, 1) + 1, 1, body);
}

/// While it lives, OpenMP regions entered by this thread (those of oneDNN too) use `threads`
/// threads. The number is a property of the calling thread, so kernels called from any thread
/// behave alike.
class ThreadCount {
 public:
  explicit ThreadCount(int threads);
  ~ThreadCount();
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  int before_;
};

}  // namespace pluto::cpu
