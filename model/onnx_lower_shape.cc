// Reshape, Flatten, Transpose, Squeeze, Unsqueeze, Concat, Split, Slice, Expand, Pad, Shape.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "model/onnx_lower.h"

namespace pluto {
namespace {

using Dims = std::vector<std::int64_t>;

constexpr const char* kSymbolicBatch =
    "export again with a symbolic batch axis, e.g. torch.onnx.export(..., dynamic_axes={'input': "
    "{0: "
    "'batch'}})";

std::int64_t product(const Dims& dims, std::size_t from, std::size_t to) {
  std::int64_t result = 1;
  for (std::size_t i = from; i < to; ++i) result *= dims[i];  // below kMaxElements
  return result;
}

/// A reshape with its target resolved: dims without the batch, and where the batch is.
struct Layout {
  Dims dims;
  std::size_t batch_axis = 0;
  std::int64_t outer = 1;
  std::optional<std::int64_t> written_batch;  ///< the batch as a number of the target
};

/// Finds where the batch goes. Row-major order puts it behind the same number of elements as
/// before: at the beginning of an axis, at its end or between. Errors: a text that says why not.
class ReshapeTarget {
 public:
  ReshapeTarget(const OnnxActivation& x, std::vector<BatchInt> target, bool zero_copies,
                std::optional<std::int64_t> written_batch)
      : target_(std::move(target)), written_batch_(written_batch) {
    before_ = product(x.dims, 0, x.batch_axis) * x.outer;
    sample_ = product(x.dims, 0, x.dims.size());
    for (std::size_t i = 0; i < target_.size(); ++i) {
      if (zero_copies && target_[i] == BatchInt{0, false} && i < x.dims.size()) {
        target_[i] = {x.dims[i], i == x.batch_axis};
      }
    }
  }

  std::optional<Layout> resolve(std::string& why) const {
    std::optional<std::size_t> open, symbol;
    std::int64_t known = 1;
    for (std::size_t i = 0; i < target_.size(); ++i) {
      const BatchInt dim = target_[i];
      const bool is_open = dim == BatchInt{-1, false};
      if ((is_open && open) || (dim.batch && symbol) || (!is_open && dim.value < 1) ||
          (!is_open && __builtin_mul_overflow(known, dim.value, &known))) {
        why = "the target shape makes no sense";
        return std::nullopt;
      }
      if (is_open) open = i;
      if (dim.batch) symbol = i;
    }
    if (symbol) return at(*symbol, open, known, why);
    const std::optional<std::int64_t> old = old_batch(open, known, why);
    if (!why.empty()) return std::nullopt;
    if (const auto number = old ? old : written_batch_) {
      return with_number(*number, open, known, why);
    }
    if (open) return at(*open, open, known, why);
    why = "the target shape has a fixed size and no place for the batch";
    return std::nullopt;
  }

 private:
  Dims plain() const {
    Dims dims;
    for (const BatchInt& dim : target_) dims.push_back(dim.value);
    return dims;
  }

  /// The batch is at `axis`; `open` is what remains of the sample.
  std::optional<Layout> at(std::size_t axis, std::optional<std::size_t> open, std::int64_t known,
                           std::string& why) const {
    Layout layout{plain(), axis, 1, std::nullopt};
    if (sample_ % known != 0 || (!open && sample_ != known)) {
      why = fmt::format("{} elements per sample do not fit the target shape", sample_);
      return std::nullopt;
    }
    if (open) layout.dims[*open] = sample_ / known;
    const std::int64_t leading = product(layout.dims, 0, axis);
    layout.outer = before_ / leading;
    if (before_ % leading != 0 || layout.dims[axis] % layout.outer != 0) {
      why = kMixed;
      return std::nullopt;
    }
    return layout;
  }

  /// The batch is written into the target as a number. Only a batch of 1 leaves a choice: then an
  /// axis that begins with it.
  std::optional<Layout> with_number(std::int64_t batch, std::optional<std::size_t> open,
                                    std::int64_t known, std::string& why) const {
    std::int64_t total = 0;
    if (__builtin_mul_overflow(sample_, batch, &total) || total % known != 0 ||
        (!open && total != known)) {
      why = fmt::format("{} samples of {} elements do not fit the target shape", batch, sample_);
      return std::nullopt;
    }
    Layout layout{plain(), 0, 0, batch};
    if (open) layout.dims[*open] = total / known;
    std::int64_t leading = 1;
    for (std::size_t i = 0; i < layout.dims.size() && before_ % leading == 0; ++i) {
      const std::int64_t outer = before_ / leading;
      if (layout.dims[i] % batch == 0 && layout.dims[i] / batch % outer == 0) {
        layout.batch_axis = i;
        layout.outer = outer;
        if (outer == 1) break;
      }
      leading *= layout.dims[i];
    }
    if (layout.outer == 0) {
      why = kMixed;
      return std::nullopt;
    }
    layout.dims[layout.batch_axis] /= batch;
    return layout;
  }

  /// The input's batch was changed after the export, or made symbolic: the target holds a whole
  /// number of samples, but another one; or it leads with a number that cannot have the batch in
  /// it.
  std::optional<std::int64_t> old_batch(std::optional<std::size_t> open, std::int64_t known,
                                        std::string& why) const {
    if (!open) {
      const bool whole = known % sample_ == 0 && known / sample_ != written_batch_;
      return whole ? std::optional(known / sample_) : std::nullopt;
    }
    if (before_ != 1 || *open == 0 || target_[0].value == written_batch_) return std::nullopt;
    const std::int64_t first = target_[0].value;
    if (written_batch_ && first % *written_batch_ != 0 && sample_ % (known / first) == 0) {
      return first;
    }
    why = fmt::format("the leading number {} may be a batch size or not", first);
    return std::nullopt;
  }

  static constexpr const char* kMixed = "the batch would be mixed with other axes";
  std::vector<BatchInt> target_;
  std::optional<std::int64_t> written_batch_;
  std::int64_t before_ = 1, sample_ = 1;
};

Result<void> reshape(OnnxContext& c) {
  PLUTO_ASSIGN(const OnnxActivation x, c.scaled(0));
  std::vector<BatchInt> target;
  if (const auto* shape = c.node().integers("shape")) {  // up to operator set 4
    for (std::int64_t dim : *shape) target.push_back({dim, false});
  } else if (const OnnxConstant* input = c.constant(1); input && input->integers) {
    target = *input->integers;
  } else {
    return c.refuse("the target shape cannot be followed", kSymbolicBatch);
  }
  const bool zero_copies = c.node().integer("allowzero", 0) == 0;
  std::string why;
  const auto layout =
      ReshapeTarget(x, std::move(target), zero_copies, c.written_batch()).resolve(why);
  if (!layout) return c.refuse(why, kSymbolicBatch);
  if (layout->written_batch) PLUTO_TRY(c.found_old_batch(*layout->written_batch));
  OnnxActivation y = c.reshaped(x, layout->dims, layout->batch_axis);
  y.outer = layout->outer;
  c.set_output(0, std::move(y));
  return {};
}

Result<void> flatten(OnnxContext& c) {
  PLUTO_ASSIGN(const OnnxActivation x, c.scaled(0));
  const std::int64_t rank = static_cast<std::int64_t>(x.dims.size());
  std::int64_t axis = c.node().integer("axis", 1);
  if (axis < 0) axis += rank;
  if (axis < 1 || axis > rank || x.batch_axis >= static_cast<std::size_t>(axis)) {
    return c.refuse("the batch would be mixed with other axes");
  }
  const auto cut = static_cast<std::size_t>(axis);
  OnnxActivation y =
      c.reshaped(x, {product(x.dims, 0, cut), product(x.dims, cut, x.dims.size())}, 0);
  y.outer = product(x.dims, 0, x.batch_axis) * x.outer;
  c.set_output(0, std::move(y));
  return {};
}

Result<void> transpose(OnnxContext& c) {
  PLUTO_ASSIGN(const OnnxActivation x, c.scaled(0));
  const std::size_t rank = x.dims.size();
  Dims order;
  for (std::size_t i = rank; i-- > 0;) order.push_back(static_cast<std::int64_t>(i));
  if (const auto* perm = c.node().integers("perm")) order = *perm;
  std::vector<bool> seen(rank);
  OnnxActivation y = x;
  TransposeAttrs attrs;
  if (order.size() != rank) return c.refuse("'perm' does not have one entry per axis");
  for (std::size_t i = 0; i < rank; ++i) {
    const auto from = positive_axis(order[i], rank);
    if (!from || order[i] < 0 || seen[*from]) return c.refuse("'perm' is no permutation");
    seen[*from] = true;
    y.dims[i] = x.dims[*from];
    if (*from == x.batch_axis) y.batch_axis = i;
    // A batch axis that holds more than the batch is an axis of the sample too.
    const auto axis = *from == x.batch_axis && x.dims[*from] != 1 ? std::optional(*from)
                                                                  : x.sample_axis(order[i]);
    if (axis) attrs.permutation.push_back(static_cast<std::int64_t>(*axis));
  }
  if (!std::is_sorted(attrs.permutation.begin(), attrs.permutation.end())) {
    y.id = c.op(OpKind::kTranspose, std::move(attrs), {x.id});
  }
  c.set_output(0, std::move(y));
  return {};
}

Result<void> unsqueeze(OnnxContext& c) {
  PLUTO_ASSIGN(const OnnxActivation x, c.scaled(0));
  const auto axes = axes_of(c.node(), c.constant(1));
  if (!axes) return c.refuse("the axes are not known");
  const std::size_t rank = x.dims.size() + axes->size();
  std::vector<bool> added(rank);
  for (std::int64_t axis : *axes) {
    const auto position = positive_axis(axis, rank);
    if (!position || added[*position])
      return c.refuse(fmt::format("axis {} cannot be added", axis));
    added[*position] = true;
  }
  Dims dims;
  std::size_t batch = 0, next = 0;
  for (std::size_t i = 0; i < rank; ++i) {
    if (!added[i] && next == x.batch_axis) batch = i;
    dims.push_back(added[i] ? 1 : x.dims[next++]);
  }
  c.set_output(0, c.reshaped(x, std::move(dims), batch));
  return {};
}

Result<void> squeeze(OnnxContext& c) {
  PLUTO_ASSIGN(const OnnxActivation x, c.scaled(0));
  const bool all = !c.has_input(1) && !c.node().integers("axes");
  const auto axes = all ? Dims{} : axes_of(c.node(), c.constant(1));
  if (!axes) return c.refuse("the axes are not known");
  std::vector<bool> dropped(x.dims.size());
  for (std::int64_t axis : *axes) {
    const auto position = positive_axis(axis, x.dims.size());
    if (!position || *position == x.batch_axis || x.dims[*position] != 1) {
      return c.refuse(fmt::format("axis {} is not an axis of length 1 beside the batch", axis));
    }
    dropped[*position] = true;
  }
  Dims dims;
  std::size_t batch = 0;
  for (std::size_t i = 0; i < x.dims.size(); ++i) {
    if (i == x.batch_axis) batch = dims.size();
    if (i == x.batch_axis || !(all ? x.dims[i] == 1 : dropped[i])) dims.push_back(x.dims[i]);
  }
  c.set_output(0, c.reshaped(x, std::move(dims), batch));
  return {};
}

Result<void> concat(OnnxContext& c) {
  const OnnxActivation* like = nullptr;
  for (std::size_t i = 0; i < c.input_count(); ++i) {
    if (!like) like = c.activation(i);
  }
  if (!like) return c.refuse("no operand comes from the graph's inputs");
  OnnxActivation y = *like;
  const auto axis = y.sample_axis(c.node().integer("axis", 1));
  if (!axis) return c.refuse("the batch would be joined");
  const std::size_t position = *positive_axis(c.node().integer("axis", 1), y.dims.size());
  std::vector<TensorId> parts;
  std::int64_t total = 0;
  for (std::size_t i = 0; i < c.input_count(); ++i) {
    OnnxActivation part;
    if (const OnnxConstant* constant = c.constant(i)) {
      PLUTO_ASSIGN(part, c.repeated(*constant, y));
    } else {
      PLUTO_ASSIGN(part, c.data(i));
    }
    if (part.dims.size() != y.dims.size() || part.batch_axis != y.batch_axis ||
        part.outer != y.outer) {
      return c.refuse(fmt::format("operand {} has other axes than the first", i));
    }
    total += part.dims[position];
    parts.push_back(part.id);
  }
  if (parts.size() > 1) {
    y.id = c.op(OpKind::kConcat, AxisAttrs{static_cast<std::int64_t>(*axis)}, std::move(parts));
  }
  y.dims[position] = total;
  c.set_output(0, std::move(y));
  return {};
}

Result<void> split(OnnxContext& c) {
  PLUTO_ASSIGN(const OnnxActivation x, c.scaled(0));
  const auto axis = x.sample_axis(c.node().integer("axis", 0));
  if (!axis) return c.refuse("the batch would be cut");
  const std::size_t position = *positive_axis(c.node().integer("axis", 0), x.dims.size());
  Dims sizes;
  if (const auto* attribute = c.node().integers("split")) {
    sizes = *attribute;
  } else if (c.has_input(1)) {
    const auto input = plain_integers(c.constant(1));
    if (!input) return c.refuse("the sizes are not known");
    sizes = *input;
  } else {
    const auto parts = static_cast<std::int64_t>(c.node().outputs.size());
    const std::int64_t each = (x.dims[position] + parts - 1) / std::max<std::int64_t>(1, parts);
    for (std::int64_t i = 0; i < parts; ++i) {
      sizes.push_back(std::min(each, x.dims[position] - i * each));
    }
  }
  if (sizes.size() != c.node().outputs.size()) return c.refuse("there is not one size per output");
  const auto outputs = c.builder().op(c.unique(c.node().name), OpKind::kSplit, OpPass::kForward,
                                      SplitAttrs{static_cast<std::int64_t>(*axis), sizes}, {x.id});
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    OnnxActivation y = x;
    y.id = outputs[i];
    y.dims[position] = sizes[i];
    c.set_output(i, std::move(y));
  }
  return {};
}

Result<void> slice(OnnxContext& c) {
  PLUTO_ASSIGN(OnnxActivation y, c.scaled(0));
  const auto part = [&](std::size_t input, const char* attribute) {
    if (const auto* values = c.node().integers(attribute)) return std::optional(*values);
    return plain_integers(c.constant(input));
  };
  const auto starts = part(1, "starts"), ends = part(2, "ends");
  if (!starts || !ends || starts->size() != ends->size())
    return c.refuse("the cut is not known", kSymbolicBatch);
  auto axes = part(3, "axes");
  const auto steps = plain_integers(c.constant(4));
  if (!axes) {
    axes.emplace();
    for (std::size_t i = 0; i < starts->size(); ++i) axes->push_back(static_cast<std::int64_t>(i));
  }
  if (axes->size() != starts->size()) return c.refuse("there is not one axis per cut");
  if (steps && std::any_of(steps->begin(), steps->end(), [](std::int64_t s) { return s != 1; })) {
    return c.refuse("cuts with steps are not supported");
  }
  for (std::size_t i = 0; i < starts->size(); ++i) {
    const auto position = positive_axis((*axes)[i], y.dims.size());
    if (!position) return c.refuse(fmt::format("axis {} is out of range", (*axes)[i]));
    std::int64_t first = (*starts)[i], last = (*ends)[i];
    const auto axis = y.sample_axis((*axes)[i]);
    if (!axis) {
      if (first == 0 && last >= std::numeric_limits<std::int32_t>::max()) continue;  // all of it
      return c.refuse("the batch would be cut");
    }
    const std::int64_t size = y.dims[*position];
    const auto clamp = [size](std::int64_t v) {
      return std::clamp<std::int64_t>(v < 0 ? v + size : v, 0, size);
    };
    first = clamp(first), last = clamp(last);
    if (first >= last) return c.refuse("the cut is empty");
    if (last - first == size) continue;
    y.id = c.op(OpKind::kSlice, SliceAttrs{static_cast<std::int64_t>(*axis), first, last - first},
                {y.id}, i == 0 ? "" : fmt::format(".{}", i));
    y.dims[*position] = last - first;
  }
  c.set_output(0, std::move(y));
  return {};
}

Result<void> expand(OnnxContext& c) {
  PLUTO_ASSIGN(OnnxActivation x, c.scaled(0));
  const OnnxConstant* shape = c.constant(1);
  if (!shape || !shape->integers)
    return c.refuse("the target shape cannot be followed", kSymbolicBatch);
  const auto& target = *shape->integers;
  if (target.size() > x.dims.size()) return c.refuse("repeating an activation is not supported");
  for (std::size_t i = 0; i < target.size(); ++i) {
    const std::size_t axis = x.dims.size() - target.size() + i;
    const bool batch = axis == x.batch_axis;
    const BatchInt same{x.dims[axis], batch};
    const BatchInt number{x.dims[axis] * (batch ? c.written_batch().value_or(0) : 1), false};
    if (target[i] != same && target[i] != number && target[i] != BatchInt{1, false}) {
      return c.refuse("repeating an activation is not supported");
    }
  }
  c.set_output(0, std::move(x));
  return {};
}

Result<void> pad(OnnxContext& c) {
  PLUTO_ASSIGN(OnnxActivation x, c.scaled(0));
  const auto* attribute = c.node().integers("pads");
  const auto pads = attribute ? std::optional(*attribute) : plain_integers(c.constant(1));
  if (!pads || std::any_of(pads->begin(), pads->end(), [](std::int64_t p) { return p != 0; })) {
    return c.refuse("padding outside of a convolution or pool is not supported");
  }
  c.set_output(0, std::move(x));
  return {};
}

/// The dimensions, the batch as a symbol.
Result<void> shape(OnnxContext& c) {
  PLUTO_ASSIGN(const OnnxActivation x, c.scaled(0));
  const auto rank = static_cast<std::int64_t>(x.dims.size());
  const auto clamp = [rank](std::int64_t v) {
    return std::clamp<std::int64_t>(v < 0 ? v + rank : v, 0, rank);
  };
  const std::int64_t first = clamp(c.node().integer("start", 0));
  const std::int64_t last = clamp(c.node().integer("end", rank));
  OnnxConstant dims;
  dims.type = OnnxType::kInt64;
  dims.integers.emplace();
  for (std::int64_t i = first; i < last; ++i) {
    dims.integers->push_back(
        {x.dims[static_cast<std::size_t>(i)], static_cast<std::size_t>(i) == x.batch_axis});
  }
  dims.dims = {{static_cast<std::int64_t>(dims.integers->size()), false}};
  c.set_output(0, std::move(dims));
  return {};
}

}  // namespace

OnnxRules onnx_shape_rules() {
  return {{"Reshape", reshape}, {"Flatten", flatten},     {"Transpose", transpose},
          {"Squeeze", squeeze}, {"Unsqueeze", unsqueeze}, {"Concat", concat},
          {"Split", split},     {"Slice", slice},         {"Expand", expand},
          {"Pad", pad},         {"Shape", shape}};
}

}  // namespace pluto
