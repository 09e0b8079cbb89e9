#include "executor/collectives.h"

#include <fmt/format.h>

#include <algorithm>

namespace pluto {

Collectives::Collectives(const StepCode& code, Device& device, Communicator& communicator,
                         const std::function<double()>& clock)
    : code_(code),
      device_(device),
      communicator_(communicator),
      clock_(clock),
      times_(code.network().size()) {
  if (code.network().empty()) return;
  staging_ = code.staging();
  if (!device.host_memory()) {
    host_staging_.resize(staging_.size());
    staging_ = host_staging_;
    std::size_t largest = 0;
    for (const NetworkEntry& entry : code.network()) {
      largest = std::max(
          {largest, entry.values.size_bytes(), entry.block[0].size() + entry.gathered.size()});
    }
    mirror_.resize(largest);
  }
  thread_ = std::jthread([this] { serve(); });
}

Collectives::~Collectives() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
  }
  compute_changed_.notify_all();
}

void Collectives::begin_step(int first_set) {
  {
    const std::scoped_lock lock(mutex_);
    ++step_;
    compute_done_ = network_done_ = 0;
    first_set_ = first_set;
  }
  compute_changed_.notify_all();
}

void Collectives::computed(std::size_t count) {
  {
    const std::scoped_lock lock(mutex_);
    compute_done_ = count;
  }
  compute_changed_.notify_all();
}

Result<void> Collectives::wait(std::size_t count) {
  std::unique_lock lock(mutex_);
  network_changed_.wait(lock, [&] { return network_done_ >= count || failure_; });
  if (network_done_ >= count) return {};
  return *failure_;
}

void Collectives::serve() {
  std::unique_lock lock(mutex_);
  for (std::int64_t step = 1;; ++step) {
    compute_changed_.wait(lock, [&] { return stop_ || step_ >= step; });
    if (stop_) return;
    for (std::size_t i = 0; i < code_.network().size(); ++i) {
      const NetworkEntry& entry = code_.network()[i];
      compute_changed_.wait(lock, [&] { return stop_ || compute_done_ >= entry.compute_before; });
      if (stop_) return;
      lock.unlock();
      times_[i].start = clock_();
      auto performed = perform(entry);
      times_[i].end = clock_();
      lock.lock();
      if (!performed.ok()) {
        const Task& task = code_.program().tasks[entry.task.index()];
        failure_ =
            with_context(performed.error(), task_name(code_.training(), code_.program(), task));
      } else {
        network_done_ = i + 1;
      }
      network_changed_.notify_all();
      if (failure_) return;
    }
  }
}

Result<void> Collectives::perform(const NetworkEntry& entry) {
  const bool here = device_.host_memory();
  if (entry.kind == OpKind::kFactorGather) {
    const auto set = static_cast<std::size_t>((first_set_ + entry.micro_index) % 2);
    const auto block = entry.block[set];
    if (here) return communicator_.all_gather(block, entry.gathered);
    const auto own = std::span(mirror_).first(block.size());
    const auto all = std::span(mirror_).subspan(block.size(), entry.gathered.size());
    device_.copy_to_host(own.data(), block.data(), Bytes(static_cast<std::int64_t>(own.size())));
    PLUTO_TRY(communicator_.all_gather(own, all));
    device_.copy_to_device(entry.gathered.data(), all.data(),
                           Bytes(static_cast<std::int64_t>(all.size())));
    return {};
  }

  const Bytes size(static_cast<std::int64_t>(entry.values.size_bytes()));
  auto values = entry.values;
  if (!here) {
    values = {reinterpret_cast<float*>(mirror_.data()), entry.values.size()};
    device_.copy_to_host(values.data(), entry.values.data(), size);
  }
  switch (entry.kind) {
    case OpKind::kAllReduce:
      PLUTO_TRY(communicator_.all_reduce(values, staging_));
      break;
    case OpKind::kServerPush:
      PLUTO_TRY(communicator_.reduce_scatter(values, code_.servers(), staging_));
      break;
    default:
      PLUTO_TRY(communicator_.all_gather_shards(values, code_.servers()));
  }
  if (!here) device_.copy_to_device(entry.values.data(), values.data(), size);
  return {};
}

}  // namespace pluto
