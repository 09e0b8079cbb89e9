// The whole set for the instruction set PLUTO_ISA. Nothing here may call an inline function of the
// standard library: the linker could keep the copy compiled for a newer processor.

#include "runtime/cpu/isa/isa_kernels.h"

#define PLUTO_INLINE static inline __attribute__((always_inline))
#define PLUTO_TEXT_OF(name) #name
#define PLUTO_TEXT(name) PLUTO_TEXT_OF(name)

namespace pluto::cpu::PLUTO_ISA {
namespace {

// The order matters.
// clang-format off
#include "runtime/cpu/isa/vector_math.inl"
#include "runtime/cpu/isa/elementwise.inl"
#include "runtime/cpu/isa/gemm.inl"
#include "runtime/cpu/isa/planes.inl"
#include "runtime/cpu/isa/rows.inl"
#include "runtime/cpu/isa/random.inl"
#include "runtime/cpu/isa/casts.inl"
// clang-format on

}  // namespace

extern const IsaKernels kKernels;
const IsaKernels kKernels = {
    .name = PLUTO_TEXT(PLUTO_ISA),
    .exp = exp_range,
    .relu = relu,
    .gelu = gelu,
    .silu = silu,
    .sigmoid = sigmoid,
    .tanh = tanh_range,
    .add = add,
    .add_relu = add_relu,
    .mul = mul,
    .relu_backward = relu_backward,
    .gelu_backward = gelu_backward,
    .silu_backward = silu_backward,
    .sigmoid_backward = sigmoid_backward,
    .tanh_backward = tanh_backward,
    .scale = scale,
    .accumulate = accumulate,
    .sgd = sgd,
    .adam = adam,
    .gemm = gemm,
    .gemm_workspace = gemm_workspace,
    .sum = sum,
    .squares = squares,
    .affine = affine,
    .norm_sums = norm_sums,
    .norm_backward = norm_backward,
    .max_pool = max_pool,
    .avg_pool = avg_pool,
    .avg_pool_backward = avg_pool_backward,
    .dot = dot,
    .softmax = softmax,
    .softmax_backward = softmax_backward,
    .attention_slopes = attention_slopes,
    .normalise = normalise,
    .normalise_backward = normalise_backward,
    .rotate = rotate,
    .squared_error = squared_error,
    .squared_error_slope = squared_error_slope,
    .bce = bce,
    .bce_slope = bce_slope,
    .lrn_power = lrn_power,
    .lrn_slopes = lrn_slopes,
    .lrn_gradient = lrn_gradient,
    .accumulate_squares = accumulate_squares,
    .dropout = dropout,
    .bf16_to_f32 = bf16_to_f32,
    .f32_to_bf16 = f32_to_bf16,
    .f16_to_f32 = f16_to_f32,
    .f32_to_f16 = f32_to_f16,
};

}  // namespace pluto::cpu::PLUTO_ISA
