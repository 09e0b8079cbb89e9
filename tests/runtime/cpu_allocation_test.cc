// Kernels allocate nothing while they run. Counted by standing in front of malloc, which sanitizers
// do not allow.
#include <gtest/gtest.h>

#ifndef PLUTO_SANITIZED

#include <atomic>
#include <cstdlib>

#include "base/check.h"
#include "runtime/cpu/cpu_device.h"
#include "tests/runtime/cpu_cases.h"
#include "tests/support/run_kernel.h"

namespace {
std::atomic<bool> counting{false};
std::atomic<std::size_t> calls{0}, bytes{0};

void count(std::size_t size) {
  if (!counting.load(std::memory_order_relaxed)) return;
  calls.fetch_add(1);
  bytes.fetch_add(size);
}
}  // namespace

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void* malloc(std::size_t size) {
  count(size);
  return __libc_malloc(size);
}
void* calloc(std::size_t number, std::size_t size) {
  count(number * size);
  return __libc_calloc(number, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  count(size);
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** to, std::size_t alignment, std::size_t size) {
  count(size);
  *to = __libc_memalign(alignment, size);
  return 0;
}
}

namespace pluto::testing {
namespace {

struct Count {
  std::size_t calls, bytes;
};

/// Of the third run of one kernel.
Count count_allocations(Kernel& kernel, const CpuNode& node) {
  const OpSignature& s = node.request.signature;
  std::vector<std::vector<std::byte>> inputs = node.inputs, updates = node.updates, outputs;
  std::vector<const void*> in;
  std::vector<void*> out, update;
  for (auto& value : inputs) in.push_back(value.data());
  for (auto& value : updates) update.push_back(value.data());
  for (const TensorType& type : s.outputs)
    outputs.emplace_back(static_cast<std::size_t>(type.bytes(s.micro_batch).value()));
  for (auto& value : outputs) out.push_back(value.data());
  Workspace workspace(kernel.workspace());
  const KernelArguments arguments{in, out, update, workspace.data(), cpu_case_scalars(true)};
  kernel.run(arguments);
  kernel.run(arguments);
  calls = bytes = 0;
  counting = true;
  kernel.run(arguments);
  counting = false;
  return {calls, bytes};
}

TEST(CpuAllocation, TheCounterSeesMalloc) {
  counting = true;
  calls = bytes = 0;
  std::vector<float>* held = new std::vector<float>(1000);
  counting = false;
  EXPECT_GE(bytes.load(), 4000u);
  delete held;
}

TEST(CpuAllocation, KernelsAllocateNothingAfterTheirFirstRuns) {
  for (int threads : {1, 2}) {
    const auto cpu = make_cpu_device(threads);
    for (const std::string& name : cpu_case_names()) {
      for (const CpuNode& node : cpu_nodes(name)) {
        auto kernel = cpu->compile(node.request);
        ASSERT_TRUE(kernel.ok());
        const std::string implementation = (*kernel)->implementation();
        const Count count = count_allocations(**kernel, node);
        // oneDNN builds a map of the operands of each primitive: some nodes of a hash table.
        const bool onednn = implementation.rfind("own", 0) != 0;
        EXPECT_LE(count.bytes, onednn ? 4096u : 0u)
            << count.calls << " allocations in " << implementation << ": "
            << to_text(node.request.signature);
      }
    }
  }
}

}  // namespace
}  // namespace pluto::testing

#endif  // PLUTO_SANITIZED
