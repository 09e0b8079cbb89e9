#include "executor/idx_file.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>

namespace pluto {

namespace {

constexpr std::int64_t kPiece = std::int64_t{1} << 20;

struct CloseGzip {
  void operator()(gzFile file) const { gzclose(file); }
};
using GzipFile = std::unique_ptr<gzFile_s, CloseGzip>;

/// Counts what was read, so that every error can say where.
class Stream {
 public:
  Stream(GzipFile file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}

  Error damaged(const std::string& what) const {
    return invalid_input(fmt::format("{}: offset {}: {}", path_, offset_, what),
                         "fetch the file again");
  }

  /// Up to `size` bytes; fewer only at the end of the file.
  Result<std::int64_t> read(std::uint8_t* target, std::int64_t size) {
    const int got = gzread(file_.get(), target, static_cast<unsigned>(size));
    if (got > 0) offset_ += got;
    if (got == size) return size;
    int code = Z_OK;
    const char* text = gzerror(file_.get(), &code);
    if (code == Z_ERRNO) return io_error(fmt::format("{}: {}", path_, std::strerror(errno)));
    // zlib reports a gzip stream that ends early as Z_BUF_ERROR.
    if (code == Z_BUF_ERROR) return damaged("the gzip stream ends early");
    if (code != Z_OK && code != Z_STREAM_END) return damaged(fmt::format("gzip: {}", text));
    return std::max(got, 0);
  }

  Result<void> read_all(std::uint8_t* target, std::int64_t size, const char* what) {
    PLUTO_ASSIGN(const auto got, read(target, size));
    if (got < size) return damaged(fmt::format("the file ends within its {}", what));
    return {};
  }

 private:
  GzipFile file_;
  std::string path_;
  std::int64_t offset_ = 0;
};

std::uint32_t big_endian(const std::uint8_t* bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
         std::uint32_t{bytes[2]} << 8 | bytes[3];
}

Result<Stream> open_stream(const std::string& path) {
  errno = 0;
  GzipFile file(gzopen(path.c_str(), "rb"));
  if (file) return Stream(std::move(file), path);
  const std::string what = fmt::format("{}: {}", path, std::strerror(errno));
  return errno == ENOENT ? not_found(what) : io_error(what);
}

Result<std::vector<std::int64_t>> read_header(Stream& stream, const std::string& path, int rank) {
  std::array<std::uint8_t, 4> word{};
  PLUTO_TRY(stream.read_all(word.data(), 4, "magic number"));
  const std::uint32_t expected = 0x800U + static_cast<std::uint32_t>(rank);
  if (const std::uint32_t magic = big_endian(word.data()); magic != expected) {
    return invalid_input(
        fmt::format("{}: offset 0: magic number 0x{:08x}; an IDX file of bytes in {} dimension{} "
                    "has 0x{:08x}",
                    path, magic, rank, rank == 1 ? "" : "s", expected));
  }
  std::vector<std::int64_t> dims;
  std::int64_t total = 1;
  for (int axis = 0; axis < rank; ++axis) {
    PLUTO_TRY(stream.read_all(word.data(), 4, "dimensions"));
    const auto size = static_cast<std::int64_t>(big_endian(word.data()));
    if (size == 0) return stream.damaged(fmt::format("dimension {} is 0", axis));
    if (total > std::numeric_limits<std::int64_t>::max() / size) {
      return stream.damaged(fmt::format("dimension {} is {}: impossible", axis, size));
    }
    total *= size;
    dims.push_back(size);
  }
  return dims;
}

}  // namespace

Result<std::vector<std::int64_t>> read_idx_dims(const std::string& path, int rank) {
  PLUTO_ASSIGN(Stream stream, open_stream(path));
  return read_header(stream, path, rank);
}

Result<IdxFile> read_idx(const std::string& path, int rank) {
  PLUTO_ASSIGN(Stream stream, open_stream(path));
  IdxFile idx;
  PLUTO_ASSIGN(idx.dims, read_header(stream, path, rank));
  std::int64_t total = 1;
  for (const std::int64_t size : idx.dims) total *= size;
  // Piece by piece: a damaged header must not ask for memory the file cannot fill.
  while (static_cast<std::int64_t>(idx.values.size()) < total) {
    const auto have = static_cast<std::int64_t>(idx.values.size());
    const std::int64_t piece = std::min(kPiece, total - have);
    idx.values.resize(static_cast<std::size_t>(have + piece));
    PLUTO_ASSIGN(const auto got, stream.read(idx.values.data() + have, piece));
    if (got < piece) {
      return stream.damaged(fmt::format(
          "the file ends; its header promises {} values, {} are there", total, have + got));
    }
  }
  std::uint8_t extra = 0;
  PLUTO_ASSIGN(const auto rest, stream.read(&extra, 1));
  if (rest > 0) {
    return stream.damaged(fmt::format("bytes go on after the {} values of the header", total));
  }
  return idx;
}

}  // namespace pluto
