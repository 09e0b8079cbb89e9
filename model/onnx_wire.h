#pragma once
// Protocol-buffer wire format, read in place: a file mapped into memory and a cursor over the
// fields of one message. Nothing is copied and skipped bytes are never touched, so files of many
// gigabytes cost nothing.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace pluto {

/// A file mapped read-only. Its bytes live as long as it.
class MappedFile {
 public:
  /// Errors: kNotFound, kIo.
  static Result<MappedFile> open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();
  std::string_view bytes() const { return {data_, size_}; }

 private:
  MappedFile() = default;
  const char* data_ = nullptr;
  std::size_t size_ = 0;
};

/// One field of a message. Which member holds the value follows from `wire`.
struct WireField {
  enum class Wire : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
  std::uint32_t number = 0;
  Wire wire = Wire::kVarint;
  std::uint64_t value = 0;  ///< varint, or the bits of a fixed-width field
  std::string_view bytes;   ///< text, nested message or packed numbers

  std::int64_t as_integer() const { return static_cast<std::int64_t>(value); }
};

/// Walks the fields of one message.
class WireReader {
 public:
  explicit WireReader(std::string_view message) : rest_(message) {}
  bool done() const { return rest_.empty(); }
  /// The next field. Precondition: !done(). Errors: kInvalidInput on a damaged or truncated message
  /// and on wire types that ONNX does not use (groups).
  Result<WireField> next();
  /// A bare varint, of a packed field. Precondition and errors as next().
  Result<std::uint64_t> varint();

 private:
  std::string_view rest_;
};

}  // namespace pluto
