#include "cli/environment.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace pluto {
namespace {

/// Sets a variable for one test.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  ~Variable() { unsetenv(name_); }

 private:
  const char* name_;
};

TEST(EnvironmentTest, FlagsWinOverVariablesAndVariablesOverDefaults) {
  const Variable database("PLUTO_DB", "/from/variable.db");
  const Variable data("PLUTO_DATA", "/from/variable");
  Session flags;
  flags.database = "/from/flag.db";
  ASSERT_TRUE(resolve_environment(flags, "pluto-plan").ok());
  EXPECT_EQ(flags.database, "/from/flag.db");
  EXPECT_EQ(flags.data_folder, "/from/variable");
  Session variables;
  ASSERT_TRUE(resolve_environment(variables, "pluto-plan").ok());
  EXPECT_EQ(variables.database, "/from/variable.db");
}

TEST(EnvironmentTest, DefaultsFollowTheXdgFolders) {
  const Variable data_home("XDG_DATA_HOME", "/xdg/data");
  const Variable state_home("XDG_STATE_HOME", "/xdg/state");
  Session session;
  ASSERT_TRUE(resolve_environment(session, "pluto-plan").ok());
  EXPECT_EQ(session.database, "/xdg/data/pluto/profiles.db");
  EXPECT_EQ(default_runs_folder(), "/xdg/state/pluto/runs");
  EXPECT_TRUE(std::filesystem::exists(session.data_folder + "/efficiency.json"));
  EXPECT_TRUE(std::filesystem::path(session.program).is_absolute());
}

TEST(EnvironmentTest, AFolderThatCannotBeMadeIsNamed) {
  const auto made = make_folder("/proc/no/such/folder");
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, ErrorCode::kIo);
  EXPECT_NE(made.error().message.find("/proc/no/such/folder"), std::string::npos);
}

}  // namespace
}  // namespace pluto
