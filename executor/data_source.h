#pragma once
// Where samples come from, and the order they are read in.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/graph.h"
#include "plan/job.h"

namespace pluto {

/// Random access to samples. Thread-safe: several readers call it at once.
class DataSource {
 public:
  virtual ~DataSource() = default;
  virtual std::int64_t size() const = 0;
  virtual Bytes bytes_per_sample() const = 0;  ///< of all input tensors and the label together
  virtual Bytes resident() const { return Bytes(0); }  ///< memory the source itself holds
  /// Writes sample `index` into one slot per model input, then its label: `slots[i]` has the bytes
  /// of input i for one sample.
  virtual void read(std::int64_t index, std::span<void* const> slots) const = 0;
};

/// Training and held-out samples of a job.
struct DataSet {
  std::unique_ptr<DataSource> train;
  std::unique_ptr<DataSource> test;  ///< null when the source has none
};

/// "fashion-mnist": IDX files, gzipped or not, pixels scaled to zero mean and unit variance,
/// resized by zero padding or nearest neighbour to the model's input. "synthetic": deterministic
/// values from philox, labels too. Errors: kNotFound with the package to install; kInvalidInput for
/// a damaged file (name, offset) or when the source does not fit the model's inputs.
Result<DataSet> open_data(const DataChoice& choice, const ModelGraph& model, std::uint64_t seed);

/// Training samples of a choice, from file headers alone (no pixel is read). Errors: as open_data.
Result<std::int64_t> count_samples(const DataChoice& choice);

/// The order of samples: a permutation per epoch, the same on every rank count. Sample `position`
/// (0-based over the whole run) -> index. A step takes positions [step*global_batch, ...); rank r
/// of P takes its contiguous part. Every sample of an epoch once; partial last batches wrap.
class SampleOrder {
 public:
  SampleOrder(std::int64_t samples, std::uint64_t seed);
  std::int64_t index(std::int64_t position) const;

 private:
  std::int64_t samples_;
  std::uint64_t seed_;
};

}  // namespace pluto
