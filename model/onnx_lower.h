#pragma once
// From ONNX nodes to ops of a ModelGraph, one rule per node kind.
//
// ONNX tensors carry their batch as an ordinary axis, which transpositions move and reshapes merge
// with others; ours are per sample. An activation here remembers both: its ONNX dimensions and
// where the batch is in them: an axis of outer x batch x inner elements. Row-major order without
// the batch is the sample's. A node that would mix samples is refused.

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "model/graph.h"
#include "model/onnx_constant.h"
#include "model/onnx_file.h"

namespace pluto {

/// A tensor that depends on the sample.
struct OnnxActivation {
  TensorId id;                     ///< per sample: see sample_shape()
  std::vector<std::int64_t> dims;  ///< as in ONNX; at `batch_axis` without the batch as factor
  std::size_t batch_axis = 0;
  double scale = 1;  ///< a factor still to be applied; products of matrices take it up
  /// Elements of the batch axis before the batch; divides dims[batch_axis].
  std::int64_t outer = 1;

  /// dims without the batch axis, unless that axis holds more than the batch.
  Shape sample_shape() const;
  /// Axis of the sample's shape. Nullopt: the batch axis (or out of range).
  std::optional<std::size_t> sample_axis(std::int64_t axis) const;
};
using OnnxValue = std::variant<OnnxActivation, OnnxConstant>;

/// What the rules of nodes work with: the node's operands, the graph under construction.
class OnnxContext {
 public:
  /// `fixed_batch`: the batch size written into the file; nullopt: symbolic.
  OnnxContext(std::int64_t opset, std::optional<std::int64_t> fixed_batch)
      : opset_(opset), fixed_batch_(fixed_batch) {}

  // the node being lowered
  void start(const OnnxNode& node) { node_ = &node; }
  const OnnxNode& node() const { return *node_; }
  std::size_t input_count() const { return node_->inputs.size(); }
  bool has_input(std::size_t i) const { return i < input_count() && !node_->inputs[i].empty(); }
  /// Nullptr: left out, or not known.
  const OnnxValue* value(std::size_t i) const;
  const OnnxConstant* constant(std::size_t i) const;
  const OnnxActivation* activation(std::size_t i) const;
  /// Operand i as a tensor of the sample, or as a weight. Errors: kUnsupported, naming the node.
  Result<OnnxActivation> data(std::size_t i) const;    ///< without pending scale
  Result<OnnxActivation> scaled(std::size_t i) const;  ///< may have one
  Result<OnnxActivation> image() const;  ///< operand 0: (batch, channels, height, width)
  Result<OnnxConstant> weight(std::size_t i) const;
  void set_output(std::size_t i, OnnxValue value);

  // the graph
  GraphBuilder& builder() { return builder_; }
  std::int64_t opset() const { return opset_; }
  /// The batch that numbers in the file were written for. Nullopt: symbolic, none seen yet.
  std::optional<std::int64_t> written_batch() const {
    return old_batch_ ? old_batch_ : fixed_batch_;
  }
  /// The node has `batch` where the inputs have another: they were changed after the export.
  /// Warns the first time. Errors: two such batches.
  Result<void> found_old_batch(std::int64_t batch);
  /// `name`, or with a number where it is taken.
  std::string unique(const std::string& name);
  /// Registers a name's value (graph inputs, initializers).
  void define(const std::string& name, OnnxValue value) {
    values_.insert_or_assign(name, std::move(value));
  }
  const OnnxValue* find(const std::string& name) const;
  /// The trained tensor behind `constant` in the shape a kernel wants; `transposed`: with its two
  /// axes exchanged. The same root gives the same tensor. Errors: another number of elements, or
  /// the same root in two shapes.
  Result<TensorId> parameter(const OnnxConstant& constant, Shape shape, Init init, DType dtype,
                             bool transposed = false);
  /// Running statistics.
  Result<TensorId> buffer(const OnnxConstant& constant, Shape shape, Init init);
  /// One forward op with the node's name (plus suffix); its first output.
  TensorId op(OpKind kind, OpAttrs attrs, std::vector<TensorId> inputs,
              const std::string& suffix = {}, std::vector<TensorId> updates = {});
  /// The same elements under other ONNX dimensions. No node where the sample's shape stays.
  OnnxActivation reshaped(const OnnxActivation& x, std::vector<std::int64_t> dims,
                          std::size_t batch_axis, const std::string& suffix = {});
  /// `x` with a last axis free of the batch. A file written for one sample does not tell an axis
  /// that begins with the batch from one that follows it; others keep what they say.
  OnnxActivation last_axis_free(const OnnxActivation& x) const;
  /// `constant` repeated for every sample, beside `like` (in whose dims it is given).
  Result<OnnxActivation> repeated(const OnnxConstant& constant, const OnnxActivation& like);

  std::vector<std::string>& warnings() { return warnings_; }
  std::int64_t next_dropout() { return dropouts_++; }
  /// "not done here" about this node: kUnsupported.
  Error refuse(const std::string& why, std::string help = {}) const;

 private:
  struct Parameter {
    TensorId id;
    Shape shape;
    bool transposed = false;
  };
  std::int64_t opset_;
  std::optional<std::int64_t> fixed_batch_, old_batch_;
  const OnnxNode* node_ = nullptr;
  GraphBuilder builder_;
  std::unordered_map<std::string, OnnxValue> values_;
  std::unordered_map<std::string, Parameter> parameters_;  ///< by root
  std::set<std::string> names_;
  std::vector<std::string> warnings_;
  std::int64_t dropouts_ = 0;
};

using OnnxRule = Result<void> (*)(OnnxContext&);
using OnnxRules = std::vector<std::pair<std::string_view, OnnxRule>>;
OnnxRules onnx_dense_rules();        ///< convolutions, products, norms, pools, look-ups
OnnxRules onnx_elementwise_rules();  ///< activations, sums, products, dropout
OnnxRules onnx_shape_rules();        ///< reshapes, transpositions, cuts and joins

}  // namespace pluto
