#include "runtime/host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <cmath>
#include <thread>
#include <vector>

#include "runtime/host_buffer.h"

namespace pluto {
namespace {

TEST(Host, HasANameAndAProcessor) {
  EXPECT_FALSE(host_name().empty());
  EXPECT_FALSE(cpu_model().empty());
}

TEST(Host, CountsTheCoresOfTheAffinityMask) {
  EXPECT_GE(cpu_cores(), 1);
  // A thread has its own mask.
  std::thread([] {
    cpu_set_t all, one;
    ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    int first = 0;
    while (!CPU_ISSET(first, &all)) ++first;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_EQ(cpu_cores(), 1);
  }).join();
}

TEST(Host, KnowsItsMemory) {
  EXPECT_GT(host_memory(), Bytes(std::int64_t{64} << 20));
  EXPECT_GT(available_memory(), Bytes(0));
  EXPECT_LE(available_memory(), host_memory());
  EXPECT_GT(resident_memory(), Bytes(1 << 20));
  EXPECT_LT(resident_memory(), host_memory());
}

TEST(Host, PeakMemoryRemembersWhatWasFreed) {
  constexpr std::size_t kSize = std::size_t{64} << 20;
  const Bytes before = resident_memory();
  {
    const std::vector<char> block(kSize, 1);
    EXPECT_GT(resident_memory(), before + Bytes(kSize / 2));
  }
  EXPECT_GT(peak_resident_memory(), before + Bytes(kSize / 2));
}

TEST(Host, ThreadTimeCountsWorkOfThisThreadOnly) {
  const double before = processor_seconds_of_thread();
  double other = 0;
  std::thread([&other] {
    volatile double sum = 0;
    const double start = processor_seconds_of_thread();
    for (int i = 0; i < 3'000'000; ++i) sum = sum + std::sqrt(i);
    other = processor_seconds_of_thread() - start;
  }).join();
  const double mine = processor_seconds_of_thread() - before;
  EXPECT_GT(other, 0);
  EXPECT_LT(mine, other);
}

TEST(Host, WritesTimesInUtc) {
  EXPECT_EQ(utc_text(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(utc_text(951782399.9), "2000-02-28T23:59:59Z");
  EXPECT_EQ(utc_text(951782400), "2000-02-29T00:00:00Z");
  EXPECT_GT(utc_seconds(), 1.6e9);  // later than 2020
}

TEST(HostBuffer, IsZeroAndAligned) {
  for (const std::int64_t size : {0, 1, 63, 64, 100'000}) {
    auto buffer = allocate_host_buffer(Bytes(size));
    ASSERT_TRUE(buffer.ok()) << buffer.error().message;
    EXPECT_EQ((*buffer)->size(), Bytes(size));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>((*buffer)->data()) % 64, 0);
    const char* bytes = static_cast<const char*>((*buffer)->data());
    for (std::int64_t i = 0; i < size; ++i) ASSERT_EQ(bytes[i], 0);
  }
}

TEST(HostBuffer, RefusesMoreThanThereIs) {
  for (const Bytes size :
       {host_memory() * 2, Bytes(std::numeric_limits<std::int64_t>::max()), Bytes(-1)}) {
    const auto buffer = allocate_host_buffer(size);
    ASSERT_FALSE(buffer.ok());
    EXPECT_EQ(buffer.error().code, ErrorCode::kDevice);
    EXPECT_THAT(buffer.error().message, ::testing::HasSubstr(to_text(size)));
    EXPECT_THAT(buffer.error().message, ::testing::HasSubstr("available"));
    EXPECT_FALSE(buffer.error().help.empty());
  }
}

}  // namespace
}  // namespace pluto
