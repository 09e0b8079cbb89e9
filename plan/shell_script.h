#pragma once
// Shell scripts, quoted rightly.

#include <string>
#include <string_view>
#include <vector>

namespace pluto {

/// The text as one word of sh: as it is where that is safe, else in single quotes.
std::string shell_quoted(std::string_view text);

/// A word of a command: text is quoted, an expression is shell already.
class ShellWord {
 public:
  ShellWord(std::string_view text) : shell_(shell_quoted(text)) {}    // NOLINT: implicit
  ShellWord(const std::string& text) : shell_(shell_quoted(text)) {}  // NOLINT
  ShellWord(const char* text) : shell_(shell_quoted(text)) {}         // NOLINT
  static ShellWord expression(std::string shell) { return {std::move(shell), 0}; }
  const std::string& shell() const { return shell_; }

 private:
  ShellWord(std::string shell, int) : shell_(std::move(shell)) {}
  std::string shell_;
};

/// A bash script, line by line, that stops at the first failure.
class ShellScript {
 public:
  /// `header`: comments below the first line, "#SBATCH" ones among them.
  explicit ShellScript(const std::vector<std::string>& header);
  /// Shell as it is.
  ShellScript& line(std::string_view shell);
  /// export NAME=value, quoted.
  ShellScript& set(std::string_view name, std::string_view value);
  /// One command, each option on a line of its own.
  ShellScript& command(const std::vector<ShellWord>& words);
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// "# line" each, as YAML, shells, Python and hostfiles have comments.
std::string comments(const std::vector<std::string>& lines);

}  // namespace pluto
