// max_pool, avg_pool, global_avg_pool.
#include <fmt/format.h>

#include "model/schema_check.h"
#include "model/schema_families.h"
#include "model/schema_gradient.h"
#include "model/schema_work.h"

namespace pluto {
namespace {

using Types = std::vector<TensorType>;

// Outputs along one axis: floor or ceil of (size + pads - kernel) / stride, plus 1; with ceil a
// last window that would start in the trailing padding is dropped. Source: PyTorch MaxPool2d,
// "ceil_mode".
std::int64_t pool_axis(std::int64_t size, std::int64_t before, std::int64_t after,
                       std::int64_t kernel, std::int64_t stride, bool ceil_mode) {
  const std::int64_t room = size + before + after - kernel;
  std::int64_t count = (room + (ceil_mode ? stride - 1 : 0)) / stride + 1;
  if (ceil_mode && (count - 1) * stride >= size + before) --count;
  return count;
}

Result<Shape> pooled(const PoolAttrs& a, const Operands& in) {
  PLUTO_TRY(check_attr("kernel_h", a.kernel_h, 1));
  PLUTO_TRY(check_attr("kernel_w", a.kernel_w, 1));
  PLUTO_TRY(check_attr("stride_h", a.stride_h, 1));
  PLUTO_TRY(check_attr("stride_w", a.stride_w, 1));
  // Padding below the kernel's size: then every window holds at least one element.
  PLUTO_TRY(check_attr("pad_top", a.pad_top, 0, a.kernel_h - 1));
  PLUTO_TRY(check_attr("pad_bottom", a.pad_bottom, 0, a.kernel_h - 1));
  PLUTO_TRY(check_attr("pad_left", a.pad_left, 0, a.kernel_w - 1));
  PLUTO_TRY(check_attr("pad_right", a.pad_right, 0, a.kernel_w - 1));
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  PLUTO_TRY(in.rank(0, 3, "C,H,W"));
  const Shape& x = in[0].shape;
  if (x[1] + a.pad_top + a.pad_bottom < a.kernel_h ||
      x[2] + a.pad_left + a.pad_right < a.kernel_w) {
    return in.wrong(0,
                    fmt::format("with padding at least the kernel, {}x{}", a.kernel_h, a.kernel_w));
  }
  return Shape{{x[0], pool_axis(x[1], a.pad_top, a.pad_bottom, a.kernel_h, a.stride_h, a.ceil_mode),
                pool_axis(x[2], a.pad_left, a.pad_right, a.kernel_w, a.stride_w, a.ceil_mode)}};
}

Result<Types> infer_max_pool(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const Operands in(inputs, {"x"});
  PLUTO_ASSIGN(const Shape y, pooled(std::get<PoolAttrs>(attrs), in));
  // The argmax is an index into a plane of 32 bits.
  if (in[0].shape[1] * in[0].shape[2] > std::int64_t{1} << 31)
    return in.wrong(0, "planes of at most 2^31 elements");
  return Types{{y, in[0].dtype, in[0].batch_multiple}, {y, DType::kI32, in[0].batch_multiple}};
}

Result<Types> infer_avg_pool(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const Operands in(inputs, {"x"});
  PLUTO_ASSIGN(const Shape y, pooled(std::get<PoolAttrs>(attrs), in));
  return Types{{y, in[0].dtype, in[0].batch_multiple}};
}

Result<Types> infer_global_avg_pool(const OpAttrs&, std::span<const TensorType> inputs) {
  const Operands in(inputs, {"x"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  PLUTO_TRY(in.rank(0, 3, "C,H,W"));
  return Types{{{{in[0].shape[0]}}, in[0].dtype, in[0].batch_multiple}};
}

// Max: one compare per tap; backward one add per output. Average: one add per tap and a division
// per output, both ways.
OpWork work_pool(OpPass pass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                 std::span<const TensorType> outputs, std::int64_t micro_batch, bool max) {
  const WorkOperands operands{pass, inputs, outputs, micro_batch};
  const auto& a = std::get<PoolAttrs>(attrs);
  const double taps = static_cast<double>(a.kernel_h) * static_cast<double>(a.kernel_w);
  const double y = operands.forward() ? operands.output_elements(0) : operands.input_elements(0);
  if (max) return operands.work(operands.forward() ? y * taps : y);
  return operands.work(y * (taps + 1));
}

OpWork work_max_pool(OpPass pass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                     std::span<const TensorType> outputs, std::int64_t micro_batch) {
  return work_pool(pass, attrs, inputs, outputs, micro_batch, true);
}

OpWork work_avg_pool(OpPass pass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                     std::span<const TensorType> outputs, std::int64_t micro_batch) {
  return work_pool(pass, attrs, inputs, outputs, micro_batch, false);
}

// One add per element and a division per channel; backward one division per channel, then copies.
OpWork work_global_avg_pool(OpPass pass, const OpAttrs&, std::span<const TensorType> inputs,
                            std::span<const TensorType> outputs, std::int64_t micro_batch) {
  const WorkOperands operands{pass, inputs, outputs, micro_batch};
  if (!operands.forward()) return operands.work(operands.input_elements(0));
  return operands.work(operands.input_elements(0) + operands.output_elements(0));
}

void gradient_max_pool(GradientContext& context) {
  context.backward({context.dy(), context.output(1)}, {0});
}
void gradient_avg_pool(GradientContext& context) { context.backward({context.dy()}, {0}); }

}  // namespace

std::vector<OpSchema> pool_schemas() {
  return {
      {OpKind::kMaxPool, infer_max_pool, work_max_pool, gradient_rule<gradient_max_pool>},
      {OpKind::kAvgPool, infer_avg_pool, work_avg_pool, gradient_rule<gradient_avg_pool>},
      {OpKind::kGlobalAvgPool, infer_global_avg_pool, work_global_avg_pool,
       gradient_rule<gradient_avg_pool>},
  };
}

}  // namespace pluto
