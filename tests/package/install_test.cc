// What `cmake --install` gives: installed below a folder of the test, used as a stranger would who
// has neither the source tree nor the build tree.

#include <gmock/gmock.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>

#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

namespace fs = std::filesystem;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

struct Ran {
  int exit = -1;
  std::string text;  ///< both streams
};

Ran run(const std::string& command) {
  Ran ran;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return ran;
  std::array<char, 4096> piece{};
  while (const std::size_t size = std::fread(piece.data(), 1, piece.size(), pipe))
    ran.text.append(piece.data(), size);
  const int status = ::pclose(pipe);
  ran.exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ran;
}

std::string quoted(const std::string& word) { return "'" + word + "'"; }

std::string text_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

class InstallTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const Ran ran = run(std::string(PLUTO_CMAKE) + " --install " + quoted(PLUTO_BINARY_DIR) +
                        " --prefix " + quoted(prefix()));
    ASSERT_EQ(ran.exit, 0) << ran.text;
  }
  std::string prefix() const { return folder_.file("prefix"); }
  std::string file(const std::string& name) const { return folder_.file(name); }

 private:
  testing::TemporaryFolder folder_;
};

// Every case installs anew (ctest runs each in a process of its own), so there are few.
TEST_F(InstallTest, FilesStandOnTheirOwn) {
  const fs::path headers = fs::path(prefix()) / PLUTO_INCLUDE_FOLDER;
  const std::regex include("#include \"([^\"]+)\"");
  int count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(headers)) {
    if (!entry.is_regular_file()) continue;
    ++count;
    const std::string text = text_of(entry.path());
    for (std::sregex_iterator match(text.begin(), text.end(), include), end; match != end; ++match)
      EXPECT_TRUE(fs::exists(headers / match->str(1)))
          << entry.path() << " includes " << match->str(1)
          << ", which is not installed: name it among the HEADERS of its folder";
  }
  EXPECT_GT(count, 80);

  int package_files = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(prefix()) / PLUTO_PACKAGE_FOLDER)) {
    ++package_files;
    const std::string text = text_of(entry.path());
    EXPECT_THAT(text, Not(HasSubstr(PLUTO_SOURCE_DIR))) << entry.path();
    EXPECT_THAT(text, Not(HasSubstr(prefix()))) << entry.path() << ": it cannot be moved";
  }
  EXPECT_GE(package_files, 4);  // config, version, targets, targets of the build type

  const std::string program = quoted(prefix() + "/" + PLUTO_PROGRAM);
  const std::string surroundings =
      "env -u PLUTO_DATA ASAN_OPTIONS=detect_leaks=0 PLUTO_DB=" + quoted(file("profiles.db"));
  const Ran doctor = run(surroundings + " " + program + " doctor");
  EXPECT_THAT(doctor.text, HasSubstr(fs::canonical(prefix()).string() + "/" + PLUTO_DATA_FOLDER));
}

// examples/plan_a_job, copied away from the source tree: configured, built and run against the
// install, after which neither its commands nor the files it was compiled from are of the tree.
TEST_F(InstallTest, ExampleBuildsAndPlans) {
  const std::string source = file("example"), build = file("example_build");
  fs::copy(fs::path(PLUTO_SOURCE_DIR) / "examples" / "plan_a_job", source);
  const Ran configured =
      run(std::string(PLUTO_CMAKE) + " -G " + quoted(PLUTO_GENERATOR) + " -S " + quoted(source) +
          " -B " + quoted(build) + " -DCMAKE_MAKE_PROGRAM=" + quoted(PLUTO_MAKE_PROGRAM) +
          " -DCMAKE_CXX_COMPILER=" + quoted(PLUTO_COMPILER) +
          " -DCMAKE_PREFIX_PATH=" + quoted(prefix() + ";" + PLUTO_PREFIX_PATH));
  ASSERT_EQ(configured.exit, 0) << configured.text;
  const Ran built = run(std::string(PLUTO_CMAKE) + " --build " + quoted(build) + " --verbose");
  ASSERT_EQ(built.exit, 0) << built.text;
  EXPECT_THAT(built.text, HasSubstr(PLUTO_INCLUDE_FOLDER));
  EXPECT_THAT(built.text, Not(HasSubstr(PLUTO_SOURCE_DIR)));
  const Ran read = run(quoted(PLUTO_MAKE_PROGRAM) + " -C " + quoted(build) + " -t deps");
  EXPECT_THAT(read.text, HasSubstr("planner/planner.h"));
  EXPECT_THAT(read.text, Not(HasSubstr(PLUTO_SOURCE_DIR)));

  const Ran planned = run(quoted(build + "/plan_a_job"));
  EXPECT_EQ(planned.exit, 0) << planned.text;
  EXPECT_THAT(planned.text, ContainsRegex("[1-9] x aws:[a-z0-9.]+ +[0-9]+ "));
  EXPECT_THAT(planned.text, ContainsRegex("cheapest of [0-9]+ ranked plans"));
}

}  // namespace
}  // namespace pluto
