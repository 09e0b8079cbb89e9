#pragma once
// Text files that may be gzip-compressed.

#include <string>

#include "base/result.h"

namespace pluto {

/// The text of a file, gunzipped where its name ends in ".gz". Errors: kNotFound, kIo;
/// kInvalidInput for a file of that name which is damaged.
Result<std::string> read_gzip_file(const std::string& path);

}  // namespace pluto
