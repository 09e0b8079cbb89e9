#include "cli/terminal.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

TEST(TerminalTest, ResultsForPeopleGoToStdout) {
  Terminal terminal(false, false);
  ::testing::internal::CaptureStdout();
  terminal.say("a line");
  terminal.result(Value("dropped"));
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "a line\n");
}

TEST(TerminalTest, InJsonModeStdoutIsTheDocumentAlone) {
  Terminal terminal(true, false);
  ::testing::internal::CaptureStdout();
  terminal.say("dropped");
  Value document = Value::object();
  document.set("schema", "test/1");
  terminal.result(document);
  auto back = parse_json(::testing::internal::GetCapturedStdout(), "stdout");
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, document);
}

TEST(TerminalTest, ErrorsSayWhatAndHowToFixItOnStderr) {
  Terminal terminal(false, true);
  ::testing::internal::CaptureStderr();
  terminal.error(invalid_input("job.yaml:3: budget: is zero", "give dollars"));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "error: job.yaml:3: budget: is zero\n  help: give dollars\n");
}

TEST(TerminalTest, QuietDropsRemarksAndProgress) {
  Terminal terminal(false, true);
  ::testing::internal::CaptureStderr();
  terminal.note("remark");
  terminal.progress(0.5, "half way");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(TerminalTest, ProgressOffATerminalIsAnOccasionalLine) {
  Terminal terminal(false, false);
  ::testing::internal::CaptureStderr();
  terminal.progress(0.1, "first");
  terminal.progress(0.2, "too soon");
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("first"), std::string::npos);
  EXPECT_EQ(text.find("too soon"), std::string::npos);
}

TEST(ExitCodeTest, TellsInputFromEnvironmentFromBug) {
  EXPECT_EQ(exit_code(ErrorCode::kInvalidInput), 2);
  EXPECT_EQ(exit_code(ErrorCode::kNotFound), 2);
  EXPECT_EQ(exit_code(ErrorCode::kUnsupported), 2);
  EXPECT_EQ(exit_code(ErrorCode::kIo), 5);
  EXPECT_EQ(exit_code(ErrorCode::kDevice), 5);
  EXPECT_EQ(exit_code(ErrorCode::kWorker), 7);
  EXPECT_EQ(exit_code(ErrorCode::kInternal), 70);
}

}  // namespace
}  // namespace pluto
