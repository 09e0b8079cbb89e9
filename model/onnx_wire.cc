#include "model/onnx_wire.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace pluto {

namespace {

Error damaged(const char* what) {
  return invalid_input(fmt::format("not a readable ONNX file: {}", what),
                       "check that the file is complete, or export it again");
}

// Little-endian, as the format says, whatever the machine.
std::uint64_t fixed(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) {
    value = (value << 8) | static_cast<unsigned char>(bytes[i]);
  }
  return value;
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    const std::string message = fmt::format("{}: {}", path, std::strerror(errno));
    return errno == ENOENT ? not_found(message) : io_error(message);
  }
  struct stat status {};
  MappedFile mapped;
  if (::fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(file);
    return io_error(path + ": not a regular file");
  }
  if (status.st_size > 0) {
    const auto size = static_cast<std::size_t>(status.st_size);
    void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
    if (data == MAP_FAILED) {
      const Error error = io_error(fmt::format("{}: {}", path, std::strerror(errno)));
      ::close(file);
      return error;
    }
    mapped.data_ = static_cast<const char*>(data);
    mapped.size_ = size;
  }
  ::close(file);
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<char*>(data_), size_);
}

Result<std::uint64_t> WireReader::varint() {
  constexpr int kLongest = 10;
  std::uint64_t value = 0;
  for (int i = 0; i < kLongest; ++i) {
    if (rest_.empty()) return damaged("it ends inside a number");
    const auto byte = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7F) << (7 * i);
    if (byte < 0x80) return value;
  }
  return damaged("a number is too long");
}

Result<WireField> WireReader::next() {
  PLUTO_ASSIGN(const std::uint64_t tag, varint());
  WireField field;
  field.number = static_cast<std::uint32_t>(tag >> 3);
  if (tag >> 32 != 0 || field.number == 0) return damaged("a field number is out of range");
  field.wire = static_cast<WireField::Wire>(tag & 7);
  std::uint64_t length = 0;
  switch (field.wire) {
    case WireField::Wire::kVarint: {
      PLUTO_ASSIGN(field.value, varint());
      return field;
    }
    case WireField::Wire::kFixed64:
      length = 8;
      break;
    case WireField::Wire::kFixed32:
      length = 4;
      break;
    case WireField::Wire::kBytes: {
      PLUTO_ASSIGN(length, varint());
      break;
    }
    default:
      return damaged("a field has an unknown type");
  }
  if (length > rest_.size()) return damaged("it ends inside a field");
  const std::string_view bytes = rest_.substr(0, length);
  rest_.remove_prefix(length);
  if (field.wire == WireField::Wire::kBytes) {
    field.bytes = bytes;
  } else {
    field.value = fixed(bytes);
  }
  return field;
}

}  // namespace pluto
