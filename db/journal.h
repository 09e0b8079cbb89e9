#pragma once
// Which journal a database may use where it lies, and how safe each commit is.

#include <cstdint>
#include <string>

#include "db/sqlite.h"

namespace pluto {

/// True for file systems of this machine, where processes can share the memory that a write-ahead
/// log needs. Network and unknown file systems are not trusted: a log there can lose or corrupt the
/// database. `type` is f_type of statfs(2). Source: sqlite.org, "Write-Ahead Logging",
/// disadvantage 1.
bool allows_write_ahead_log(std::int64_t type);

/// f_type of the file system that holds the folder of `path`. Errors: kIo.
Result<std::int64_t> file_system_type(const std::string& path);

/// Sets the journal mode and the matching synchronous level, and returns the mode in force:
///   "wal"     synchronous NORMAL: a killed process loses nothing; a power cut may lose the last
///   commits, never the database "delete"  synchronous FULL: neither loses anything; each commit
///   waits for the disk
Result<std::string> set_journal(Connection& connection, bool write_ahead_log);

}  // namespace pluto
