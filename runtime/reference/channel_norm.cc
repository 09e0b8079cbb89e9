#include <algorithm>
#include <cmath>

#include "runtime/reference/kernels.h"
#include "runtime/reference/loop_kernel.h"

namespace pluto::reference {
namespace {

/// x as (samples, channels, inner): the statistics of a channel run over samples and inner.
struct Channels {
  Index samples, channels, inner;
  Index count() const { return samples * inner; }
};
Channels channels_of(const KernelRequest& request, const TensorType& x) {
  return {samples(request, x), x.shape[0], x.shape.elements() / x.shape[0]};
}

/// Calls visit(element index) for every element of channel `c`.
template <class Visit>
void each_of_channel(const Channels& size, Index c, Visit visit) {
  for (Index n = 0; n < size.samples; ++n) {
    const Index begin = (n * size.channels + c) * size.inner;
    for (Index i = begin; i < begin + size.inner; ++i) visit(i);
  }
}

KernelResult batch_norm_forward(const KernelRequest& request) {
  PLUTO_ASSIGN(const BatchNormAttrs attrs, attributes<BatchNormAttrs>(request));
  const bool follows = !request.updates.empty();  // a recompute copy has no running statistics
  PLUTO_TRY(expect_operands(request, attrs.add ? "ffff" : "fff", "fff", follows ? "ff" : ""));
  const Channels size = channels_of(request, input_type(request, 0));
  return loop_kernel([=](const KernelArguments& arguments) {
    const float* x = in(arguments, 0);
    for (Index c = 0; c < size.channels; ++c) {
      double mean = follows ? update(arguments, 0)[c] : 0;
      double variance = follows ? update(arguments, 1)[c] : 0;
      if (arguments.scalars.training || !follows) {
        const double count = static_cast<double>(size.count());
        double sum = 0, squares = 0;
        each_of_channel(size, c, [&](Index i) { sum += x[i]; });
        mean = sum / count;
        each_of_channel(size, c, [&](Index i) { squares += (x[i] - mean) * (x[i] - mean); });
        variance = squares / count;
        const double unbiased = size.count() > 1 ? squares / (count - 1) : variance;
        const auto follow = [&](float& running, double batch) {
          running = static_cast<float>((1 - attrs.momentum) * running + attrs.momentum * batch);
        };
        if (follows) follow(update(arguments, 0)[c], mean);
        if (follows) follow(update(arguments, 1)[c], unbiased);
      }
      const double inv_std = 1 / std::sqrt(variance + attrs.epsilon);
      const double gamma = in(arguments, 1)[c], beta = in(arguments, 2)[c];
      each_of_channel(size, c, [&](Index i) {
        // Rounded before the sum, as the result of a node of its own.
        const float normal = static_cast<float>(gamma * (x[i] - mean) * inv_std + beta);
        const double y = attrs.add ? double{normal} + double{in(arguments, 3)[i]} : normal;
        out(arguments, 0)[i] = static_cast<float>(attrs.relu && y < 0 ? 0 : y);
      });
      out(arguments, 1)[c] = static_cast<float>(mean);
      out(arguments, 2)[c] = static_cast<float>(inv_std);
    }
  });
}

/// dx = gamma * inv_std * (dy - mean(dy) - xhat * mean(dy * xhat)); without training the statistics
/// are constants and the two means vanish.
KernelResult batch_norm_backward(const KernelRequest& request) {
  PLUTO_ASSIGN(const BatchNormAttrs attrs, attributes<BatchNormAttrs>(request));
  PLUTO_TRY(expect_operands(request, attrs.relu ? "ffffff" : "fffff", attrs.add ? "ffff" : "fff"));
  const Channels size = channels_of(request, input_type(request, 1));
  return loop_kernel([=](const KernelArguments& arguments) {
    const float* x = in(arguments, 1);
    for (Index c = 0; c < size.channels; ++c) {
      const double mean = in(arguments, 3)[c], inv_std = in(arguments, 4)[c];
      const auto gradient = [&](Index i) {
        return attrs.relu && in(arguments, 5)[i] <= 0 ? 0.0 : double{in(arguments, 0)[i]};
      };
      double sum = 0, product = 0;
      each_of_channel(size, c, [&](Index i) {
        sum += gradient(i);
        product += gradient(i) * (x[i] - mean) * inv_std;
      });
      const double share = arguments.scalars.training ? 1 / static_cast<double>(size.count()) : 0;
      const double factor = in(arguments, 2)[c] * inv_std;
      each_of_channel(size, c, [&](Index i) {
        const double normal = (x[i] - mean) * inv_std;
        if (attrs.add) out(arguments, 3)[i] = static_cast<float>(gradient(i));
        out(arguments, 0)[i] =
            static_cast<float>(factor * (gradient(i) - share * sum - share * normal * product));
      });
      out(arguments, 1)[c] = static_cast<float>(product);
      out(arguments, 2)[c] = static_cast<float>(sum);
    }
  });
}

/// Channels [begin, end) that the normalisation of channel `c` looks at.
struct Neighbours {
  Index begin, end;
};
Neighbours neighbours_of(Index c, Index channels, Index size) {
  return {std::max<Index>(0, c - (size - 1) / 2), std::min(channels, c + size / 2 + 1)};
}

KernelResult lrn_forward(const KernelRequest& request) {
  PLUTO_ASSIGN(const LrnAttrs attrs, attributes<LrnAttrs>(request));
  PLUTO_TRY(expect_operands(request, "f", "ff"));
  const Channels size = channels_of(request, input_type(request, 0));
  const double weight = attrs.alpha / static_cast<double>(attrs.size);
  const auto loop = [=](const KernelArguments& arguments) {
    double* squares = scratch(arguments);
    for (Index n = 0; n < size.samples; ++n) {
      const Index first = n * size.channels * size.inner;
      const float* x = in(arguments, 0) + first;
      for (Index c = 0; c < size.channels; ++c) {
        std::fill_n(squares, size.inner, 0.0);
        const Neighbours near = neighbours_of(c, size.channels, attrs.size);
        for (Index j = near.begin; j < near.end; ++j) {
          for (Index i = 0; i < size.inner; ++i) {
            squares[i] += double{x[j * size.inner + i]} * double{x[j * size.inner + i]};
          }
        }
        for (Index i = 0; i < size.inner; ++i) {
          const Index at = c * size.inner + i;
          const double scale = attrs.k + weight * squares[i];
          out(arguments, 0)[first + at] = static_cast<float>(x[at] * std::pow(scale, -attrs.beta));
          out(arguments, 1)[first + at] = static_cast<float>(scale);
        }
      }
    }
  };
  return loop_kernel(loop, doubles(size.inner));
}

/// dx_i = dy_i scale_i^-beta - 2 alpha beta / size x_i sum over j that look at i of dy_j y_j /
/// scale_j.
KernelResult lrn_backward(const KernelRequest& request) {
  PLUTO_ASSIGN(const LrnAttrs attrs, attributes<LrnAttrs>(request));
  PLUTO_TRY(expect_operands(request, "ffff", "f"));
  const Channels size = channels_of(request, input_type(request, 1));
  const double weight = 2 * attrs.alpha * attrs.beta / static_cast<double>(attrs.size);
  const auto loop = [=](const KernelArguments& arguments) {
    double* sums = scratch(arguments);  // of one sample
    const Index sample = size.channels * size.inner;
    for (Index n = 0; n < size.samples; ++n) {
      const float* dy = in(arguments, 0) + n * sample;
      const float* x = in(arguments, 1) + n * sample;
      const float* y = in(arguments, 2) + n * sample;
      const float* scale = in(arguments, 3) + n * sample;
      std::fill_n(sums, sample, 0.0);
      for (Index j = 0; j < size.channels; ++j) {
        const Neighbours near = neighbours_of(j, size.channels, attrs.size);
        for (Index c = near.begin; c < near.end; ++c) {
          for (Index i = 0; i < size.inner; ++i) {
            const Index at = j * size.inner + i;
            sums[c * size.inner + i] += double{dy[at]} * double{y[at]} / double{scale[at]};
          }
        }
      }
      for (Index i = 0; i < sample; ++i) {
        out(arguments, 0)[n * sample + i] = static_cast<float>(
            dy[i] * std::pow(double{scale[i]}, -attrs.beta) - weight * x[i] * sums[i]);
      }
    }
  };
  return loop_kernel(loop, doubles(size.channels * size.inner));
}

}  // namespace

void add_channel_norm_kernels(KernelTable& table) {
  table.add(OpKind::kBatchNorm, OpPass::kForward, batch_norm_forward);
  table.add(OpKind::kBatchNorm, OpPass::kBackward, batch_norm_backward);
  table.add(OpKind::kLrn, OpPass::kForward, lrn_forward);
  table.add(OpKind::kLrn, OpPass::kBackward, lrn_backward);
}

}  // namespace pluto::reference
