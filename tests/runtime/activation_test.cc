#include "runtime/reference/activation.h"

#include <gtest/gtest.h>

#include "runtime/reference/reference_device.h"
#include "tests/support/run_kernel.h"

namespace pluto::testing {
namespace {

const Values kOperands = {-3, -0.5F, 0, 0.25F, 1, 4};

TEST(ReferenceActivation, IsWhatTheNodeOfItsKindComputes) {
  const auto device = make_reference_device();
  const TensorType type{{{static_cast<std::int64_t>(kOperands.size())}}, DType::kF32, 1};
  for (const Activation activation : {Activation::kRelu, Activation::kTanh, Activation::kSigmoid,
                                      Activation::kGelu, Activation::kSilu}) {
    const KernelRequest request{
        {kind_of(activation), OpPass::kForward, NoAttrs{}, {type}, {type}, 1}, {}};
    const Values expected = run_kernel(*device, request, {kOperands}, {}, {}).outputs[0];
    Values in_place = kOperands;
    reference::activate(activation, in_place.data(), in_place.data(),
                        static_cast<reference::Index>(in_place.size()));
    EXPECT_EQ(in_place, expected) << to_text(activation);
  }
}

TEST(ReferenceActivation, NoneLeavesTheProductWhereItIs) {
  Values y(kOperands.size(), 7);
  reference::activate(Activation::kNone, kOperands.data(), y.data(), 6);
  EXPECT_EQ(y, Values(kOperands.size(), 7));
  EXPECT_EQ(reference::operand_output(Activation::kNone), 0u);
  EXPECT_EQ(reference::operand_output(Activation::kGelu), 1u);
  EXPECT_STREQ(reference::output_letters(Activation::kTanh), "f");
  EXPECT_STREQ(reference::output_letters(Activation::kSilu), "ff");
}

}  // namespace
}  // namespace pluto::testing
