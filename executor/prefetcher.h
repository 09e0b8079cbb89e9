#pragma once
// Reader threads that fill one input set while the step uses the other.

#include <array>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "executor/data_source.h"

namespace pluto {

/// Which samples the micro-batches of one rank are.
struct BatchSchedule {
  std::int64_t global_batch = 1, micro_batch = 1;
  int accumulation = 1, ranks = 1, rank = 0;
  std::int64_t first_step = 0, last_step = 0;  ///< steps [first, last)

  std::int64_t micro_batches() const { return (last_step - first_step) * accumulation; }
  /// Of micro-batch `number` of this rank, counted from `first_step`: index within its step's
  /// global batch of its first sample.
  std::int64_t sample_offset(std::int64_t number) const {
    return global_batch / ranks * rank + number % accumulation * micro_batch;
  }
  /// Position of that sample in the whole run (see SampleOrder).
  std::int64_t position(std::int64_t number) const {
    return (first_step + number / accumulation) * global_batch + sample_offset(number);
  }
};

/// One input tensor: where its micro-batch begins in each set, and the bytes of one sample.
struct InputSlot {
  std::array<std::byte*, 2> begin{};
  std::int64_t bytes_per_sample = 0;
};

/// Micro-batch n is read into set n % 2 as soon as micro-batch n - 2 has been released, by all
/// `readers` threads together. acquire and release are for one thread, in order.
class Prefetcher {
 public:
  struct Times {
    double start = 0, end = 0;  ///< of the reading, by `clock`
  };

  /// `source`, `order` and what `slots` points at must outlive this. `slots`: model inputs, then
  /// the label.
  Prefetcher(const DataSource& source, const SampleOrder& order, const BatchSchedule& schedule,
             std::vector<InputSlot> slots, int readers, const std::function<double()>& clock);
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// Waits until micro-batch `number` lies whole in set number % 2.
  Times acquire(std::int64_t number);
  /// Its set may be overwritten.
  void release(std::int64_t number);

 private:
  struct Set {
    std::int64_t number = 0;               ///< the micro-batch it holds or gets
    std::int64_t claimed = 0, filled = 0;  ///< samples
    Times times;
  };
  void read_samples();

  const DataSource& source_;
  const SampleOrder& order_;
  const BatchSchedule schedule_;
  const std::vector<InputSlot> slots_;
  const std::function<double()>& clock_;
  const std::int64_t claim_;  ///< samples a thread takes at once

  std::mutex mutex_;
  std::condition_variable work_, ready_;
  std::array<Set, 2> sets_;
  bool stop_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace pluto
