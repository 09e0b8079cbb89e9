// embedding, embedding_bag, cosine_similarity.
#include <fmt/format.h>

#include <algorithm>

#include "model/schema_check.h"
#include "model/schema_families.h"
#include "model/schema_gradient.h"
#include "model/schema_work.h"

namespace pluto {
namespace {

using Types = std::vector<TensorType>;

// ---- embedding, embedding_bag

Result<void> check_lookup(const EmbeddingAttrs& a, const Operands& in) {
  PLUTO_TRY(check_attr("rows", a.rows, 1));
  PLUTO_TRY(check_attr("width", a.width, 1));
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.dtype(0, DType::kI32));
  PLUTO_TRY(in.floating(1));
  PLUTO_TRY(in.shape(1, {{a.rows, a.width}}, "rows, width"));
  if (in[1].batch_multiple == 0) return {};
  return invalid_input("operand 1 (table) has a batch axis, expected none");
}

Result<Types> infer_embedding(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& a = std::get<EmbeddingAttrs>(attrs);
  const Operands in(inputs, {"ids", "table"});
  PLUTO_TRY(check_lookup(a, in));
  TensorType y{in[0].shape, in[1].dtype, in[0].batch_multiple};
  y.shape.dims.push_back(a.width);
  return Types{y};
}

Result<Types> infer_embedding_bag(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& a = std::get<EmbeddingAttrs>(attrs);
  const Operands in(inputs, {"ids", "table"});
  PLUTO_TRY(check_lookup(a, in));
  PLUTO_TRY(in.rank(0, 1, "K"));
  return Types{{{{a.width}}, in[1].dtype, in[0].batch_multiple}};
}

// Forward reads one row per id, at most the whole table; a bag adds its rows. backward_weight adds
// one row per id into a dense gradient that is written in full.
OpWork work_lookup(OpPass pass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                   std::span<const TensorType> outputs, std::int64_t micro_batch, bool bag) {
  const WorkOperands operands{pass, inputs, outputs, micro_batch};
  const double width = static_cast<double>(std::get<EmbeddingAttrs>(attrs).width);
  if (!operands.forward()) return operands.work(operands.input_elements(1) * width);
  const TensorType &ids = operands.input(0), &table = operands.input(1);
  OpWork work = operands.work(bag ? operands.input_elements(0) * width : 0);
  const auto rows = std::min(static_cast<std::int64_t>(dim(table, 0)), ids.elements(micro_batch));
  const auto row_bytes = static_cast<std::int64_t>(last_dim(table)) * element_size(table.dtype);
  work.read = ids.bytes(micro_batch) + Bytes(rows * row_bytes);
  return work;
}

OpWork work_embedding(OpPass pass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                      std::span<const TensorType> outputs, std::int64_t micro_batch) {
  return work_lookup(pass, attrs, inputs, outputs, micro_batch, false);
}

OpWork work_embedding_bag(OpPass pass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                          std::span<const TensorType> outputs, std::int64_t micro_batch) {
  return work_lookup(pass, attrs, inputs, outputs, micro_batch, true);
}

void gradient_lookup(GradientContext& context) {
  const Op& op = context.op();
  if (!context.wanted(1)) return;
  context.append("backward_weight", op.kind, OpPass::kBackwardWeight, op.attrs,
                 {context.dy(), context.input(0)}, {1});
}

// ---- cosine_similarity

Result<Types> infer_cosine(const OpAttrs&, std::span<const TensorType> inputs) {
  const Operands in(inputs, {"q", "d"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  PLUTO_TRY(in.rank(0, 1, "D"));
  PLUTO_TRY(in.rank(1, 2, "N,D"));
  PLUTO_TRY(in.activation(1, {{in[1].shape[0], in[0].shape[0]}}, "N,D"));
  const std::int64_t documents = in[1].shape[0];
  return Types{{{{documents}}, in[0].dtype, in[0].batch_multiple},
               statistic({{documents + 1}}, in[0].batch_multiple)};
}

// Forward: a dot product and a sum of squares of 2 D each per document, 2 D for the query's norm,
// and 4 per document (square root, product of norms, division, scale). Backward: per document 5 D
// (dd 3, its part of dq 2), and 2 D for dq.
OpWork work_cosine(OpPass pass, const OpAttrs&, std::span<const TensorType> inputs,
                   std::span<const TensorType> outputs, std::int64_t micro_batch) {
  const WorkOperands operands{pass, inputs, outputs, micro_batch};
  const TensorType& d = operands.input(operands.forward() ? 1 : 2);
  const double documents = dim(d, 0), width = dim(d, 1);
  const double samples = static_cast<double>(d.samples(micro_batch));
  if (operands.forward()) return operands.work(samples * (documents * (4 * width + 4) + 2 * width));
  return operands.work(samples * (documents * 5 * width + 2 * width));
}

void gradient_cosine(GradientContext& context) {
  context.backward(
      {context.dy(), context.input(0), context.input(1), context.output(0), context.output(1)},
      {0, 1});
}

}  // namespace

std::vector<OpSchema> lookup_schemas() {
  return {
      {OpKind::kEmbedding, infer_embedding, work_embedding, gradient_rule<gradient_lookup>},
      {OpKind::kEmbeddingBag, infer_embedding_bag, work_embedding_bag,
       gradient_rule<gradient_lookup>},
      {OpKind::kCosineSimilarity, infer_cosine, work_cosine, gradient_rule<gradient_cosine>},
  };
}

}  // namespace pluto
