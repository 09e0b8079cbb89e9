#include "model/onnx_constant.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/tensor.h"

namespace pluto {

namespace {

using Constants = std::span<const OnnxConstant* const>;
using Evaluated = std::optional<OnnxConstant>;

const OnnxConstant* at(Constants inputs, std::size_t i) {
  return i < inputs.size() ? inputs[i] : nullptr;
}

OnnxConstant vector_of(std::vector<BatchInt> values) {
  OnnxConstant constant;
  constant.type = OnnxType::kInt64;
  constant.dims = {{static_cast<std::int64_t>(values.size()), false}};
  constant.integers = std::move(values);
  return constant;
}

std::vector<BatchInt> plain(const std::vector<std::int64_t>& values) {
  std::vector<BatchInt> result;
  for (std::int64_t value : values) result.push_back({value, false});
  return result;
}

// ---- arithmetic on whole numbers with the batch as a symbol

std::optional<BatchInt> combine(std::string_view kind, BatchInt a, BatchInt b) {
  std::int64_t value = 0;
  bool overflow = false;
  if (kind == "Mul") {
    if (a.batch && b.batch) return std::nullopt;
    overflow = __builtin_mul_overflow(a.value, b.value, &value);
    return overflow ? std::nullopt
                    : std::optional(BatchInt{value, (a.batch || b.batch) && value != 0});
  }
  if (kind == "Div") {  // truncates, as ONNX says for whole numbers
    if (b.value == 0 || (b.batch && !a.batch)) return std::nullopt;
    if (b.value == -1) return combine("Mul", a, {-1, false});
    if (a.batch && a.value % b.value != 0) return std::nullopt;
    return BatchInt{a.value / b.value, a.batch && !b.batch};
  }
  if (a.value == 0) a.batch = b.batch;
  if (b.value == 0) b.batch = a.batch;
  if (a.batch != b.batch) return std::nullopt;
  overflow = kind == "Add" ? __builtin_add_overflow(a.value, b.value, &value)
                           : __builtin_sub_overflow(a.value, b.value, &value);
  return overflow ? std::nullopt : std::optional(BatchInt{value, a.batch && value != 0});
}

// 1 or 0; nullopt when it depends on the batch. The batch is at least 1.
std::optional<BatchInt> equal(BatchInt a, BatchInt b) {
  if (a.batch == b.batch) return BatchInt{a.value == b.value, false};
  const BatchInt with = a.batch ? a : b, without = a.batch ? b : a;
  const bool same_sign = (with.value > 0) == (without.value > 0) && without.value != 0;
  if (same_sign && without.value % with.value == 0) return std::nullopt;
  return BatchInt{0, false};
}

double combine(std::string_view kind, double a, double b) {
  if (kind == "Mul") return a * b;
  if (kind == "Div") return a / b;
  if (kind == "Add") return a + b;
  if (kind == "Sub") return a - b;
  return std::pow(a, b);
}

// Operands of equal dims, or one of them a single element.
template <class T, class F>
std::optional<std::vector<T>> broadcast(const std::vector<T>& a, const std::vector<T>& b, F&& f) {
  if (a.size() != b.size() && a.size() != 1 && b.size() != 1) return std::nullopt;
  std::vector<T> result;
  const std::size_t count = a.empty() || b.empty() ? 0 : std::max(a.size(), b.size());
  for (std::size_t i = 0; i < count; ++i) {
    const std::optional<T> value = f(a[a.size() == 1 ? 0 : i], b[b.size() == 1 ? 0 : i]);
    if (!value) return std::nullopt;
    result.push_back(*value);
  }
  return result;
}

Evaluated binary(const OnnxNode& node, Constants in) {
  const OnnxConstant *a = at(in, 0), *b = at(in, 1);
  if (!a || !b) return std::nullopt;
  const bool a_shapes = a->dims.size() >= b->dims.size() && (a->scalar() ? !!b->scalar() : true);
  OnnxConstant y;
  y.type = a->type;
  y.dims = a_shapes ? a->dims : b->dims;
  if (a->integers && b->integers) {
    if (node.kind == "Pow") return std::nullopt;
    y.integers = broadcast(*a->integers, *b->integers, [&](BatchInt p, BatchInt q) {
      return node.kind == "Equal" ? equal(p, q) : combine(node.kind, p, q);
    });
    if (node.kind == "Equal") y.type = OnnxType::kBool;
    return y.integers ? Evaluated(y) : std::nullopt;
  }
  if (!a->floats || !b->floats || node.kind == "Equal") return std::nullopt;
  y.floats = broadcast(*a->floats, *b->floats,
                       [&](double p, double q) { return std::optional(combine(node.kind, p, q)); });
  return y.floats ? Evaluated(y) : std::nullopt;
}

Evaluated unary(const OnnxNode& node, Constants in) {
  const OnnxConstant* x = at(in, 0);
  if (!x) return std::nullopt;
  OnnxConstant y = *x;
  y.root.clear();
  if (x->floats) {
    for (double& value : *y.floats) {
      if (node.kind == "Sqrt") value = std::sqrt(value);
      if (node.kind == "Neg") value = -value;
      if (node.kind == "Reciprocal") value = 1 / value;
      if (node.kind == "Floor") value = std::floor(value);
    }
    return y;
  }
  if (!x->integers || (node.kind != "Neg" && node.kind != "Floor")) return std::nullopt;
  if (node.kind == "Neg") {
    for (BatchInt& value : *y.integers) {
      const auto negative = combine("Sub", {0, false}, value);
      if (!negative) return std::nullopt;
      value = *negative;
    }
  }
  return y;
}

Evaluated cast(const OnnxNode& node, Constants in) {
  OnnxConstant y = *in[0];
  y.type = static_cast<OnnxType>(static_cast<std::int32_t>(node.integer("to", 1)));
  if (is_float(y.type) && y.integers) {
    std::vector<double> floats;
    for (const BatchInt& value : *y.integers) {
      if (value.batch) return std::nullopt;
      floats.push_back(static_cast<double>(value.value));
    }
    y.floats = std::move(floats);
    y.integers.reset();
  } else if (is_integer(y.type) && y.floats) {
    constexpr double kExact = 9007199254740992.0;
    std::vector<BatchInt> integers;
    for (double value : *y.floats) {
      if (!(std::abs(value) < kExact)) return std::nullopt;
      integers.push_back({static_cast<std::int64_t>(value), false});
    }
    y.integers = std::move(integers);
    y.floats.reset();
  }
  return y;
}

// ---- shapes

Evaluated unsqueeze(const OnnxNode& node, Constants in) {
  const auto axes = axes_of(node, at(in, 1));
  if (!axes) return std::nullopt;
  OnnxConstant y = *in[0];
  const std::size_t rank = y.dims.size() + axes->size();
  std::vector<bool> added(rank);
  for (std::int64_t axis : *axes) {
    const auto position = positive_axis(axis, rank);
    if (!position || added[*position]) return std::nullopt;
    added[*position] = true;
  }
  std::vector<BatchInt> dims;
  std::size_t next = 0;
  for (std::size_t i = 0; i < rank; ++i)
    dims.push_back(added[i] ? BatchInt{1, false} : y.dims[next++]);
  y.dims = std::move(dims);
  return y;
}

Evaluated squeeze(const OnnxNode& node, Constants in) {
  OnnxConstant y = *in[0];
  const bool all = !at(in, 1) && !node.integers("axes");
  const auto axes = all ? std::vector<std::int64_t>{} : axes_of(node, at(in, 1));
  if (!axes) return std::nullopt;
  std::vector<bool> dropped(y.dims.size());
  for (std::int64_t axis : *axes) {
    const auto position = positive_axis(axis, y.dims.size());
    if (!position || y.dims[*position] != BatchInt{1, false}) return std::nullopt;
    dropped[*position] = true;
  }
  std::vector<BatchInt> dims;
  for (std::size_t i = 0; i < y.dims.size(); ++i) {
    if (!(all ? y.dims[i] == BatchInt{1, false} : dropped[i])) dims.push_back(y.dims[i]);
  }
  y.dims = std::move(dims);
  return y;
}

Result<Evaluated> reshape(Constants in) {
  OnnxConstant y = *in[0];
  const auto target = plain_integers(at(in, 1));
  if (!target || !y.plain_dims()) return Evaluated{};
  PLUTO_ASSIGN(const std::int64_t total, y.elements());
  std::vector<std::int64_t> dims = *target;
  std::int64_t known = 1;
  std::optional<std::size_t> open;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == 0 && i < y.dims.size()) dims[i] = y.dims[i].value;
    if (dims[i] == -1 && !open) {
      open = i;
    } else if (dims[i] < 1 || __builtin_mul_overflow(known, dims[i], &known)) {
      return Evaluated{};
    }
  }
  if (open) {
    if (total % known != 0) return Evaluated{};
    dims[*open] = total / known;
    known = total;
  }
  if (known != total) {
    return invalid_input(
        fmt::format("{} elements cannot be reshaped to {}", total, fmt::join(*target, "x")));
  }
  y.dims = plain(dims);
  return Evaluated(std::move(y));
}

Evaluated transpose(const OnnxNode& node, Constants in) {
  OnnxConstant y = *in[0];
  const std::size_t rank = y.dims.size();
  const auto* perm = node.integers("perm");
  std::vector<std::int64_t> order;
  for (std::size_t i = rank; i-- > 0;) order.push_back(static_cast<std::int64_t>(i));
  if (perm) order = *perm;
  if (order.size() != rank) return std::nullopt;
  std::vector<bool> seen(rank);
  for (std::size_t i = 0; i < rank; ++i) {
    if (order[i] < 0 || static_cast<std::size_t>(order[i]) >= rank || seen[order[i]])
      return std::nullopt;
    seen[order[i]] = true;
    y.dims[i] = in[0]->dims[order[i]];
  }
  if (rank != 2 || order[0] == 0) {
    return std::is_sorted(order.begin(), order.end()) ? Evaluated(y) : std::nullopt;
  }
  y.transposed = !y.transposed;
  if (y.dims[0].value != 1 && y.dims[1].value != 1) {  // contents would move
    y.integers.reset();
    y.floats.reset();
  }
  return y;
}

Evaluated gather(const OnnxNode& node, Constants in) {
  const auto indices = plain_integers(at(in, 1));
  if (!indices || !in[0]->integers || in[0]->dims.size() != 1 || node.integer("axis", 0) > 0) {
    return std::nullopt;
  }
  std::vector<BatchInt> picked;
  for (std::int64_t index : *indices) {
    const auto position = positive_axis(index, in[0]->integers->size());
    if (!position) return std::nullopt;
    picked.push_back((*in[0]->integers)[*position]);
  }
  OnnxConstant y = vector_of(std::move(picked));
  y.dims = in[1]->dims;
  return y;
}

Evaluated slice(const OnnxNode& node, Constants in) {
  const OnnxConstant& x = *in[0];
  if (!x.integers || x.dims.size() != 1) return std::nullopt;
  const auto part = [&](std::size_t input, const char* attribute) {
    if (const auto* values = node.integers(attribute)) return std::optional(*values);
    return plain_integers(at(in, input));
  };
  const auto starts = part(1, "starts"), ends = part(2, "ends"), steps = plain_integers(at(in, 4));
  if (!starts || !ends || starts->size() != 1 || ends->size() != 1) return std::nullopt;
  if (steps && *steps != std::vector<std::int64_t>{1}) return std::nullopt;
  const auto size = static_cast<std::int64_t>(x.integers->size());
  const auto clamp = [&](std::int64_t v) {
    return std::clamp<std::int64_t>(v < 0 ? v + size : v, 0, size);
  };
  const std::int64_t first = clamp((*starts)[0]), last = std::max(first, clamp((*ends)[0]));
  return vector_of({x.integers->begin() + first, x.integers->begin() + last});
}

Evaluated concat(Constants in) {
  std::vector<BatchInt> values;
  for (const OnnxConstant* part : in) {
    if (!part || !part->integers || part->dims.size() != 1) return std::nullopt;
    values.insert(values.end(), part->integers->begin(), part->integers->end());
    if (values.size() > OnnxTensor::kMaxKept) return std::nullopt;
  }
  return vector_of(std::move(values));
}

Evaluated range(Constants in) {
  std::int64_t ends[3];
  for (std::size_t i = 0; i < 3; ++i) {
    const auto value = plain_integers(at(in, i));
    if (!value || value->size() != 1) return std::nullopt;
    ends[i] = (*value)[0];
  }
  std::vector<BatchInt> values;
  if (ends[2] == 0) return std::nullopt;
  for (std::int64_t v = ends[0]; ends[2] > 0 ? v < ends[1] : v > ends[1];) {
    values.push_back({v, false});
    if (values.size() > OnnxTensor::kMaxKept || __builtin_add_overflow(v, ends[2], &v)) {
      return std::nullopt;
    }
  }
  return vector_of(std::move(values));
}

Evaluated where(Constants in) {
  const OnnxConstant *mask = at(in, 0), *yes = at(in, 1), *no = at(in, 2);
  if (!mask || !yes || !no || !mask->integers || !yes->integers || !no->integers)
    return std::nullopt;
  const std::size_t count = mask->integers->size();
  std::vector<BatchInt> values;
  for (std::size_t i = 0; i < count; ++i) {
    const auto& source = (*mask->integers)[i].value != 0 ? *yes->integers : *no->integers;
    if (source.size() != count && source.size() != 1) return std::nullopt;
    values.push_back(source[source.size() == 1 ? 0 : i]);
  }
  OnnxConstant y = vector_of(std::move(values));
  y.dims = mask->dims;
  return y;
}

// Only new leading or unit axes may grow; a weight stays one parameter.
Evaluated expand(Constants in) {
  const OnnxConstant* shape = at(in, 1);
  if (!shape || !shape->integers) return std::nullopt;
  OnnxConstant y = *in[0];
  const std::vector<BatchInt>& target = *shape->integers;
  const std::size_t rank = std::max(target.size(), y.dims.size());
  std::vector<BatchInt> dims = y.dims;
  dims.insert(dims.begin(), rank - dims.size(), BatchInt{1, false});
  for (std::size_t i = 0; i < target.size(); ++i) {
    BatchInt& dim = dims[rank - target.size() + i];
    if (target[i] == BatchInt{1, false} || target[i] == dim) continue;
    if (dim != BatchInt{1, false} || target[i].value < 1) return std::nullopt;
    dim = target[i];
  }
  y.dims = std::move(dims);
  const std::optional<double> scalar = in[0]->scalar();
  const auto plain_dims = y.plain_dims();
  y.integers.reset();
  y.floats.reset();
  if (in[0]->integers && scalar && plain_dims) {
    std::int64_t count = 1;
    for (std::int64_t dim : *plain_dims) {
      if (__builtin_mul_overflow(count, dim, &count)) return std::nullopt;
    }
    if (count <= OnnxTensor::kMaxKept) y.integers.emplace(count, in[0]->integers->front());
  }
  return y;
}

Evaluated constant_node(const OnnxNode& node) {
  for (const auto& [name, attribute] : node.attributes) {
    if (name == "value" && attribute.tensor) {
      OnnxConstant y = to_constant(*attribute.tensor);
      y.root = node.outputs.empty() ? node.name : node.outputs[0];
      return y;
    }
    OnnxConstant y;
    if (name == "value_int" && attribute.integer) {
      y = vector_of({{*attribute.integer, false}});
      y.dims.clear();
      return y;
    }
    if (name == "value_ints") return vector_of(plain(attribute.integers));
    if (name == "value_float" && attribute.number) {
      y.floats = {*attribute.number};
      return y;
    }
  }
  return std::nullopt;
}

Evaluated constant_of_shape(const OnnxNode& node, Constants in) {
  if (!in[0]->integers) return std::nullopt;
  OnnxConstant y;
  y.dims = *in[0]->integers;
  y.root = node.outputs.empty() ? node.name : node.outputs[0];
  std::optional<double> fill = 0.0;
  const auto value = node.attributes.find("value");
  if (value != node.attributes.end() && value->second.tensor) {
    y.type = value->second.tensor->type;
    fill = to_constant(*value->second.tensor).scalar();
  }
  std::int64_t count = 1;
  for (const BatchInt& dim : y.dims) {
    if (dim.value < 0) return std::nullopt;
    if (dim.batch || __builtin_mul_overflow(count, dim.value, &count)) count = kMaxElements;
  }
  if (!fill || count > OnnxTensor::kMaxKept) return y;
  if (is_integer(y.type))
    y.integers.emplace(count, BatchInt{static_cast<std::int64_t>(*fill), false});
  if (is_float(y.type)) y.floats.emplace(count, *fill);
  return y;
}

}  // namespace

std::optional<double> OnnxConstant::scalar() const {
  if (floats && floats->size() == 1) return floats->front();
  if (integers && integers->size() == 1 && !integers->front().batch) {
    return static_cast<double>(integers->front().value);
  }
  return std::nullopt;
}

Result<std::int64_t> OnnxConstant::elements() const {
  std::int64_t count = 1;
  for (const BatchInt& dim : dims) {
    if (dim.batch) continue;
    if (dim.value < 1 || __builtin_mul_overflow(count, dim.value, &count) || count > kMaxElements) {
      return invalid_input(fmt::format("'{}' has an impossible shape", root));
    }
  }
  return count;
}

std::optional<std::vector<std::int64_t>> OnnxConstant::plain_dims() const {
  std::vector<std::int64_t> result;
  for (const BatchInt& dim : dims) {
    if (dim.batch) return std::nullopt;
    result.push_back(dim.value);
  }
  return result;
}

OnnxConstant to_constant(const OnnxTensor& tensor) {
  OnnxConstant constant;
  constant.type = tensor.type;
  constant.dims = plain(tensor.dims);
  if (tensor.integers) constant.integers = plain(*tensor.integers);
  constant.floats = tensor.floats;
  constant.root = tensor.name;
  return constant;
}

std::optional<std::vector<std::int64_t>> axes_of(const OnnxNode& node, const OnnxConstant* input) {
  if (const auto* axes = node.integers("axes")) return *axes;
  return plain_integers(input);
}

std::optional<std::vector<std::int64_t>> plain_integers(const OnnxConstant* constant) {
  if (!constant || !constant->integers) return std::nullopt;
  std::vector<std::int64_t> values;
  for (const BatchInt& value : *constant->integers) {
    if (value.batch) return std::nullopt;
    values.push_back(value.value);
  }
  return values;
}

std::optional<std::size_t> positive_axis(std::int64_t axis, std::size_t rank) {
  const auto size = static_cast<std::int64_t>(rank);
  if (axis < -size || axis >= size) return std::nullopt;
  return static_cast<std::size_t>(axis < 0 ? axis + size : axis);
}

Result<std::optional<OnnxConstant>> evaluate_constant(const OnnxNode& node, Constants in) {
  const std::string& kind = node.kind;
  if (kind == "Constant") return constant_node(node);
  if (in.empty() || !in[0]) return Evaluated{};
  if (kind == "ConstantOfShape") return constant_of_shape(node, in);
  if (kind == "Identity") {
    // Another name for equal contents: exporters merge equal weights, yet each is a parameter.
    OnnxConstant y = *in[0];
    y.root = node.outputs.empty() ? node.name : node.outputs[0];
    y.transposed = false;
    return Evaluated(std::move(y));
  }
  if (kind == "Cast") return cast(node, in);
  if (kind == "Shape") {
    if (node.attributes.contains("start") || node.attributes.contains("end")) return Evaluated{};
    return Evaluated(vector_of(in[0]->dims));
  }
  if (kind == "Unsqueeze") return unsqueeze(node, in);
  if (kind == "Squeeze") return squeeze(node, in);
  if (kind == "Reshape") return reshape(in);
  if (kind == "Transpose") return transpose(node, in);
  if (kind == "Gather") return gather(node, in);
  if (kind == "Slice") return slice(node, in);
  if (kind == "Concat") return concat(in);
  if (kind == "Range") return range(in);
  if (kind == "Where") return where(in);
  if (kind == "Expand") return expand(in);
  for (const char* name : {"Add", "Sub", "Mul", "Div", "Pow", "Equal"}) {
    if (kind == name) return binary(node, in);
  }
  for (const char* name : {"Sqrt", "Neg", "Reciprocal", "Floor"}) {
    if (kind == name) return unary(node, in);
  }
  return Evaluated{};
}

}  // namespace pluto
