#pragma once
// What a training run is at a step: parameters, buffers, optimizer state, in an order no plan
// changes.

#include <string>
#include <vector>

#include "executor/step_code.h"

namespace pluto {

/// Tensors of one kind, in the id order of the model's own graph, so that a checkpoint serves every
/// layout, bucket order and rank count.
struct StateBlock {
  std::string name;  ///< "parameters", "buffers", "optimizer_state_0", ...
  std::vector<Place> places;
  std::uint64_t layout = 0;  ///< fingerprint of the tensors' names and sizes
  Bytes size() const;
};
std::vector<StateBlock> state_blocks(const StepCode& code);

/// Collective. Rank 0 gets every shard of the optimizer state that only its server keeps.
Result<void> gather_state(const StepCode& code, Device& device, Communicator& communicator);
/// Collective. Every rank gets rank 0's blocks.
Result<void> broadcast_state(const std::vector<StateBlock>& blocks, Device& device,
                             Communicator& communicator);

/// Parameters one after the other, on the host.
std::vector<float> copy_parameters(const StepCode& code, Device& device);
/// Fingerprint of their bytes in that order.
std::uint64_t fingerprint_parameters(const StepCode& code, Device& device);

}  // namespace pluto
