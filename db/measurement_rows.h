#pragma once
// Measurements as rows: one common row, one row in the table of their kind.

#include <optional>
#include <string>
#include <vector>

#include "db/sqlite.h"
#include "db/store.h"
#include "plan/measurement.h"

namespace pluto {

/// Inserts the measurement and returns its id. Call within a writing transaction. Errors: kIo.
Result<std::int64_t> insert_measurement(Connection& connection, const Measurement& measurement);

/// Measurements of one device fingerprint (nullopt: of all) in id order. Errors: kIo naming the row
/// that does not read.
Result<std::vector<StoredMeasurement>> select_measurements(
    Connection& connection, const std::optional<std::string>& device_fingerprint);

}  // namespace pluto
