#pragma once
// One thing wrong with a document: which field, why, and the fix. The same rules serve files, whose
// lines are known, and flags, which have none.

#include <optional>
#include <string>

#include "base/document.h"
#include "base/result.h"

namespace pluto {

struct Finding {
  std::string path;     ///< "budget", "batch.micro", "buckets[3].method"
  std::string message;  ///< "must be above zero, is -5"
  std::string help;     ///< the edit that fixes it
};
/// Nothing: all is well.
using Verdict = std::optional<Finding>;

/// kInvalidInput "budget: must be above zero, is -5".
Error to_error(const Finding& finding);
/// The same with the place in the document in front: "job.yaml:12: budget: ...". The line is that
/// of the field, or of the nearest object around it that is there.
Error to_error(const Finding& finding, const Value& document, const std::string& source);

/// Finite and > 0 (>= 0). `help` is an example of a lawful value.
Verdict must_be_positive(const std::string& path, double value, const std::string& help);
Verdict must_not_be_negative(const std::string& path, double value, const std::string& help);

}  // namespace pluto

/// Returns the finding of `expression` (a Verdict), if any, from the enclosing function.
#define PLUTO_REFUSE(expression)                                        \
  do {                                                                  \
    if (auto pluto_verdict = (expression); pluto_verdict.has_value()) { \
      return pluto_verdict;                                             \
    }                                                                   \
  } while (false)
