#pragma once
// Collectives written once over exchange() and barrier(): what transports without their own
// collectives share.

#include "runtime/communicator.h"

namespace pluto {

/// Every collective of Communicator as messages between pairs. Volumes and message counts are those
/// of docs/cost_model.md: ring all_reduce 2 (P-1) messages of n/P; reduce_scatter and
/// all_gather_shards P-1 direct messages of one shard; all_gather P-1 messages of one block;
/// broadcast a binomial tree. Sums are taken in a fixed order, so results repeat bitwise.
class PointToPointCommunicator : public Communicator {
 public:
  Result<void> all_reduce(std::span<float> values, std::span<std::byte> staging) override;
  Result<void> reduce_scatter(std::span<float> values, std::span<const int> owners,
                              std::span<std::byte> staging) override;
  Result<void> all_gather_shards(std::span<float> values, std::span<const int> owners) override;
  Result<void> all_gather(std::span<const std::byte> block, std::span<std::byte> all) override;
  Result<void> broadcast(std::span<std::byte> values, int root) override;
};

}  // namespace pluto
