#include "runtime/kernel_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/run_kernel.h"

namespace pluto::testing {
namespace {

using ::testing::HasSubstr;

KernelRequest relu_request() {
  return forward_request(OpKind::kRelu, NoAttrs{}, {{{{3}}, DType::kF32, 1}}, 2);
}

TEST(KernelTable, HasWhatWasAdded) {
  KernelTable table;
  table.add(OpKind::kRelu, OpPass::kForward,
            [](const KernelRequest&) { return unsupported("never"); });
  EXPECT_TRUE(table.has(OpKind::kRelu, OpPass::kForward));
  EXPECT_FALSE(table.has(OpKind::kRelu, OpPass::kBackward));
  EXPECT_FALSE(table.has(OpKind::kGelu, OpPass::kForward));
}

class NamedKernel final : public Kernel {
 public:
  void run(const KernelArguments&) override {}
  std::string implementation() const override { return "named"; }
};

TEST(KernelTable, CompilesByTheFactoryOfThePair) {
  KernelTable table;
  table.add(OpKind::kRelu, OpPass::kForward,
            [](const KernelRequest&) -> Result<std::unique_ptr<Kernel>> {
              return std::unique_ptr<Kernel>(std::make_unique<NamedKernel>());
            });
  const auto kernel = table.compile(relu_request(), "toy");
  ASSERT_TRUE(kernel.ok()) << kernel.error().message;
  EXPECT_EQ((*kernel)->implementation(), "named");
}

TEST(KernelTable, NamesKindPassAndBackendOfWhatItLacks) {
  const auto kernel = KernelTable().compile(relu_request(), "toy");
  ASSERT_FALSE(kernel.ok());
  EXPECT_EQ(kernel.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(kernel.error().message, "the toy backend has no kernel for relu forward");
}

TEST(KernelTable, PutsKindPassAndBackendBeforeTheErrorOfAFactory) {
  KernelTable table;
  table.add(OpKind::kRelu, OpPass::kForward,
            [](const KernelRequest&) { return device_error("out of luck", "try again"); });
  const auto kernel = table.compile(relu_request(), "toy");
  ASSERT_FALSE(kernel.ok());
  EXPECT_EQ(kernel.error().code, ErrorCode::kDevice);
  EXPECT_EQ(kernel.error().message, "toy kernel of relu forward: out of luck");
  EXPECT_EQ(kernel.error().help, "try again");
}

TEST(KernelTable, AsksNoFactoryWhenTheTypesDoNotFit) {
  int asked = 0;
  KernelTable table;
  for (const OpPass pass : {OpPass::kForward, OpPass::kBackward}) {
    table.add(OpKind::kRelu, pass, [&asked](const KernelRequest&) {
      ++asked;
      return unsupported("asked");
    });
  }
  KernelRequest request = relu_request();
  request.signature.outputs[0].shape.dims = {4};
  const auto kernel = table.compile(request, "toy");
  ASSERT_FALSE(kernel.ok());
  EXPECT_EQ(kernel.error().code, ErrorCode::kInvalidInput);
  EXPECT_THAT(kernel.error().message, HasSubstr("toy kernel of relu forward: the output types"));
  EXPECT_EQ(asked, 0);
  request.signature.pass = OpPass::kBackward;  // has no shape rule
  EXPECT_FALSE(table.compile(request, "toy").ok());
  EXPECT_EQ(asked, 1);
}

}  // namespace
}  // namespace pluto::testing
