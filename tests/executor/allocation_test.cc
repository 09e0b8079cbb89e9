// Counts every allocation of the process, so it is an executable of its own.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "executor/run.h"
#include "tests/executor/executor_models.h"
#include "tests/executor/rank_runs.h"

namespace {
std::atomic<std::int64_t> g_allocations = 0;
void* counted(std::size_t size) {
  ++g_allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
}  // namespace

void* operator new(std::size_t size) { return counted(size); }
void* operator new[](std::size_t size) { return counted(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++g_allocations;
  return std::malloc(size == 0 ? 1 : size);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  ++g_allocations;
  return std::malloc(size == 0 ? 1 : size);
}
// Not inlined: where only one of the pair is, GCC 12 takes it for a mismatch.
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace pluto {
namespace {

std::int64_t allocations_of(std::int64_t steps, SyncMethod method) {
  const ModelGraph model = testing::small_conv();
  testing::TinyPlan tiny;
  tiny.ranks = 2;
  tiny.steps = steps;
  Plan plan = testing::tiny_plan(model, tiny);
  testing::set_method(plan, model, method);
  plan.servers = {0, 1};
  RunOptions options;
  options.report_every = 1000;
  options.clock = [] { return 0.0; };  // looks at the clock once, whatever the number of steps
  const std::int64_t before = g_allocations;
  testing::run_whole(model, plan, options);
  return g_allocations - before;
}

TEST(AllocationTest, StepsAfterTheFirstAllocateNothing) {
  for (const SyncMethod method :
       {SyncMethod::kAllReduce, SyncMethod::kParameterServer, SyncMethod::kSufficientFactor}) {
    allocations_of(4, method);  // what libraries keep for good
    EXPECT_EQ(allocations_of(4, method), allocations_of(40, method)) << to_text(method);
  }
}

}  // namespace
}  // namespace pluto
