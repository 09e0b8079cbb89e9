// Normalisation of rows.
#include <algorithm>
#include <cmath>

#include "runtime/cpu/cpu_kernel.h"
#include "runtime/cpu/parallel.h"

namespace pluto::cpu {
namespace {

struct Rows {
  std::int64_t count, width;
};
Rows rows_of(const KernelRequest& request, const TensorType& x) {
  const std::int64_t width = x.shape.dims.back();
  return {elements(request, x) / width, width};
}

Result<std::unique_ptr<Kernel>> layer_norm(const KernelRequest& request, const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const double epsilon = std::get<NormAttrs>(request.signature.attrs).epsilon;
  const Rows rows = rows_of(request, request.signature.inputs[0]);
  return make_kernel(context, [=](const KernelArguments& a) {
    const IsaKernels& isa = *context.isa;
    parallel_rows(context.threads, rows.count, rows.width,
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t r = begin; r < end; ++r) {
                      const float* x = input(a, 0) + r * rows.width;
                      const float width = static_cast<float>(rows.width);
                      const float mean = isa.sum(x, rows.width) / width;
                      const float variance = isa.squares(x, mean, rows.width) / width;
                      const float inv_std = static_cast<float>(1 / std::sqrt(variance + epsilon));
                      isa.normalise(x, mean, inv_std, input(a, 1), input(a, 2),
                                    output(a, 0) + r * rows.width, rows.width);
                      output(a, 1)[r] = mean;
                      output(a, 2)[r] = inv_std;
                    }
                  });
  });
}

Result<std::unique_ptr<Kernel>> rms_norm(const KernelRequest& request, const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const double epsilon = std::get<NormAttrs>(request.signature.attrs).epsilon;
  const Rows rows = rows_of(request, request.signature.inputs[0]);
  return make_kernel(context, [=](const KernelArguments& a) {
    const IsaKernels& isa = *context.isa;
    parallel_rows(
        context.threads, rows.count, rows.width, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t r = begin; r < end; ++r) {
            const float* x = input(a, 0) + r * rows.width;
            const double square = isa.dot(x, x, rows.width) / static_cast<float>(rows.width);
            const float inv_rms = static_cast<float>(1 / std::sqrt(square + epsilon));
            isa.normalise(x, 0, inv_rms, input(a, 1), nullptr, output(a, 0) + r * rows.width,
                          rows.width);
            output(a, 1)[r] = inv_rms;
          }
        });
  });
}

// layer_norm: dy x gamma mean inv_std -> dx dgamma dbeta; rms_norm: dy x gamma inv_rms -> dx
// dgamma. Every thread sums the parameter gradients of its rows in its own part of the workspace.
Result<std::unique_ptr<Kernel>> backward(const KernelRequest& request, const Context& context) {
  if (!all_f32(request)) return unsupported("types other than f32");
  const bool centred = request.signature.kind == OpKind::kLayerNorm;
  const Rows rows = rows_of(request, request.signature.inputs[1]);
  const std::int64_t parts =
      std::clamp<std::int64_t>(rows.count * rows.width / kSerialElements, 1, context.threads);
  const std::int64_t part_floats = aligned(2 * rows.width * 4) / 4;
  return make_kernel(context, Bytes(parts * part_floats * 4), [=](const KernelArguments& a) {
    const IsaKernels& isa = *context.isa;
    float* scratch = static_cast<float*>(a.workspace);
    parallel_for(context.threads, parts, 1, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t part = first; part < last; ++part) {
        float* dgamma = scratch + part * part_floats;
        float* dbeta = centred ? dgamma + rows.width : nullptr;
        std::fill_n(dgamma, 2 * rows.width, 0.0f);
        const std::int64_t end = rows.count * (part + 1) / parts;
        for (std::int64_t r = rows.count * part / parts; r < end; ++r) {
          const std::int64_t at = r * rows.width;
          isa.normalise_backward(input(a, 0) + at, input(a, 1) + at,
                                 centred ? input(a, 3)[r] : 0.0f, input(a, centred ? 4 : 3)[r],
                                 input(a, 2), centred, output(a, 0) + at, dgamma, dbeta,
                                 rows.width);
        }
      }
    });
    for (std::size_t gradient = 0; gradient < (centred ? 2u : 1u); ++gradient) {
      float* sum = output(a, 1 + gradient);
      const float* from = scratch + static_cast<std::int64_t>(gradient) * rows.width;
      std::copy_n(from, rows.width, sum);
      for (std::int64_t part = 1; part < parts; ++part)
        isa.accumulate(from + part * part_floats, sum, rows.width);
    }
  });
}

}  // namespace

void add_row_norm_kernels(Registrar& registrar) {
  registrar.add(OpKind::kLayerNorm, OpPass::kForward, layer_norm);
  registrar.add(OpKind::kLayerNorm, OpPass::kBackward, backward);
  registrar.add(OpKind::kRmsNorm, OpPass::kForward, rms_norm);
  registrar.add(OpKind::kRmsNorm, OpPass::kBackward, backward);
}

}  // namespace pluto::cpu
