#include "tests/executor/idx_writer.h"

#include <zlib.h>

#include "base/check.h"
#include "tests/executor/scratch_folder.h"

namespace pluto::testing {

std::string idx_header(unsigned magic, const std::vector<unsigned>& dims) {
  std::string bytes;
  const auto add = [&](unsigned word) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(word >> shift));
  };
  add(magic);
  for (const unsigned dim : dims) add(dim);
  return bytes;
}

void write_gzip(const std::string& path, const std::string& bytes) {
  gzFile file = gzopen(path.c_str(), "wb");
  PLUTO_CHECK(file != nullptr, "a file to write");
  PLUTO_CHECK(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())) ==
                  static_cast<int>(bytes.size()),
              "all of it");
  gzclose(file);
}

void write_image_folder(const std::string& folder, unsigned train, unsigned test, unsigned side) {
  for (const bool training : {true, false}) {
    const unsigned count = training ? train : test;
    std::string images = idx_header(0x803, {count, side, side});
    std::string labels = idx_header(0x801, {count});
    for (unsigned i = 0; i < count; ++i) {
      images.append(std::size_t{side} * side, static_cast<char>(i));
      labels.push_back(static_cast<char>(i % 10));
    }
    const std::string prefix = folder + (training ? "/train" : "/t10k");
    write_gzip(prefix + "-images-idx3-ubyte.gz", images);
    write_bytes(prefix + "-labels-idx1-ubyte", labels);
  }
}

}  // namespace pluto::testing
