// Rows of tables by their ids. Ids outside the table read as zero and take no gradient.
#include <algorithm>
#include <cstring>

#include "runtime/cpu/cpu_kernel.h"
#include "runtime/cpu/parallel.h"

namespace pluto::cpu {
namespace {

/// `outputs` rows, each the sum of `bag` rows of the table (embedding: of one).
struct Bags {
  std::int64_t outputs, bag, rows, width;
  bool has(std::int64_t id) const { return id >= 0 && id < rows; }
};
Bags bags_of(const KernelRequest& request, const TensorType& ids, const TensorType& table) {
  const std::int64_t bag = request.signature.kind == OpKind::kEmbeddingBag ? ids.shape[0] : 1;
  return {elements(request, ids) / bag, bag, table.shape[0], table.shape[1]};
}

Result<void> check_supported(const KernelRequest& request) {
  if (!all_f32(request)) return unsupported("types other than f32");
  if (std::get<EmbeddingAttrs>(request.signature.attrs).part) return unsupported("part of a table");
  return {};
}

Result<std::unique_ptr<Kernel>> forward(const KernelRequest& request, const Context& context) {
  PLUTO_TRY(check_supported(request));
  const Bags bags = bags_of(request, request.signature.inputs[0], request.signature.inputs[1]);
  return make_kernel(context, [=](const KernelArguments& a) {
    const std::int32_t* ids = input<std::int32_t>(a, 0);
    parallel_rows(context.threads, bags.outputs, bags.bag * bags.width,
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t o = begin; o < end; ++o) {
                      float* y = output(a, 0) + o * bags.width;
                      bool empty = true;
                      for (std::int64_t i = o * bags.bag; i < (o + 1) * bags.bag; ++i) {
                        if (!bags.has(ids[i])) continue;
                        const float* row = input(a, 1) + ids[i] * bags.width;
                        if (empty) {
                          std::copy_n(row, bags.width, y);
                        } else {
                          context.isa->accumulate(row, y, bags.width);
                        }
                        empty = false;
                      }
                      if (empty) std::fill_n(y, bags.width, 0.0f);
                    }
                  });
  });
}

// Threads share the columns, not the ids: each row has one writer and one order.
Result<std::unique_ptr<Kernel>> backward_weight(const KernelRequest& request,
                                                const Context& context) {
  PLUTO_TRY(check_supported(request));
  const Bags bags = bags_of(request, request.signature.inputs[1], request.signature.outputs[0]);
  const std::int64_t ids_count = bags.outputs * bags.bag;
  return make_kernel(context, [=](const KernelArguments& a) {
    const std::int32_t* ids = input<std::int32_t>(a, 1);
    float* dtable = output(a, 0);
    parallel_elements(context.threads, bags.rows * bags.width,
                      [&](std::int64_t begin, std::int64_t end) {
                        std::fill(dtable + begin, dtable + end, 0.0f);
                      });
    parallel_for(context.threads, bags.width, kSerialElements / ids_count + 1, 16,
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t i = 0; i < ids_count; ++i) {
                     if (!bags.has(ids[i])) continue;
                     context.isa->accumulate(input(a, 0) + i / bags.bag * bags.width + begin,
                                             dtable + ids[i] * bags.width + begin, end - begin);
                   }
                 });
  });
}

}  // namespace

void add_lookup_kernels(Registrar& registrar) {
  for (OpKind kind : {OpKind::kEmbedding, OpKind::kEmbeddingBag}) {
    registrar.add(kind, OpPass::kForward, forward);
    registrar.add(kind, OpPass::kBackwardWeight, backward_weight);
  }
}

}  // namespace pluto::cpu
