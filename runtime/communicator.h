#pragma once
// Ranks that exchange memory. Collectives are ours, over a narrow point-to-point base, so that what
// is priced is what runs.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace pluto {

/// All ranks call the same collectives in the same order; one thread at a time per rank. Buffers
/// are host memory. A lost peer makes a call return kWorker naming the rank where it is known; it
/// never hangs for ever. Waiting never spins for long: the thread sleeps in growing steps, up to 50
/// us.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual std::string transport() const = 0;  ///< "mpi", "in_process"

  /// Sends to one peer while receiving from another; either span may be empty (then that side does
  /// not take place).
  virtual Result<void> exchange(int to, std::span<const std::byte> send, int from,
                                std::span<std::byte> receive) = 0;
  virtual Result<void> barrier() = 0;

  /// Sum in place over all ranks. `staging`: all_reduce_staging() bytes. Ring: reduce-scatter then
  /// all-gather, 2 (P-1) messages of n/P. Source: Patarasuk and Yuan 2009. Bitwise the same on
  /// every rank.
  virtual Result<void> all_reduce(std::span<float> values, std::span<std::byte> staging) = 0;
  /// In place: after the call shard s (see shard_of) holds the sum on rank `owners[s]`; the rest of
  /// `values` is unspecified.
  virtual Result<void> reduce_scatter(std::span<float> values, std::span<const int> owners,
                                      std::span<std::byte> staging) = 0;
  /// In place: shard s is taken from rank `owners[s]`, everywhere.
  virtual Result<void> all_gather_shards(std::span<float> values, std::span<const int> owners) = 0;
  /// Equal blocks of every rank, in rank order: `all` is size() * block.size().
  virtual Result<void> all_gather(std::span<const std::byte> block, std::span<std::byte> all) = 0;
  virtual Result<void> broadcast(std::span<std::byte> values, int root) = 0;
  /// Ends the job on every rank, now, with `message` on this rank's stderr. Does not return under
  /// MPI.
  virtual void abort(const std::string& message) = 0;
};

/// Elements [begin, end) of shard s of S of n elements: n*s/S to n*(s+1)/S. The one rule, used by
/// lowering, collectives and checkpoints, is plan's; this is its twin for callers that have only
/// spans.
struct ShardRange {
  std::int64_t begin = 0, end = 0;
};
ShardRange shard_of(std::int64_t elements, int shard, int shards);
Bytes all_reduce_staging(std::int64_t elements, int ranks);
Bytes reduce_scatter_staging(std::int64_t elements, int ranks, int servers);

/// `size` communicators of one process, one per thread; for tests and single-node planning.
std::vector<std::unique_ptr<Communicator>> make_in_process_communicators(int size);

/// MPI_COMM_WORLD. Initialises MPI with MPI_THREAD_SERIALIZED on first use and finalises it when
/// destroyed. Errors: kDevice, among them "every process believes it is alone" (a launcher of
/// another MPI: N processes of world size 1).
Result<std::unique_ptr<Communicator>> make_mpi_communicator();
/// Library version text, without initialising.
std::string mpi_version();

}  // namespace pluto
