#include "executor/idx_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/executor/idx_writer.h"
#include "tests/executor/scratch_folder.h"

namespace pluto {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::idx_header;
using testing::ScratchFolder;
using testing::write_bytes;
using testing::write_gzip;

TEST(IdxFileTest, PlainAndGzippedFilesReadTheSame) {
  const ScratchFolder folder;
  const std::string bytes = idx_header(0x803, {2, 2, 3}) + std::string("abcdefghijkl");
  for (const bool gzipped : {false, true}) {
    const std::string path = folder.path("images");
    gzipped ? write_gzip(path, bytes) : write_bytes(path, bytes);
    const auto idx = read_idx(path, 3);
    ASSERT_TRUE(idx.ok()) << idx.error().message;
    EXPECT_THAT(idx->dims, ElementsAre(2, 2, 3));
    EXPECT_EQ(std::string(idx->values.begin(), idx->values.end()), "abcdefghijkl");
  }
}

TEST(IdxFileTest, AMissingFileIsNotFound) {
  const auto idx = read_idx("/nonexistent/labels", 1);
  ASSERT_FALSE(idx.ok());
  EXPECT_EQ(idx.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(idx.error().message, HasSubstr("/nonexistent/labels"));
}

struct Damage {
  const char* name;
  std::string bytes;
  const char* message;  ///< after the path
};

class DamagedIdxTest : public ::testing::TestWithParam<Damage> {};

TEST_P(DamagedIdxTest, SaysWhereAndWhat) {
  const ScratchFolder folder;
  const std::string path = folder.path("labels");
  write_bytes(path, GetParam().bytes);
  const auto idx = read_idx(path, 1);
  ASSERT_FALSE(idx.ok());
  EXPECT_EQ(idx.error().code, ErrorCode::kInvalidInput);
  EXPECT_EQ(idx.error().message, path + GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, DamagedIdxTest,
    ::testing::Values(
        Damage{"Empty", "", ": offset 0: the file ends within its magic number"},
        Damage{"Magic", idx_header(0x803, {1, 1, 1}) + "x",
               ": offset 0: magic number 0x00000803; an IDX file of bytes in 1 dimension has "
               "0x00000801"},
        Damage{"Dimensions", idx_header(0x801, {}) + std::string("\0\0", 2),
               ": offset 6: the file ends within its dimensions"},
        Damage{"NoSamples", idx_header(0x801, {0}), ": offset 8: dimension 0 is 0"},
        Damage{"Truncated", idx_header(0x801, {5}) + "abc",
               ": offset 11: the file ends; its header promises 5 values, 3 are there"},
        Damage{"HugeAndEmpty", idx_header(0x801, {0xffffffff}),
               ": offset 8: the file ends; its header promises 4294967295 values, 0 are there"},
        Damage{"TooLong", idx_header(0x801, {2}) + "abc",
               ": offset 11: bytes go on after the 2 values of the header"}),
    [](const auto& info) { return info.param.name; });

TEST(IdxFileTest, ADamagedGzipStreamIsFound) {
  const ScratchFolder folder;
  const std::string path = folder.path("labels.gz");
  std::string values;
  for (int i = 0; i < 5000; ++i) values.push_back(static_cast<char>(i * i % 251));
  write_gzip(path, idx_header(0x801, {5000}) + values);
  std::string packed = testing::read_bytes(path);

  write_bytes(path, packed.substr(0, packed.size() / 2));
  const auto truncated = read_idx(path, 1);
  ASSERT_FALSE(truncated.ok());
  EXPECT_THAT(truncated.error().message, HasSubstr("the gzip stream ends early"));

  packed[packed.size() - 6] = static_cast<char>(packed[packed.size() - 6] ^ 1);  // its CRC
  write_bytes(path, packed);
  const auto changed = read_idx(path, 1);
  ASSERT_FALSE(changed.ok());
  EXPECT_EQ(changed.error().code, ErrorCode::kInvalidInput);
  EXPECT_THAT(changed.error().message, HasSubstr("gzip: "));
}

}  // namespace
}  // namespace pluto
