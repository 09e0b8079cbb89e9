#include "costmodel/surface_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/document.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

const std::string kShipped = std::string(PLUTO_SOURCE_DIR) + "/data/op_surfaces.json";

FittedSurface surface(OpClass op_class, Arithmetic arithmetic, const std::string& generation,
                      const std::string& device, double peak) {
  FittedSurface result{op_class, arithmetic, generation, device, {}, {Knob::kPeak}, 0.1, 5};
  result.surface[Knob::kPeak] = peak;
  return result;
}

SurfaceTable small_table() {
  return SurfaceTable({surface(OpClass::kGemm, Arithmetic::kF32, "", "", 0.5),
                       surface(OpClass::kGemm, Arithmetic::kF32, "Volta", "", 0.6),
                       surface(OpClass::kGemm, Arithmetic::kF32, "Volta", "V100 PCIe", 0.7),
                       surface(OpClass::kGemm, Arithmetic::kHalf, "Volta", "V100 PCIe", 0.75),
                       surface(OpClass::kGemm, Arithmetic::kHalf, "Volta", "", 0.8),
                       surface(OpClass::kElementwise, Arithmetic::kF32, "Volta", "", 0.9)},
                      {{"Kepler", "Volta"}});
}

DeviceSpec named(const std::string& generation, const std::string& name) {
  DeviceSpec device;
  device.name = name;
  device.generation = generation;
  return device;
}

TEST(SurfaceTable, TheNearestSurfaceAnswers) {
  const auto table = small_table();
  const auto peak = [&](Arithmetic arithmetic, const DeviceSpec& device, SurfaceOrigin origin) {
    const auto found = table.find(OpClass::kGemm, arithmetic, device);
    EXPECT_TRUE(found.has_value());
    EXPECT_EQ(found->origin, origin);
    return found->fitted->surface[Knob::kPeak];
  };
  const auto f32 = Arithmetic::kF32;
  EXPECT_EQ(peak(f32, named("Volta", "V100 PCIe"), SurfaceOrigin::kDevice), 0.7);
  EXPECT_EQ(peak(f32, named("Volta", "Titan V"), SurfaceOrigin::kGeneration), 0.6);
  EXPECT_EQ(peak(f32, named("Kepler", "K40"), SurfaceOrigin::kAlike), 0.6);
  EXPECT_EQ(peak(f32, named("Ada", "L4"), SurfaceOrigin::kAny), 0.5);
  EXPECT_EQ(peak(f32, named("", "mystery"), SurfaceOrigin::kAny), 0.5);
  EXPECT_EQ(peak(Arithmetic::kTf32, named("Volta", "V100 PCIe"), SurfaceOrigin::kGeneration), 0.8);
}

TEST(SurfaceTable, ClassesBorrowAndUnmeasuredOnesHaveNone) {
  const auto table = small_table();
  const auto v100 = named("Volta", "V100 PCIe");
  EXPECT_EQ(table.find(OpClass::kAttention, Arithmetic::kHalf, v100)->fitted->op_class,
            OpClass::kGemm);
  EXPECT_EQ(table.find(OpClass::kUpdate, Arithmetic::kHalf, v100)->fitted->op_class,
            OpClass::kElementwise);
  EXPECT_FALSE(table.find(OpClass::kLoss, Arithmetic::kF32, v100).has_value());
  EXPECT_FALSE(table.find(OpClass::kElementwise, Arithmetic::kF32, named("Ada", "L4")).has_value());
}

TEST(SurfaceTable, ADatasheetNeedsMultiprocessorsBandwidthAndPeak) {
  DeviceSpec device = named("Volta", "V100 PCIe");
  device.multiprocessors = 80;
  device.memory_bandwidth = BytesPerSecond(9e11);
  device.peak[DType::kF32] = FlopsPerSecond(14e12);
  ASSERT_TRUE(surface_device(device, Arithmetic::kF32).has_value());
  EXPECT_EQ(surface_device(device, Arithmetic::kF32)->peak, 14e12);
  EXPECT_FALSE(surface_device(device, Arithmetic::kHalf).has_value());
  EXPECT_FALSE(surface_device(device, Arithmetic::kTf32).has_value());
  device.peak[DType::kBF16] = FlopsPerSecond(112e12);
  EXPECT_EQ(surface_device(device, Arithmetic::kHalf)->peak, 112e12);
  device.multiprocessors = 0;
  EXPECT_FALSE(surface_device(device, Arithmetic::kF32).has_value());
}

TEST(SurfaceTable, WrittenAndReadBackItIsTheSame) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("surface_table_test.json");
  const auto table = small_table();
  ASSERT_TRUE(write_file(path, to_text(table, "a test")).ok());
  const auto read = load_surfaces(path);
  ASSERT_TRUE(read.ok()) << read.error().message;
  ASSERT_EQ(read->surfaces().size(), table.surfaces().size());
  for (std::size_t i = 0; i < table.surfaces().size(); ++i) {
    EXPECT_EQ(read->surfaces()[i].surface, table.surfaces()[i].surface);
    EXPECT_EQ(read->surfaces()[i].device, table.surfaces()[i].device);
  }
  EXPECT_EQ(read->alike(), table.alike());
}

TEST(SurfaceTable, TheShippedTableHasEveryMeasuredClassAndGeneration) {
  const auto table = load_surfaces(kShipped);
  ASSERT_TRUE(table.ok()) << table.error().message;
  for (const char* generation :
       {"Maxwell", "Pascal", "Volta", "Turing", "Ampere", "Ada", "Hopper"}) {
    const auto found = table->find(OpClass::kGemm, Arithmetic::kF32, named(generation, ""));
    ASSERT_TRUE(found.has_value()) << generation;
    EXPECT_EQ(found->origin, SurfaceOrigin::kGeneration) << generation;
  }
  for (const auto op_class : {OpClass::kGemm, OpClass::kConv, OpClass::kRecurrent,
                              OpClass::kNormalization, OpClass::kSoftmax, OpClass::kElementwise}) {
    EXPECT_TRUE(table->find(op_class, Arithmetic::kHalf, named("", "")).has_value())
        << to_text(op_class);
  }
  // what a kernel costs at least is no framework's launch
  for (const auto& one : table->surfaces()) {
    EXPECT_LE(one.surface[Knob::kFloor], 1e-4) << one.device;
    EXPECT_GT(one.spread, 0) << one.device;
  }
}

TEST(SurfaceTable, FaultsAreRefusedWithTheirPlace) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("surface_table_fault.json");
  const auto load_with = [&](const std::string& line) {
    const std::string text =
        "{\"schema\": 1, \"about\": \"\", \"alike\": {}, \"surfaces\": [\n" + line + "]}";
    EXPECT_TRUE(write_file(path, text).ok());
    const auto table = load_surfaces(path);
    EXPECT_FALSE(table.ok()) << line;
    return table.ok() ? std::string() : table.error().message;
  };
  const std::string good =
      R"({"class": "gemm", "arithmetic": "f32", "peak": 0.5, "spread": 0.1, "samples": 3})";
  EXPECT_THAT(load_with(good + "," + good), HasSubstr("two surfaces of gemm f32"));
  EXPECT_THAT(load_with(R"({"class": "gem", "arithmetic": "f32", "spread": 1, "samples": 3})"),
              HasSubstr("fault.json:2"));
  EXPECT_THAT(load_with(R"({"class": "gemm", "arithmetic": "f32", "peak": 90, "spread": 1,)"
                        R"( "samples": 3})"),
              HasSubstr("peak"));
  EXPECT_THAT(load_with(R"({"class": "gemm", "arithmetic": "f32", "speed": 1, "spread": 1,)"
                        R"( "samples": 3})"),
              HasSubstr("speed"));
  EXPECT_FALSE(load_surfaces("/nowhere/op_surfaces.json").ok());
}

}  // namespace
}  // namespace pluto
