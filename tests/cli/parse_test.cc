#include "cli/parse.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace pluto {
namespace {

Result<ParseOutcome> parse(std::vector<std::string> words) {
  CLI::App app("test", "pluto-plan");
  app.require_subcommand(1);
  app.fallthrough();
  bool json = false;
  app.add_flag("--json", json);
  CLI::App* search = app.add_subcommand("search", "");
  std::string budget, job;
  search->add_option("--budget", budget);
  search->add_option("job", job)->required();
  app.add_subcommand("worker", "")->group("");
  words.insert(words.begin(), "pluto-plan");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  return parse_command_line(app, static_cast<int>(argv.size()), argv.data());
}

TEST(ParseTest, AcceptsWhatIsDeclared) {
  auto outcome = parse({"search", "job.yaml", "--budget", "3", "--json"});
  ASSERT_TRUE(outcome.ok()) << outcome.error().message;
  EXPECT_EQ(*outcome, ParseOutcome::kRun);
}

TEST(ParseTest, UnknownWordsSuggestTheNearestKnownOne) {
  const struct {
    std::vector<std::string> words;
    std::string help;
  } cases[] = {
      {{"serch", "job.yaml"}, "did you mean search?"},
      {{"search", "job.yaml", "--buget=3"}, "did you mean --budget?"},
      {{"search", "job.yaml", "--jsn"}, "did you mean --json?"},
  };
  for (const auto& one : cases) {
    const auto outcome = parse(one.words);
    ASSERT_FALSE(outcome.ok()) << one.words.front();
    EXPECT_EQ(outcome.error().code, ErrorCode::kInvalidInput);
    EXPECT_EQ(outcome.error().help, one.help);
  }
}

TEST(ParseTest, HiddenCommandsAreNotSuggested) {
  const auto outcome = parse({"workr"});
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().help.find("worker"), std::string::npos);
}

TEST(ParseTest, AMissingArgumentIsNamed) {
  const auto outcome = parse({"search"});
  ASSERT_FALSE(outcome.ok());
  EXPECT_NE(outcome.error().message.find("job"), std::string::npos) << outcome.error().message;
}

TEST(ParseTest, ExamplesShowTheLoopInOrder) {
  const std::string text = top_level_examples();
  std::size_t last = 0;
  for (const char* verb : {"profile", "search", "run", "report"}) {
    const std::size_t at = text.find(std::string("pluto-plan ") + verb);
    ASSERT_NE(at, std::string::npos) << verb;
    EXPECT_GT(at, last);
    last = at;
  }
}

}  // namespace
}  // namespace pluto
