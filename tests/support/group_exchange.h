#pragma once
// What the ranks of a group hold after a group node, from what they held before: by definition.

#include <gtest/gtest.h>

#include <vector>

#include "model/graph.h"

namespace pluto::testing {

/// Numbers of any element type, as float.
using Values = std::vector<float>;

/// A tensor seen as `outer` runs of `length` blocks of `inner` elements along an axis.
struct AxisView {
  std::size_t outer = 1, length = 1, inner = 1;

  AxisView(const TensorType& type, std::int64_t axis, std::int64_t micro_batch) {
    const auto samples = static_cast<std::size_t>(type.samples(micro_batch));
    const auto elements = static_cast<std::size_t>(type.shape.elements());
    if (axis == kBatchAxis) {
      length = samples;
      inner = elements;
      return;
    }
    outer = samples;
    for (std::size_t i = 0; i < type.shape.rank(); ++i) {
      const auto dim = static_cast<std::size_t>(type.shape[i]);
      if (static_cast<std::int64_t>(i) < axis) outer *= dim;
      if (static_cast<std::int64_t>(i) == axis) length = dim;
      if (static_cast<std::int64_t>(i) > axis) inner *= dim;
    }
  }
};

/// Parts joined along an axis; `whole` is the type of the result.
inline Values joined(const std::vector<Values>& parts, const TensorType& whole, std::int64_t axis,
                     std::int64_t micro_batch) {
  const AxisView view(whole, axis, micro_batch);
  const std::size_t run = view.length / parts.size() * view.inner;
  Values values;
  for (std::size_t o = 0; o < view.outer; ++o) {
    for (const Values& part : parts) {
      const auto begin = part.begin() + static_cast<std::ptrdiff_t>(o * run);
      values.insert(values.end(), begin, begin + static_cast<std::ptrdiff_t>(run));
    }
  }
  return values;
}

/// The reverse of joined().
inline std::vector<Values> parted(const Values& values, const TensorType& whole, std::int64_t axis,
                                  std::int64_t micro_batch, std::size_t parts) {
  const AxisView view(whole, axis, micro_batch);
  const std::size_t run = view.length / parts * view.inner;
  std::vector<Values> result(parts);
  for (std::size_t o = 0; o < view.outer; ++o) {
    for (std::size_t p = 0; p < parts; ++p) {
      const auto begin = values.begin() + static_cast<std::ptrdiff_t>((o * parts + p) * run);
      result[p].insert(result[p].end(), begin, begin + static_cast<std::ptrdiff_t>(run));
    }
  }
  return result;
}

/// Outputs of a group node by rank of the group. `from` and `to`: types of its operand and result.
inline std::vector<Values> exchanged(OpKind kind, const GroupAttrs& attrs, const TensorType& from,
                                     const TensorType& to, std::int64_t micro_batch,
                                     const std::vector<Values>& in) {
  const std::size_t ranks = in.size();
  EXPECT_EQ(static_cast<std::int64_t>(ranks), attrs.ranks);
  Values sum(in[0].size());
  for (const Values& values : in) {
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
  }
  std::vector<Values> out(ranks);
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    switch (kind) {
      case OpKind::kGroupCopy:
        out[rank] = in[rank];
        break;
      case OpKind::kGroupAllReduce:
        out[rank] = sum;
        break;
      case OpKind::kGroupFirst:
        out[rank] = rank == 0 ? in[0] : Values(in[0].size());
        break;
      case OpKind::kGroupAllGather:
        out[rank] = joined(in, to, attrs.axis, micro_batch);
        break;
      case OpKind::kGroupReduceScatter:
        out[rank] = parted(sum, from, attrs.axis, micro_batch, ranks)[rank];
        break;
      case OpKind::kGroupPart:
        out[rank] = parted(in[rank], from, attrs.axis, micro_batch, ranks)[rank];
        break;
      case OpKind::kGroupPlace: {
        std::vector<Values> parts(ranks, Values(in[0].size()));
        parts[rank] = in[rank];
        out[rank] = joined(parts, to, attrs.axis, micro_batch);
        break;
      }
      case OpKind::kGroupAllToAll: {
        std::vector<Values> received;
        for (const Values& values : in) {
          received.push_back(parted(values, from, attrs.cut, micro_batch, ranks)[rank]);
        }
        out[rank] = joined(received, to, attrs.axis, micro_batch);
        break;
      }
      default:
        ADD_FAILURE() << to_text(kind) << " is no group node";
    }
  }
  return out;
}

}  // namespace pluto::testing
