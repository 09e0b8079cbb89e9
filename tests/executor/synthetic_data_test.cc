#include "executor/synthetic_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/executor/executor_models.h"

namespace pluto {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Lt;

DataChoice synthetic(std::int64_t samples) {
  DataChoice choice;
  choice.samples = samples;
  return choice;
}

DataSet opened(const ModelGraph& model, std::int64_t samples, std::uint64_t seed = 1) {
  auto data = open_data(synthetic(samples), model, seed);
  EXPECT_TRUE(data.ok()) << data.error().message;
  return std::move(*data);
}

struct ImageSample {
  std::vector<float> image;
  std::int32_t label = 0;
  bool operator==(const ImageSample&) const = default;
};
ImageSample image_sample(const DataSource& source, std::int64_t index, std::size_t size) {
  ImageSample sample{std::vector<float>(size), 0};
  const std::vector<void*> slots = {sample.image.data(), &sample.label};
  source.read(index, slots);
  return sample;
}

TEST(SyntheticDataTest, ImagesAreStandardNormalAndLabelsUniform) {
  const DataSet data = opened(testing::image_classifier(3, 40, 7), 2000);
  EXPECT_EQ(data.train->size(), 2000);
  EXPECT_EQ(data.test, nullptr);
  EXPECT_EQ(data.train->bytes_per_sample(), Bytes(3 * 40 * 40 * 4 + 4));
  double sum = 0, squares = 0;
  std::vector<int> labels(7);
  for (std::int64_t i = 0; i < 2000; ++i) {
    const ImageSample sample = image_sample(*data.train, i, 4800);
    ASSERT_THAT(sample.label, AllOf(Ge(0), Lt(7)));
    ++labels[static_cast<std::size_t>(sample.label)];
    for (const float v : sample.image) {
      sum += static_cast<double>(v);
      squares += static_cast<double>(v) * static_cast<double>(v);
    }
  }
  EXPECT_NEAR(sum / 2000 / 4800, 0, 0.02);
  EXPECT_NEAR(squares / 2000 / 4800, 1, 0.02);
  EXPECT_THAT(labels, Each(AllOf(Ge(2000 / 7 - 80), Lt(2000 / 7 + 80))));
}

TEST(SyntheticDataTest, ASampleDependsOnItsNumberAndTheSeedOnly) {
  const ModelGraph model = testing::image_classifier(1, 8, 7);
  const DataSet data = opened(model, 100), again = opened(model, 100);
  const DataSet other = opened(model, 100, 2);
  EXPECT_EQ(image_sample(*data.train, 5, 64), image_sample(*again.train, 5, 64));
  EXPECT_NE(image_sample(*data.train, 5, 64).image, image_sample(*data.train, 6, 64).image);
  EXPECT_NE(image_sample(*data.train, 5, 64).image, image_sample(*other.train, 5, 64).image);
}

TEST(SyntheticDataTest, LabelsOfALanguageModelAreTheNextIds) {
  const DataSet data = opened(testing::language_model(50, 8), 30);
  std::set<std::int32_t> seen;
  for (std::int64_t i = 0; i < 30; ++i) {
    std::vector<std::int32_t> ids(8), labels(8);
    const std::vector<void*> slots = {ids.data(), labels.data()};
    data.train->read(i, slots);
    for (std::size_t t = 0; t + 1 < 8; ++t) ASSERT_EQ(labels[t], ids[t + 1]);
    ASSERT_THAT(ids, Each(AllOf(Ge(0), Lt(50))));
    ASSERT_THAT(labels, Each(AllOf(Ge(0), Lt(50))));
    seen.insert(ids.begin(), ids.end());
  }
  EXPECT_GT(seen.size(), 40U);
}

TEST(SyntheticDataTest, IdsStayBelowTheSmallestTableTheyReach) {
  GraphBuilder b;
  ModelGraph model;
  model.inputs = {b.input("ids", {{4}}, DType::kI32)};
  model.labels = b.input("labels", {}, DType::kI32);
  const TensorId wide = b.parameter("wide", {{90, 2}}, {});
  const TensorId narrow = b.parameter("narrow", {{5, 2}}, {});
  const TensorId head = b.parameter("head.weight", {{3, 2}}, {});
  const TensorId half = b.forward("half", OpKind::kSlice, SliceAttrs{0, 0, 2}, {model.inputs[0]});
  const TensorId first =
      b.forward("first", OpKind::kEmbeddingBag, EmbeddingAttrs{90, 2}, {model.inputs[0], wide});
  const TensorId second =
      b.forward("second", OpKind::kEmbeddingBag, EmbeddingAttrs{5, 2}, {half, narrow});
  const TensorId sum = b.forward("sum", OpKind::kAdd, AddAttrs{}, {first, second});
  model.logits = b.forward("head", OpKind::kLinear, LinearAttrs{3, false}, {sum, head});
  model.loss =
      b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {model.logits, model.labels});
  const DataSet data = opened(testing::finished(std::move(b), std::move(model)), 50);
  for (std::int64_t i = 0; i < 50; ++i) {
    std::vector<std::int32_t> ids(4);
    std::int32_t label = 0;
    const std::vector<void*> slots = {ids.data(), &label};
    data.train->read(i, slots);
    ASSERT_THAT(ids, Each(AllOf(Ge(0), Lt(5))));
    ASSERT_THAT(label, AllOf(Ge(0), Lt(3)));
  }
}

TEST(SyntheticDataTest, BinaryTargetsAreZerosAndOnes) {
  GraphBuilder b;
  ModelGraph model;
  model.inputs = {b.input("x", {{4}})};
  model.labels = b.input("clicked", {{1}});
  const TensorId weight = b.parameter("weight", {{1, 4}}, {});
  model.logits = b.forward("fc", OpKind::kLinear, LinearAttrs{1, false}, {model.inputs[0], weight});
  model.loss = b.forward("loss", OpKind::kBceWithLogits, NoAttrs{}, {model.logits, model.labels});
  const DataSet data = opened(testing::finished(std::move(b), std::move(model)), 200);
  int ones = 0;
  for (std::int64_t i = 0; i < 200; ++i) {
    std::vector<float> x(4);
    float clicked = -1;
    const std::vector<void*> slots = {x.data(), &clicked};
    data.train->read(i, slots);
    ASSERT_TRUE(clicked == 0.0F || clicked == 1.0F);
    ones += clicked == 1.0F ? 1 : 0;
  }
  EXPECT_NEAR(ones, 100, 40);
}

TEST(SyntheticDataTest, TheNumberOfSamplesMustBeGiven) {
  const auto data = open_data({}, testing::two_layers(), 1);
  ASSERT_FALSE(data.ok());
  EXPECT_EQ(data.error().help, "set data.samples");
}

TEST(SyntheticDataTest, IdsWithoutATableAreRefused) {
  GraphBuilder b;
  ModelGraph model;
  model.name = "odd";
  model.inputs = {b.input("x", {{4}}), b.input("unused", {{2}}, DType::kI32)};
  model.labels = b.input("labels", {}, DType::kI32);
  const TensorId weight = b.parameter("weight", {{3, 4}}, {});
  model.logits = b.forward("fc", OpKind::kLinear, LinearAttrs{3, false}, {model.inputs[0], weight});
  model.loss =
      b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {model.logits, model.labels});
  const auto data = open_data(synthetic(5), testing::finished(std::move(b), std::move(model)), 1);
  ASSERT_FALSE(data.ok());
  EXPECT_THAT(data.error().message, HasSubstr("model odd: ids unused select from no table"));
}

TEST(DataSourceTest, AnUnknownSourceSuggestsTheNearest) {
  DataChoice choice;
  choice.source = "fashion-mnits";
  const auto data = open_data(choice, testing::two_layers(), 1);
  ASSERT_FALSE(data.ok());
  EXPECT_EQ(data.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(data.error().help, "did you mean \"fashion-mnist\"?");
}

}  // namespace
}  // namespace pluto
