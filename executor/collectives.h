#pragma once
// Performs the collectives of a step, in issue order, on a thread of their own.

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "executor/step_code.h"

namespace pluto {

/// The communication thread of one rank. While a step runs it makes every Communicator call;
/// between steps it sleeps and the caller may make them. Without network entries there is no
/// thread.
class Collectives {
 public:
  struct Times {
    double start = 0, end = 0;  ///< by `clock`
  };

  /// `clock` must be thread-safe. What is referred to must outlive this.
  Collectives(const StepCode& code, Device& device, Communicator& communicator,
              const std::function<double()>& clock);
  ~Collectives();
  Collectives(const Collectives&) = delete;
  Collectives& operator=(const Collectives&) = delete;

  /// Begins a step whose first micro-batch lies in input set `first_set`.
  void begin_step(int first_set);
  /// Compute entries [0, count) are done.
  void computed(std::size_t count);
  /// Waits until network entries [0, count) are done. Errors: those of the collectives, naming the
  /// task.
  Result<void> wait(std::size_t count);
  /// Of the entries of the last step. Precondition: it has been waited for.
  const std::vector<Times>& times() const { return times_; }

 private:
  void serve();
  Result<void> perform(const NetworkEntry& entry);

  const StepCode& code_;
  Device& device_;
  Communicator& communicator_;
  const std::function<double()>& clock_;
  std::span<std::byte> staging_;
  std::vector<std::byte> mirror_, host_staging_;  ///< when the device's memory is not the host's
  std::vector<Times> times_;

  std::mutex mutex_;
  std::condition_variable compute_changed_, network_changed_;
  std::int64_t step_ = 0;  ///< steps begun
  std::size_t compute_done_ = 0, network_done_ = 0;
  int first_set_ = 0;
  bool stop_ = false;
  std::optional<Error> failure_;
  std::jthread thread_;
};

}  // namespace pluto
