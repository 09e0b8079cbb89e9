#include "costmodel/frameworks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/document.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

Result<FrameworkTable> load_one(const std::string& fields, const std::string& generation = "") {
  const testing::TemporaryFolder folder;
  return load_frameworks(folder.write(
      "frameworks.json",
      R"({"schema": 1, "about": "test", "host_sums": {"GBps": 50, "source": "test"}, "frameworks": {"one": {)" +
          fields + R"("source": "test"}}, "generations": {)" + generation + "}}"));
}

TEST(Frameworks, TheShippedTableNamesItsSourcesAndHasSpreads) {
  const auto table = load_frameworks(std::string(PLUTO_SOURCE_DIR) + "/data/frameworks.json");
  ASSERT_TRUE(table.ok()) << table.error().message;
  EXPECT_GE(table->frameworks.size(), 10U);
  for (const auto& [name, costs] : table->frameworks) {
    EXPECT_GT(costs.spread, 0) << name;
    EXPECT_GT(costs.kernels, 0.5) << name;
    EXPECT_LT(costs.kernels, 2) << name;
  }
  EXPECT_TRUE(table->generations.contains("Kepler"));
}

TEST(Frameworks, AbsentFieldsAddNothing) {
  const auto table = load_one("");
  ASSERT_TRUE(table.ok()) << table.error().message;
  const FrameworkCosts& costs = table->frameworks.at("one");
  EXPECT_EQ(costs.forward + costs.backward + costs.update + costs.serial, Seconds(0));
  EXPECT_EQ(costs.kernels, 1);
  EXPECT_EQ(costs.half_kernels, 1);
  EXPECT_FALSE(costs.fuse);
  EXPECT_TRUE(costs.eager_attention);
}

TEST(Frameworks, TimesAreMicrosecondsAndMemoryMebibytes) {
  const auto table = load_one(R"("forward_us": 20, "context_MiB": 2, )",
                              R"("Kepler": {"kernels": 1.5, "source": "test"})");
  ASSERT_TRUE(table.ok()) << table.error().message;
  EXPECT_DOUBLE_EQ(table->frameworks.at("one").forward.value(), 20e-6);
  EXPECT_EQ(table->frameworks.at("one").context, Bytes(2 * 1024 * 1024));
  EXPECT_EQ(table->generations.at("Kepler").kernels, 1.5);
  EXPECT_EQ(table->generations.at("Kepler").products, 1);
}

TEST(Frameworks, ImpossibleValuesNameTheirPlace) {
  for (const char* fields : {R"("forward_us": -1, )", R"("kernels": 0, )", R"("unknown": 1, )"}) {
    const auto table = load_one(fields);
    ASSERT_FALSE(table.ok()) << fields;
    EXPECT_THAT(table.error().message, HasSubstr("frameworks.one")) << fields;
  }
  const auto table = load_one("", R"("Kepler": {"products": 0, "source": "test"})");
  ASSERT_FALSE(table.ok());
  EXPECT_THAT(table.error().message, HasSubstr("generations.Kepler"));
}

}  // namespace
}  // namespace pluto
