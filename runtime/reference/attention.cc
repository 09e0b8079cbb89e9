#include <algorithm>
#include <cmath>

#include "runtime/reference/kernels.h"
#include "runtime/reference/loop_kernel.h"

namespace pluto::reference {
namespace {

KernelResult softmax_forward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "f", "f"));
  const Index width = input_type(request, 0).shape.dims.back();
  const Index rows = elements(request, input_type(request, 0)) / width;
  return loop_kernel([=](const KernelArguments& arguments) {
    for (Index r = 0; r < rows; ++r) {
      const float* x = in(arguments, 0) + r * width;
      float* y = out(arguments, 0) + r * width;
      const double largest = *std::max_element(x, x + width);
      double sum = 0;
      for (Index i = 0; i < width; ++i) sum += std::exp(x[i] - largest);
      for (Index i = 0; i < width; ++i) y[i] = static_cast<float>(std::exp(x[i] - largest) / sum);
    }
  });
}

KernelResult softmax_backward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "ff", "f"));
  const Index width = input_type(request, 1).shape.dims.back();
  const Index rows = elements(request, input_type(request, 1)) / width;
  return loop_kernel([=](const KernelArguments& arguments) {
    for (Index r = 0; r < rows; ++r) {
      const float* dy = in(arguments, 0) + r * width;
      const float* y = in(arguments, 1) + r * width;
      const double mean = dot(dy, y, width);
      for (Index i = 0; i < width; ++i) {
        out(arguments, 0)[r * width + i] = static_cast<float>(y[i] * (dy[i] - mean));
      }
    }
  });
}

struct AttentionSize {
  Index samples, queries, keys;  // positions of q, of k and v
  Index heads, kv_heads, width;  // width of one head
  bool causal;
  Index q_row() const { return heads * width; }
  Index kv_row() const { return kv_heads * width; }
  Index kv_head(Index head) const { return head / (heads / kv_heads); }
  /// Keys that query `i` of a part of the sequence sees.
  Index seen(Index i, Index part) const {
    return causal ? std::min(part * queries + i + 1, keys) : keys;
  }
  double scale() const { return 1 / std::sqrt(static_cast<double>(width)); }
};

Result<AttentionSize> attention_size(const KernelRequest& request, const TensorType& q,
                                     const TensorType& k) {
  PLUTO_ASSIGN(const AttentionAttrs attrs, attributes<AttentionAttrs>(request));
  return AttentionSize{samples(request, q), q.shape[0],     k.shape[0],
                       attrs.heads,         attrs.kv_heads, q.shape[1] / attrs.heads,
                       attrs.causal};
}

KernelResult attention_forward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "fff", "ff"));
  PLUTO_ASSIGN(const AttentionSize s,
               attention_size(request, input_type(request, 0), input_type(request, 1)));
  const auto loop = [s](const KernelArguments& arguments) {
    double* scores = scratch(arguments);
    double* sums = scores + s.keys;
    for (Index n = 0; n < s.samples; ++n) {
      for (Index head = 0; head < s.heads; ++head) {
        const Index kv = n * s.keys * s.kv_row() + s.kv_head(head) * s.width;
        const float* k = in(arguments, 1) + kv;
        const float* v = in(arguments, 2) + kv;
        for (Index i = 0; i < s.queries; ++i) {
          const Index seen = s.seen(i, arguments.scalars.sequence_part);
          const Index at = (n * s.queries + i) * s.q_row() + head * s.width;
          for (Index j = 0; j < seen; ++j) {
            scores[j] = s.scale() * dot(in(arguments, 0) + at, k + j * s.kv_row(), s.width);
          }
          const double largest = *std::max_element(scores, scores + seen);
          std::fill_n(sums, s.width, 0.0);
          double total = 0;
          for (Index j = 0; j < seen; ++j) {
            const double weight = std::exp(scores[j] - largest);
            total += weight;
            add_scaled(sums, weight, v + j * s.kv_row(), s.width);
          }
          for (Index d = 0; d < s.width; ++d) {
            out(arguments, 0)[at + d] = static_cast<float>(sums[d] / total);
          }
          out(arguments, 1)[(n * s.heads + head) * s.queries + i] =
              static_cast<float>(largest + std::log(total));
        }
      }
    }
  };
  return loop_kernel(loop, doubles(s.keys + s.width));
}

/// With p = exp(score - lse) and ds = p (dy.v - dy.y) scale: dq += ds k, dk += ds q, dv += p dy.
KernelResult attention_backward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "ffffff", "fff"));
  PLUTO_ASSIGN(const AttentionSize s,
               attention_size(request, input_type(request, 1), input_type(request, 2)));
  const auto loop = [s](const KernelArguments& arguments) {
    const Index kv_sample = s.keys * s.kv_row();
    double* dq = scratch(arguments);
    double* dk = dq + s.width;
    double* dv = dk + kv_sample;
    for (Index n = 0; n < s.samples; ++n) {
      std::fill_n(dk, 2 * kv_sample, 0.0);
      for (Index head = 0; head < s.heads; ++head) {
        const Index kv = s.kv_head(head) * s.width;
        const float* k = in(arguments, 2) + n * kv_sample + kv;
        const float* v = in(arguments, 3) + n * kv_sample + kv;
        for (Index i = 0; i < s.queries; ++i) {
          const Index seen = s.seen(i, arguments.scalars.sequence_part);
          const Index at = (n * s.queries + i) * s.q_row() + head * s.width;
          const float* dy = in(arguments, 0) + at;
          const float* q = in(arguments, 1) + at;
          const double mean = dot(dy, in(arguments, 4) + at, s.width);
          const double lse = in(arguments, 5)[(n * s.heads + head) * s.queries + i];
          std::fill_n(dq, s.width, 0.0);
          for (Index j = 0; j < seen; ++j) {
            const Index row = j * s.kv_row();
            const double p = std::exp(s.scale() * dot(q, k + row, s.width) - lse);
            const double ds = p * (dot(dy, v + row, s.width) - mean) * s.scale();
            add_scaled(dq, ds, k + row, s.width);
            add_scaled(dk + kv + row, ds, q, s.width);
            add_scaled(dv + kv + row, p, dy, s.width);
          }
          store(out(arguments, 0) + at, dq, s.width);
        }
      }
      store(out(arguments, 1) + n * kv_sample, dk, kv_sample);
      store(out(arguments, 2) + n * kv_sample, dv, kv_sample);
    }
  };
  return loop_kernel(loop, doubles(s.width + 2 * s.keys * s.kv_row()));
}

/// Turns the pair (i, i + d/2) of every head at position t (of the whole sequence) by t *
/// theta^(-2i/d). Source: Su et al. 2021, equation 34. `sign` -1 turns back, which is the gradient.
template <int kSign>
KernelResult rotary(const KernelRequest& request) {
  PLUTO_ASSIGN(const RotaryAttrs attrs, attributes<RotaryAttrs>(request));
  PLUTO_TRY(expect_operands(request, "f", "f"));
  const TensorType& x = input_type(request, 0);
  const Index positions = x.shape[0], row = x.shape[1], half = row / attrs.heads / 2;
  const Index rows = elements(request, x) / row;
  return loop_kernel([=](const KernelArguments& arguments) {
    for (Index r = 0; r < rows; ++r) {
      for (Index i = 0; i < half; ++i) {
        const double exponent = -static_cast<double>(i) / static_cast<double>(half);
        const Index position = arguments.scalars.sequence_part * positions + r % positions;
        const double angle =
            kSign * static_cast<double>(position) * std::pow(attrs.theta, exponent);
        const double cosine = std::cos(angle), sine = std::sin(angle);
        for (Index head = 0; head < attrs.heads; ++head) {
          const Index at = r * row + head * 2 * half + i;
          const double a = in(arguments, 0)[at], b = in(arguments, 0)[at + half];
          out(arguments, 0)[at] = static_cast<float>(a * cosine - b * sine);
          out(arguments, 0)[at + half] = static_cast<float>(b * cosine + a * sine);
        }
      }
    }
  });
}

}  // namespace

void add_attention_kernels(KernelTable& table) {
  table.add(OpKind::kSoftmax, OpPass::kForward, softmax_forward);
  table.add(OpKind::kSoftmax, OpPass::kBackward, softmax_backward);
  table.add(OpKind::kAttention, OpPass::kForward, attention_forward);
  table.add(OpKind::kAttention, OpPass::kBackward, attention_backward);
  table.add(OpKind::kRotary, OpPass::kForward, rotary<1>);
  table.add(OpKind::kRotary, OpPass::kBackward, rotary<-1>);
}

}  // namespace pluto::reference
