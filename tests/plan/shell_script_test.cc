#include "plan/shell_script.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>

#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

std::string output_of(const std::string& script) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.write("script.sh", script);
  std::FILE* pipe = popen(("bash " + path).c_str(), "r");
  std::string text;
  std::array<char, 256> bytes{};
  while (const std::size_t got = std::fread(bytes.data(), 1, bytes.size(), pipe)) {
    text.append(bytes.data(), got);
  }
  EXPECT_EQ(pclose(pipe), 0) << script;
  return text;
}

// bash gives each word back as it was.
TEST(ShellScriptTest, WordsSurviveTheShell) {
  for (const std::string text :
       {"plain-1.2_/:,@%+=", "two words", "$HOME `id` $(id)", "it's", "\"double\"", "a;b|c>d&e",
        "*", "~", "#no comment", "back\\slash", "two\nlines", "!history", "{a,b}"}) {
    ShellScript script({});
    script.command({"printf", "%s", text});
    EXPECT_EQ(output_of(script.text()), text);
  }
  EXPECT_EQ(shell_quoted(""), "''");
  EXPECT_EQ(shell_quoted("--nnodes=2"), "--nnodes=2");
}

TEST(ShellScriptTest, OptionsStandOnLinesOfTheirOwn) {
  ShellScript script({"a comment", "#SBATCH --nodes=2", "two\nlines"});
  script.set("NAME", "a b")
      .command({"printf", "%s.", "--first", "--second=2", ShellWord::expression("\"$NAME\"")});
  EXPECT_EQ(script.text(),
            "#!/usr/bin/env bash\n# a comment\n#SBATCH --nodes=2\n# two lines\nset -euo "
            "pipefail\nexport NAME='a b'\nprintf %s. \\\n  --first \\\n  --second=2 \"$NAME\"\n");
  EXPECT_EQ(output_of(script.text()), "--first.--second=2.a b.");
}

TEST(ShellScriptTest, CommentsCannotEscape) {
  EXPECT_EQ(comments({"name\nrm -rf /", "b"}), "# name rm -rf /\n# b\n");
}

}  // namespace
}  // namespace pluto
