#pragma once
// Serial inner loops, compiled once per instruction set and chosen once by what the processor has.
// Everything here works on raw ranges: threading, shapes and memory are the callers' affair.

#include <cstdint>

namespace pluto::cpu {

/// Numbers of one update of sgd and adam.
struct SgdStep {
  float learning_rate, momentum, weight_decay;
  bool nesterov;
};
struct AdamStep {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  float correction1, correction2;  ///< 1 / (1 - beta^t)
  bool decoupled;
};

/// One draw of dropout masks: element i is kept, times scale, where the upper 24 bits of its word
/// are at least threshold.
struct DropoutDraw {
  std::uint64_t seed;
  std::uint32_t stream, step;
  std::uint32_t threshold;
  float scale;
};

/// Where a pooling window lies in one plane; windows are clipped to the plane.
struct PoolPlane {
  std::int64_t height, width, out_height, out_width;
  std::int64_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, pad_bottom, pad_right;
  bool count_include_pad;
};

/// c(rows, columns) = scale * a(rows, depth) * b(depth, columns), or += when `accumulate`. Any
/// strides (elements) of a and b; rows of c are contiguous.
struct GemmShape {
  std::int64_t rows, columns, depth;
  std::int64_t a_row, a_column;  ///< from a(i, k) to a(i + 1, k) and to a(i, k + 1)
  std::int64_t b_row, b_column;
  std::int64_t c_row;
  float scale = 1;
  bool accumulate = false;
};

using Unary = void (*)(const float* x, float* y, std::int64_t n);
using Binary = void (*)(const float* a, const float* b, float* y, std::int64_t n);

/// Element-wise functions allow y == x (or y == a). Backward ones take (dy, x or y, dx) as
/// docs/operators.md says.
struct IsaKernels {
  const char* name;  ///< "avx512", "avx2", "baseline"

  Unary exp, relu, gelu, silu, sigmoid, tanh;
  Binary add, add_relu, mul, relu_backward, gelu_backward, silu_backward, sigmoid_backward,
      tanh_backward;
  void (*scale)(const float* x, float factor, float* y, std::int64_t n);
  void (*accumulate)(const float* x, float* sum, std::int64_t n);  ///< sum += x
  void (*sgd)(const SgdStep& step, const float* gradient, float* weight, float* velocity,
              std::int64_t n);
  void (*adam)(const AdamStep& step, const float* gradient, float* weight, float* mean,
               float* variance, std::int64_t n);

  /// `workspace`: gemm_workspace() floats, 64-byte aligned.
  void (*gemm)(const GemmShape& shape, const float* a, const float* b, float* c, float* workspace);
  std::int64_t (*gemm_workspace)(const GemmShape& shape);

  float (*sum)(const float* x, std::int64_t n);
  /// Sum of (x - mean)^2.
  float (*squares)(const float* x, float mean, std::int64_t n);
  /// y = x * scale + shift, and max(0, .) of it when relu.
  void (*affine)(const float* x, float scale, float shift, bool relu, float* y, std::int64_t n);
  /// Sums of dy and of dy * (x - mean); where y is given only dy at y > 0 counts.
  void (*norm_sums)(const float* dy, const float* x, const float* y, float mean, float* sums,
                    std::int64_t n);
  /// dx = a * dy + b * x + c, with dy as above.
  void (*norm_backward)(const float* dy, const float* x, const float* y, float a, float b, float c,
                        float* dx, std::int64_t n);

  void (*max_pool)(const PoolPlane& plane, const float* x, float* y, std::int32_t* argmax);
  void (*avg_pool)(const PoolPlane& plane, const float* x, float* y);
  /// Adds into dx.
  void (*avg_pool_backward)(const PoolPlane& plane, const float* dy, float* dx);

  float (*dot)(const float* a, const float* b, std::int64_t n);
  /// One row. Returns the sum of exp(x - max) and puts the maximum into *max.
  float (*softmax)(const float* x, float* y, float* max, std::int64_t n);
  void (*softmax_backward)(const float* dy, const float* y, float* dx, std::int64_t n);
  /// p = exp(scores - lse), ds = p (dp - mean) scale. p may be scores, ds may be dp.
  void (*attention_slopes)(const float* scores, const float* dp, float lse, float mean, float scale,
                           float* p, float* ds, std::int64_t n);
  /// One row: y = gamma (x - mean) inv_std + beta; beta may be nullptr.
  void (*normalise)(const float* x, float mean, float inv_std, const float* gamma,
                    const float* beta, float* y, std::int64_t n);
  /// One row; adds into dgamma and, where given, dbeta. `centred`: the mean was subtracted
  /// (layer_norm, not rms_norm).
  void (*normalise_backward)(const float* dy, const float* x, float mean, float inv_std,
                             const float* gamma, bool centred, float* dx, float* dgamma,
                             float* dbeta, std::int64_t n);
  /// (low, high) turned by the angle with these cosines and sign * sines.
  void (*rotate)(const float* low, const float* high, const float* cosine, const float* sine,
                 float sign, float* to_low, float* to_high, std::int64_t n);

  float (*squared_error)(const float* x, const float* target, std::int64_t n);
  void (*squared_error_slope)(const float* x, const float* target, float scale, float* dx,
                              std::int64_t n);
  float (*bce)(const float* x, const float* target, std::int64_t n);
  void (*bce_slope)(const float* x, const float* target, float scale, float* dx, std::int64_t n);

  /// y = x scale^-beta
  void (*lrn_power)(const float* x, const float* scale, float beta, float* y, std::int64_t n);
  /// ratio = dy y / scale
  void (*lrn_slopes)(const float* dy, const float* y, const float* scale, float* ratio,
                     std::int64_t n);
  /// dx = dy scale^-beta - weight x sums
  void (*lrn_gradient)(const float* dy, const float* x, const float* scale, const float* sums,
                       float beta, float weight, float* dx, std::int64_t n);
  void (*accumulate_squares)(const float* x, float weight, float* sum, std::int64_t n);

  /// Elements first ... of the draw.
  void (*dropout)(const DropoutDraw& draw, std::uint64_t first, const float* x, float* y,
                  std::int64_t n);

  void (*bf16_to_f32)(const std::uint16_t* x, float* y, std::int64_t n);
  void (*f32_to_bf16)(const float* x, std::uint16_t* y, std::int64_t n);
  void (*f16_to_f32)(const std::uint16_t* x, float* y,
                     std::int64_t n);  ///< nullptr: not in this set
  void (*f32_to_f16)(const float* x, std::uint16_t* y,
                     std::int64_t n);  ///< nullptr: not in this set
};

/// The best set this processor can run; the same for the life of the process.
const IsaKernels& isa_kernels();
/// One set by name, or nullptr when this processor or build lacks it. For tests.
const IsaKernels* find_isa_kernels(const char* name);

}  // namespace pluto::cpu
