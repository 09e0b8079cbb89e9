#include "costmodel/efficiency.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <set>
#include <string>

#include "base/document.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

const std::string kShipped = std::string(PLUTO_SOURCE_DIR) + "/data/efficiency.json";

Result<EfficiencyTable> load_replaced(const std::string& from, const std::string& to) {
  auto text = read_file(kShipped);
  EXPECT_TRUE(text.ok());
  const auto at = text->find(from);
  EXPECT_NE(at, std::string::npos) << from;
  text->replace(at, from.size(), to);
  const testing::TemporaryFolder folder;
  return load_efficiency(folder.write("efficiency_test.json", *text));
}

TEST(Efficiency, TheShippedTableCoversEveryClassOfBothKinds) {
  const auto table = load_efficiency(kShipped);
  ASSERT_TRUE(table.ok()) << table.error().message;
  for (const auto kind : {DeviceKind::kCpu, DeviceKind::kGpu}) {
    for (const auto& one : table->of(kind).classes) {
      EXPECT_GT(one.flops, 0);
      EXPECT_GT(one.bandwidth, 0);
      EXPECT_GT(one.relative_spread, 0);
    }
  }
  EXPECT_TRUE(table->inputs.contains("fashion-mnist"));
  EXPECT_TRUE(table->inputs.contains("synthetic"));
}

TEST(Efficiency, EveryOpKindHasAClassAndEveryClassAName) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < kOpClassCount; ++i) names.insert(to_text(static_cast<OpClass>(i)));
  EXPECT_EQ(names.size(), kOpClassCount);
  EXPECT_FALSE(names.contains("?"));
  EXPECT_EQ(class_of(OpKind::kLinear), OpClass::kGemm);
  EXPECT_EQ(class_of(OpKind::kAdam), OpClass::kUpdate);
  EXPECT_EQ(class_of(OpKind::kEmbedding), OpClass::kLookup);
  for (std::size_t i = 0; i < kOpKindCount; ++i) {
    EXPECT_LT(static_cast<std::size_t>(class_of(static_cast<OpKind>(i))), kOpClassCount);
  }
}

TEST(Efficiency, AMissingFileIsNotFound) {
  const auto table = load_efficiency("/nowhere/efficiency.json");
  ASSERT_FALSE(table.ok());
  EXPECT_EQ(table.error().code, ErrorCode::kNotFound);
}

TEST(Efficiency, AWrongFractionIsRefusedWithItsLine) {
  const auto table = load_replaced("{\"flops\": 0.6,", "{\"flops\": 60,");
  ASSERT_FALSE(table.ok());
  EXPECT_EQ(table.error().code, ErrorCode::kInvalidInput);
  EXPECT_THAT(table.error().message, HasSubstr("efficiency_test.json:9"));
  EXPECT_THAT(table.error().message, HasSubstr("cpu.classes.gemm.flops"));
}

TEST(Efficiency, UnknownAndMissingKeysAreRefused) {
  const auto unknown = load_replaced("\"bandwidth_contention\"", "\"bandwidth_contest\"");
  ASSERT_FALSE(unknown.ok());
  EXPECT_THAT(unknown.error().message, HasSubstr("bandwidth_contention"));
  const auto missing = load_replaced("\"other\"", "\"another\"");
  ASSERT_FALSE(missing.ok());
  EXPECT_THAT(missing.error().message, HasSubstr("other"));
  const auto newer = load_replaced("\"schema\": 1", "\"schema\": 2");
  ASSERT_FALSE(newer.ok());
  EXPECT_THAT(newer.error().message, HasSubstr("schema"));
}

}  // namespace
}  // namespace pluto
