#include "model/model_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

TEST(ModelSource, TakesANameOfTheZoo) {
  ZooOptions options;
  options.classes = 7;
  const auto model = load_model("lenet", options);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model->origin, "zoo");
  EXPECT_EQ(model->model.graph.tensor(model->model.logits).type.shape, (Shape{{7}}));
}

TEST(ModelSource, SuggestsTheNearestName) {
  const auto model = load_model("resnet5");
  ASSERT_FALSE(model.ok());
  EXPECT_THAT(model.error().help, HasSubstr("resnet"));
}

TEST(ModelSource, SaysWhichFilesItReads) {
  const auto model = load_model("models/net.pt");
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(model.error().help, HasSubstr(".onnx or .json"));
}

TEST(ModelSource, DispatchesFilesByTheirEnding) {
  EXPECT_EQ(load_model("/nowhere/a.onnx").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(load_model("/nowhere/config.json").error().code, ErrorCode::kNotFound);
  ZooOptions options;
  options.classes = 10;
  EXPECT_THAT(load_model("a.onnx", options).error().message, HasSubstr("cannot be changed"));
  EXPECT_THAT(load_model("config.json", options).error().message,
              HasSubstr("only the sequence length"));
}

}  // namespace
}  // namespace pluto
