#include <algorithm>
#include <cmath>
#include <utility>

#include "runtime/reference/kernels.h"
#include "runtime/reference/loop_kernel.h"

namespace pluto::reference {
namespace {

// y = sum over the chosen experts e of p_e down_e (silu(gate_e x) * (up_e x)), p the softmax over
// the chosen router logits. Source: Jiang et al. 2024 (Mixtral), section 2.1, with the SwiGLU
// expert of Shazeer 2020. Where the experts are spread over ranks, the sum is over the own ones.

struct MoeSize {
  Index tokens, width, experts, chosen, inner;
  Index own;                                      // experts whose weights are here
  Index matrix() const { return inner * width; }  // elements of one expert's gate, up or down
};

Result<MoeSize> moe_size(const KernelRequest& request, const TensorType& x,
                         const TensorType& gate) {
  PLUTO_ASSIGN(const MoeAttrs attrs, attributes<MoeAttrs>(request));
  const Index width = x.shape.dims.back();
  return MoeSize{elements(request, x) / width, width,        attrs.experts, attrs.top_k,
                 attrs.intermediate,           gate.shape[0]};
}

constexpr double kNotChosen = -1;

/// Fills `weights` (experts) with the share of each expert in the token's answer, kNotChosen for
/// the others.
void route(const MoeSize& size, const float* x, const float* router, double* weights,
           double* logits) {
  for (Index e = 0; e < size.experts; ++e) {
    logits[e] = dot(router + e * size.width, x, size.width);
    weights[e] = kNotChosen;
  }
  double largest = 0, sum = 0;
  for (Index k = 0; k < size.chosen; ++k) {
    Index best = -1;
    for (Index e = 0; e < size.experts; ++e) {
      if (weights[e] == kNotChosen && (best < 0 || logits[e] > logits[best])) best = e;
    }
    if (k == 0) largest = logits[best];
    weights[best] = std::exp(logits[best] - largest);
    sum += weights[best];
  }
  for (Index e = 0; e < size.experts; ++e) {
    if (weights[e] != kNotChosen) weights[e] /= sum;
  }
}

KernelResult moe_forward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "fffff", "f"));
  PLUTO_ASSIGN(const MoeSize size,
               moe_size(request, input_type(request, 0), input_type(request, 2)));
  const auto loop = [size](const KernelArguments& arguments) {
    double* weights = scratch(arguments);
    double* logits = weights + size.experts;
    double* inner = logits + size.experts;
    double* sums = inner + size.inner;
    for (Index t = 0; t < size.tokens; ++t) {
      const float* x = in(arguments, 0) + t * size.width;
      route(size, x, in(arguments, 1), weights, logits);
      std::fill_n(sums, size.width, 0.0);
      const double* shares = weights + arguments.scalars.expert_part * size.own;
      for (Index e = 0; e < size.own; ++e) {
        if (shares[e] == kNotChosen) continue;
        const float* gate = in(arguments, 2) + e * size.matrix();
        const float* up = in(arguments, 3) + e * size.matrix();
        const float* down = in(arguments, 4) + e * size.matrix();
        for (Index i = 0; i < size.inner; ++i) {
          const double a = dot(gate + i * size.width, x, size.width);
          inner[i] = a * sigmoid(a) * dot(up + i * size.width, x, size.width);
        }
        for (Index d = 0; d < size.width; ++d) {
          sums[d] += shares[e] * dot(down + d * size.inner, inner, size.inner);
        }
      }
      store(out(arguments, 0) + t * size.width, sums, size.width);
    }
  };
  return loop_kernel(loop, doubles(2 * size.experts + size.inner + size.width));
}

/// Sums in double of one expert at a time, so that the workspace does not grow with the number of
/// experts.
KernelResult moe_backward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "ffffff", "fffff"));
  PLUTO_ASSIGN(const MoeSize size,
               moe_size(request, input_type(request, 1), input_type(request, 3)));
  const auto loop = [size](const KernelArguments& arguments) {
    const float *dy = in(arguments, 0), *x = in(arguments, 1), *router = in(arguments, 2);
    double* memory = scratch(arguments);
    const auto take = [&memory](Index count) { return std::exchange(memory, memory + count); };
    double* weights = take(size.tokens * size.experts);
    double* slopes = take(size.tokens * size.experts);  // of the loss by each weight; logits before
    double* dx = take(size.tokens * size.width);
    double* sums = take(3 * size.matrix());
    double* dh = take(size.inner);

    for (Index t = 0; t < size.tokens; ++t) {
      route(size, x + t * size.width, router, weights + t * size.experts,
            slopes + t * size.experts);
    }
    std::fill_n(slopes, size.tokens * size.experts, 0.0);
    std::fill_n(dx, size.tokens * size.width, 0.0);
    const Index first = arguments.scalars.expert_part * size.own;
    for (Index e = 0; e < size.own; ++e) {
      const float* gate = in(arguments, 3) + e * size.matrix();
      const float* up = in(arguments, 4) + e * size.matrix();
      const float* down = in(arguments, 5) + e * size.matrix();
      double *dgate = sums, *dup = dgate + size.matrix(), *ddown = dup + size.matrix();
      std::fill_n(sums, 3 * size.matrix(), 0.0);
      for (Index t = 0; t < size.tokens; ++t) {
        const double weight = weights[t * size.experts + first + e];
        if (weight == kNotChosen) continue;
        const float* token = x + t * size.width;
        const float* dtoken = dy + t * size.width;
        std::fill_n(dh, size.inner, 0.0);  // of the unweighted answer by the inner values
        for (Index d = 0; d < size.width; ++d)
          add_scaled(dh, dtoken[d], down + d * size.inner, size.inner);
        double slope = 0;
        for (Index i = 0; i < size.inner; ++i) {
          const double a = dot(gate + i * size.width, token, size.width);
          const double b = dot(up + i * size.width, token, size.width);
          const double s = sigmoid(a), h = a * s * b;
          const double da = weight * dh[i] * b * s * (1 + a * (1 - s));
          const double db = weight * dh[i] * a * s;
          slope += dh[i] * h;
          add_scaled(dgate + i * size.width, da, token, size.width);
          add_scaled(dup + i * size.width, db, token, size.width);
          add_scaled(dx + t * size.width, da, gate + i * size.width, size.width);
          add_scaled(dx + t * size.width, db, up + i * size.width, size.width);
          for (Index d = 0; d < size.width; ++d)
            ddown[d * size.inner + i] += weight * dtoken[d] * h;
        }
        slopes[t * size.experts + first + e] = slope;
      }
      store(out(arguments, 2) + e * size.matrix(), dgate, size.matrix());
      store(out(arguments, 3) + e * size.matrix(), dup, size.matrix());
      store(out(arguments, 4) + e * size.matrix(), ddown, size.matrix());
    }

    // Through the softmax: dlogit_e = p_e (slope_e - sum of p slope). The choice itself has no
    // gradient.
    for (Index t = 0; t < size.tokens; ++t) {
      double* slope = slopes + t * size.experts;
      const double* weight = weights + t * size.experts;
      double mean = 0;
      for (Index e = 0; e < size.experts; ++e)
        mean += weight[e] == kNotChosen ? 0 : weight[e] * slope[e];
      for (Index e = 0; e < size.experts; ++e) {
        slope[e] = weight[e] == kNotChosen ? 0 : weight[e] * (slope[e] - mean);
        add_scaled(dx + t * size.width, slope[e], router + e * size.width, size.width);
      }
    }
    for (Index e = 0; e < size.experts; ++e) {
      std::fill_n(sums, size.width, 0.0);
      for (Index t = 0; t < size.tokens; ++t) {
        add_scaled(sums, slopes[t * size.experts + e], x + t * size.width, size.width);
      }
      store(out(arguments, 1) + e * size.width, sums, size.width);
    }
    store(out(arguments, 0), dx, size.tokens * size.width);
  };
  return loop_kernel(loop, doubles(size.tokens * (2 * size.experts + size.width) +
                                   3 * size.matrix() + size.inner));
}

}  // namespace

void add_moe_kernels(KernelTable& table) {
  table.add(OpKind::kMoeFfn, OpPass::kForward, moe_forward);
  table.add(OpKind::kMoeFfn, OpPass::kBackward, moe_backward);
}

}  // namespace pluto::reference
