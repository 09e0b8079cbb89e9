#pragma once
// What the numbers of a search were made from, so that each can be traced.

#include <string>
#include <vector>

#include "base/document.h"
#include "cli/search_job.h"

namespace pluto {

/// `inputs` of pluto.search/1 (docs/commands.md): the job with its flags, the
/// settings typed, model, data set, the instance types of `plans` with price, date, source and
/// rental terms, the law of convergence with its points, what the costs rest on, and the files of
/// constants with what they say of themselves and the fingerprint of their text. Errors: those of
/// reading the files.
Result<Value> inputs_value(const Session& session, const SearchOptions& options, const Searched& s,
                           const std::vector<const RankedPlan*>& plans);

/// The law as a document: kind, critical_batch, exponent, points, spreads, source.
Value to_value(const SamplesLaw& law);

}  // namespace pluto
