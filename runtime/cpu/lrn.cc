// Local response normalisation across channels, on plain NCHW, a strip of pixels at a time.
#include <algorithm>

#include "runtime/cpu/cpu_kernel.h"
#include "runtime/cpu/parallel.h"

namespace pluto::cpu {
namespace {

// Pixels per strip: a strip of 256 channels and its two neighbours fit the L2.
constexpr std::int64_t kStrip = 256;

struct Layout {
  std::int64_t samples, channels, plane;
  LrnAttrs attrs;
  std::int64_t strips() const { return (plane + kStrip - 1) / kStrip; }
  /// Channels that the normalisation of channel c looks at.
  std::int64_t near_begin(std::int64_t c) const {
    return std::max<std::int64_t>(0, c - (attrs.size - 1) / 2);
  }
  std::int64_t near_end(std::int64_t c) const { return std::min(channels, c + attrs.size / 2 + 1); }
};
Layout layout_of(const KernelRequest& request, const TensorType& x) {
  return {samples(request, x), x.shape[0], x.shape.elements() / x.shape[0],
          std::get<LrnAttrs>(request.signature.attrs)};
}

Result<std::unique_ptr<Kernel>> forward(const KernelRequest& request, const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const Layout l = layout_of(request, request.signature.inputs[0]);
  const float weight = static_cast<float>(l.attrs.alpha / static_cast<double>(l.attrs.size));
  return make_kernel(context, [=](const KernelArguments& a) {
    parallel_rows(context.threads, l.samples * l.strips(), l.channels * kStrip,
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t strip = begin; strip < end; ++strip) {
                      const std::int64_t pixel = strip % l.strips() * kStrip,
                                         n = std::min(kStrip, l.plane - pixel);
                      const std::int64_t base = strip / l.strips() * l.channels * l.plane + pixel;
                      for (std::int64_t c = 0; c < l.channels; ++c) {
                        float* scale = output(a, 1) + base + c * l.plane;
                        std::fill_n(scale, n, static_cast<float>(l.attrs.k));
                        for (std::int64_t j = l.near_begin(c); j < l.near_end(c); ++j) {
                          context.isa->accumulate_squares(input(a, 0) + base + j * l.plane, weight,
                                                          scale, n);
                        }
                        context.isa->lrn_power(input(a, 0) + base + c * l.plane, scale,
                                               static_cast<float>(l.attrs.beta),
                                               output(a, 0) + base + c * l.plane, n);
                      }
                    }
                  });
  });
}

// dx_i = dy_i scale_i^-beta - 2 alpha beta / size x_i sum over j that look at i of dy_j y_j /
// scale_j. The ratios of a strip are in the workspace.
Result<std::unique_ptr<Kernel>> backward(const KernelRequest& request, const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const Layout l = layout_of(request, request.signature.inputs[1]);
  const float weight =
      static_cast<float>(2 * l.attrs.alpha * l.attrs.beta / static_cast<double>(l.attrs.size));
  const std::int64_t strips = l.samples * l.strips(),
                     threads = std::min<std::int64_t>(context.threads, strips);
  const std::int64_t floats = (l.channels + 1) * kStrip;
  return make_kernel(context, Bytes(threads * floats * 4), [=](const KernelArguments& a) {
    parallel_for(context.threads, threads, 1, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t thread = first; thread < last; ++thread) {
        float* ratios = static_cast<float*>(a.workspace) + thread * floats;
        float* sums = ratios + l.channels * kStrip;
        for (std::int64_t strip = strips * thread / threads;
             strip < strips * (thread + 1) / threads; ++strip) {
          const std::int64_t pixel = strip % l.strips() * kStrip,
                             n = std::min(kStrip, l.plane - pixel);
          const std::int64_t base = strip / l.strips() * l.channels * l.plane + pixel;
          for (std::int64_t c = 0; c < l.channels; ++c) {
            const std::int64_t at = base + c * l.plane;
            context.isa->lrn_slopes(input(a, 0) + at, input(a, 2) + at, input(a, 3) + at,
                                    ratios + c * kStrip, n);
          }
          for (std::int64_t c = 0; c < l.channels; ++c) {
            const std::int64_t at = base + c * l.plane;
            std::fill_n(sums, n, 0.0f);
            // j looks at c when c lies in [j - (size-1)/2, j + size/2].
            const std::int64_t from = std::max<std::int64_t>(0, c - l.attrs.size / 2);
            const std::int64_t to = std::min(l.channels, c + (l.attrs.size - 1) / 2 + 1);
            for (std::int64_t j = from; j < to; ++j)
              context.isa->accumulate(ratios + j * kStrip, sums, n);
            context.isa->lrn_gradient(input(a, 0) + at, input(a, 1) + at, input(a, 3) + at, sums,
                                      static_cast<float>(l.attrs.beta), weight, output(a, 0) + at,
                                      n);
          }
        }
      }
    });
  });
}

}  // namespace

void add_lrn_kernels(Registrar& registrar) {
  registrar.add(OpKind::kLrn, OpPass::kForward, forward);
  registrar.add(OpKind::kLrn, OpPass::kBackward, backward);
}

}  // namespace pluto::cpu
