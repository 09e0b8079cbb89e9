#include "runtime/backends.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "runtime/cuda/plugin.h"
#include "runtime/cuda_loader.h"
#include "runtime/host.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

// Any library that every system has stands in for the driver.
constexpr const char* kSomeDriver = "libc.so.6";

CudaSearch fake(const std::string& name) {
  return {{std::string(PLUTO_FAKE_PLUGINS) + "/libfake_cuda_" + name + ".so"}, kSomeDriver};
}

void expect_refused(const CudaSearch& search, const std::string& reason, const std::string& fix) {
  const BackendStatus status = probe_cuda(search);
  EXPECT_EQ(status.name, "cuda");
  EXPECT_FALSE(status.available);
  EXPECT_THAT(status.detail, HasSubstr(reason));
  EXPECT_THAT(status.detail, HasSubstr(fix));
  const auto device = open_cuda(search, 0);
  ASSERT_FALSE(device.ok());
  EXPECT_EQ(device.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(device.error().message, HasSubstr(reason));
  EXPECT_THAT(device.error().help, HasSubstr(fix));
}

TEST(ProbeBackends, ListsAllThreeInOrder) {
  const auto backends = probe_backends();
  ASSERT_EQ(backends.size(), 3);
  EXPECT_EQ(backends[0].name, "reference");
  EXPECT_EQ(backends[1].name, "cpu");
  EXPECT_EQ(backends[2].name, "cuda");
  EXPECT_TRUE(backends[0].available);
  EXPECT_TRUE(backends[1].available);
  for (const BackendStatus& backend : backends)
    EXPECT_FALSE(backend.detail.empty()) << backend.name;
}

TEST(OpenDevice, OpensWhatTheProbeCallsAvailable) {
  for (const BackendStatus& backend : probe_backends()) {
    const auto device = open_device(backend.name, 1);
    EXPECT_EQ(device.ok(), backend.available) << backend.name;
    if (!device.ok()) {
      EXPECT_EQ(device.error().code, ErrorCode::kUnsupported);
      EXPECT_FALSE(device.error().help.empty());
    }
  }
}

TEST(OpenDevice, GivesACpuDeviceEveryCoreUnlessToldOtherwise) {
  const auto all = open_device("cpu", 0);
  const auto counted = open_device("cpu", cpu_cores());
  ASSERT_TRUE(all.ok() && counted.ok());
  EXPECT_EQ((*all)->fingerprint(), (*counted)->fingerprint());
  const auto more = open_device("cpu", cpu_cores() + 1);
  ASSERT_TRUE(more.ok());
  EXPECT_NE((*all)->fingerprint(), (*more)->fingerprint());
}

TEST(OpenDevice, SuggestsTheNearestNameForAnUnknownOne) {
  const auto near = open_device("cuba", 1);
  ASSERT_FALSE(near.ok());
  EXPECT_EQ(near.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(near.error().help, HasSubstr("'cuda'"));
  for (const char* name : {"abacus", "cuda:", "cuda:x", "cuda:-1", ""}) {
    const auto far = open_device(name, 1);
    ASSERT_FALSE(far.ok()) << name;
    EXPECT_EQ(far.error().code, ErrorCode::kNotFound) << name;
    EXPECT_FALSE(far.error().help.empty()) << name;
  }
}

TEST(CudaSearch, LooksBesideTheProgramThenInLibThenWhereTheLoaderLooks) {
  const CudaSearch search = default_cuda_search();
  ASSERT_EQ(search.plugins.size(), 3);
  const std::filesystem::path here = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  EXPECT_EQ(search.plugins[0], here / kCudaPluginFile);
  EXPECT_EQ(search.plugins[1], here.parent_path() / "lib" / kCudaPluginFile);
  EXPECT_EQ(search.plugins[2], kCudaPluginFile);
}

TEST(CudaPlugin, WithoutADriverIsNotEvenLookedFor) {
  CudaSearch search = fake("good");
  search.driver = "libno_such_driver.so.1";
  expect_refused(search, "libno_such_driver.so.1", "install the NVIDIA driver");
}

TEST(CudaPlugin, ThatIsAbsentIsNamedWithEveryPlaceThatWasLookedAt) {
  CudaSearch search{{"/no/such/folder/libx.so", "libno_such_plugin.so"}, kSomeDriver};
  expect_refused(search, "/no/such/folder/libx.so, libno_such_plugin.so", "PLUTO_CUDA=ON");
}

TEST(CudaPlugin, ThatIsDamagedIsNotTakenForAbsent) {
  expect_refused({{"/proc/self/status"}, kSomeDriver}, "/proc/self/status does not load",
                 "rebuild");
}

TEST(CudaPlugin, OfAnotherInterfaceIsRefusedBeforeItIsUsed) {
  expect_refused(fake("old"), "another build: interface 0", "rebuild");
}

TEST(CudaPlugin, WithoutItsEntryIsRefused) {
  expect_refused(fake("mute"), "no function pluto_cuda_entry", "rebuild");
}

TEST(CudaPlugin, WithoutADeviceGivesItsOwnReason) {
  expect_refused(fake("idle"), "no device today", "nvidia-smi");
}

TEST(CudaPlugin, OpensTheDeviceAskedFor) {
  const BackendStatus status = probe_cuda(fake("good"));
  EXPECT_TRUE(status.available);
  EXPECT_EQ(status.detail, "fake driver 1.0");
  const auto device = open_cuda(fake("good"), 1);
  ASSERT_TRUE(device.ok()) << device.error().message;
  EXPECT_EQ((*device)->name(), "fake device 1");
  const auto beyond = open_cuda(fake("good"), 2);
  ASSERT_FALSE(beyond.ok());
  EXPECT_EQ(beyond.error().code, ErrorCode::kDevice);
  EXPECT_THAT(beyond.error().message, HasSubstr("device 2: invalid device ordinal"));
}

TEST(CudaPlugin, TakesTheFirstCandidateThatIsThere) {
  CudaSearch search = fake("idle");
  search.plugins.insert(search.plugins.begin(), {"/no/such/libx.so", fake("good").plugins[0]});
  EXPECT_TRUE(probe_cuda(search).available);
}

// The plug-in of this build, wherever it is.
class BuiltCudaPlugin : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::string(PLUTO_CUDA_PLUGIN).empty()) {
      GTEST_SKIP()
          << "the CUDA plug-in was not built: no CUDA toolkit at configuration, or PLUTO_CUDA=OFF";
    }
  }
  const CudaSearch search_{{PLUTO_CUDA_PLUGIN}, kSomeDriver};
};

TEST_F(BuiltCudaPlugin, LoadsAndSaysWhatItFinds) {
  const BackendStatus status = probe_cuda(search_);
  EXPECT_THAT(status.detail, HasSubstr("CUDA"));
  if (!status.available) expect_refused(search_, "no CUDA device", "nvidia-smi");
}

TEST_F(BuiltCudaPlugin, HoldsMemoryAndRefusesKernels) {
  if (!probe_cuda(search_).available)
    GTEST_SKIP() << "no CUDA device on this machine: " << probe_cuda(search_).detail;
  const auto opened = open_cuda(search_, 0);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  Device& device = **opened;
  EXPECT_GT(device.memory().value(), 0);
  EXPECT_FALSE(device.host_memory());
  EXPECT_THAT(device.fingerprint(), HasSubstr(device.name()));

  const std::vector<float> sent = {1, 2, 3};
  std::vector<float> received(4, -1);
  auto buffer = device.allocate(Bytes(16));
  ASSERT_TRUE(buffer.ok()) << buffer.error().message;
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>((*buffer)->data()) % 64, 0);
  device.copy_to_device((*buffer)->data(), sent.data(), Bytes(12));
  device.copy_to_host(received.data(), (*buffer)->data(), Bytes(16));
  device.synchronize();
  EXPECT_THAT(received, ::testing::ElementsAre(1, 2, 3, 0));

  const auto too_much = device.allocate(device.memory() * 2);
  ASSERT_FALSE(too_much.ok());
  EXPECT_EQ(too_much.error().code, ErrorCode::kDevice);
  EXPECT_TRUE(device.allocate(Bytes(16)).ok())
      << "a failed allocation must leave the device usable";

  const auto kernel = device.compile({{OpKind::kRelu, OpPass::kForward, NoAttrs{}, {}, {}, 1}, {}});
  ASSERT_FALSE(kernel.ok());
  EXPECT_EQ(kernel.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(kernel.error().message, HasSubstr("cuda backend has no kernel for relu forward"));
}

}  // namespace
}  // namespace pluto
