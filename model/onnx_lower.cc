#include "model/onnx_lower.h"

#include <fmt/format.h>

namespace pluto {

Shape OnnxActivation::sample_shape() const {
  Shape shape;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (i != batch_axis || dims[i] != 1) shape.dims.push_back(dims[i]);
  }
  return shape;
}

std::optional<std::size_t> OnnxActivation::sample_axis(std::int64_t axis) const {
  const auto position = positive_axis(axis, dims.size());
  if (!position || *position == batch_axis) return std::nullopt;
  return *position > batch_axis && dims[batch_axis] == 1 ? *position - 1 : *position;
}

const OnnxValue* OnnxContext::find(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

const OnnxValue* OnnxContext::value(std::size_t i) const {
  return has_input(i) ? find(node_->inputs[i]) : nullptr;
}

const OnnxConstant* OnnxContext::constant(std::size_t i) const {
  const OnnxValue* v = value(i);
  return v ? std::get_if<OnnxConstant>(v) : nullptr;
}

const OnnxActivation* OnnxContext::activation(std::size_t i) const {
  const OnnxValue* v = value(i);
  return v ? std::get_if<OnnxActivation>(v) : nullptr;
}

Result<OnnxActivation> OnnxContext::scaled(std::size_t i) const {
  if (const OnnxActivation* a = activation(i)) return *a;
  return refuse(fmt::format("operand {} does not come from the graph's inputs", i));
}

Result<OnnxActivation> OnnxContext::data(std::size_t i) const {
  PLUTO_ASSIGN(OnnxActivation a, scaled(i));
  if (a.scale == 1) return a;
  return refuse(
      fmt::format("operand {} is multiplied by a constant, which only feeds into a product "
                  "of matrices here",
                  i));
}

Result<OnnxActivation> OnnxContext::image() const {
  PLUTO_ASSIGN(OnnxActivation x, data(0));
  constexpr std::size_t kRank = 4;
  if (x.dims.size() == kRank && x.batch_axis == 0 && x.dims[0] == 1) return x;
  return refuse(
      "operand 0 is not (batch, channels, height, width); other dimensions are not supported");
}

Result<OnnxConstant> OnnxContext::weight(std::size_t i) const {
  if (const OnnxConstant* c = constant(i)) {
    if (is_float(c->type) && !c->root.empty()) return *c;
    return refuse(fmt::format("operand {} is not a weight", i));
  }
  return refuse(
      fmt::format("operand {} is computed in the graph; only stored weights are supported", i));
}

void OnnxContext::set_output(std::size_t i, OnnxValue value) {
  if (i < node_->outputs.size() && !node_->outputs[i].empty())
    define(node_->outputs[i], std::move(value));
}

std::string OnnxContext::unique(const std::string& name) {
  std::string result = name;
  for (int n = 1; !names_.insert(result).second; ++n) result = fmt::format("{}_{}", name, n);
  return result;
}

Result<TensorId> OnnxContext::parameter(const OnnxConstant& constant, Shape shape, Init init,
                                        DType dtype, bool transposed) {
  const auto elements = constant.elements();
  if (!elements) return refuse(elements.error().message);
  if (!check_shape(shape) || *elements != shape.elements()) {
    return refuse(fmt::format("the weight '{}' has {} elements, expected {}", constant.root,
                              *elements, to_text(shape)));
  }
  const bool turned = transposed != constant.transposed;
  const auto found = parameters_.find(constant.root);
  if (found == parameters_.end()) {
    const TensorId id = builder_.parameter(unique(constant.root), shape, init, dtype);
    parameters_.emplace(constant.root, Parameter{id, std::move(shape), turned});
    return id;
  }
  if (found->second.shape == shape && found->second.transposed == turned) return found->second.id;
  return refuse(fmt::format("the weight '{}' is used in two layouts, {} and {}", constant.root,
                            to_text(found->second.shape), to_text(shape)));
}

Result<TensorId> OnnxContext::buffer(const OnnxConstant& constant, Shape shape, Init init) {
  const auto elements = constant.elements();
  if (!elements || *elements != shape.elements()) {
    return refuse(
        fmt::format("the statistic '{}' is not of shape {}", constant.root, to_text(shape)));
  }
  return builder_.tensor(unique(constant.root), TensorRole::kBuffer,
                         TensorType{std::move(shape), DType::kF32, 0}, init);
}

TensorId OnnxContext::op(OpKind kind, OpAttrs attrs, std::vector<TensorId> inputs,
                         const std::string& suffix, std::vector<TensorId> updates) {
  return builder_
      .op(unique(node_->name + suffix), kind, OpPass::kForward, std::move(attrs), std::move(inputs),
          std::move(updates))
      .front();
}

OnnxActivation OnnxContext::reshaped(const OnnxActivation& x, std::vector<std::int64_t> dims,
                                     std::size_t batch_axis, const std::string& suffix) {
  OnnxActivation y{x.id, std::move(dims), batch_axis, x.scale, x.outer};
  const Shape shape = y.sample_shape();
  if (shape != x.sample_shape())
    y.id = op(OpKind::kReshape, ReshapeAttrs{shape.dims}, {x.id}, suffix);
  return y;
}

OnnxActivation OnnxContext::last_axis_free(const OnnxActivation& x) const {
  const bool last = x.batch_axis > 0 && x.batch_axis + 1 == x.dims.size();
  if (!last || x.outer != 1 || written_batch() != 1 || x.dims[x.batch_axis - 1] == 1) return x;
  OnnxActivation y = x;
  y.batch_axis = x.batch_axis - 1;
  y.outer = x.dims[y.batch_axis];
  return y;
}

Result<void> OnnxContext::found_old_batch(std::int64_t batch) {
  if (batch == written_batch()) return {};
  if (old_batch_) {
    return refuse(
        fmt::format("it is written for a batch of {}, nodes before it for {}", batch, *old_batch_));
  }
  old_batch_ = batch;
  warnings_.push_back(fmt::format(
      "node '{}' ({}) still has the batch of the export, {}; read as the batch, there and in the "
      "nodes after it",
      node_->name, node_->kind, batch));
  return {};
}

Result<OnnxActivation> OnnxContext::repeated(const OnnxConstant& constant,
                                             const OnnxActivation& like) {
  OnnxActivation y = like;
  if (constant.dims.size() != like.dims.size() || like.dims[like.batch_axis] != 1) {
    return refuse("a weight beside an activation has another number of axes");
  }
  for (std::size_t i = 0; i < y.dims.size(); ++i) {
    const BatchInt dim = constant.dims[i];
    if (i != y.batch_axis) {
      if (dim.batch || dim.value < 1)
        return refuse("a weight is repeated along an axis that is not the batch");
      y.dims[i] = dim.value;
    } else if (dim.batch ? dim.value != 1 : dim.value < 1) {
      return refuse("a weight is not repeated once per sample");
    } else if (!dim.batch) {
      PLUTO_TRY(found_old_batch(dim.value));
    }
  }
  // A row of zeros for every sample, cut from the neighbour, to which the weight is added. A factor
  // of zero makes it independent of the neighbour.
  const TensorType type = builder_.type(like.id);
  OnnxConstant view = constant;
  view.dims = {};
  const Shape shape = y.sample_shape();
  const std::int64_t count = shape.elements();
  view.dims.push_back({count, false});
  PLUTO_ASSIGN(const TensorId table,
               parameter(view, Shape{{1, count}}, {Init::Kind::kZeros, 0}, type.dtype));
  const std::int64_t available = type.shape.elements();
  if (available < count) return refuse("the weight is larger than the activation beside it");
  const TensorId flat = op(OpKind::kReshape, ReshapeAttrs{{1, available}}, {like.id}, ".flat");
  const TensorId one = op(OpKind::kSlice, SliceAttrs{1, 0, 1}, {flat}, ".one");
  const TensorId row = op(OpKind::kSlice, SliceAttrs{1, 0, count}, {flat}, ".row");
  const TensorId zeros = op(OpKind::kMatMul, MatMulAttrs{false, false, 0}, {one, row}, ".zero");
  y.id = op(OpKind::kPositionAdd, NoAttrs{}, {zeros, table}, ".repeat");
  y.id = op(OpKind::kReshape, ReshapeAttrs{shape.dims}, {y.id}, ".shape");
  return y;
}

Error OnnxContext::refuse(const std::string& why, std::string help) const {
  return unsupported(fmt::format("node '{}' ({}): {}", node_->name, node_->kind, why),
                     std::move(help));
}

}  // namespace pluto
