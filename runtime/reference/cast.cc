#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/reference/kernels.h"
#include "runtime/reference/loop_kernel.h"
#include "runtime/reference/short_float.h"

namespace pluto::reference {
namespace {

// Every conversion goes through double, which holds each element type exactly, so it rounds once.

double load(const void* data, DType dtype, Index i) {
  switch (dtype) {
    case DType::kF32:
      return static_cast<const float*>(data)[i];
    case DType::kF16:
      return decode(kHalf, static_cast<const std::uint16_t*>(data)[i]);
    case DType::kBF16:
      return decode(kBrainFloat, static_cast<const std::uint16_t*>(data)[i]);
    case DType::kI32:
      return static_cast<const std::int32_t*>(data)[i];
    case DType::kU8:
      return static_cast<const std::uint8_t*>(data)[i];
  }
  return 0;
}

/// Nearest whole number, ties to even, held within the range of the type; NaN is 0.
template <class Integer>
Integer whole(double value) {
  if (std::isnan(value)) return 0;
  return static_cast<Integer>(std::clamp<double>(std::nearbyint(value),
                                                 std::numeric_limits<Integer>::min(),
                                                 std::numeric_limits<Integer>::max()));
}

void save(void* data, DType dtype, Index i, double value) {
  switch (dtype) {
    case DType::kF32:
      static_cast<float*>(data)[i] = static_cast<float>(value);
      break;
    case DType::kF16:
      static_cast<std::uint16_t*>(data)[i] = encode(kHalf, value);
      break;
    case DType::kBF16:
      static_cast<std::uint16_t*>(data)[i] = encode(kBrainFloat, value);
      break;
    case DType::kI32:
      static_cast<std::int32_t*>(data)[i] = whole<std::int32_t>(value);
      break;
    case DType::kU8:
      static_cast<std::uint8_t*>(data)[i] = whole<std::uint8_t>(value);
      break;
  }
}

KernelResult cast_forward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "*", "*"));
  const DType from = input_type(request, 0).dtype, to = output_type(request, 0).dtype;
  const Index count = elements(request, output_type(request, 0));
  return loop_kernel([=](const KernelArguments& arguments) {
    for (Index i = 0; i < count; ++i) {
      save(arguments.outputs[0], to, i, load(arguments.inputs[0], from, i));
    }
  });
}

}  // namespace

void add_cast_kernels(KernelTable& table) {
  table.add(OpKind::kCast, OpPass::kForward, cast_forward);
}

}  // namespace pluto::reference
