#pragma once
// Runs pluto-plan as a user would: a process, its exit code, its two streams; each fixture in a
// folder of its own.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/document.h"

namespace pluto::testing {

struct CommandResult {
  int exit = -1;  ///< exit code, or 128 + signal
  std::string out, err;
};

/// A started command; ended by kill() or wait().
class Command {
 public:
  Command(const std::string& folder, const std::vector<std::string>& arguments)
      : out_(folder + "/stdout"), err_(folder + "/stderr") {
    child_ = fork();
    if (child_ != 0) return;
    if (chdir(folder.c_str()) != 0) _exit(99);
    const int out = open(out_.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644),
              err = open(err_.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    setenv("PLUTO_DB", (folder + "/profiles.db").c_str(), 1);
    setenv("ASAN_OPTIONS", "detect_leaks=0",
           1);  // Open MPI keeps some memory until the process ends
    setenv("XDG_STATE_HOME", (folder + "/state").c_str(), 1);
    std::vector<std::string> words = {PLUTO_PLAN_PROGRAM};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(98);
  }
  void signal(int number) const { ::kill(child_, number); }
  bool running() {
    if (ended_) return false;
    ended_ = waitpid(child_, &status_, WNOHANG) == child_;
    return !ended_;
  }
  CommandResult wait() {
    if (!ended_) waitpid(child_, &status_, 0);
    ended_ = true;
    CommandResult result;
    result.exit = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
    result.out = text(out_);
    result.err = text(err_);
    return result;
  }

 private:
  static std::string text(const std::string& path) {
    std::ifstream stream(path);
    std::ostringstream all;
    all << stream.rdbuf();
    return all.str();
  }
  std::string out_, err_;
  pid_t child_ = 0;
  int status_ = 0;
  bool ended_ = false;
};

/// A folder that goes away with the test.
class CommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "pluto-cli-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  const std::string& folder() const { return folder_; }
  void write(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ + "/" + name) << content;
  }
  std::string read(const std::string& name) const {
    std::ifstream stream(folder_ + "/" + name);
    std::ostringstream all;
    all << stream.rdbuf();
    return all.str();
  }
  CommandResult run(const std::vector<std::string>& arguments) const {
    return Command(folder_, arguments).wait();
  }
  /// Runs with --json and parses stdout, which has to be one document.
  Value run_json(std::vector<std::string> arguments, int expected_exit = 0) const {
    arguments.insert(arguments.begin(), "--json");
    const CommandResult result = run(arguments);
    EXPECT_EQ(result.exit, expected_exit) << result.out << result.err;
    auto document = parse_json(result.out, "stdout");
    EXPECT_TRUE(document.ok()) << (document.ok() ? "" : document.error().message) << "\n"
                               << result.out;
    return document.ok() ? *document : Value();
  }

 private:
  std::string folder_;
};

}  // namespace pluto::testing
