#include "executor/training_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/check.h"
#include "base/fingerprint.h"

namespace pluto {

namespace {

/// A device range as host memory: itself, or a copy that store() brings back.
class HostView {
 public:
  HostView(Device& device, std::byte* data, std::int64_t size)
      : device_(device), data_(data), size_(static_cast<std::size_t>(size)) {
    if (device.host_memory()) return;
    copy_.resize(size_);
    device.copy_to_host(copy_.data(), data, Bytes(size));
  }
  std::span<std::byte> bytes() {
    return copy_.empty() ? std::span(data_, size_) : std::span(copy_);
  }
  void store() {
    if (!copy_.empty()) {
      device_.copy_to_device(data_, copy_.data(), Bytes(static_cast<std::int64_t>(size_)));
    }
  }

 private:
  Device& device_;
  std::byte* data_;
  std::size_t size_;
  std::vector<std::byte> copy_;
};

}  // namespace

Bytes StateBlock::size() const {
  Bytes sum(0);
  for (const Place& place : places) sum += place.size;
  return sum;
}

std::vector<StateBlock> state_blocks(const StepCode& code) {
  const TrainingGraph& training = code.training();
  std::map<std::string, const TrainedParameter*> trained_of;
  for (const TrainedParameter& trained : training.trained) {
    trained_of[training.graph.tensor(trained.parameter).name] = &trained;
  }
  std::vector<StateBlock> blocks = {{"parameters", {}, 0}, {"buffers", {}, 0}};
  std::vector<Fingerprint> layouts(2);
  const auto add = [&](std::size_t block, const std::string& name, TensorId id) {
    const Place place = code.place(id);
    blocks[block].places.push_back(place);
    layouts[block].add(name).add(static_cast<std::uint64_t>(place.size.value()));
  };
  for (const Tensor& tensor : training.model.graph.tensors()) {
    const bool parameter = tensor.role == TensorRole::kParameter;
    if (!parameter && tensor.role != TensorRole::kBuffer) continue;
    const auto id = training.graph.find_tensor(tensor.name);
    PLUTO_CHECK(id.has_value(), "passes keep the names of parameters and buffers");
    add(parameter ? 0 : 1, tensor.name, *id);
    const auto trained = trained_of.find(tensor.name);
    if (trained == trained_of.end()) continue;
    const auto& state = trained->second->state;
    for (std::size_t i = 0; i < state.size(); ++i) {
      if (blocks.size() == 2 + i) {
        blocks.push_back({fmt::format("optimizer_state_{}", i), {}, 0});
        layouts.emplace_back();
      }
      add(2 + i, tensor.name, state[i]);
    }
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i].layout = layouts[i].value();
  return blocks;
}

Result<void> gather_state(const StepCode& code, Device& device, Communicator& communicator) {
  const TrainingGraph& training = code.training();
  const int rank = communicator.rank();
  for (std::size_t i = 0; i < training.trained.size(); ++i) {
    const ShardSplit& shards = code.shards(i);
    for (std::size_t server = 0; server < shards.size(); ++server) {
      const int owner = code.servers()[server];
      const ElementRange range = shards[server];
      if (owner == 0 || range.empty() || (rank != 0 && rank != owner)) continue;
      for (const TensorId id : training.trained[i].state) {
        const std::int64_t element = element_size(training.graph.tensor(id).type.dtype);
        HostView view(device, code.place(id).data + range.begin * element,
                      (range.end - range.begin) * element);
        if (rank == 0) {
          PLUTO_TRY(communicator.exchange(owner, {}, owner, view.bytes()));
          view.store();
        } else {
          PLUTO_TRY(communicator.exchange(0, view.bytes(), 0, {}));
        }
      }
    }
  }
  return {};
}

Result<void> broadcast_state(const std::vector<StateBlock>& blocks, Device& device,
                             Communicator& communicator) {
  for (const StateBlock& block : blocks) {
    for (const Place& place : block.places) {
      HostView view(device, place.data, place.size.value());
      PLUTO_TRY(communicator.broadcast(view.bytes(), 0));
      view.store();
    }
  }
  return {};
}

std::vector<float> copy_parameters(const StepCode& code, Device& device) {
  const StateBlock block = state_blocks(code)[0];
  std::vector<float> values(static_cast<std::size_t>(block.size().value()) / sizeof(float));
  float* target = values.data();
  for (const Place& place : block.places) {
    device.copy_to_host(target, place.data, place.size);
    target += static_cast<std::size_t>(place.size.value()) / sizeof(float);
  }
  return values;
}

std::uint64_t fingerprint_parameters(const StepCode& code, Device& device) {
  const StateBlock parameters = state_blocks(code)[0];
  Fingerprint fingerprint;
  for (const Place& place : parameters.places) {
    HostView view(device, place.data, place.size.value());
    fingerprint.add_bytes(view.bytes().data(), view.bytes().size());
  }
  return fingerprint.value();
}

}  // namespace pluto
