#include "db/journal.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace pluto {
namespace {

// Not all are in linux/magic.h of every kernel.
constexpr std::int64_t kZfs = 0x2FC12FC1;
constexpr std::int64_t kBcachefs = 0xCA451A4E;
constexpr std::int64_t kXfs = 0x58465342;
constexpr std::int64_t kOverlay = 0x794C7630;

}  // namespace

bool allows_write_ahead_log(std::int64_t type) {
  constexpr std::int64_t kLocal[] = {EXT4_SUPER_MAGIC,
                                     kXfs,
                                     BTRFS_SUPER_MAGIC,
                                     F2FS_SUPER_MAGIC,
                                     TMPFS_MAGIC,
                                     RAMFS_MAGIC,
                                     REISERFS_SUPER_MAGIC,
                                     kOverlay,
                                     kZfs,
                                     kBcachefs};
  return std::find(std::begin(kLocal), std::end(kLocal), type) != std::end(kLocal);
}

Result<std::int64_t> file_system_type(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::string folder = parent.empty() ? "." : parent.string();
  struct statfs facts = {};
  if (::statfs(folder.c_str(), &facts) != 0) {
    return io_error(fmt::format("{}: {}", folder, std::strerror(errno)));
  }
  // f_type is signed on some machines and a 32-bit number on all.
  return static_cast<std::int64_t>(static_cast<std::uint32_t>(facts.f_type));
}

Result<std::string> set_journal(Connection& connection, bool write_ahead_log) {
  PLUTO_ASSIGN(std::string mode, connection.set_journal_mode(write_ahead_log ? "wal" : "delete"));
  PLUTO_TRY(connection.execute(mode == "wal" ? "PRAGMA synchronous = NORMAL"
                                             : "PRAGMA synchronous = FULL"));
  return mode;
}

}  // namespace pluto
