#pragma once
// The database: append-only measurements, plans, predictions and runs in one SQLite file.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "plan/measurement.h"
#include "plan/plan.h"
#include "plan/prediction.h"

namespace pluto {

/// A measurement with its row id (ids grow; the largest used is a prediction's watermark).
struct StoredMeasurement {
  std::int64_t id = 0;
  Measurement measurement;
};

struct RunRecord {
  std::int64_t id = 0;
  std::uint64_t plan = 0;
  std::string started_at, state;  ///< "running", "finished", "stopped", "failed"
  std::string report_path;        ///< run.json, empty while running
};

struct StoreSummary {
  std::string path, journal_mode;  ///< "wal", or "delete" where the file system does not allow it
  int schema_version = 0;
  std::int64_t operators = 0, collectives = 0, inputs = 0, processes = 0, steps = 0,
               convergence = 0, transformer_steps = 0, plans = 0, runs = 0;
  std::vector<std::string> devices;  ///< device fingerprints present
};

/// Opens or creates (the folder too); applies missing migrations. One connection, used by one
/// thread; several processes may open the same file (busy timeout 60 s). A process that forks must
/// not use the store in the child. What a call stored is there when the process is killed after it
/// returned. After a power cut the last calls may be missing in journal mode "wal" (never the
/// database, never a part of a call); in mode "delete" nothing is. docs/db_schema.md says why.
/// Errors: kIo naming the file, for a truncated or foreign file with the command that starts a new
/// one; kUnsupported for a newer schema.
class Store : public MeasurementSink {
 public:
  static Result<std::unique_ptr<Store>> open(const std::string& path);
  ~Store() override;

  Result<void> record(const Measurement& measurement) override;
  /// All measurements of a device fingerprint (all devices when nullopt), in id order.
  Result<std::vector<StoredMeasurement>> measurements(
      const std::optional<std::string>& device_fingerprint) const;

  /// Keeps the plan under its fingerprint (once) and adds the prediction to those it has.
  Result<void> save_plan(const Plan& plan, const std::optional<Prediction>& prediction);
  /// Nullopt: never saved.
  Result<std::optional<Plan>> plan(std::uint64_t fingerprint) const;
  Result<std::optional<Prediction>> prediction(std::uint64_t plan) const;  ///< the newest
  /// Returns the id of a new run in state "running".
  Result<std::int64_t> start_run(std::uint64_t plan, const std::string& started_at);
  /// `state`: "finished", "stopped" or "failed". Errors: kNotFound, kInvalidInput for another
  /// state.
  Result<void> finish_run(std::int64_t run, const std::string& state,
                          const std::string& report_path);
  Result<std::vector<RunRecord>> runs() const;  ///< in id order

  Result<StoreSummary> summary() const;
  /// Removes measurements and returns how many: those taken before `before_utc` ("2026-11-01" or
  /// "2026-11-01T08:00:00Z"), those of a device fingerprint, or, with both, those that are both.
  /// Ids are never given again. Errors: kInvalidInput when neither is given or the time is no time.
  Result<std::int64_t> prune(const std::optional<std::string>& before_utc,
                             const std::optional<std::string>& device_fingerprint);

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pluto
