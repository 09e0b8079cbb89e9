#include "executor/prefetcher.h"

#include <algorithm>

#include "base/check.h"

namespace pluto {

Prefetcher::Prefetcher(const DataSource& source, const SampleOrder& order,
                       const BatchSchedule& schedule, std::vector<InputSlot> slots, int readers,
                       const std::function<double()>& clock)
    : source_(source),
      order_(order),
      schedule_(schedule),
      slots_(std::move(slots)),
      clock_(clock),
      claim_(std::max<std::int64_t>(1, schedule.micro_batch / (4 * std::max(1, readers)))) {
  sets_[1].number = 1;
  for (int i = 0; i < std::max(1, readers); ++i) threads_.emplace_back([this] { read_samples(); });
}

Prefetcher::~Prefetcher() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
}

Prefetcher::Times Prefetcher::acquire(std::int64_t number) {
  Set& set = sets_[static_cast<std::size_t>(number % 2)];
  std::unique_lock lock(mutex_);
  PLUTO_CHECK(set.number == number && number < schedule_.micro_batches(),
              "micro-batches are acquired in order");
  ready_.wait(lock, [&] { return set.filled == schedule_.micro_batch; });
  return set.times;
}

void Prefetcher::release(std::int64_t number) {
  {
    const std::scoped_lock lock(mutex_);
    Set& set = sets_[static_cast<std::size_t>(number % 2)];
    PLUTO_CHECK(set.number == number && set.filled == schedule_.micro_batch,
                "only what was acquired is released");
    set = {number + 2, 0, 0, {}};
  }
  work_.notify_all();
}

void Prefetcher::read_samples() {
  std::vector<void*> targets(slots_.size());
  std::unique_lock lock(mutex_);
  while (true) {
    // The earlier of the two micro-batches that still has samples to claim.
    Set* next = nullptr;
    work_.wait(lock, [&] {
      next = nullptr;
      for (Set& set : sets_) {
        const bool open =
            set.claimed < schedule_.micro_batch && set.number < schedule_.micro_batches();
        if (open && (next == nullptr || set.number < next->number)) next = &set;
      }
      return stop_ || next != nullptr;
    });
    if (stop_) return;
    const std::int64_t first = next->claimed;
    const std::int64_t last = std::min(first + claim_, schedule_.micro_batch);
    const std::int64_t number = next->number;
    next->claimed = last;
    if (first == 0) next->times.start = clock_();
    lock.unlock();

    for (std::int64_t sample = first; sample < last; ++sample) {
      for (std::size_t i = 0; i < slots_.size(); ++i) {
        targets[i] = slots_[i].begin[static_cast<std::size_t>(number % 2)] +
                     sample * slots_[i].bytes_per_sample;
      }
      source_.read(order_.index(schedule_.position(number) + sample), targets);
    }

    lock.lock();
    next->filled += last - first;
    if (next->filled == schedule_.micro_batch) {
      next->times.end = clock_();
      ready_.notify_all();
    }
  }
}

}  // namespace pluto
