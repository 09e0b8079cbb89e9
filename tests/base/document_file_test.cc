#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>
#include <vector>

#include "base/document.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

namespace fs = std::filesystem;

class DocumentFileTest : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  testing::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

TEST_F(DocumentFileTest, WrittenContentReadsBack) {
  const std::string content("line\n\0\xff", 7);
  ASSERT_TRUE(write_file(path("a"), content).ok());
  EXPECT_EQ(*read_file(path("a")), content);
  ASSERT_TRUE(write_file(path("a"), "").ok());
  EXPECT_EQ(*read_file(path("a")), "");
  EXPECT_EQ(files(), 1U) << "a temporary file is left";
}

TEST_F(DocumentFileTest, LargeContentReadsBack) {
  const std::string content(3'000'001, 'x');
  ASSERT_TRUE(write_file(path("a"), content).ok());
  EXPECT_EQ(*read_file(path("a")), content);
}

TEST_F(DocumentFileTest, ReplacingLeavesTheOldContentToWhoHasItOpen) {
  ASSERT_TRUE(write_file(path("a"), "old").ok());
  fs::create_hard_link(path("a"), path("b"));
  ASSERT_TRUE(write_file(path("a"), "new").ok());
  EXPECT_EQ(*read_file(path("a")), "new");
  EXPECT_EQ(*read_file(path("b")), "old") << "the file was written in place";
}

TEST_F(DocumentFileTest, PermissionsOfAnExistingFileStay) {
  ASSERT_TRUE(write_file(path("a"), "old").ok());
  ASSERT_EQ(::chmod(path("a").c_str(), 0640), 0);
  ASSERT_TRUE(write_file(path("a"), "new").ok());
  EXPECT_EQ(static_cast<int>(fs::status(path("a")).permissions()), 0640);
}

TEST_F(DocumentFileTest, SymbolicLinksAreFollowed) {
  ASSERT_TRUE(write_file(path("target"), "old").ok());
  fs::create_symlink("target", path("link"));
  ASSERT_TRUE(write_file(path("link"), "new").ok());
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(*read_file(path("target")), "new");
}

TEST_F(DocumentFileTest, DevicesAreWrittenInPlace) {
  ASSERT_TRUE(write_file("/dev/null", "gone").ok());
  EXPECT_FALSE(fs::is_regular_file("/dev/null"));
}

TEST_F(DocumentFileTest, FailedReplacementKeepsTheOldContentAndNoTemporaryFile) {
  EXPECT_EQ(write_file(path("no/such/folder/a"), "x").error().code, ErrorCode::kIo);
  fs::create_directory(path("folder"));
  EXPECT_EQ(write_file(path("folder"), "x").error().code, ErrorCode::kIo);
  EXPECT_EQ(files(), 1U);
}

TEST_F(DocumentFileTest, WritersAtOnceEachWriteWhole) {
  std::vector<std::thread> writers;
  for (char letter = 'a'; letter < 'e'; ++letter) {
    writers.emplace_back([this, letter] {
      for (int i = 0; i < 5; ++i)
        EXPECT_TRUE(write_file(path("shared"), std::string(100'000, letter)).ok());
    });
  }
  for (std::thread& writer : writers) writer.join();
  const std::string content = *read_file(path("shared"));
  EXPECT_EQ(content, std::string(100'000, content.front()));
  EXPECT_EQ(files(), 1U);
}

TEST_F(DocumentFileTest, MissingAndUnreadableFilesAreToldApart) {
  const Result<std::string> missing = read_file(path("missing"));
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(missing.error().message, path("missing") + ": cannot read: No such file or directory");
  EXPECT_EQ(read_file(folder_.string()).error().code, ErrorCode::kIo);
}

TEST_F(DocumentFileTest, TheNameChoosesTheLanguage) {
  ASSERT_TRUE(write_file(path("job.yaml"), "a: 1\n").ok());
  ASSERT_TRUE(write_file(path("job.yml"), "a: 1\n").ok());
  ASSERT_TRUE(write_file(path("plan.json"), "{\"a\": 1}").ok());
  ASSERT_TRUE(write_file(path("bad.json"), "{\n\"a\": x}").ok());
  for (const char* name : {"job.yaml", "job.yml", "plan.json"}) {
    const Result<Value> value = read_document(path(name));
    ASSERT_TRUE(value.ok()) << name;
    EXPECT_EQ(*value->find("a"), Value(1));
  }
  EXPECT_EQ(read_document(path("bad.json")).error().message,
            path("bad.json") + ":2: invalid value");
  EXPECT_EQ(read_document(path("none.yaml")).error().code, ErrorCode::kNotFound);
}

TEST_F(DocumentFileTest, DashReadsStandardInput) {
  ASSERT_TRUE(write_file(path("in"), "a: [1\n").ok());
  const int saved = ::dup(STDIN_FILENO);
  ASSERT_NE(std::freopen(path("in").c_str(), "r", stdin), nullptr);
  const Result<Value> value = read_document("-");
  ::dup2(saved, STDIN_FILENO);
  ::close(saved);
  ASSERT_FALSE(value.ok());
  EXPECT_TRUE(value.error().message.starts_with("stdin:")) << value.error().message;
}

}  // namespace
}  // namespace pluto
