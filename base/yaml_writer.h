#pragma once
// YAML out: files that other programs read. In: base/document.h.

#include <string>

#include "base/document.h"

namespace pluto {

/// YAML text in block style that parse_yaml() and readers of YAML 1.1 take back as the same values:
/// texts that read as something else ("no", "8", "1e3") are quoted, texts of several lines that end
/// in a newline are literal blocks. Empty containers are "[]" and "{}". Numbers as in to_json().
std::string to_yaml(const Value& value);

}  // namespace pluto
