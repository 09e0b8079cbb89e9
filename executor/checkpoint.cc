#include "executor/checkpoint.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/check.h"
#include "base/fingerprint.h"
#include "base/text.h"

namespace pluto {

namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr std::array<char, 8> kMagic = {'P', 'L', 'U', 'T', 'O', 'C', 'K', 'P'};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kNameSize = 32;
constexpr std::int64_t kPiece = std::int64_t{1} << 20;
constexpr std::uint32_t kMostRanks = 1U << 20, kMostBlocks = 64;
constexpr const char* kPrefix = "step-";
constexpr const char* kSuffix = ".ckpt";

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

Error system_error(const std::string& path, const char* what) {
  return io_error(
      fmt::format("{}: {}: {}", path, what, std::strerror(errno)),
      errno == ENOSPC ? "free some space; training goes on from the last checkpoint" : "");
}

/// Writes and checksums what it writes.
class Writer {
 public:
  Writer(int file, const std::string& path) : file_(file), path_(path) {}

  Result<void> write(const void* data, std::size_t size) {
    checksum_.add_bytes(data, size);
    const auto* at = static_cast<const char*>(data);
    while (size > 0) {
      const ssize_t done = ::write(file_, at, size);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) return system_error(path_, "write");
      at += done;
      size -= static_cast<std::size_t>(done);
    }
    return {};
  }
  template <class Number>
  Result<void> number(Number value) {
    return write(&value, sizeof value);
  }
  /// Ends a part of the file: its checksum follows it.
  Result<void> seal() {
    const std::uint64_t value = checksum_.value();
    PLUTO_TRY(number(value));
    checksum_ = {};
    return {};
  }

 private:
  int file_;
  const std::string& path_;
  Fingerprint checksum_;
};

/// Reads and checksums what it reads; knows where it is.
class Reader {
 public:
  Reader(int file, const std::string& path) : file_(file), path_(path) {}

  Error damaged(const std::string& what) const {
    return invalid_input(fmt::format("{}: offset {}: {}", path_, offset_, what));
  }
  Result<void> read(void* data, std::size_t size) {
    auto* at = static_cast<char*>(data);
    for (std::size_t left = size; left > 0;) {
      const ssize_t done = ::read(file_, at + (size - left), left);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) return system_error(path_, "read");
      if (done == 0) return damaged("the file ends early");
      left -= static_cast<std::size_t>(done);
      offset_ += done;
    }
    checksum_.add_bytes(data, size);
    return {};
  }
  template <class Number>
  Result<void> number(Number& value) {
    return read(&value, sizeof value);
  }
  Result<void> check_seal(const std::string& part) {
    const std::uint64_t expected = checksum_.value();
    std::uint64_t found = 0;
    PLUTO_TRY(number(found));
    checksum_ = {};
    if (found != expected) {
      return damaged(fmt::format("{}: checksum {}, its content has {}", part, to_hex(found),
                                 to_hex(expected)));
    }
    return {};
  }
  Result<void> expect_end() {
    char extra = 0;
    const ssize_t done = ::read(file_, &extra, 1);
    if (done < 0) return system_error(path_, "read");
    if (done > 0) return damaged("bytes go on after the last block");
    return {};
  }

 private:
  int file_;
  const std::string& path_;
  std::int64_t offset_ = 0;
  Fingerprint checksum_;
};

Result<void> write_header(Writer& writer, const CheckpointHeader& header, std::size_t blocks) {
  PLUTO_TRY(writer.write(kMagic.data(), kMagic.size()));
  PLUTO_TRY(writer.number(kVersion));
  PLUTO_TRY(writer.number(static_cast<std::uint32_t>(blocks)));
  PLUTO_TRY(writer.number(header.trajectory));
  PLUTO_TRY(writer.number(header.plan));
  PLUTO_TRY(writer.number(header.model));
  PLUTO_TRY(writer.number(header.step));
  PLUTO_TRY(writer.number(header.samples));
  PLUTO_TRY(writer.number(header.elapsed));
  PLUTO_TRY(writer.number(header.interval_steps));
  PLUTO_TRY(writer.number(static_cast<std::uint64_t>(header.interval_losses.size())));
  for (const double loss : header.interval_losses) PLUTO_TRY(writer.number(loss));
  return writer.seal();
}

Result<CheckpointHeader> read_header(Reader& reader, std::uint32_t& blocks) {
  CheckpointHeader header;
  std::array<char, 8> magic{};
  std::uint32_t version = 0;
  std::uint64_t ranks = 0;
  PLUTO_TRY(reader.read(magic.data(), magic.size()));
  if (magic != kMagic) return reader.damaged("this is no checkpoint of Pluto");
  PLUTO_TRY(reader.number(version));
  if (version != kVersion) {
    return reader.damaged(
        fmt::format("format version {}; this program reads {}", version, kVersion));
  }
  PLUTO_TRY(reader.number(blocks));
  PLUTO_TRY(reader.number(header.trajectory));
  PLUTO_TRY(reader.number(header.plan));
  PLUTO_TRY(reader.number(header.model));
  PLUTO_TRY(reader.number(header.step));
  PLUTO_TRY(reader.number(header.samples));
  PLUTO_TRY(reader.number(header.elapsed));
  PLUTO_TRY(reader.number(header.interval_steps));
  PLUTO_TRY(reader.number(ranks));
  if (ranks > kMostRanks || blocks > kMostBlocks) {
    return reader.damaged(fmt::format("{} ranks and {} blocks", ranks, blocks));
  }
  header.interval_losses.resize(ranks);
  for (double& loss : header.interval_losses) PLUTO_TRY(reader.number(loss));
  PLUTO_TRY(reader.check_seal("header"));
  return header;
}

Result<void> write_block(Writer& writer, const StateBlock& block, Device& device,
                         std::vector<std::byte>& piece) {
  std::array<char, kNameSize> name{};
  PLUTO_CHECK(block.name.size() < kNameSize, "block names are short");
  std::copy(block.name.begin(), block.name.end(), name.begin());
  PLUTO_TRY(writer.write(name.data(), name.size()));
  PLUTO_TRY(writer.number(block.layout));
  PLUTO_TRY(writer.number(block.size().value()));
  for (const Place& place : block.places) {
    for (std::int64_t at = 0; at < place.size.value(); at += kPiece) {
      const Bytes size(std::min(kPiece, place.size.value() - at));
      const std::byte* source = place.data + at;
      if (!device.host_memory()) {
        device.copy_to_host(piece.data(), source, size);
        source = piece.data();
      }
      PLUTO_TRY(writer.write(source, static_cast<std::size_t>(size.value())));
    }
  }
  return writer.seal();
}

/// Reads one block into `target`; without a target only verifies it.
Result<void> read_block(Reader& reader, const StateBlock* target, Device* device,
                        std::vector<std::byte>& piece) {
  std::array<char, kNameSize> name{};
  std::uint64_t layout = 0;
  std::int64_t size = 0;
  PLUTO_TRY(reader.read(name.data(), name.size()));
  PLUTO_TRY(reader.number(layout));
  PLUTO_TRY(reader.number(size));
  const std::string text(name.data(), strnlen(name.data(), name.size()));
  if (size < 0) return reader.damaged(fmt::format("block {} of {} bytes", text, size));
  if (target == nullptr) {
    for (std::int64_t left = size; left > 0; left -= kPiece) {
      PLUTO_TRY(reader.read(piece.data(), static_cast<std::size_t>(std::min(left, kPiece))));
    }
    return reader.check_seal(text);
  }
  if (text != target->name || layout != target->layout || size != target->size().value()) {
    return reader.damaged(fmt::format("block {} ({} bytes) is not the {} ({} bytes) of this model",
                                      text, size, target->name, target->size().value()));
  }
  for (const Place& place : target->places) {
    for (std::int64_t at = 0; at < place.size.value(); at += kPiece) {
      const Bytes part(std::min(kPiece, place.size.value() - at));
      PLUTO_TRY(reader.read(piece.data(), static_cast<std::size_t>(part.value())));
      device->copy_to_device(place.data + at, piece.data(), part);
    }
  }
  return reader.check_seal(text);
}

Result<CheckpointHeader> read_checkpoint(const std::string& path,
                                         const std::vector<StateBlock>* blocks, Device* device) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.number() < 0) {
    return errno == ENOENT ? not_found(path + ": there is no such checkpoint")
                           : system_error(path, "open");
  }
  Reader reader(file.number(), path);
  std::uint32_t count = 0;
  PLUTO_ASSIGN(auto header, read_header(reader, count));
  if (blocks != nullptr && count != blocks->size()) {
    return reader.damaged(fmt::format("{} blocks; this training has {}", count, blocks->size()));
  }
  std::vector<std::byte> piece(kPiece);
  for (std::uint32_t i = 0; i < count; ++i) {
    PLUTO_TRY(read_block(reader, blocks != nullptr ? &(*blocks)[i] : nullptr, device, piece));
  }
  PLUTO_TRY(reader.expect_end());
  return header;
}

/// The step of "step-<n>.ckpt"; nullopt for all other names.
std::optional<std::int64_t> step_of(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  const std::size_t fixed = std::strlen(kPrefix) + std::strlen(kSuffix);
  if (name.size() <= fixed || !name.starts_with(kPrefix) || !name.ends_with(kSuffix)) {
    return std::nullopt;
  }
  return parse_integer(std::string_view(name).substr(std::strlen(kPrefix), name.size() - fixed));
}

Result<void> write_whole(const std::string& path, const CheckpointHeader& header,
                         const std::vector<StateBlock>& blocks, Device& device) {
  const Descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (file.number() < 0) return system_error(path, "open");
  Writer writer(file.number(), path);
  PLUTO_TRY(write_header(writer, header, blocks.size()));
  std::vector<std::byte> piece(device.host_memory() ? 0 : kPiece);
  for (const StateBlock& block : blocks) PLUTO_TRY(write_block(writer, block, device, piece));
  if (fsync(file.number()) != 0) return system_error(path, "fsync");
  return {};
}

}  // namespace

std::uint64_t trajectory_fingerprint(const Plan& plan) {
  Plan kept = plan;
  kept.job.clear();
  kept.model = {};  // its fingerprint stays
  kept.data.path.reset();
  kept.data.readers = 1;
  kept.data.queue = DataChoice{}.queue;
  kept.data.stored_sample.reset();
  kept.data.sample_time.reset();
  kept.data.storage.reset();
  kept.checkpoint_every = 0;
  kept.cluster = {};
  kept.backend.clear();
  kept.threads_per_rank = 1;
  kept.layout = {};
  kept.micro_batch = kept.global_batch;
  kept.accumulation = 1;
  kept.pipeline = {};
  kept.sequence_parallel = false;
  kept.expert = 1;
  kept.sharded.clear();
  kept.shard = 0;
  kept.recompute = Recompute::kNone;
  kept.server_nodes = 0;
  kept.priority = false;
  kept.fuse = true;
  kept.buckets.clear();
  kept.servers.clear();
  kept.budget.reset();
  kept.deadline.reset();
  kept.confidence = 0;
  return fingerprint(kept);
}

Result<std::string> write_checkpoint(const std::string& folder, const CheckpointHeader& header,
                                     const std::vector<StateBlock>& blocks, Device& device) {
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  if (code) return io_error(fmt::format("{}: {}", folder, code.message()));
  const std::string path =
      (std::filesystem::path(folder) / fmt::format("{}{}{}", kPrefix, header.step, kSuffix))
          .string();
  const std::string temporary = path + ".tmp";
  if (auto written = write_whole(temporary, header, blocks, device); !written.ok()) {
    unlink(temporary.c_str());
    return written.error();
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) return system_error(path, "rename");
  const Descriptor directory(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.number() < 0 || fsync(directory.number()) != 0)
    return system_error(folder, "fsync");
  return path;
}

void prune_checkpoints(const std::string& folder, const std::vector<std::string>& own) {
  constexpr std::ptrdiff_t kKept = 2;
  const auto first = own.end() - std::min<std::ptrdiff_t>(kKept, std::ssize(own));
  for (const std::string& path : list_checkpoints(folder)) {
    if (std::find(first, own.end(), path) == own.end()) unlink(path.c_str());
  }
}

Result<CheckpointHeader> verify_checkpoint(const std::string& path) {
  return read_checkpoint(path, nullptr, nullptr);
}

Result<CheckpointHeader> load_checkpoint(const std::string& path,
                                         const std::vector<StateBlock>& blocks, Device& device) {
  return read_checkpoint(path, &blocks, &device);
}

std::vector<std::string> list_checkpoints(const std::string& folder) {
  std::vector<std::pair<std::int64_t, std::string>> found;
  std::error_code code;
  for (const auto& entry : std::filesystem::directory_iterator(folder, code)) {
    if (const auto step = step_of(entry.path())) found.emplace_back(*step, entry.path().string());
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<std::string> paths;
  for (auto& [step, path] : found) paths.push_back(std::move(path));
  return paths;
}

Result<FoundCheckpoint> find_checkpoint(const std::string& folder, std::uint64_t trajectory) {
  FoundCheckpoint found;
  const auto all = list_checkpoints(folder);
  for (const std::string& path : all) {
    const auto header = verify_checkpoint(path);
    if (!header.ok()) {
      found.warnings.push_back(
          fmt::format("damaged checkpoint passed over: {}", header.error().message));
      continue;
    }
    if (header->trajectory != trajectory) {
      return invalid_input(
          fmt::format("{} is of another training (model {}, plan {}, step {})", path,
                      to_hex(header->model), to_hex(header->plan), header->step),
          "choose another checkpoint folder, or empty this one");
    }
    found.path = path;
    return found;
  }
  if (!all.empty()) {
    return io_error(
        fmt::format("no checkpoint in {} is whole; the newest: {}", folder, found.warnings.front()),
        "empty the folder to start anew");
  }
  return found;
}

}  // namespace pluto
