#include "costmodel/founding_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/document.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

const std::string kShipped = std::string(PLUTO_SOURCE_DIR) + "/data/founding.json";

TEST(FoundingData, HoldsThePublishedTables) {
  const auto data = load_founding(kShipped);
  ASSERT_TRUE(data.ok()) << data.error().message;
  EXPECT_EQ(data->alexnet.data, (ByGpus{{2, 930}, {4, 1861}, {8, 3722}}));
  EXPECT_EQ(data->alexnet.hybrid, (ByGpus{{2, 54}, {4, 89}, {8, 161}}));
  EXPECT_EQ(data->machine("K40")->one_gpu.value(), 2.95);
  EXPECT_DOUBLE_EQ(data->machine("M40")->one_gpu.value(), 2.95 * 4.29 / 6.84);
  EXPECT_FALSE(data->machine("K80").ok());
  ASSERT_EQ(data->late.networks.size(), 2U);
  EXPECT_EQ(data->late.networks[1].multiplied, (ByGpus{{2, 51}, {4, 136}}));
  EXPECT_EQ(data->convnets.gains.front().first, "resnet50") << "the anchor comes first";
  EXPECT_DOUBLE_EQ(data->convnets.network.bandwidth.value(), 25e9 / 8);
  EXPECT_EQ(data->recommender.half, 2.5);
}

TEST(FoundingData, RefusesWhatItCannotRead) {
  const testing::TemporaryFolder folder;
  const std::string text = read_file(kShipped).value();
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    const auto at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    changed.replace(at, from.size(), to);
    const auto data = load_founding(folder.write("founding.json", changed));
    EXPECT_FALSE(data.ok()) << to;
    return data.ok() ? std::string() : data.error().message;
  };
  EXPECT_THAT(with(R"("2": 930)", R"("two": 930)"), HasSubstr("data_MiB"));
  EXPECT_THAT(with(R"("one_gpu_s": 2.95)", R"("one_gpu_s": 0)"), HasSubstr("one_gpu_s"));
  EXPECT_THAT(with(R"("ring": 2.7)", R"("ring": 2.7, "colour": 1)"), HasSubstr("colour"));
  EXPECT_THAT(with("[4.29, 6.84]", "[4.29]"), HasSubstr("peaks_TFLOPS"));
  EXPECT_FALSE(load_founding(folder.file("none.json")).ok());
}

}  // namespace
}  // namespace pluto
