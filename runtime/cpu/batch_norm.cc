// Batch normalisation on plain NCHW, with an optional fused sum and ReLU. Statistics are combined
// in double.
#include <cmath>

#include "runtime/cpu/cpu_kernel.h"
#include "runtime/cpu/parallel.h"

namespace pluto::cpu {
namespace {

struct Layout {
  std::int64_t batch, channels, plane;
  std::int64_t offset(std::int64_t sample, std::int64_t channel) const {
    return (sample * channels + channel) * plane;
  }
};

Layout layout(const KernelRequest& request, const TensorType& x) {
  return {samples(request, x), x.shape[0], x.shape.elements() / x.shape[0]};
}

struct Moments {
  double mean, variance;  // biased
};

// Mean and squared deviations of each plane (which is in cache for the second pass), combined over
// planes. Source: Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm for
// computing sample variances".
Moments channel_moments(const IsaKernels& isa, const Layout& l, const float* x,
                        std::int64_t channel) {
  double count = 0, mean = 0, squares = 0;
  const double n = static_cast<double>(l.plane);
  for (std::int64_t s = 0; s < l.batch; ++s) {
    const float* plane = x + l.offset(s, channel);
    const float plane_mean = isa.sum(plane, l.plane) / static_cast<float>(l.plane);
    const double delta = plane_mean - mean, total = count + n;
    squares += isa.squares(plane, plane_mean, l.plane) + delta * delta * count * n / total;
    mean += delta * n / total;
    count = total;
  }
  return {mean, squares / count};
}

Result<std::unique_ptr<Kernel>> forward(const KernelRequest& request, const Context& context) {
  const OpSignature& s = request.signature;
  if (!all_f32(request)) return unsupported("types other than f32");
  const auto attrs = std::get<BatchNormAttrs>(s.attrs);
  const Layout l = layout(request, s.inputs[0]);
  const bool follows = !request.updates.empty();  // a recompute copy has no running statistics
  return make_kernel(context, [=](const KernelArguments& a) {
    const IsaKernels& isa = *context.isa;
    const float *x = input(a, 0), *gamma = input(a, 1), *beta = input(a, 2);
    const float* residual = attrs.add ? input(a, 3) : nullptr;
    float *y = output(a, 0), *means = output(a, 1), *inv_stds = output(a, 2);
    float* running_mean = follows ? update(a, 0) : nullptr;
    float* running_var = follows ? update(a, 1) : nullptr;
    const bool training = a.scalars.training || !follows;
    parallel_rows(
        context.threads, l.channels, l.batch * l.plane, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t c = begin; c < end; ++c) {
            const Moments moments =
                training ? channel_moments(isa, l, x, c) : Moments{running_mean[c], running_var[c]};
            if (training && follows) {
              const double n = static_cast<double>(l.batch * l.plane);
              const double unbiased = n > 1 ? moments.variance * n / (n - 1) : moments.variance;
              running_mean[c] = static_cast<float>((1 - attrs.momentum) * running_mean[c] +
                                                   attrs.momentum * moments.mean);
              running_var[c] = static_cast<float>((1 - attrs.momentum) * running_var[c] +
                                                  attrs.momentum * unbiased);
            }
            const double inv_std = 1 / std::sqrt(moments.variance + attrs.epsilon);
            means[c] = static_cast<float>(moments.mean);
            inv_stds[c] = static_cast<float>(inv_std);
            const double scale = gamma[c] * inv_std;
            const float shift = static_cast<float>(beta[c] - moments.mean * scale);
            for (std::int64_t i = 0; i < l.batch; ++i) {
              float* plane = y + l.offset(i, c);
              isa.affine(x + l.offset(i, c), static_cast<float>(scale), shift,
                         attrs.relu && !attrs.add, plane, l.plane);
              if (attrs.add) isa.add_relu(plane, residual + l.offset(i, c), plane, l.plane);
            }
          }
        });
  });
}

// dx = gamma inv_std (dy - mean(dy) - xhat mean(dy xhat)), xhat = (x - mean) inv_std.
// Source: Ioffe and Szegedy 2015, section 3.
Result<std::unique_ptr<Kernel>> backward(const KernelRequest& request, const Context& context) {
  const OpSignature& s = request.signature;
  if (!all_f32(request)) return unsupported("types other than f32");
  const auto attrs = std::get<BatchNormAttrs>(s.attrs);
  const Layout l = layout(request, s.inputs[1]);
  return make_kernel(context, [=](const KernelArguments& a) {
    const IsaKernels& isa = *context.isa;
    const float *dy = input(a, 0), *x = input(a, 1), *gamma = input(a, 2);
    const float *means = input(a, 3), *inv_stds = input(a, 4),
                *y = attrs.relu ? input(a, 5) : nullptr;
    float *dx = output(a, 0), *dgamma = output(a, 1), *dbeta = output(a, 2);
    // The gradient behind the sum is that of the residual, and what the norm goes on with.
    float* dsum = attrs.add ? output(a, 3) : nullptr;
    if (attrs.add) dy = dsum;
    const bool masks = attrs.relu && !attrs.add;
    const bool training = a.scalars.training;
    parallel_rows(
        context.threads, l.channels, l.batch * l.plane, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t c = begin; c < end; ++c) {
            const auto plane_of_y = [&](std::int64_t i) {
              return masks ? y + l.offset(i, c) : nullptr;
            };
            double sum = 0, product = 0;
            for (std::int64_t i = 0; i < l.batch; ++i) {
              if (attrs.add) {
                isa.relu_backward(input(a, 0) + l.offset(i, c), y + l.offset(i, c),
                                  dsum + l.offset(i, c), l.plane);
              }
              float sums[2];
              isa.norm_sums(dy + l.offset(i, c), x + l.offset(i, c), plane_of_y(i), means[c], sums,
                            l.plane);
              sum += sums[0];
              product += sums[1];
            }
            const double inv_std = inv_stds[c], n = static_cast<double>(l.batch * l.plane);
            dgamma[c] = static_cast<float>(product * inv_std);
            dbeta[c] = static_cast<float>(sum);
            const double scale = gamma[c] * inv_std;
            // In evaluation the statistics are constants.
            const double slope = training ? -scale * inv_std * inv_std * product / n : 0;
            const double shift = training ? -scale * sum / n - slope * means[c] : 0;
            for (std::int64_t i = 0; i < l.batch; ++i) {
              isa.norm_backward(dy + l.offset(i, c), x + l.offset(i, c), plane_of_y(i),
                                static_cast<float>(scale), static_cast<float>(slope),
                                static_cast<float>(shift), dx + l.offset(i, c), l.plane);
            }
          }
        });
  });
}

}  // namespace

void add_batch_norm_kernels(Registrar& registrar) {
  registrar.add(OpKind::kBatchNorm, OpPass::kForward, forward);
  registrar.add(OpKind::kBatchNorm, OpPass::kBackward, backward);
}

}  // namespace pluto::cpu
