#pragma once
// IDX files for tests.

#include <string>
#include <vector>

namespace pluto::testing {

/// Magic number and dimensions, big-endian.
std::string idx_header(unsigned magic, const std::vector<unsigned>& dims);
void write_gzip(const std::string& path, const std::string& bytes);
/// A folder in the layout of Fashion-MNIST: images of `side` x `side` whose pixels are all the
/// number of the sample, label number % 10.
void write_image_folder(const std::string& folder, unsigned train, unsigned test, unsigned side);

}  // namespace pluto::testing
