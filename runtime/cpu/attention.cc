// Scaled dot-product attention, a block of queries at a time, and rotary positions.
#include <algorithm>
#include <cmath>
#include <vector>

#include "runtime/cpu/cpu_kernel.h"
#include "runtime/cpu/parallel.h"

namespace pluto::cpu {
namespace {

struct Size {
  std::int64_t samples, queries, keys, heads, kv_heads, width;
  bool causal;
  std::int64_t q_row() const { return heads * width; }
  std::int64_t kv_row() const { return kv_heads * width; }
  std::int64_t group() const { return heads / kv_heads; }
  std::int64_t seen(std::int64_t query) const { return causal ? std::min(query + 1, keys) : keys; }
  float scale() const { return static_cast<float>(1 / std::sqrt(static_cast<double>(width))); }
  /// Queries whose scores are held at once. A causal block computes up to block - 1 scores per row
  /// in vain.
  std::int64_t block() const {
    return std::min<std::int64_t>(queries, causal && queries <= 256 ? 32 : 64);
  }
};

Size size_of(const KernelRequest& request, const TensorType& q, const TensorType& k) {
  const auto& attrs = std::get<AttentionAttrs>(request.signature.attrs);
  return {samples(request, q),      q.shape[0],  k.shape[0], attrs.heads, attrs.kv_heads,
          q.shape[1] / attrs.heads, attrs.causal};
}

// The products on blocks of at most size.block() queries.
struct Products {
  Size s;
  // scores(queries, keys) = factor rows(queries, width) columns(keys, width)^T
  GemmShape scores(std::int64_t queries, std::int64_t keys, float factor) const {
    return {queries, keys, s.width, s.q_row(), 1, 1, s.kv_row(), s.keys, factor};
  }
  // out(queries, width) = weights(queries, keys) values(keys, width)
  GemmShape mix(std::int64_t queries, std::int64_t keys) const {
    return {queries, s.width, keys, s.keys, 1, s.kv_row(), 1, s.q_row()};
  }
  // out(keys, width) += weights(queries, keys)^T rows(queries, width)
  GemmShape spread(std::int64_t queries, std::int64_t keys) const {
    return {keys, s.width, queries, 1, s.keys, s.q_row(), 1, s.kv_row(), 1, true};
  }
  std::int64_t workspace(const IsaKernels& isa) const {
    const std::int64_t b = s.block();
    std::int64_t most = 0;
    // Which way a product is computed depends on its sizes, so the largest is not always the
    // neediest.
    for (std::int64_t queries = 1; queries <= b; ++queries) {
      for (std::int64_t keys = 1; keys <= s.keys; ++keys) {
        most = std::max({most, isa.gemm_workspace(scores(queries, keys, 1)),
                         isa.gemm_workspace(mix(queries, keys)),
                         isa.gemm_workspace(spread(queries, keys))});
      }
    }
    return aligned(most * 4) / 4;
  }
};

// Floats of the workspace of one thread: `buffers` score blocks, then that of the products.
struct Scratch {
  std::int64_t block, products, threads;
  int buffers;
  std::int64_t floats() const { return buffers * block + products; }
  Bytes bytes() const { return Bytes(threads * floats() * 4); }
};

Result<std::unique_ptr<Kernel>> forward(const KernelRequest& request, const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const Size s = size_of(request, request.signature.inputs[0], request.signature.inputs[1]);
  if (s.queries != s.keys) return unsupported("queries of a part of the sequence");
  const Products products{s};
  const std::int64_t units = s.samples * s.heads;
  const Scratch scratch{aligned(s.block() * s.keys * 4) / 4, products.workspace(*context.isa),
                        std::min<std::int64_t>(units, context.threads), 1};
  return make_kernel(context, scratch.bytes(), [=](const KernelArguments& a) {
    const IsaKernels& isa = *context.isa;
    parallel_for(context.threads, scratch.threads, 1, 1,
                 [&](std::int64_t first, std::int64_t last) {
                   for (std::int64_t thread = first; thread < last; ++thread) {
                     float* scores = static_cast<float*>(a.workspace) + thread * scratch.floats();
                     float* space = scores + scratch.block;
                     for (std::int64_t u = units * thread / scratch.threads;
                          u < units * (thread + 1) / scratch.threads; ++u) {
                       const std::int64_t n = u / s.heads, head = u % s.heads;
                       const std::int64_t kv = n * s.keys * s.kv_row() + head / s.group() * s.width;
                       for (std::int64_t i = 0; i < s.queries; i += s.block()) {
                         const std::int64_t rows = std::min(s.block(), s.queries - i),
                                            keys = s.seen(i + rows - 1);
                         const std::int64_t at = (n * s.queries + i) * s.q_row() + head * s.width;
                         isa.gemm(products.scores(rows, keys, s.scale()), input(a, 0) + at,
                                  input(a, 1) + kv, scores, space);
                         for (std::int64_t r = 0; r < rows; ++r) {
                           float* row = scores + r * s.keys;
                           const std::int64_t seen = s.seen(i + r);
                           float max;
                           const float total = isa.softmax(row, row, &max, seen);
                           std::fill(row + seen, row + keys, 0.0f);
                           output(a, 1)[u * s.queries + i + r] = max + std::log(total);
                         }
                         isa.gemm(products.mix(rows, keys), scores, input(a, 2) + kv,
                                  output(a, 0) + at, space);
                       }
                     }
                   }
                 });
  });
}

// With p = exp(score - lse) and ds = p (dy.v - dy.y) scale: dq = ds k, dk = ds^T q, dv = p^T dy.
// One thread owns all queries of a key-value head, so sums over a group have one order.
Result<std::unique_ptr<Kernel>> backward(const KernelRequest& request, const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const Size s = size_of(request, request.signature.inputs[1], request.signature.inputs[2]);
  if (s.queries != s.keys) return unsupported("queries of a part of the sequence");
  const Products products{s};
  const std::int64_t units = s.samples * s.kv_heads;
  const Scratch scratch{aligned(s.block() * s.keys * 4) / 4, products.workspace(*context.isa),
                        std::min<std::int64_t>(units, context.threads), 2};
  return make_kernel(context, scratch.bytes(), [=](const KernelArguments& a) {
    const IsaKernels& isa = *context.isa;
    parallel_for(
        context.threads, scratch.threads, 1, 1, [&](std::int64_t first, std::int64_t last) {
          for (std::int64_t thread = first; thread < last; ++thread) {
            float* p = static_cast<float*>(a.workspace) + thread * scratch.floats();
            float* ds = p + scratch.block;
            float* space = ds + scratch.block;
            for (std::int64_t u = units * thread / scratch.threads;
                 u < units * (thread + 1) / scratch.threads; ++u) {
              const std::int64_t n = u / s.kv_heads, kv_head = u % s.kv_heads;
              const std::int64_t kv = n * s.keys * s.kv_row() + kv_head * s.width;
              float *dk = output(a, 1) + kv, *dv = output(a, 2) + kv;
              for (std::int64_t j = 0; j < s.keys; ++j) {
                std::fill_n(dk + j * s.kv_row(), s.width, 0.0f);
                std::fill_n(dv + j * s.kv_row(), s.width, 0.0f);
              }
              for (std::int64_t head = kv_head * s.group(); head < (kv_head + 1) * s.group();
                   ++head) {
                for (std::int64_t i = 0; i < s.queries; i += s.block()) {
                  const std::int64_t rows = std::min(s.block(), s.queries - i),
                                     keys = s.seen(i + rows - 1);
                  const std::int64_t at = (n * s.queries + i) * s.q_row() + head * s.width;
                  const float *dy = input(a, 0) + at, *q = input(a, 1) + at;
                  isa.gemm(products.scores(rows, keys, s.scale()), q, input(a, 2) + kv, p, space);
                  isa.gemm(products.scores(rows, keys, 1), dy, input(a, 3) + kv, ds, space);
                  for (std::int64_t r = 0; r < rows; ++r) {
                    const std::int64_t seen = s.seen(i + r);
                    const float mean =
                        isa.dot(dy + r * s.q_row(), input(a, 4) + at + r * s.q_row(), s.width);
                    const float lse = input(a, 5)[(n * s.heads + head) * s.queries + i + r];
                    float *p_row = p + r * s.keys, *ds_row = ds + r * s.keys;
                    isa.attention_slopes(p_row, ds_row, lse, mean, s.scale(), p_row, ds_row, seen);
                    std::fill(p_row + seen, p_row + keys, 0.0f);
                    std::fill(ds_row + seen, ds_row + keys, 0.0f);
                  }
                  isa.gemm(products.mix(rows, keys), ds, input(a, 2) + kv, output(a, 0) + at,
                           space);
                  isa.gemm(products.spread(rows, keys), ds, q, dk, space);
                  isa.gemm(products.spread(rows, keys), p, dy, dv, space);
                }
              }
            }
          }
        });
  });
}

// Turns the pair (i, i + d/2) of every head at position t by t theta^(-2i/d). Source: Su et al.
// 2021, equation 34. The gradient turns back.
Result<std::unique_ptr<Kernel>> rotary(const KernelRequest& request, const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const auto& attrs = std::get<RotaryAttrs>(request.signature.attrs);
  const TensorType& x = request.signature.inputs[0];
  const std::int64_t positions = x.shape[0], row = x.shape[1], half = row / attrs.heads / 2,
                     heads = attrs.heads;
  const std::int64_t rows = elements(request, x) / row;
  const float sign = request.signature.pass == OpPass::kForward ? 1.0f : -1.0f;
  std::vector<float> cosines, sines;
  for (std::int64_t t = 0; t < positions; ++t) {
    for (std::int64_t i = 0; i < half; ++i) {
      const double exponent = -static_cast<double>(i) / static_cast<double>(half);
      const double angle = static_cast<double>(t) * std::pow(attrs.theta, exponent);
      cosines.push_back(static_cast<float>(std::cos(angle)));
      sines.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  return make_kernel(context, [=, cosines = std::move(cosines),
                               sines = std::move(sines)](const KernelArguments& a) {
    parallel_rows(context.threads, rows, row, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const float *cosine = cosines.data() + r % positions * half,
                    *sine = sines.data() + r % positions * half;
        for (std::int64_t head = 0; head < heads; ++head) {
          const std::int64_t at = r * row + head * 2 * half;
          const float* from = input(a, 0) + at;
          float* to = output(a, 0) + at;
          context.isa->rotate(from, from + half, cosine, sine, sign, to, to + half, half);
        }
      }
    });
  });
}

}  // namespace

void add_attention_kernels(Registrar& registrar) {
  registrar.add(OpKind::kAttention, OpPass::kForward, forward);
  registrar.add(OpKind::kAttention, OpPass::kBackward, backward);
  registrar.add(OpKind::kRotary, OpPass::kForward, rotary);
  registrar.add(OpKind::kRotary, OpPass::kBackward, rotary);
}

}  // namespace pluto::cpu
