#include <cmath>

#include "runtime/reference/kernels.h"
#include "runtime/reference/loop_kernel.h"

namespace pluto::reference {
namespace {

KernelResult accumulate(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "f", "", "f"));
  const Index count = elements(request, input_type(request, 0));
  return loop_kernel([count](const KernelArguments& arguments) {
    const float* g = in(arguments, 0);
    float* sum = update(arguments, 0);
    const bool first = arguments.scalars.micro_index == 0;
    for (Index i = 0; i < count; ++i) sum[i] = first ? g[i] : sum[i] + g[i];
  });
}

/// Formula: v = momentum v + g; w -= rate v, or with Nesterov rate (g + momentum v); g includes
/// weight_decay w. Source: Sutskever et al. 2013, in the form that keeps the rate outside the
/// velocity.
KernelResult sgd(const KernelRequest& request) {
  PLUTO_ASSIGN(const SgdAttrs attrs, attributes<SgdAttrs>(request));
  const bool momentum = attrs.momentum > 0;
  PLUTO_TRY(expect_operands(request, "f", "", momentum ? "ff" : "f"));
  const Index count = elements(request, input_type(request, 0));
  return loop_kernel([=](const KernelArguments& arguments) {
    float* w = update(arguments, 0);
    float* velocity = momentum ? update(arguments, 1) : nullptr;
    for (Index i = 0; i < count; ++i) {
      const double g = in(arguments, 0)[i] + attrs.weight_decay * w[i];
      double direction = g;
      if (momentum) {
        const double v = attrs.momentum * velocity[i] + g;
        velocity[i] = static_cast<float>(v);
        direction = attrs.nesterov ? g + attrs.momentum * v : v;
      }
      w[i] = static_cast<float>(w[i] - arguments.scalars.learning_rate * direction);
    }
  });
}

/// Source: Kingma and Ba 2015, algorithm 1; decoupled decay: Loshchilov and Hutter 2019, algorithm
/// 2 with the decay scaled by the learning rate.
KernelResult adam(const KernelRequest& request) {
  PLUTO_ASSIGN(const AdamAttrs attrs, attributes<AdamAttrs>(request));
  PLUTO_TRY(expect_operands(request, "f", "", "fff"));
  const Index count = elements(request, input_type(request, 0));
  return loop_kernel([=](const KernelArguments& arguments) {
    const double rate = arguments.scalars.learning_rate;
    const double t = static_cast<double>(arguments.scalars.step + 1);
    const double correction1 = 1 - std::pow(attrs.beta1, t);
    const double correction2 = 1 - std::pow(attrs.beta2, t);
    float* w = update(arguments, 0);
    float* first = update(arguments, 1);
    float* second = update(arguments, 2);
    for (Index i = 0; i < count; ++i) {
      const double decay = attrs.weight_decay * w[i];
      const double g = in(arguments, 0)[i] + (attrs.decoupled ? 0 : decay);
      const double m = attrs.beta1 * first[i] + (1 - attrs.beta1) * g;
      const double v = attrs.beta2 * second[i] + (1 - attrs.beta2) * g * g;
      first[i] = static_cast<float>(m);
      second[i] = static_cast<float>(v);
      const double direction = m / correction1 / (std::sqrt(v / correction2) + attrs.epsilon);
      w[i] = static_cast<float>(w[i] - rate * (direction + (attrs.decoupled ? decay : 0)));
    }
  });
}

}  // namespace

void add_update_kernels(KernelTable& table) {
  table.add(OpKind::kAccumulate, OpPass::kForward, accumulate);
  table.add(OpKind::kSgd, OpPass::kForward, sgd);
  table.add(OpKind::kAdam, OpPass::kForward, adam);
}

}  // namespace pluto::reference
