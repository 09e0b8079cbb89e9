#include "tests/layout/layout_rules.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <regex>

namespace pluto::layout {
namespace {

constexpr std::size_t kHeaderLines = 200;
constexpr std::size_t kSourceLines = 600;
constexpr std::size_t kTestLines = 900;

struct Owner {
  std::string_view prefix;
  std::set<std::string> folders;
  bool everywhere = false;
};

const std::vector<Owner>& owners() {
  static const std::vector<Owner> kOwners = {
      {"fmt/", {}, true},
      {"rapidjson/", {"base"}},
      {"yaml-cpp/", {"base"}},
      {"sqlite3.h", {"db"}},
      {"Eigen/", {"costmodel"}},
      {"boost/", {"planner"}},
      {"CLI/", {"cli"}},
      {"mpi.h", {"runtime"}},
      {"dnnl", {"runtime"}},
      {"oneapi/", {"runtime"}},
      {"cuda", {"runtime"}},
      {"cublas", {"runtime"}},
      {"cudnn", {"runtime"}},
      {"cub/", {"runtime"}},
      {"nccl", {"runtime"}},
      {"omp.h", {"runtime"}},
      {"zlib.h", {"base", "executor"}},
  };
  return kOwners;
}

// What the operating system and the compiler bring.
bool is_system_header(const std::string& name) {
  static const std::set<std::string> kSystem = {
      "dlfcn.h", "fcntl.h",  "immintrin.h", "malloc.h",  "netdb.h", "poll.h",  "pthread.h",
      "sched.h", "signal.h", "spawn.h",     "termios.h", "time.h",  "unistd.h"};
  static const std::vector<std::string> kFolders = {"sys/", "linux/", "net/", "netinet/", "arpa/"};
  return name.find_first_of("./") == std::string::npos || kSystem.contains(name) ||
         std::any_of(kFolders.begin(), kFolders.end(),
                     [&](const auto& prefix) { return name.starts_with(prefix); });
}

const Owner* owner_of(const std::string& name) {
  const auto found = std::find_if(owners().begin(), owners().end(), [&](const Owner& owner) {
    return name.starts_with(owner.prefix);
  });
  return found == owners().end() ? nullptr : &*found;
}

struct Call {
  std::string_view word;
  std::set<std::string> allowed;  ///< folders or files
};

// The world outside is for cli, profiler and runtime. Even those two leave results on stdout and
// the end of the process to cli; the executor measures what it runs.
const std::vector<Call>& calls() {
  static const std::set<std::string> kCli = {"cli"};
  static const std::set<std::string> kWorld = {"cli", "profiler", "runtime"};
  static const std::set<std::string> kReports = {"cli", "profiler", "runtime", "base/check.cc"};
  static const std::set<std::string> kMeasures = {"cli", "profiler", "runtime", "executor"};
  static const std::vector<Call> kCalls = {
      {"exit(", kCli},
      {"_exit(", kCli},
      {"quick_exit(", kCli},
      {"std::abort(", {"cli", "base/check.cc"}},
      {"cout", kCli},
      {"printf(", kCli},
      {"puts(", kCli},
      {"putchar(", kCli},
      {"fprintf(stdout", kCli},
      {"fmt::print(", kCli},
      {"cerr", kReports},
      {"fprintf(stderr", kReports},
      {"getenv", kWorld},
      {"setenv", kCli},
      {"system_clock", kWorld},
      {"gettimeofday", kWorld},
      {"std::time(", kWorld},
      {"steady_clock", kMeasures},
      {"clock_gettime", kMeasures},
      {"high_resolution_clock", {}},  // which clock that is, each library decides for itself
      {"random_device", kWorld},
      {"std::rand(", {}},
      {"srand(", {}},
  };
  return kCalls;
}

bool contains_word(const std::string& line, std::string_view word) {
  const auto is_letter = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
  };
  for (std::size_t at = line.find(word); at != std::string::npos; at = line.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    const bool begins = at == 0 || !is_letter(line[at - 1]);
    const bool ends = !is_letter(word.back()) || end == line.size() || !is_letter(line[end]);
    if (begins && ends) return true;
  }
  return false;
}

std::string at(const SourceFile& file, std::size_t line) {
  return file.path + ":" + std::to_string(line) + ": ";
}

std::string first_part(const std::string& path) { return path.substr(0, path.find('/')); }

template <class Visit>
void for_each_file(const SourceTree& tree, Visit visit) {
  for (const SourceFile& file : tree.libraries) visit(file);
  for (const SourceFile& file : tree.others) visit(file);
}

template <class Visit>
void for_each_include(const SourceTree& tree, Visit visit) {
  for_each_file(tree, [&](const SourceFile& file) {
    for (const Include& include : file.includes) visit(file, include);
  });
}

std::string joined(const std::set<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text.empty() ? "nowhere" : text;
}

// The header that a source implements.
std::optional<std::string> header_of(const SourceTree& tree, const SourceFile& source) {
  const std::string own = source.path.substr(0, source.path.rfind('.')) + ".h";
  const bool exists = std::any_of(tree.libraries.begin(), tree.libraries.end(),
                                  [&](const SourceFile& file) { return file.path == own; });
  if (exists) return own;
  for (const Include& include : source.includes) {
    if (include.quoted && first_part(include.name) == source.folder) return include.name;
  }
  return std::nullopt;
}

bool is_tested_by(const SourceFile& test, const SourceFile& source,
                  const std::optional<std::string>& header) {
  if (!test.path.starts_with("tests/" + source.folder + "/")) return false;
  if (test.stem().starts_with(source.stem())) return true;
  // zoo_test covers the family zoo_convnets, zoo_inception ...
  const std::string unit = test.stem().substr(0, test.stem().rfind("_test"));
  if (test.stem() == unit + "_test" && source.stem().starts_with(unit + "_")) return true;
  return std::any_of(test.includes.begin(), test.includes.end(),
                     [&](const Include& include) { return include.name == header; });
}

}  // namespace

Violations undeclared_folders(const SourceTree& tree) {
  Violations violations;
  for (const auto& [name, folder] : tree.folders) {
    for (const std::string& dependency : folder.depends) {
      const auto found = tree.folders.find(dependency);
      if (found == tree.folders.end()) {
        violations.push_back(name + "/CMakeLists.txt: DEPENDS " + dependency +
                             ", which has no rank");
      } else if (found->second.rank >= folder.rank) {
        violations.push_back(name + "/CMakeLists.txt: DEPENDS " + dependency +
                             ", which is not of lower rank");
      }
    }
  }
  for (const SourceFile& file : tree.libraries) {
    const Folder& folder = tree.folders.at(file.folder);
    for (const Include& include : file.includes) {
      const std::string target = first_part(include.name);
      const bool project =
          tree.folders.contains(target) && include.name.find('/') != std::string::npos;
      if (project && target != file.folder && !folder.reach.contains(target)) {
        violations.push_back(at(file, include.line) + "includes " + include.name + ", but " +
                             file.folder + " reaches only " + joined(folder.reach));
      }
    }
  }
  return violations;
}

Violations climbing_includes(const SourceTree& tree) {
  Violations violations;
  for_each_include(tree, [&](const SourceFile& file, const Include& include) {
    if (include.name.find("..") != std::string::npos) {
      violations.push_back(at(file, include.line) + "climbs with " + include.name);
    }
  });
  return violations;
}

Violations includes_without_folder(const SourceTree& tree) {
  Violations violations;
  for_each_include(tree, [&](const SourceFile& file, const Include& include) {
    const std::string target = first_part(include.name);
    const bool known = tree.folders.contains(target) ||
                       (target == file.folder && (target == "tests" || target == "bench"));
    if (include.quoted && (!known || target == include.name)) {
      violations.push_back(at(file, include.line) + "\"" + include.name +
                           "\" does not begin with a folder of the project");
    }
  });
  return violations;
}

Violations strayed_third_party(const SourceTree& tree) {
  Violations violations;
  for (const SourceFile& file : tree.libraries) {
    for (const Include& include : file.includes) {
      if (include.quoted || tree.folders.contains(first_part(include.name)) ||
          is_system_header(include.name))
        continue;
      const Owner* owner = owner_of(include.name);
      if (owner == nullptr) {
        violations.push_back(at(file, include.line) + "<" + include.name +
                             "> has no owner in tests/layout/layout_rules.cc");
      } else if (!owner->everywhere && !owner->folders.contains(file.folder)) {
        violations.push_back(at(file, include.line) + "<" + include.name + "> belongs to " +
                             joined(owner->folders));
      }
    }
  }
  return violations;
}

Violations third_party_in_headers(const SourceTree& tree) {
  Violations violations;
  for (const SourceFile& file : tree.libraries) {
    if (!file.is_header()) continue;
    for (const Include& include : file.includes) {
      if (owner_of(include.name) != nullptr) {
        violations.push_back(at(file, include.line) + "a header includes <" + include.name + ">");
      }
    }
  }
  return violations;
}

Violations forbidden_calls(const SourceTree& tree) {
  Violations violations;
  for (const SourceFile& file : tree.libraries) {
    for (std::size_t i = 0; i < file.code.size(); ++i) {
      for (const Call& call : calls()) {
        if (call.allowed.contains(file.folder) || call.allowed.contains(file.path)) continue;
        if (contains_word(file.code[i], call.word)) {
          violations.push_back(at(file, i + 1) + std::string(call.word) +
                               " is allowed in: " + joined(call.allowed));
        }
      }
    }
  }
  return violations;
}

Violations oversized_files(const SourceTree& tree) {
  Violations violations;
  for_each_file(tree, [&](const SourceFile& file) {
    const std::size_t cap = !tree.folders.contains(file.folder) ? kTestLines
                            : file.is_header()                  ? kHeaderLines
                                                                : kSourceLines;
    if (file.lines.size() > cap) {
      violations.push_back(at(file, file.lines.size()) + "longer than " + std::to_string(cap) +
                           " lines");
    }
  });
  return violations;
}

Violations unguarded_headers(const SourceTree& tree) {
  Violations violations;
  for_each_file(tree, [&](const SourceFile& file) {
    const bool guarded =
        std::any_of(file.code.begin(), file.code.end(),
                    [](const std::string& line) { return line.starts_with("#pragma once"); });
    if (file.is_header() && !guarded) violations.push_back(at(file, 1) + "no #pragma once");
  });
  return violations;
}

Violations unbuilt_sources(const SourceTree& tree) {
  Violations violations;
  for (const SourceFile& file : tree.libraries) {
    const std::string name = file.path.substr(file.path.rfind('/') + 1);
    if (!file.is_header() && tree.folders.at(file.folder).cmake.find(name) == std::string::npos) {
      violations.push_back(at(file, 1) + "no CMakeLists.txt of " + file.folder + " names it");
    }
  }
  return violations;
}

Violations untested_sources(const SourceTree& tree) {
  Violations violations;
  for (const SourceFile& source : tree.libraries) {
    // A main function is tested through the command.
    if (source.is_header() || source.stem() == "main") continue;
    const auto header = header_of(tree, source);
    const bool tested =
        std::any_of(tree.others.begin(), tree.others.end(),
                    [&](const SourceFile& test) { return is_tested_by(test, source, header); });
    if (!tested) {
      violations.push_back(at(source, 1) + "no tests/" + source.folder + "/" + source.stem() +
                           "*.cc, and no test there includes " + header.value_or("a header of it"));
    }
  }
  return violations;
}

Violations underscored_tests(const SourceTree& tree) {
  static const std::regex kTest(R"(^\s*(?:TYPED_)?TEST(?:_[FP])?\(\s*(\w+)\s*,\s*(\w+)\s*\))");
  Violations violations;
  for (const SourceFile& file : tree.others) {
    for (std::size_t i = 0; i < file.code.size(); ++i) {
      std::smatch match;
      if (std::regex_search(file.code[i], match, kTest) &&
          (match.str(1) + match.str(2)).find('_') != std::string::npos) {
        violations.push_back(at(file, i + 1) + "an underscore in " + match.str(1) + "." +
                             match.str(2));
      }
    }
  }
  return violations;
}

Violations shared_test_paths(const SourceTree& tree) {
  static const std::regex kShared(R"(\bTempDir\(\)|\btemp_directory_path\(\))");
  Violations violations;
  for (const SourceFile& file : tree.others) {
    for (std::size_t i = 0; i < file.code.size(); ++i) {
      const bool own =
          i + 1 < file.code.size() && file.code[i + 1].find("mkdtemp(") != std::string::npos;
      if (!own && std::regex_search(file.code[i], kShared)) {
        violations.push_back(at(file, i + 1) + "a folder all tests share; use TemporaryFolder");
      }
    }
  }
  return violations;
}

}  // namespace pluto::layout
