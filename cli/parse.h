#pragma once
// Command line -> closures, with our own errors: what is unknown, what is near it.

#include <string>

#include "base/result.h"

namespace CLI {
class App;
}

namespace pluto {

enum class ParseOutcome {
  kRun,
  kPrinted
};  ///< kPrinted: help or version was asked for and printed

/// Errors: kInvalidInput; unknown verbs and options suggest the nearest known one.
Result<ParseOutcome> parse_command_line(CLI::App& app, int argc, char** argv);

/// The block of examples that leads the help.
std::string top_level_examples();

}  // namespace pluto
