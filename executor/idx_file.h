#pragma once
// The IDX format of the MNIST family: a big-endian header and one array of bytes, gzipped or not.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace pluto {

/// Unsigned bytes, row-major; dims[0] counts the samples.
struct IdxFile {
  std::vector<std::int64_t> dims;
  std::vector<std::uint8_t> values;
};

/// Reads a file of bytes with `rank` dimensions: magic number 0x00000800 + rank (labels: 1, images:
/// 3). Source: LeCun, Cortes, Burges, "The MNIST database", the IDX file format. Errors: kNotFound;
/// kIo; kInvalidInput with "path: offset N: ..." (N counts unpacked bytes) for a wrong magic
/// number, a file that ends early or goes on, and a damaged gzip stream.
Result<IdxFile> read_idx(const std::string& path, int rank);

/// The dimensions alone; the values are not read. Errors: as read_idx, for the header.
Result<std::vector<std::int64_t>> read_idx_dims(const std::string& path, int rank);

}  // namespace pluto
