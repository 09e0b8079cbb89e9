#include "tests/layout/source_tree.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <regex>
#include <sstream>
#include <stdexcept>

namespace pluto::layout {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string without_cmake_comments(const std::string& text) {
  return std::regex_replace(text, std::regex("#[^\n]*"), "");
}

SourceFile load_file(const fs::path& root, const fs::path& path) {
  static const std::regex kInclude(R"(^\s*#\s*include\s*(["<])([^">]+)[">])");
  const std::string text = read(path);
  SourceFile file;
  file.path = path.lexically_relative(root).generic_string();
  file.folder = file.path.substr(0, file.path.find('/'));
  file.lines = lines_of(text);
  file.code = lines_of(code_of(text));
  for (std::size_t i = 0; i < file.lines.size(); ++i) {
    // The name of an include is a literal, so it is read from the text; a commented include has no
    // '#' in its code.
    std::smatch match;
    if (file.code[i].find('#') != std::string::npos &&
        std::regex_search(file.lines[i], match, kInclude)) {
      file.includes.push_back({static_cast<int>(i) + 1, match[2], match[1] == "\""});
    }
  }
  return file;
}

std::vector<fs::path> files_below(const fs::path& folder, const std::set<std::string>& endings) {
  std::vector<fs::path> paths;
  if (!fs::exists(folder)) return paths;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const fs::path& path = entry.path();
    if (entry.is_regular_file() && (endings.contains(path.extension().string()) ||
                                    endings.contains(path.filename().string()))) {
      paths.push_back(path);
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// The words after DEPENDS in the pluto_add_library call of the folder.
std::set<std::string> declared_depends(const std::string& cmake) {
  std::smatch match;
  if (!std::regex_search(cmake, match, std::regex(R"(pluto_add_library\(([^)]*)\))"))) return {};
  std::istringstream words(match[1]);
  std::set<std::string> depends;
  bool in_depends = false;
  for (std::string word; words >> word;) {
    if (word == "DEPENDS" || word == "HEADERS" || word == "SOURCES" || word == "PRIVATE_LINK") {
      in_depends = word == "DEPENDS";
    } else if (in_depends) {
      depends.insert(word);
    }
  }
  return depends;
}

// Everything below a folder. Only lower ranks are followed, so a cycle ends; the rank rule reports
// it.
std::set<std::string> reach(const std::map<std::string, Folder>& folders, const Folder& folder) {
  std::set<std::string> reached = folder.depends;
  for (const std::string& dependency : folder.depends) {
    const auto found = folders.find(dependency);
    if (found != folders.end() && found->second.rank < folder.rank) {
      reached.merge(reach(folders, found->second));
    }
  }
  return reached;
}

// Where the literal that begins at `start` (a quote) ends: one past its closing quote.
std::size_t literal_end(std::string_view text, std::size_t start) {
  const char quote = text[start];
  if (quote == '"' && start > 0 && text[start - 1] == 'R') {
    const std::size_t open = text.find('(', start);
    if (open == std::string_view::npos) return text.size();
    const std::string close = ")" + std::string(text.substr(start + 1, open - start - 1)) + "\"";
    const std::size_t end = text.find(close, open);
    return end == std::string_view::npos ? text.size() : end + close.size();
  }
  for (std::size_t i = start + 1; i < text.size() && text[i] != '\n'; ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      return i + 1;
    }
  }
  return std::min(text.find('\n', start), text.size());
}

}  // namespace

bool SourceFile::is_header() const { return path.ends_with(".h") || path.ends_with(".cuh"); }
std::string SourceFile::stem() const { return fs::path(path).stem().string(); }

std::string code_of(std::string_view text) {
  std::string code(text);
  const auto blank = [&](std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
      if (code[i] != '\n') code[i] = ' ';
    }
  };
  std::size_t i = 0;
  while (i < text.size()) {
    std::size_t end = i + 1;
    if (text.substr(i, 2) == "//") {
      end = std::min(text.find('\n', i), text.size());
      blank(i, end);
    } else if (text.substr(i, 2) == "/*") {
      const std::size_t close = text.find("*/", i + 2);
      end = close == std::string_view::npos ? text.size() : close + 2;
      blank(i, end);
    } else if (text[i] == '"' ||
               // The quote in 1'000 separates digits.
               (text[i] == '\'' &&
                (i == 0 || !std::isalnum(static_cast<unsigned char>(text[i - 1]))))) {
      end = literal_end(text, i);
      blank(i + 1, std::max(i + 1, end - 1));
    }
    i = end;
  }
  return code;
}

SourceTree load_source_tree(const fs::path& root) {
  SourceTree tree;
  const std::string library = without_cmake_comments(read(root / "cmake" / "PlutoLibrary.cmake"));
  static const std::regex kRank(R"(set\(PLUTO_RANK_(\w+)\s+(\d+)\))");
  for (std::sregex_iterator match(library.begin(), library.end(), kRank), end; match != end;
       ++match) {
    tree.folders[(*match)[1]].rank = std::stoi((*match)[2]);
  }
  for (auto& [name, folder] : tree.folders) {
    for (const fs::path& path : files_below(root / name, {"CMakeLists.txt"})) {
      folder.cmake += without_cmake_comments(read(path));
    }
    folder.depends = declared_depends(folder.cmake);
  }
  const std::set<std::string> endings = {".h", ".cc", ".cu", ".cuh", ".cpp", ".hpp"};
  for (auto& [name, folder] : tree.folders) {
    folder.reach = reach(tree.folders, folder);
    for (const fs::path& path : files_below(root / name, endings)) {
      tree.libraries.push_back(load_file(root, path));
    }
  }
  for (const char* name : {"bench", "examples", "tests"}) {
    for (const fs::path& path : files_below(root / name, endings)) {
      tree.others.push_back(load_file(root, path));
    }
  }
  return tree;
}

}  // namespace pluto::layout
