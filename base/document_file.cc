#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/document.h"

namespace pluto {
namespace {

// Owns a file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  bool ok() const { return number_ >= 0; }
  int number() const { return number_; }
  /// Some file systems report a failed write only here.
  bool close() { return ::close(std::exchange(number_, -1)) == 0; }

 private:
  int number_;
};

Error system_error(const std::string& path, std::string_view action) {
  const int code = errno;
  const std::string message = fmt::format("{}: cannot {}: {}", path, action, std::strerror(code));
  return code == ENOENT ? not_found(message) : io_error(message);
}

bool write_all(int descriptor, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = ::write(descriptor, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

Result<std::string> read_all(int descriptor, const std::string& path) {
  std::string content;
  char buffer[1 << 16];
  while (true) {
    const ssize_t size = ::read(descriptor, buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return io_error(system_error(path, "read").message);
    if (size == 0) return content;
    content.append(buffer, static_cast<std::size_t>(size));
  }
}

Result<void> write_in_place(const std::string& path, std::string_view content) {
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.ok() || !write_all(file.number(), content) || !file.close()) {
    return io_error(system_error(path, "write").message);
  }
  return {};
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// A name of its own for every writer: the process number against other processes, the counter
// against other threads and what a killed process left behind.
Descriptor create_beside(const std::string& path, std::string& temporary) {
  constexpr int kAttempts = 100;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    temporary = fmt::format("{}.{}-{}.partial", path, ::getpid(), attempt);
    const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file >= 0 || errno != EEXIST) return Descriptor(file);
  }
  return Descriptor(-1);
}

Result<void> replace_file(const std::string& path, std::string_view content,
                          const mode_t* permissions) {
  std::string temporary;
  Descriptor file = create_beside(path, temporary);
  if (!file.ok()) return io_error(system_error(path, "write").message);
  const bool written = (permissions == nullptr || ::fchmod(file.number(), *permissions) == 0) &&
                       write_all(file.number(), content) && ::fsync(file.number()) == 0 &&
                       file.close() && ::rename(temporary.c_str(), path.c_str()) == 0;
  if (!written) {
    Error error = io_error(system_error(path, "write").message);
    ::unlink(temporary.c_str());
    return error;
  }
  // The rename itself survives a power cut only once the folder is on disk; a file system that
  // cannot sync a folder has still got the file.
  if (const Descriptor folder(::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      folder.ok()) {
    ::fsync(folder.number());
  }
  return {};
}

}  // namespace

Result<void> write_file(const std::string& path, std::string_view content) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return replace_file(path, content, nullptr);
  if (!S_ISREG(status.st_mode)) return write_in_place(path, content);
  const std::unique_ptr<char, decltype(&std::free)> target(::realpath(path.c_str(), nullptr),
                                                           &std::free);
  if (target == nullptr) return io_error(system_error(path, "write").message);
  const mode_t permissions = status.st_mode & 07777;
  return replace_file(target.get(), content, &permissions);
}

Result<std::string> read_file(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return system_error(path, "read");
  return read_all(file.number(), path);
}

Result<Value> read_document(const std::string& path) {
  if (path == "-") {
    PLUTO_ASSIGN(const std::string text, read_all(STDIN_FILENO, "stdin"));
    return parse_yaml(text, "stdin");
  }
  PLUTO_ASSIGN(const std::string text, read_file(path));
  return path.ends_with(".yaml") || path.ends_with(".yml") ? parse_yaml(text, path)
                                                           : parse_json(text, path);
}

}  // namespace pluto
