#pragma once
// The source tree as the layout rules see it: files, their includes, and the ranks of the folders.

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace pluto::layout {

struct Include {
  int line = 0;
  std::string name;     ///< between the quotes or brackets
  bool quoted = false;  ///< "name", not <name>
};

struct SourceFile {
  std::string path;                ///< from the root of the tree, e.g. "runtime/cpu/gemm.cc"
  std::string folder;              ///< first part of the path
  std::vector<std::string> lines;  ///< as written
  std::vector<std::string> code;   ///< without comments and the content of literals
  std::vector<Include> includes;

  bool is_header() const;
  std::string stem() const;  ///< file name without extension
};

struct Folder {
  int rank = 0;
  std::set<std::string> depends;  ///< as its pluto_add_library declares
  std::set<std::string> reach;    ///< `depends`, and what those reach
  std::string cmake;              ///< every CMakeLists.txt of the folder, comments removed
};

/// Library folders are those with a rank in cmake/PlutoLibrary.cmake.
struct SourceTree {
  std::map<std::string, Folder> folders;
  std::vector<SourceFile> libraries;  ///< C++ and CUDA files of the library folders
  std::vector<SourceFile> others;     ///< those of tests, bench and examples
};

/// Files are in the order of their paths.
SourceTree load_source_tree(const std::filesystem::path& root);

/// The text with comments and the content of string and character literals replaced by blanks; line
/// ends stay.
std::string code_of(std::string_view text);

}  // namespace pluto::layout
