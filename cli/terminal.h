#pragma once
// Where words go: results to stdout, all else to stderr; progress only on a terminal.

#include <string>
#include <string_view>

#include "base/document.h"
#include "base/result.h"

namespace pluto {

/// One per process, made in main(). With `json`, stdout carries exactly one JSON document and
/// nothing else.
class Terminal {
 public:
  Terminal(bool json, bool quiet);
  bool json() const { return json_; }

  /// A line of the result, for people; dropped in JSON mode.
  void say(std::string_view line);
  /// The result, for programs; dropped unless in JSON mode.
  void result(const Value& document);
  /// A remark on stderr (what state changed, warnings); dropped when quiet.
  void note(std::string_view line);
  /// A progress line on stderr: redrawn in place on a terminal, else at most one line every ten
  /// seconds.
  void progress(double share, std::string_view what);
  /// Ends a redrawn progress line.
  void end_progress();
  /// "error: ..." and "  help: ..." on stderr; in JSON mode a pluto.error/1 object on stdout.
  void error(const Error& error);

 private:
  bool json_, quiet_, interactive_;
  bool drawing_ = false;
  double last_progress_ = -1e9;
};

/// 0 is success; see docs/commands.md for the table.
int exit_code(ErrorCode code);

}  // namespace pluto
