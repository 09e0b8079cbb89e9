#include "plan/shell_script.h"

#include <algorithm>
#include <cctype>

namespace pluto {

std::string shell_quoted(std::string_view text) {
  const bool safe = !text.empty() && std::ranges::all_of(text, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("_-./:,@%+=").find(c) != std::string_view::npos;
  });
  if (safe) return std::string(text);
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

std::string comments(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    text += "# ";
    for (const char c : line) text += c == '\n' || c == '\r' ? ' ' : c;
    text += "\n";
  }
  return text;
}

ShellScript::ShellScript(const std::vector<std::string>& header) {
  text_ = "#!/usr/bin/env bash\n";
  for (const std::string& one : header) {
    // A directive of a batch system is a comment without the space.
    const bool directive = one.starts_with("#SBATCH ");
    text_ += directive ? comments({one}).substr(2) : comments({one});
  }
  text_ += "set -euo pipefail\n";
}

ShellScript& ShellScript::line(std::string_view shell) {
  text_ += shell;
  text_ += "\n";
  return *this;
}

ShellScript& ShellScript::set(std::string_view name, std::string_view value) {
  text_ += "export ";
  text_ += name;
  text_ += "=" + shell_quoted(value) + "\n";
  return *this;
}

ShellScript& ShellScript::command(const std::vector<ShellWord>& words) {
  bool first = true;
  for (const ShellWord& word : words) {
    if (!first) text_ += word.shell().starts_with('-') ? " \\\n  " : " ";
    text_ += word.shell();
    first = false;
  }
  text_ += "\n";
  return *this;
}

}  // namespace pluto
