// Every kernel of the CPU backend against the reference on the same inputs.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>

#include "base/check.h"
#include "runtime/cpu/conv.h"
#include "runtime/cpu/cpu_device.h"
#include "runtime/cpu/cpu_kernel.h"
#include "runtime/reference/reference_device.h"
#include "tests/runtime/cpu_cases.h"

#if defined(__SANITIZE_THREAD__)
constexpr int kManyThreads = 1;  // libgomp synchronises in ways the sanitizer does not see
#else
constexpr int kManyThreads = 3;
#endif

namespace pluto::testing {
namespace {

// Of the largest element of a tensor: f32 sums of up to some thousand terms, against sums in
// double.
constexpr double kTolerance = 2e-5;
constexpr std::size_t kGuard = 256;
constexpr std::byte kGuardByte{0xA5};

/// Aligned memory with guard bytes behind it; its content starts as `fill`.
class Guarded {
 public:
  Guarded(std::size_t size, std::byte fill)
      : size_(size), data_(static_cast<std::byte*>(::operator new(size + kGuard, kAlign))) {
    std::memset(data_, static_cast<int>(fill), size);
    std::memset(data_ + size, static_cast<int>(kGuardByte), kGuard);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { ::operator delete(data_, kAlign); }
  void* data() { return data_; }
  bool intact() const {
    for (std::size_t i = 0; i < kGuard; ++i) {
      if (data_[size_ + i] != kGuardByte) return false;
    }
    return true;
  }
  std::vector<std::byte> content() const { return {data_, data_ + size_}; }

 private:
  static constexpr std::align_val_t kAlign{64};
  std::size_t size_;
  std::byte* data_;
};

struct Outcome {
  std::vector<std::vector<std::byte>> outputs, updates;
  std::string implementation;
};

/// Compiles with the fast kernels of one instruction set; nullptr where there is none.
class FastKernels {
 public:
  FastKernels(int threads, const cpu::IsaKernels* isa)
      : table_(cpu::make_cpu_kernels({threads, isa})) {}
  std::unique_ptr<Kernel> compile(const KernelRequest& request) const {
    if (!table_.has(request.signature.kind, request.signature.pass)) return nullptr;
    auto kernel = table_.compile(request, "cpu");
    return kernel.ok() ? std::move(*kernel) : nullptr;
  }

 private:
  KernelTable table_;
};
std::unique_ptr<Kernel> compile(Device& device, const KernelRequest& request) {
  auto kernel = device.compile(request);
  PLUTO_CHECK(kernel.ok(), kernel.ok() ? "" : kernel.error().message.c_str());
  return std::move(*kernel);
}

Outcome run_node(Kernel& kernel, const CpuNode& node, bool training, bool in_place,
                 std::byte fill) {
  const OpSignature& signature = node.request.signature;
  std::vector<std::unique_ptr<Guarded>> inputs, outputs, updates;
  std::vector<const void*> in;
  std::vector<void*> out, update;
  const auto hold = [](std::vector<std::unique_ptr<Guarded>>& list,
                       const std::vector<std::byte>& value) {
    list.push_back(std::make_unique<Guarded>(value.size(), std::byte{}));
    if (!value.empty()) std::memcpy(list.back()->data(), value.data(), value.size());
    return list.back()->data();
  };
  for (const auto& value : node.inputs) in.push_back(hold(inputs, value));
  for (const auto& value : node.updates) update.push_back(hold(updates, value));
  for (const TensorType& type : signature.outputs) {
    outputs.push_back(std::make_unique<Guarded>(
        static_cast<std::size_t>(type.bytes(signature.micro_batch).value()), fill));
    out.push_back(outputs.back()->data());
  }
  if (in_place) out[0] = inputs[0]->data();
  Guarded workspace(static_cast<std::size_t>(kernel.workspace().value()), fill);
  kernel.run({in, out, update, workspace.data(), cpu_case_scalars(training)});
  Outcome outcome;
  outcome.implementation = kernel.implementation();
  EXPECT_TRUE(workspace.intact()) << "wrote behind its workspace";
  for (auto& output : outputs) {
    EXPECT_TRUE(output->intact()) << "wrote behind an output";
    outcome.outputs.push_back(output->content());
  }
  for (auto& one : updates) {
    EXPECT_TRUE(one->intact()) << "wrote behind an updated tensor";
    outcome.updates.push_back(one->content());
  }
  for (std::size_t i = in_place ? 1 : 0; i < inputs.size(); ++i) {
    EXPECT_EQ(inputs[i]->content(), node.inputs[i]) << "changed input " << i;
  }
  if (in_place) outcome.outputs[0] = inputs[0]->content();
  return outcome;
}

/// Largest difference in units of the largest element; infinite where one is NaN or unwritten.
double difference(const TensorType& type, const std::vector<std::byte>& actual,
                  const std::vector<std::byte>& expected) {
  if (type.dtype != DType::kF32) return actual == expected ? 0 : INFINITY;
  double largest = 1e-30, worst = 0;
  for (std::size_t i = 0; i < expected.size(); i += 4) {
    float a, e;
    std::memcpy(&a, actual.data() + i, 4);
    std::memcpy(&e, expected.data() + i, 4);
    largest = std::max(largest, std::abs(double{e}));
    const double d = std::abs(double{a} - double{e});
    worst = std::max(worst, std::isnan(d) ? INFINITY : d);
  }
  return worst / largest;
}

void expect_close(const std::vector<TensorType>& types,
                  const std::vector<std::vector<std::byte>>& actual,
                  const std::vector<std::vector<std::byte>>& expected, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < types.size(); ++i) {
    EXPECT_LT(difference(types[i], actual[i], expected[i]), kTolerance) << what << " " << i;
  }
}

class CpuParity : public ::testing::TestWithParam<std::string> {};

/// Calls visit(kernels, threads) for one and several threads of every instruction set this
/// processor has.
template <class Visit>
void each_set(Visit visit) {
  for (const char* name : {"avx512", "avx2", "baseline"}) {
    const cpu::IsaKernels* isa = cpu::find_isa_kernels(name);
    if (isa == nullptr) continue;
    for (int threads : {1, kManyThreads}) {
      SCOPED_TRACE(std::string(name) + ", threads " + std::to_string(threads));
      visit(FastKernels(threads, isa));
    }
  }
}

TEST_P(CpuParity, AgreesWithTheReference) {
  const auto reference = make_reference_device();
  for (const CpuNode& node : cpu_nodes(GetParam())) {
    SCOPED_TRACE(node.name + ": " + to_text(node.request.signature));
    for (bool training : {true, false}) {
      const Outcome expected =
          run_node(*compile(*reference, node.request), node, training, false, std::byte{0xFF});
      each_set([&](const FastKernels& kernels) {
        const auto kernel = kernels.compile(node.request);
        if (kernel == nullptr) return;
        const Outcome actual = run_node(*kernel, node, training, false, std::byte{0xFF});
        expect_close(node.request.signature.outputs, actual.outputs, expected.outputs, "output");
        expect_close(node.request.updates, actual.updates, expected.updates, "updated tensor");
        if (node.may_overwrite) {
          const Outcome over = run_node(*kernel, node, training, true, std::byte{0xFF});
          EXPECT_EQ(over.outputs, actual.outputs) << "output 0 at the address of input 0";
        }
      });
    }
  }
}

TEST_P(CpuParity, GivesTheSameBitsTwice) {
  for (const CpuNode& node : cpu_nodes(GetParam())) {
    SCOPED_TRACE(node.name + ": " + to_text(node.request.signature));
    each_set([&](const FastKernels& kernels) {
      const auto kernel = kernels.compile(node.request), other = kernels.compile(node.request);
      if (kernel == nullptr) return;
      const Outcome once = run_node(*kernel, node, true, false, std::byte{0xFF});
      const Outcome twice = run_node(*kernel, node, true, false, std::byte{0x3F});
      const Outcome third = run_node(*other, node, true, false, std::byte{0x3F});
      EXPECT_EQ(once.outputs, twice.outputs);
      EXPECT_EQ(once.updates, twice.updates);
      EXPECT_EQ(once.outputs, third.outputs) << "a second kernel of the same request";
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CpuParity, ::testing::ValuesIn(cpu_case_names()),
                         [](const auto& info) { return info.param; });

TEST(CpuKernels, OnlyTheseFallBackToTheReference) {
  const auto cpu = make_cpu_device(1);
  std::set<std::string> fallbacks;
  for (const std::string& name : cpu_case_names()) {
    for (const CpuNode& node : cpu_nodes(name)) {
      auto kernel = cpu->compile(node.request);
      ASSERT_TRUE(kernel.ok());
      const OpSignature& s = node.request.signature;
      if ((*kernel)->implementation() == "reference")
        fallbacks.insert(std::string(to_text(s.kind)) + " " + to_text(s.pass));
    }
  }
  EXPECT_EQ(fallbacks, std::set<std::string>{});
}

}  // namespace
}  // namespace pluto::testing
