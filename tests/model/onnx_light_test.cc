// The nine networks of the ONNX project: sizes, other batches, damaged files.
#include <gtest/gtest.h>

#include "base/document.h"
#include "model/model_source.h"
#include "model/multiply_adds.h"
#include "model/onnx_file.h"
#include "model/training_graph.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

std::string path_of(const std::string& name) {
  return std::string(PLUTO_SOURCE_DIR) + "/tests/model/data/light/light_" + name + ".onnx";
}

// Parameters: counted from the files by a separate script (all weights that convolutions, products
// and norms read). GMAC of vgg19, resnet50, densenet121: published for these architectures at 224;
// alexnet: Krizhevsky et al. 2012 at 224.
struct Light {
  const char* name;
  std::int64_t parameters;
  double gmac;
};
const Light kNetworks[] = {
    {"bvlc_alexnet", 60'965'224, 0.655}, {"densenet121", 7'978'856, 2.834},
    {"inception_v1", 6'998'552, 1.431},  {"inception_v2", 11'194'984, 2.019},
    {"resnet50", 25'557'032, 4.089},     {"shufflenet", 1'393'320, 0.125},
    {"squeezenet", 1'235'496, 0.349},    {"vgg19", 143'667'240, 19.632},
    {"zfnet512", 87'250'536, 1.482},
};

TEST(OnnxLight, HasThePublishedSizesAndCanBeTrained) {
  for (const Light& light : kNetworks) {
    SCOPED_TRACE(light.name);
    const auto imported = import_onnx(path_of(light.name));
    ASSERT_TRUE(imported.ok()) << imported.error().message;
    const ModelGraph& model = imported->model;
    EXPECT_EQ(parameter_count(model.graph), light.parameters);
    EXPECT_NEAR(multiply_adds(model.graph) / 1e9, light.gmac, 0.002);
    EXPECT_EQ(imported->origin, "onnx");
    ASSERT_TRUE(model.loss.valid());
    EXPECT_EQ(model.graph.tensor(model.logits).type.shape, (Shape{{1000}}));
    const auto training = differentiate(model, SgdAttrs{});
    EXPECT_TRUE(training.ok()) << training.error().message;
  }
}

// Only the input's batch is changed, as editing tools do; reshapes keep the 1 of the export.
TEST(OnnxLight, KeepsItsSizesAtAnotherBatch) {
  const testing::TemporaryFolder folder;
  for (const Light& light : kNetworks) {
    SCOPED_TRACE(light.name);
    std::string bytes = *read_file(path_of(light.name));
    const std::string shape("\x0a\x02\x08\x01\x0a\x02\x08\x03\x0a\x03\x08\xe0\x01", 13);
    const std::size_t at = bytes.find(shape);
    ASSERT_NE(at, std::string::npos);
    bytes[at + 3] = 32;
    const auto imported = import_onnx(folder.write("batch32.onnx", bytes));
    ASSERT_TRUE(imported.ok()) << imported.error().message;
    EXPECT_EQ(parameter_count(imported->model.graph), light.parameters);
    EXPECT_NEAR(multiply_adds(imported->model.graph) / 1e9, light.gmac, 0.002);
  }
}

TEST(OnnxLight, SaysWhatItChanged) {
  const auto densenet = import_onnx(path_of("densenet121"));
  ASSERT_TRUE(densenet.ok());
  ASSERT_EQ(densenet->warnings.size(), 1u);
  EXPECT_NE(densenet->warnings[0].find("121 batch norms"), std::string::npos);
  const auto vgg = import_onnx(path_of("vgg19"));
  ASSERT_TRUE(vgg.ok());
  ASSERT_EQ(vgg->warnings.size(), 1u);
  EXPECT_NE(vgg->warnings[0].find("TrainingMode.TRAINING"), std::string::npos);
  EXPECT_TRUE(import_onnx(path_of("resnet50"))->warnings.empty());
}

TEST(OnnxLight, IsTheSameModelEachTime) {
  const auto a = import_onnx(path_of("squeezenet")), b = import_onnx(path_of("squeezenet"));
  EXPECT_EQ(a->model.graph.fingerprint(), b->model.graph.fingerprint());
  EXPECT_EQ(a->model.name, "light_squeezenet");
}

// Whatever a damaged file is read as, it is an error or a model, never a crash.
TEST(OnnxLight, SurvivesTruncation) {
  const std::string whole = *read_file(path_of("bvlc_alexnet"));
  const testing::TemporaryFolder folder;
  int refused = 0, cuts = 0;
  for (std::size_t size = 0; size < whole.size(); size += 13, ++cuts) {
    const auto imported = import_onnx(folder.write("cut.onnx", whole.substr(0, size)));
    if (!imported.ok()) {
      ++refused;
      EXPECT_FALSE(imported.error().message.empty());
    }
  }
  EXPECT_EQ(refused, cuts);
}

TEST(OnnxLight, SurvivesFlippedBytes) {
  const testing::TemporaryFolder folder;
  for (const char* name : {"bvlc_alexnet", "zfnet512"}) {
    const std::string whole = *read_file(path_of(name));
    std::uint32_t random = 12345;
    for (int trial = 0; trial < 1500; ++trial) {
      std::string bytes = whole;
      for (int flips = 0; flips < 1 + trial % 3; ++flips) {
        random = random * 1664525u + 1013904223u;
        bytes[(random >> 4) % bytes.size()] ^= static_cast<char>(1u << ((random >> 1) & 7));
      }
      const auto imported = import_onnx(folder.write("flipped.onnx", bytes));
      if (!imported.ok()) {
        EXPECT_FALSE(imported.error().message.empty());
      }
    }
  }
}

}  // namespace
}  // namespace pluto
