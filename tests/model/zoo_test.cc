#include "model/zoo.h"

#include <gtest/gtest.h>

#include "model/multiply_adds.h"
#include "model/training_graph.h"

namespace pluto {
namespace {

/// Published parameter counts (exact) and forward GMAC per sample (within `tolerance`).
struct Published {
  std::string name;
  std::int64_t parameters;
  double gmac, tolerance;
  std::string source;
};

class PublishedTest : public ::testing::TestWithParam<Published> {};

TEST_P(PublishedTest, ParametersAndWorkAreThePublishedOnes) {
  const Published& row = GetParam();
  auto model = build_model(row.name);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(parameter_count(model->graph), row.parameters) << row.source;
  if (row.gmac > 0) {
    EXPECT_NEAR(multiply_adds(model->graph) / 1e9, row.gmac, row.gmac * row.tolerance)
        << row.source;
  }
}

std::vector<Published> table() {
  constexpr double kHalfPercent = 0.005;
  return {
      {"lenet", 431080, 0.00229, 0.01, "Caffe's lenet"},
      {"alexnet", 60965224, 0.724, 0.01, "Caffe's bvlc_alexnet; Sze et al. 2017, table II: 724M"},
      {"alexnet-one-tower", 61100840, 0.714, kHalfPercent, "torchvision"},
      {"vgg16", 138357544, 15.470, kHalfPercent, "torchvision"},
      {"vgg19", 143667240, 19.632, kHalfPercent, "torchvision"},
      {"googlenet", 6998552, 1.58, 0.01, "Caffe's bvlc_googlenet"},
      {"inception-v3", 23834568, 5.713, kHalfPercent, "torchvision without the auxiliary head"},
      {"resnet18", 11689512, 1.814, kHalfPercent, "torchvision"},
      {"resnet18-cifar", 11173962, 0.556, kHalfPercent, "kuangliu/pytorch-cifar ResNet18"},
      {"resnet50", 25557032, 4.089, kHalfPercent, "torchvision"},
      {"resnet101", 44549160, 7.801, kHalfPercent, "torchvision"},
      {"resnet152", 60192808, 11.514, kHalfPercent, "torchvision"},
      {"lstm-lm", 19775200, 0, 0, "Zaremba et al. 2014: 20M"},
      {"gpt2", 124439808, 0, 0, "Hugging Face gpt2"},
      {"gpt2-medium", 354823168, 0, 0, "Hugging Face gpt2-medium"},
      {"gpt2-large", 774030080, 0, 0, "Hugging Face gpt2-large"},
      {"gpt2-xl", 1557611200, 0, 0, "Hugging Face gpt2-xl"},
      {"bert-base", 109514298, 0, 0, "Hugging Face BertForMaskedLM, bert-base-uncased"},
      {"bert-large", 335174458, 0, 0, "Hugging Face BertForMaskedLM, bert-large-uncased"},
  };
}

std::string test_name(const std::string& model) {
  std::string name;
  for (const char c : model) {
    if (std::isalnum(static_cast<unsigned char>(c))) name += c;
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Zoo, PublishedTest, ::testing::ValuesIn(table()),
                         [](const auto& row) { return test_name(row.param.name); });

class EveryModelTest : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryModelTest, BuildsAndDifferentiates) {
  auto model = build_model(GetParam());
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_FALSE(zoo_summary(GetParam()).empty());
  EXPECT_FALSE(model->inputs.empty());
  EXPECT_TRUE(model->loss.valid() && model->labels.valid() && model->logits.valid());
  auto training = differentiate(*model, SgdAttrs{0.9, 0, false});
  ASSERT_TRUE(training.ok()) << training.error().message;
  std::int64_t trained = 0;
  for (const TrainedParameter& one : training->trained)
    trained += training->graph.tensor(one.parameter).type.shape.elements();
  EXPECT_EQ(trained, parameter_count(model->graph)) << "some parameter gets no gradient";
}

INSTANTIATE_TEST_SUITE_P(Zoo, EveryModelTest, ::testing::ValuesIn(zoo_names()),
                         [](const auto& row) { return test_name(row.param); });

TEST(ZooTest, ParameterCountsInTheSummariesAreRight) {
  for (const Published& row : table()) {
    std::string text = std::to_string(row.parameters);
    for (int at = static_cast<int>(text.size()) - 3; at > 0; at -= 3)
      text.insert(static_cast<std::size_t>(at), ",");
    EXPECT_NE(zoo_summary(row.name).find(text), std::string::npos)
        << row.name << ": " << zoo_summary(row.name);
  }
}

TEST(ZooTest, OptionsChangeTheModel) {
  ZooOptions options;
  options.classes = 7;
  options.channels = 1;
  options.height = options.width = 64;
  auto model = build_model("resnet18", options);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->graph.tensor(model->logits).type.shape, (Shape{{7}}));
  EXPECT_EQ(model->graph.tensor(model->inputs[0]).type.shape, (Shape{{1, 64, 64}}));
  ZooOptions small;
  small.layers = 1;
  small.width_model = 8;
  small.heads = 2;
  small.sequence = 5;
  small.vocabulary = 11;
  auto gpt = build_model("gpt2", small);
  ASSERT_TRUE(gpt.ok()) << gpt.error().message;
  EXPECT_EQ(gpt->graph.tensor(gpt->logits).type.shape, (Shape{{5, 11}}));
}

TEST(ZooTest, AnImageTooSmallNamesTheNode) {
  ZooOptions options;
  options.height = options.width = 20;
  auto model = build_model("alexnet", options);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, ErrorCode::kInvalidInput);
  EXPECT_NE(model.error().message.find("node "), std::string::npos) << model.error().message;
}

TEST(ZooTest, AnUnknownNameSuggestsTheNearest) {
  auto model = build_model("resnet51");
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, ErrorCode::kNotFound);
  EXPECT_NE(model.error().help.find("resnet50"), std::string::npos) << model.error().help;
}

}  // namespace
}  // namespace pluto
