#include "model/op_schema.h"

#include <fmt/format.h>

#include <array>

#include "base/check.h"
#include "model/schema_families.h"

namespace pluto {
namespace {

using Table = std::array<OpSchema, kOpKindCount>;

Table make_table() {
  Table table{};
  for (const auto& family : {dense_schemas(), pool_schemas(), norm_schemas(), elementwise_schemas(),
                             shape_schemas(), sequence_schemas(), lookup_schemas(), loss_schemas(),
                             training_schemas(), stage_schemas()}) {
    for (const OpSchema& schema : family) table[static_cast<std::size_t>(schema.kind)] = schema;
  }
  for (const OpSchema& schema : table)
    PLUTO_CHECK(schema.infer != nullptr, "every op kind has a schema");
  return table;
}

Result<void> expect_updates(std::span<const TensorType> updates, std::size_t count,
                            const char* names) {
  if (updates.size() == count) return {};
  return invalid_input(fmt::format("{} updates, expected {} ({})", updates.size(), count, names));
}

Result<void> expect_shape(std::span<const TensorType> updates, const Shape& shape,
                          const char* like) {
  for (std::size_t i = 0; i < updates.size(); ++i) {
    if (updates[i].shape != shape || updates[i].batch_multiple != 0) {
      return invalid_input(fmt::format("update {} is {}, expected {} without a batch axis, as {}",
                                       i, to_text(updates[i]), to_text(shape), like));
    }
  }
  return {};
}

}  // namespace

const OpSchema& schema_of(OpKind kind) {
  static const Table table = make_table();
  return table[static_cast<std::size_t>(kind)];
}

Result<void> check_updates(OpKind kind, OpPass pass, const OpAttrs& attrs,
                           std::span<const TensorType> inputs,
                           std::span<const TensorType> updates) {
  if (pass != OpPass::kForward) return expect_updates(updates, 0, "backward nodes rewrite nothing");
  const Shape first = inputs.empty() ? Shape{} : inputs[0].shape;
  switch (kind) {
    case OpKind::kBatchNorm:
      if (updates.empty()) return {};  // a recompute copy
      PLUTO_TRY(expect_updates(updates, 2, "running_mean, running_var"));
      return expect_shape(updates, {{first.dims.empty() ? 1 : first.dims[0]}}, "the channels");
    case OpKind::kAccumulate:
      PLUTO_TRY(expect_updates(updates, 1, "acc"));
      return expect_shape(updates, first, "operand 0 (g)");
    case OpKind::kSgd:
      if (std::get<SgdAttrs>(attrs).momentum == 0) {
        PLUTO_TRY(expect_updates(updates, 1, "w"));
      } else {
        PLUTO_TRY(expect_updates(updates, 2, "w, velocity"));
      }
      return expect_shape(updates, first, "operand 0 (g)");
    case OpKind::kAdam:
      PLUTO_TRY(expect_updates(updates, 3, "w, m, v"));
      return expect_shape(updates, first, "operand 0 (g)");
    case OpKind::kAllReduce:
    case OpKind::kServerPush:
    case OpKind::kServerPull:
    case OpKind::kStageReduce:
      if (updates.empty()) return invalid_input("0 updates, expected the tensors of its bucket");
      for (std::size_t i = 0; i < updates.size(); ++i) {
        if (updates[i].batch_multiple != 0) {
          return invalid_input(
              fmt::format("update {} is {}, expected no batch axis", i, to_text(updates[i])));
        }
      }
      return {};
    default:
      return expect_updates(updates, 0, "this kind rewrites nothing");
  }
}

bool may_overwrite(const Graph& graph, const Op& op) {
  return schema_of(op.kind).alias == OpSchema::Alias::kMayOverwrite && op.outputs.size() == 1 &&
         !op.inputs.empty() && graph.tensor(op.outputs[0]).type == graph.tensor(op.inputs[0]).type;
}

}  // namespace pluto
