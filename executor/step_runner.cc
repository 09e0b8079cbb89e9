#include "executor/step_runner.h"

#include <algorithm>

namespace pluto {

namespace {

/// Model inputs, then the label, in both sets of the arena.
std::vector<InputSlot> arena_slots(const StepCode& code) {
  const TrainingGraph& training = code.training();
  std::vector<TensorId> ids = training.inputs;
  ids.push_back(training.labels);
  std::vector<InputSlot> slots;
  for (const TensorId id : ids) {
    slots.push_back({{code.place(id, 0).data, code.place(id, 1).data},
                     training.graph.tensor(id).type.bytes(1).value()});
  }
  return slots;
}

/// The same slots in `memory`, which is made large enough.
std::vector<InputSlot> slots_in(std::vector<std::byte>& memory, std::vector<InputSlot> slots,
                                std::int64_t micro_batch) {
  constexpr std::int64_t kAlignment = 64;
  std::int64_t offset = 0;
  std::vector<std::int64_t> offsets;
  for (const InputSlot& slot : slots) {
    offsets.push_back(offset);
    offset += (slot.bytes_per_sample * micro_batch + kAlignment - 1) / kAlignment * kAlignment;
  }
  memory.resize(static_cast<std::size_t>(2 * offset));
  for (std::size_t i = 0; i < slots.size(); ++i) {
    slots[i].begin = {memory.data() + offsets[i], memory.data() + offset + offsets[i]};
  }
  return slots;
}

}  // namespace

StepRunner::StepRunner(const StepCode& code, Device& device, Communicator& communicator,
                       const DataSource& source, const SampleOrder& order,
                       const BatchSchedule& schedule, int readers,
                       const std::function<double()>& clock, bool poison)
    : code_(code),
      device_(device),
      schedule_(schedule),
      clock_(clock),
      device_slots_(arena_slots(code)),
      host_slots_(device.host_memory()
                      ? std::vector<InputSlot>()
                      : slots_in(host_inputs_, device_slots_, schedule.micro_batch)),
      spans_(code.compute().size()),
      collectives_(code, device, communicator, clock),
      prefetcher_(source, order, schedule, host_slots_.empty() ? device_slots_ : host_slots_,
                  readers, clock) {
  if (!poison) return;
  dead_ = code.dead_places();
  for (std::size_t i = 0; i < code.compute().size(); ++i) dying_.push_back(code.dying(i));
  Bytes largest(0);
  for (const Place& place : dead_) largest = std::max(largest, place.size);
  nan_.assign(static_cast<std::size_t>(largest.value()), std::byte{0xff});
}

Result<double> StepRunner::run(StepScalars scalars) {
  begin_ = clock_();
  times_ = {};
  network_seen_ = 0;
  double loss_sum = 0;
  bool updating = false;
  collectives_.begin_step(static_cast<int>(next_micro_ % 2));
  for (std::size_t i = 0; i < code_.compute().size(); ++i) {
    const ComputeEntry& entry = code_.compute()[i];
    PLUTO_TRY(wait_for_network(entry.network_before));
    if (entry.acquire) {
      PLUTO_TRY(acquire(entry));
    } else if (entry.kernel != nullptr) {
      const auto set = static_cast<std::size_t>((next_micro_ - 1) % 2);
      const BoundPointers& bound = entry.bound[set];
      const bool update = entry.phase == OpPhase::kUpdate;
      if (update != updating) settle(updating);
      updating = update;
      scalars.micro_index = entry.micro_index;
      scalars.sample_offset = schedule_.sample_offset(entry.micro_index);
      spans_[i].start = clock_();
      entry.kernel->run({bound.inputs, bound.outputs, bound.updates, code_.workspace(), scalars});
      if (entry.makes_loss) {
        float loss = 0;
        device_.copy_to_host(&loss, bound.outputs[0], Bytes(sizeof loss));
        loss_sum += static_cast<double>(loss);
      }
      if (entry.awaited) device_.synchronize();
      spans_[i].end = clock_();
      (update ? times_.update : times_.compute) += spans_[i].end - spans_[i].start;
    }
    if (!dying_.empty()) fill_with_nan(dying_[i]);
    if (entry.awaited) collectives_.computed(i + 1);
  }
  PLUTO_TRY(wait_for_network(code_.network().size()));
  settle(updating);
  times_.step = clock_() - begin_;
  return loss_sum / code_.program().accumulation;
}

/// What an asynchronous device still computes belongs to the phase that submitted it.
void StepRunner::settle(bool update) {
  const double start = clock_();
  device_.synchronize();
  (update ? times_.update : times_.compute) += clock_() - start;
}

Result<void> StepRunner::wait_for_network(std::size_t count) {
  if (count <= network_seen_) return {};
  const double start = clock_();
  PLUTO_TRY(collectives_.wait(count));
  times_.exposed_comm += clock_() - start;
  network_seen_ = count;
  return {};
}

Result<void> StepRunner::acquire(const ComputeEntry& entry) {
  if (entry.micro_index > 0) {
    PLUTO_TRY(wait_for_network(code_.input_readers(entry.micro_index - 1)));
  }
  if (next_micro_ > 0) {
    if (!device_.host_memory()) device_.synchronize();
    prefetcher_.release(next_micro_ - 1);
  }
  const double start = clock_();
  const Prefetcher::Times read = prefetcher_.acquire(next_micro_);
  times_.exposed_input += clock_() - start;
  const auto at = static_cast<std::size_t>(&entry - code_.compute().data());
  spans_[at] = {std::max(read.start, begin_), std::max(read.end, begin_)};
  if (!host_slots_.empty()) copy_inputs(static_cast<int>(next_micro_ % 2));
  if (!dead_.empty()) fill_with_nan(dead_);
  ++next_micro_;
  return {};
}

void StepRunner::fill_with_nan(std::span<const Place> places) {
  for (const Place& place : places) device_.copy_to_device(place.data, nan_.data(), place.size);
}

void StepRunner::copy_inputs(int set) {
  const auto at = static_cast<std::size_t>(set);
  for (std::size_t i = 0; i < host_slots_.size(); ++i) {
    device_.copy_to_device(device_slots_[i].begin[at], host_slots_[i].begin[at],
                           Bytes(host_slots_[i].bytes_per_sample * schedule_.micro_batch));
  }
}

Timeline StepRunner::timeline(std::string name) const {
  Timeline timeline{std::move(name), {}};
  const auto add = [&](TaskId id, Resource resource, const Span& span) {
    const Task& task = code_.program().tasks[id.index()];
    timeline.entries.push_back({task_name(code_.training(), code_.program(), task), resource,
                                Seconds(span.start - begin_), Seconds(span.end - begin_)});
  };
  for (std::size_t i = 0; i < code_.compute().size(); ++i) {
    const ComputeEntry& entry = code_.compute()[i];
    if (entry.acquire || entry.kernel != nullptr) {
      add(entry.task, entry.acquire ? Resource::kInput : Resource::kCompute, spans_[i]);
    }
  }
  for (std::size_t i = 0; i < code_.network().size(); ++i) {
    add(code_.network()[i].task, Resource::kNetwork, collectives_.times()[i]);
  }
  return timeline;
}

}  // namespace pluto
