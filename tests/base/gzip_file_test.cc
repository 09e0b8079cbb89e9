#include "base/gzip_file.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

// printf 'a,b\n1,2\n' | gzip -n
const std::string kCompressed(
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\xd4\x49\xe2\x32\xd4\x31\xe2\x02\x00\x7b\x07\x97"
    "\x0a\x08\x00\x00\x00",
    28);

TEST(GzipFile, ReadsPlainAndCompressedText) {
  const testing::TemporaryFolder folder;
  EXPECT_EQ(read_gzip_file(folder.write("plain.csv", "a,b\n1,2\n")).value(), "a,b\n1,2\n");
  EXPECT_EQ(read_gzip_file(folder.write("table.csv.gz", kCompressed)).value(), "a,b\n1,2\n");
}

TEST(GzipFile, SaysWhatIsMissingOrDamaged) {
  const testing::TemporaryFolder folder;
  EXPECT_EQ(read_gzip_file(folder.file("none.csv.gz")).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(read_gzip_file(folder.file("none.csv")).error().code, ErrorCode::kNotFound);
  const auto cut = read_gzip_file(folder.write("cut.csv.gz", kCompressed.substr(0, 20)));
  ASSERT_FALSE(cut.ok());
  EXPECT_EQ(cut.error().code, ErrorCode::kInvalidInput);
}

}  // namespace
}  // namespace pluto
