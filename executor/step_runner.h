#pragma once
// Runs one training step after the other on the calling thread and measures where its time goes.

#include <functional>
#include <vector>

#include "executor/collectives.h"
#include "executor/prefetcher.h"
#include "executor/step_code.h"
#include "plan/timeline.h"

namespace pluto {

/// Where the time of one step went, in seconds. compute and update: running nodes; exposed_comm and
/// exposed_input: the compute thread waiting for collectives and for samples.
struct StepTimes {
  double step = 0, compute = 0, update = 0, exposed_comm = 0, exposed_input = 0;
};

/// The steps of one rank, from schedule.first_step on. Runs kernels on the caller's thread,
/// collectives on Collectives' thread, reading on the Prefetcher's.
class StepRunner {
 public:
  /// `clock`: seconds, monotonic, thread-safe. `poison`: fill what is dead with NaN. All must
  /// outlive this.
  StepRunner(const StepCode& code, Device& device, Communicator& communicator,
             const DataSource& source, const SampleOrder& order, const BatchSchedule& schedule,
             int readers, const std::function<double()>& clock, bool poison);

  /// The next step. Returns the mean loss over this rank's micro-batches. Sets micro_index and
  /// sample_offset of `scalars` itself. Allocates nothing. Errors: kWorker and the like, with the
  /// task.
  Result<double> run(StepScalars scalars);
  const StepTimes& times() const { return times_; }
  /// Of the last step, in seconds since its start. Reading that was done before counts as done at
  /// 0.
  Timeline timeline(std::string name) const;

 private:
  using Span = Collectives::Times;
  Result<void> wait_for_network(std::size_t count);
  Result<void> acquire(const ComputeEntry& entry);
  void settle(bool update);
  void fill_with_nan(std::span<const Place> places);
  void copy_inputs(int set);

  const StepCode& code_;
  Device& device_;
  const BatchSchedule schedule_;
  const std::function<double()>& clock_;
  std::vector<InputSlot> device_slots_;
  std::vector<std::byte> host_inputs_;  ///< both sets, when the device's memory is not the host's
  std::vector<InputSlot> host_slots_;   ///< in host_inputs_; empty when samples are read in place
  std::int64_t next_micro_ = 0;         ///< number of the next micro-batch to acquire
  std::size_t network_seen_ = 0;
  double begin_ = 0;
  StepTimes times_;
  std::vector<Span> spans_;                ///< by compute entry
  std::vector<Place> dead_;                ///< empty unless poisoned
  std::vector<std::vector<Place>> dying_;  ///< by compute entry; empty unless poisoned
  std::vector<std::byte> nan_;
  Collectives collectives_;
  Prefetcher prefetcher_;
};

}  // namespace pluto
