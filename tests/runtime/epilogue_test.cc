// What stands behind a product, alone: each element with the bias of its column or of its plane.
#include "runtime/cpu/epilogue.h"

#include <gtest/gtest.h>

#include <vector>

namespace pluto::cpu {
namespace {

constexpr std::int64_t kRows = 4, kWidth = 3;

/// Product, bias, and both outputs after `apply`.
struct Finished {
  std::vector<float> z, y;
};
template <class Apply>
Finished apply_to(Activation activation, bool bias, std::vector<float> z, Apply apply) {
  const Context context{1, find_isa_kernels("baseline")};
  const Epilogue epilogue(context, activation, bias);
  Finished run{std::move(z), std::vector<float>(kRows * kWidth, -7)};
  const std::vector<float> biases = {1, 2, 3, 4};
  const void* inputs[] = {nullptr, nullptr, biases.data()};
  void* kept[] = {run.y.data(), run.z.data()};
  void* over[] = {run.z.data()};
  KernelArguments arguments;
  arguments.inputs = inputs;
  if (epilogue.operand() == 1) {
    arguments.outputs = kept;
  } else {
    arguments.outputs = over;
  }
  apply(epilogue, arguments);
  return run;
}

std::vector<float> product() {
  std::vector<float> z;
  for (int i = 0; i < kRows * kWidth; ++i) z.push_back(static_cast<float>(i) - 6);
  return z;
}

TEST(Epilogue, RowsHaveABiasPerColumn) {
  const Finished relu =
      apply_to(Activation::kRelu, true, product(),
               [](const auto& epilogue, auto& a) { epilogue.rows(a, kRows, kWidth); });
  EXPECT_EQ(relu.z, (std::vector<float>{0, 0, 0, 0, 0, 2, 1, 3, 5, 4, 6, 8}));
}

TEST(Epilogue, PlanesHaveABiasEach) {
  const Finished relu =
      apply_to(Activation::kRelu, true, product(), [](const auto& epilogue, auto& a) {
        epilogue.planes(a, kRows, kWidth, 2);  // two channels, two samples
      });
  EXPECT_EQ(relu.z, (std::vector<float>{0, 0, 0, 0, 0, 1, 1, 2, 3, 5, 6, 7}));
}

TEST(Epilogue, KeepsTheOperandOfGelu) {
  const Finished gelu =
      apply_to(Activation::kGelu, true, product(),
               [](const auto& epilogue, auto& a) { epilogue.planes(a, kRows, kWidth, 4); });
  EXPECT_EQ(gelu.z, (std::vector<float>{-5, -4, -3, -1, 0, 1, 3, 4, 5, 7, 8, 9}));
  EXPECT_NEAR(gelu.y[3], -0.158808, 1e-5);
  EXPECT_EQ(gelu.y[4], 0);
  EXPECT_NEAR(gelu.y[5], 0.841192, 1e-5);
}

TEST(Epilogue, WithoutFunctionAndBiasNothingIsDone) {
  const Finished none =
      apply_to(Activation::kNone, false, product(), [](const auto& epilogue, auto& a) {
        epilogue.rows(a, kRows, kWidth);
        epilogue.planes(a, kRows, kWidth, 2);
      });
  EXPECT_EQ(none.z, product());
}

}  // namespace
}  // namespace pluto::cpu
