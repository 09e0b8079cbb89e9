#pragma once
// Predictions against published measurements, family by family, whatever the predictor.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "costmodel/step_errors.h"
#include "costmodel/transformer_validation.h"

namespace pluto {

/// A row of a table with what was predicted for it.
struct ValidatedRow {
  int line = 0;
  std::string what;   ///< what ran
  std::string alike;  ///< rows with the same text err alike
  std::string note;
  std::optional<ScoredStep> step;      ///< with the shipped constants; unset: no time was measured
  std::optional<ScoredStep> held_out;  ///< by constants that never saw the row
  std::vector<std::pair<std::string, double>> terms;  ///< shares of the predicted step
  struct Exposed {
    Seconds predicted, measured;
  };
  std::optional<Exposed> comm;  ///< exposed communication, where the table has it
  struct Used {
    Bytes predicted, measured;
  };
  std::optional<Used> memory;
  bool ran = true;           ///< false: out of memory
  std::optional<bool> fits;  ///< whether it should have run; unset: not predicted
};

/// A table of measurements and how to predict it.
struct ValidationFamily {
  std::string name;   ///< of its file in data/measured, or the path of a file
  std::string about;  ///< a few words
  /// kTransformer, kTraining: whole steps. kPart: collectives, operators, models on one device; its
  /// times are not steps and are not pooled with them.
  enum class Kind : std::uint8_t { kTransformer, kTraining, kPart } kind = Kind::kTraining;
};

struct ValidatedFamily {
  ValidationFamily family;
  std::vector<ValidatedRow> rows;
  PlanRanking ranking;  ///< without groups where nothing is ranked
};

/// The families of the shipped data, in the order they are printed; no work is done.
const std::vector<ValidationFamily>& validation_families();

/// Predicts families one by one; tables are read when first needed.
class Validation {
 public:
  explicit Validation(std::string data_folder) : data_folder_(std::move(data_folder)) {}
  /// `name`: of a family, or the path of a .csv in the form of the training tables
  /// (data/README.md). Errors: kInvalidInput for an unknown name, with the nearest in help; those
  /// of the readers and predictors.
  Result<ValidatedFamily> validate(const std::string& name);

 private:
  Result<ValidatedFamily> transformers(const ValidationFamily& family);
  Result<ValidatedFamily> training_steps(const ValidationFamily& family, const std::string& path);

  std::string data_folder_;
  std::vector<TransformerFamily> transformers_;
};

/// Of the rows that have a time; `held_out`: of their held-out predictions.
StepErrors errors_of(const std::vector<ValidatedRow>& rows, bool held_out);

/// Of the rows that state exposed communication: |predicted - measured| over the measured step.
std::vector<double> comm_errors(const std::vector<ValidatedRow>& rows);

/// Where memory is stated, how far it is off; and plans that ran although they look too large, or
/// did not although they look small enough.
struct MemoryCheck {
  std::vector<double> errors;   ///< absolute, relative
  int ran = 0, refused = 0;     ///< of those that ran, called too large
  int failed = 0, allowed = 0;  ///< of those that did not, called small enough
};
MemoryCheck check_memory(const std::vector<ValidatedRow>& rows);

}  // namespace pluto
