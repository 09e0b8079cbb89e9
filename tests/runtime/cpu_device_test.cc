#include "runtime/cpu/cpu_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>
#include <cmath>
#include <thread>

#include "runtime/cpu/huge_buffer.h"
#include "runtime/cpu/parallel.h"
#include "tests/support/run_kernel.h"

namespace pluto::testing {
namespace {

using ::testing::HasSubstr;

TensorType sample(std::vector<std::int64_t> dims, DType dtype = DType::kF32) {
  return {{std::move(dims)}, dtype, 1};
}
TensorType fixed(std::vector<std::int64_t> dims) { return {{std::move(dims)}, DType::kF32, 0}; }

TEST(CpuDevice, FingerprintSaysWhatMakesMeasurementsComparable) {
  const std::string one = make_cpu_device(1)->fingerprint(),
                    three = make_cpu_device(3)->fingerprint();
  EXPECT_THAT(one, ::testing::StartsWith("cpu/" + make_cpu_device(1)->name() + "/t1/onednn-"));
  EXPECT_THAT(one, HasSubstr("/pluto-kernels-"));
  EXPECT_THAT(three, HasSubstr("/t3/"));
  EXPECT_TRUE(make_cpu_device(1)->host_memory());
  EXPECT_GT(make_cpu_device(1)->memory(), Bytes(0));
}

TEST(CpuDevice, CopiesBothWays) {
  const auto device = make_cpu_device(1);
  auto buffer = device->allocate(Bytes(12));
  ASSERT_TRUE(buffer.ok());
  const float sent[3] = {1, 2, 3};
  float received[3] = {};
  device->copy_to_device((*buffer)->data(), sent, Bytes(12));
  device->copy_to_host(received, (*buffer)->data(), Bytes(12));
  EXPECT_EQ(received[2], 3);
}

TEST(CpuDevice, RefusesOperandsThatAreNotThoseOfTheKind) {
  auto kernel = make_cpu_device(1)->compile(
      {{OpKind::kRelu, OpPass::kForward, NoAttrs{}, {sample({3}), sample({3})}, {sample({3})}, 1},
       {}});
  ASSERT_FALSE(kernel.ok());
  EXPECT_EQ(kernel.error().code, ErrorCode::kInvalidInput);
  EXPECT_THAT(kernel.error().message, HasSubstr("relu forward"));
}

TEST(CpuDevice, NamesKindPassAndBackendOfWhatItDoesNotServe) {
  const auto device = make_cpu_device(1);
  auto comm = device->compile(
      {{OpKind::kAllReduce, OpPass::kForward, CommAttrs{}, {}, {}, 1}, {fixed({3})}});
  ASSERT_FALSE(comm.ok());
  EXPECT_EQ(comm.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(comm.error().message, HasSubstr("cpu"));
  EXPECT_THAT(comm.error().message, HasSubstr("all_reduce forward"));
  const TensorType half = sample({3}, DType::kF16);
  auto relu =
      device->compile({{OpKind::kRelu, OpPass::kForward, NoAttrs{}, {half}, {half}, 1}, {}});
  ASSERT_FALSE(relu.ok());
  EXPECT_EQ(relu.error().code, ErrorCode::kUnsupported);
}

TEST(CpuDevice, TheseKindsRunTheReferenceKernel) {
  const auto device = make_cpu_device(1);
  const auto implementation = [&](const KernelRequest& request) {
    auto kernel = device->compile(request);
    return kernel.ok() ? (*kernel)->implementation() : kernel.error().message;
  };
  const TensorType x = sample({5, 4});
  EXPECT_EQ(implementation(forward_request(OpKind::kLstm, RecurrentAttrs{3},
                                           {x, fixed({12, 4}), fixed({12, 3}), fixed({12})}, 2)),
            "reference");
  EXPECT_EQ(
      implementation(forward_request(OpKind::kGru, RecurrentAttrs{3},
                                     {x, fixed({9, 4}), fixed({9, 3}), fixed({9}), fixed({9})}, 2)),
      "reference");
  EXPECT_EQ(
      implementation(forward_request(OpKind::kCosineSimilarity, ScaleAttrs{}, {sample({4}), x}, 2)),
      "reference");
  EXPECT_EQ(implementation(forward_request(
                OpKind::kMoeFfn, MoeAttrs{3, 2, 6},
                {x, fixed({3, 4}), fixed({3, 6, 4}), fixed({3, 6, 4}), fixed({3, 4, 6})}, 2)),
            "reference");
  EXPECT_EQ(implementation(forward_request(OpKind::kCast, CastAttrs{"i32"}, {x}, 2)), "reference");
}

TEST(CpuDevice, NotANumberTravelsAsInTheReference) {
  const auto device = make_cpu_device(1);
  const Values x = {1, NAN, -2, 5};
  const auto relu = run_forward(*device, OpKind::kRelu, NoAttrs{}, {sample({4})}, {x});
  EXPECT_TRUE(std::isnan(relu.outputs[0][1]));
  PoolAttrs pool;
  pool.kernel_h = pool.kernel_w = 2;
  const auto pooled = run_forward(*device, OpKind::kMaxPool, pool, {sample({1, 2, 2})}, {x});
  EXPECT_TRUE(std::isnan(pooled.outputs[0][0]));
  EXPECT_EQ(pooled.outputs[1][0], 1);
  const auto lowest =
      run_forward(*device, OpKind::kMaxPool, pool, {sample({1, 2, 2})}, {Values(4, -INFINITY)});
  EXPECT_EQ(lowest.outputs[1][0], 0) << "the first of equals, even at -infinity";
}

#if !defined(__SANITIZE_THREAD__)  // libgomp synchronises in ways the sanitizer does not see
TEST(CpuDevice, KernelsBehaveAlikeOnEveryThread) {
  const auto device = make_cpu_device(2);
  ConvAttrs conv;
  conv.out_channels = 32;
  conv.kernel_h = conv.kernel_w = 3;
  const KernelRequest request =
      forward_request(OpKind::kConv2d, conv, {sample({16, 20, 20}), fixed({32, 16, 3, 3})}, 2);
  Values x(2 * 16 * 400), w(32 * 16 * 9);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17) - 8;
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i % 13) - 6;
  const int before = omp_get_max_threads();
  const Values here = run_kernel(*device, request, {x, w}).outputs[0];
  EXPECT_EQ(omp_get_max_threads(), before) << "the caller's own setting is left alone";
  Values there;
  std::thread([&] {
    omp_set_num_threads(5);
    there = run_kernel(*device, request, {x, w}).outputs[0];
  }).join();
  EXPECT_EQ(here, there);
}

TEST(ParallelFor, CoversEveryItemOnceWithAtMostSoManyThreads) {
  for (int threads : {1, 2, 5}) {
    for (std::int64_t n : {0, 1, 63, 64, 1000, 4097}) {
      std::vector<int> visits(static_cast<std::size_t>(n));
      std::atomic<int> ranges{0};
      cpu::parallel_for(threads, n, 100, 64, [&](std::int64_t begin, std::int64_t end) {
        ++ranges;
        EXPECT_EQ(begin % 64, 0);
        for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
      });
      EXPECT_EQ(visits, std::vector<int>(visits.size(), 1));
      EXPECT_LE(ranges, threads);
      if (n < 200) {
        EXPECT_LE(ranges, 1);
      }
    }
  }
}
#endif

TEST(ThreadCount, LastsAsLongAsItsScope) {
  const int before = omp_get_max_threads();
  {
    const cpu::ThreadCount scope(before + 3);
    EXPECT_EQ(omp_get_max_threads(), before + 3);
  }
  EXPECT_EQ(omp_get_max_threads(), before);
}

TEST(HugeBuffer, IsZeroAndAligned) {
  for (std::int64_t size :
       {std::int64_t{0}, std::int64_t{1}, std::int64_t{5000}, std::int64_t{5} << 20}) {
    auto buffer = allocate_huge_buffer(Bytes(size));
    ASSERT_TRUE(buffer.ok());
    EXPECT_EQ((*buffer)->size(), Bytes(size));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>((*buffer)->data()) % 64, 0u);
    const char* bytes = static_cast<const char*>((*buffer)->data());
    for (std::int64_t i = 0; i < size; i += 997) ASSERT_EQ(bytes[i], 0);
  }
}

TEST(HugeBuffer, SaysHowMuchThereIs) {
  auto buffer = allocate_huge_buffer(Bytes(std::int64_t{1} << 50));
  ASSERT_FALSE(buffer.ok());
  EXPECT_EQ(buffer.error().code, ErrorCode::kDevice);
  EXPECT_THAT(buffer.error().message,
              HasSubstr("cannot allocate " + to_text(Bytes(std::int64_t{1} << 50))));
  EXPECT_THAT(buffer.error().message, HasSubstr("available"));
}

}  // namespace
}  // namespace pluto::testing
