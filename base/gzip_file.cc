#include "base/gzip_file.h"

#include <zlib.h>

#include <vector>

#include "base/document.h"

namespace pluto {

Result<std::string> read_gzip_file(const std::string& path) {
  if (!path.ends_with(".gz")) return read_file(path);
  const gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) return not_found(path + ": cannot be opened");
  std::string text;
  std::vector<char> buffer(1 << 16);
  int read = 0;
  while ((read = gzread(file, buffer.data(), static_cast<unsigned>(buffer.size()))) > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(read));
  }
  const bool whole = gzclose(file) == Z_OK && read == 0;
  if (!whole) return invalid_input(path + ": is no gzip file, or a damaged one");
  return text;
}

}  // namespace pluto
