#pragma once
// The schema as a list of steps: a database of any older version is brought forward, never back.

#include <span>

#include "db/sqlite.h"

namespace pluto {

/// PRAGMA application_id of our files ("PLUT"), by which a database of another program is told
/// apart.
constexpr std::int64_t kApplicationId = 0x504C5554;

/// Step i takes a database from version i to i + 1 (PRAGMA user_version); docs/db_schema.md
/// describes the tables. Steps that were ever released do not change.
std::span<const char* const> migrations();

/// Refuses what is not ours without touching it: kIo for a file of another program or a damaged
/// one, kUnsupported for a version above `steps`. An empty file is a new database.
Result<void> recognise(const Connection& connection, std::span<const char* const> steps);

/// Applies the missing steps, all or none. Several processes may do so at once. Errors: as
/// recognise(), kIo.
Result<void> migrate(Connection& connection, std::span<const char* const> steps);

}  // namespace pluto
