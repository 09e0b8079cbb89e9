// Gradient accumulation and optimizer updates: one pass over each tensor.
#include <cmath>
#include <cstring>

#include "runtime/cpu/cpu_kernel.h"
#include "runtime/cpu/parallel.h"

namespace pluto::cpu {
namespace {

Result<std::unique_ptr<Kernel>> accumulate(const KernelRequest& request, const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const std::int64_t n = elements(request, request.signature.inputs[0]);
  return make_kernel(context, [=](const KernelArguments& a) {
    parallel_elements(context.threads, n, [&](std::int64_t begin, std::int64_t end) {
      const float* gradient = input(a, 0) + begin;
      float* sum = update(a, 0) + begin;
      if (a.scalars.micro_index == 0) {
        std::memcpy(sum, gradient, static_cast<std::size_t>(end - begin) * sizeof(float));
      } else {
        context.isa->accumulate(gradient, sum, end - begin);
      }
    });
  });
}

Result<std::unique_ptr<Kernel>> sgd(const KernelRequest& request, const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const auto attrs = std::get<SgdAttrs>(request.signature.attrs);
  const std::int64_t n = elements(request, request.signature.inputs[0]);
  return make_kernel(context, [=](const KernelArguments& a) {
    const SgdStep step{static_cast<float>(a.scalars.learning_rate),
                       static_cast<float>(attrs.momentum), static_cast<float>(attrs.weight_decay),
                       attrs.nesterov};
    parallel_elements(context.threads, n, [&](std::int64_t begin, std::int64_t end) {
      float* velocity = attrs.momentum > 0 ? update(a, 1) + begin : nullptr;
      context.isa->sgd(step, input(a, 0) + begin, update(a, 0) + begin, velocity, end - begin);
    });
  });
}

Result<std::unique_ptr<Kernel>> adam(const KernelRequest& request, const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const auto attrs = std::get<AdamAttrs>(request.signature.attrs);
  const std::int64_t n = elements(request, request.signature.inputs[0]);
  return make_kernel(context, [=](const KernelArguments& a) {
    // Step 0 is the first update.
    const double t = static_cast<double>(a.scalars.step + 1);
    const AdamStep step{static_cast<float>(a.scalars.learning_rate),
                        static_cast<float>(attrs.beta1),
                        static_cast<float>(attrs.beta2),
                        static_cast<float>(attrs.epsilon),
                        static_cast<float>(attrs.weight_decay),
                        static_cast<float>(1 / (1 - std::pow(attrs.beta1, t))),
                        static_cast<float>(1 / (1 - std::pow(attrs.beta2, t))),
                        attrs.decoupled};
    parallel_elements(context.threads, n, [&](std::int64_t begin, std::int64_t end) {
      context.isa->adam(step, input(a, 0) + begin, update(a, 0) + begin, update(a, 1) + begin,
                        update(a, 2) + begin, end - begin);
    });
  });
}

}  // namespace

void add_update_kernels(Registrar& registrar) {
  registrar.add(OpKind::kAccumulate, OpPass::kForward, accumulate);
  registrar.add(OpKind::kSgd, OpPass::kForward, sgd);
  registrar.add(OpKind::kAdam, OpPass::kForward, adam);
}

}  // namespace pluto::cpu
