#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <unordered_set>

#include "base/text.h"
#include "model/model_source.h"
#include "model/onnx_file.h"
#include "model/onnx_fold.h"
#include "model/onnx_lower.h"

namespace pluto {

namespace {

constexpr const char* kExport = "export again with a fixed size for every axis but the batch";

/// One file on its way to a model.
class Importer {
 public:
  Importer(OnnxFile file, std::string name) : file_(std::move(file)), name_(std::move(name)) {}

  Result<ImportedModel> run() {
    if (file_.outputs.empty())
      return invalid_input("the graph has no outputs", "name the outputs when exporting");
    PLUTO_TRY(check_order());
    constants_ = constants_of(file_);
    find_weight_inputs();
    fold_patterns(file_, constants_, warnings_);
    find_logits();
    find_needed();
    PLUTO_TRY(find_batch());
    OnnxContext context(file_.opset, fixed_batch_);
    PLUTO_TRY(define_inputs(context));
    for (const OnnxTensor& tensor : file_.initializers) {
      context.define(tensor.name, constants_.at(tensor.name));
    }
    for (std::size_t i = 0; i < file_.nodes.size(); ++i) {
      if (needed_nodes_[i]) PLUTO_TRY(lower(context, file_.nodes[i]));
      if (context.builder().failed()) break;
    }
    return finish(context);
  }

 private:
  /// Inputs of nodes come from earlier nodes, as the format demands.
  Result<void> check_order() const {
    std::unordered_set<std::string> known = {""};
    for (const OnnxValueInfo& input : file_.inputs) known.insert(input.name);
    for (const OnnxTensor& tensor : file_.initializers) known.insert(tensor.name);
    for (const OnnxNode& node : file_.nodes) {
      for (const std::string& input : node.inputs) {
        if (!known.contains(input)) {
          return invalid_input(
              fmt::format("node '{}' ({}): operand '{}' is not made by an earlier node", node.name,
                          node.kind, input),
              "check that the file is complete, or export it again");
        }
      }
      for (const std::string& output : node.outputs) {
        if (!output.empty() && !known.insert(output).second) {
          return invalid_input(
              fmt::format("node '{}' ({}): '{}' exists already", node.name, node.kind, output),
              "export it again");
        }
      }
    }
    return {};
  }

  /// Exports without weights (torch's export_params=False) list them among the inputs.
  void find_weight_inputs() {
    static const std::map<std::string, std::size_t> first_weight = {
        {"Conv", 1}, {"Gemm", 1}, {"BatchNormalization", 1}, {"LayerNormalization", 1}};
    std::unordered_set<std::string> inputs, weights;
    for (const OnnxValueInfo& input : file_.inputs) {
      if (!constants_.contains(input.name)) inputs.insert(input.name);
    }
    for (const OnnxNode& node : file_.nodes) {
      const auto first = first_weight.find(node.kind);
      for (std::size_t i = 0; first != first_weight.end() && i < node.inputs.size(); ++i) {
        if (i >= first->second && inputs.contains(node.inputs[i])) weights.insert(node.inputs[i]);
      }
    }
    if (weights.empty()) return;
    std::vector<std::string> data;
    for (const OnnxValueInfo& input : file_.inputs) {
      if (!inputs.contains(input.name)) continue;
      const bool fixed = std::all_of(input.dims.begin(), input.dims.end(),
                                     [](const auto& dim) { return dim.has_value(); });
      // Names of weights have a module path in them: "layer1.0.conv1.weight".
      if (!weights.contains(input.name) &&
          (!fixed || !is_float(input.type) || input.name.find('.') == std::string::npos)) {
        data.push_back(input.name);
        continue;
      }
      OnnxTensor tensor;
      tensor.name = input.name;
      tensor.type = input.type;
      for (const auto& dim : input.dims) tensor.dims.push_back(dim.value_or(0));
      file_.initializers.push_back(std::move(tensor));
    }
    constants_ = constants_of(file_);
    warnings_.push_back(fmt::format("the weights are listed as inputs; only {} taken as data",
                                    fmt::join(data, ", ")));
  }

  /// A final softmax belongs to the loss.
  void find_logits() {
    logits_ = file_.outputs[0].name;
    for (bool more = true; more;) {
      more = false;
      for (std::size_t i = 0; i < file_.nodes.size(); ++i) {
        const OnnxNode& node = file_.nodes[i];
        if (node.outputs.empty() || node.outputs[0] != logits_ || node.inputs.empty()) continue;
        if (node.kind == "Softmax" || node.kind == "LogSoftmax") {
          softmax_ = i;
          logits_ = node.inputs[0];
        } else if (node.kind == "Identity") {
          logits_ = node.inputs[0];
          more = true;
        }
        break;
      }
    }
  }

  void find_needed() {
    std::unordered_set<std::string> wanted = {logits_};
    for (std::size_t i = 1; i < file_.outputs.size(); ++i) wanted.insert(file_.outputs[i].name);
    needed_nodes_.assign(file_.nodes.size(), false);
    for (std::size_t i = file_.nodes.size(); i-- > 0;) {
      const OnnxNode& node = file_.nodes[i];
      if (std::none_of(node.outputs.begin(), node.outputs.end(),
                       [&](const std::string& o) { return !o.empty() && wanted.contains(o); })) {
        continue;
      }
      needed_nodes_[i] = true;
      for (const std::string& input : node.inputs) wanted.insert(input);
    }
    for (const OnnxValueInfo& input : file_.inputs) {
      if (wanted.contains(input.name) && !constants_.contains(input.name)) data_.push_back(&input);
    }
  }

  /// The leading axis of every input is the batch.
  Result<void> find_batch() {
    if (data_.empty())
      return invalid_input("the outputs do not depend on any input", "export it again");
    for (std::size_t i = 0; i < data_.size(); ++i) {
      const OnnxValueInfo& input = *data_[i];
      if (!input.has_shape || input.dims.empty()) {
        return unsupported(fmt::format("input '{}' has no shape", input.name), kExport);
      }
      if (i == 0) fixed_batch_ = input.dims[0];
      if (input.dims[0] != fixed_batch_) {
        return unsupported(
            fmt::format("the inputs '{}' and '{}' differ in their first axis, the batch",
                        data_[0]->name, input.name),
            "export a model whose inputs all have the batch first");
      }
    }
    constexpr std::int64_t kMaxBatch = 1 << 20;
    if (fixed_batch_ && *fixed_batch_ > kMaxBatch) {
      return invalid_input(
          fmt::format("input '{}' has a batch of {}", data_[0]->name, *fixed_batch_));
    }
    return {};
  }

  Result<void> define_inputs(OnnxContext& context) {
    for (const OnnxValueInfo* input : data_) {
      OnnxActivation x;
      x.dims = {1};
      for (std::size_t i = 1; i < input->dims.size(); ++i) {
        if (!input->dims[i]) {
          return unsupported(fmt::format("input '{}' has an axis of unknown size, {} ('{}')",
                                         input->name, i, input->dim_names[i]),
                             kExport);
        }
        x.dims.push_back(*input->dims[i]);
      }
      DType dtype = DType::kF32;
      switch (input->type) {
        case OnnxType::kFloat:
          break;
        case OnnxType::kFloat16:
          dtype = DType::kF16;
          break;
        case OnnxType::kBFloat16:
          dtype = DType::kBF16;
          break;
        case OnnxType::kInt32:
        case OnnxType::kInt64:
          dtype = DType::kI32;
          break;
        default:
          return unsupported(fmt::format("input '{}' has element type {}", input->name,
                                         static_cast<int>(input->type)),
                             "export it with 32-bit floating point or whole numbers");
      }
      if (const auto valid = check_shape(x.sample_shape()); !valid) {
        return with_context(valid.error(), fmt::format("input '{}'", input->name));
      }
      x.id = context.builder().input(context.unique(input->name), x.sample_shape(), dtype);
      inputs_.push_back(x.id);
      context.define(input->name, std::move(x));
    }
    return {};
  }

  static Result<void> check_node(const OnnxNode& node) {
    for (const auto& [name, attribute] : node.attributes) {
      if (attribute.subgraph) {
        return unsupported(fmt::format("node '{}' ({}): branches and loops are not supported",
                                       node.name, node.kind),
                           "export the model by tracing, without control flow");
      }
    }
    if (!node.domain.empty() && node.domain != "ai.onnx") {
      return unsupported(fmt::format("node '{}' ({}): operators of '{}' are not supported",
                                     node.name, node.kind, node.domain),
                         "export with the standard operators only");
    }
    return {};
  }

  Result<void> lower(OnnxContext& context, const OnnxNode& node) {
    PLUTO_TRY(check_node(node));
    context.start(node);
    std::vector<const OnnxConstant*> constants;
    bool all_constant = true;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (context.has_input(i) && !context.value(i)) {
        return context.refuse(fmt::format(
            "operand '{}' is a second output of a node, which is not computed", node.inputs[i]));
      }
      constants.push_back(context.constant(i));
      all_constant = all_constant && (!context.has_input(i) || constants.back());
    }
    if (all_constant) {
      auto value = evaluate_constant(node, constants);
      if (!value) return context.refuse(value.error().message);
      if (*value) {
        context.set_output(0, std::move(**value));
        return {};
      }
      return context.refuse("its result is needed but cannot be followed from constants and shapes",
                            "export with a fixed image size, and with constant folding");
    }
    const auto rule = rules().find(node.kind);
    if (rule == rules().end()) return unknown_kind(context);
    return rule->second(context);
  }

  static const std::map<std::string_view, OnnxRule>& rules() {
    static const std::map<std::string_view, OnnxRule> rules = [] {
      std::map<std::string_view, OnnxRule> all;
      for (const OnnxRules& family :
           {onnx_dense_rules(), onnx_elementwise_rules(), onnx_shape_rules()}) {
        all.insert(family.begin(), family.end());
      }
      return all;
    }();
    return rules;
  }

  static Error unknown_kind(const OnnxContext& context) {
    std::vector<std::string> names;
    for (const auto& [name, rule] : rules()) names.emplace_back(name);
    return context.refuse("this kind of node is not supported",
                          fmt::format("supported: {}", fmt::join(names, " ")));
  }

  Result<ImportedModel> finish(OnnxContext& context) {
    GraphBuilder& builder = context.builder();
    ImportedModel imported;
    imported.origin = "onnx";
    ModelGraph& model = imported.model;
    model.name = name_;
    model.inputs = inputs_;
    if (!builder.failed()) PLUTO_TRY(add_loss(context, model));
    PLUTO_ASSIGN(model.graph, std::move(builder).build());
    warn_about_norms(model.graph);
    imported.warnings = std::move(warnings_);
    for (std::string& warning : context.warnings()) imported.warnings.push_back(std::move(warning));
    return imported;
  }

  Result<OnnxActivation> output(const OnnxContext& context, const std::string& name) const {
    const OnnxValue* value = context.find(name);
    const auto* answer = value ? std::get_if<OnnxActivation>(value) : nullptr;
    if (!answer)
      return unsupported(fmt::format("the output '{}' does not depend on any input", name));
    if (answer->scale != 1) {
      return unsupported(fmt::format("the output '{}' is multiplied by a constant", name));
    }
    return *answer;
  }

  /// One number per class: (classes), or (classes,1,1). Nullopt: anything else.
  static std::optional<std::int64_t> classes_of(OnnxContext& context,
                                                const OnnxActivation& answer) {
    const Shape shape = answer.sample_shape();
    const std::int64_t classes = shape.elements();
    if (shape.dims.empty() || shape.dims[0] != classes || classes < 2) return std::nullopt;
    if (answer.batch_axis != 0 || answer.dims[0] != 1) return std::nullopt;
    return is_floating(context.builder().type(answer.id).dtype) ? std::optional(classes)
                                                                : std::nullopt;
  }

  static TensorId flat(OnnxContext& context, const OnnxActivation& answer, std::int64_t classes) {
    if (answer.sample_shape().rank() == 1) return answer.id;
    return context.builder().forward(context.unique("logits"), OpKind::kReshape,
                                     ReshapeAttrs{{classes}}, {answer.id});
  }

  /// Softmax cross-entropy where the model answers one number per class; further outputs of that
  /// kind (auxiliary classifiers) are added.
  Result<void> add_loss(OnnxContext& context, ModelGraph& model) {
    PLUTO_ASSIGN(OnnxActivation answer, output(context, logits_));
    GraphBuilder& builder = context.builder();
    const auto classes = classes_of(context, answer);
    if (!classes) {
      if (softmax_) {
        PLUTO_TRY(lower(context, file_.nodes[*softmax_]));
        PLUTO_ASSIGN(answer, output(context, file_.nodes[*softmax_].outputs[0]));
      }
      model.logits = answer.id;
      warnings_.push_back(
          fmt::format("no loss: the output '{}' is {} per sample, not one number per class",
                      file_.outputs[0].name, to_text(answer.sample_shape())));
      return {};
    }
    model.logits = flat(context, answer, *classes);
    model.labels = builder.input(context.unique("labels"), Shape{}, DType::kI32);
    const auto loss_of = [&](TensorId logits) {
      return builder.forward(context.unique("loss"), OpKind::kSoftmaxCrossEntropy, NoAttrs{},
                             {logits, model.labels});
    };
    model.loss = loss_of(model.logits);
    for (std::size_t i = 1; i < file_.outputs.size(); ++i) {
      const std::string& name = file_.outputs[i].name;
      const auto other = output(context, name);
      if (other && classes_of(context, *other) == classes && other->id != answer.id) {
        model.loss = builder.forward(context.unique("loss"), OpKind::kAdd, AddAttrs{},
                                     {model.loss, loss_of(flat(context, *other, *classes))});
        warnings_.push_back(
            fmt::format("the output '{}' is taken for an auxiliary classifier and "
                        "counts fully in the loss",
                        name));
      } else {
        warnings_.push_back(fmt::format("the output '{}' takes no part in the loss", name));
      }
    }
    return {};
  }

  /// Inference exports fold batch norms into the convolutions before them. torch names the weights
  /// it computes on export after the node.
  void warn_about_norms(const Graph& graph) {
    constexpr const char* kHelp = "export with training=torch.onnx.TrainingMode.TRAINING";
    std::size_t convolutions = 0, biased = 0, computed = 0, norms = 0;
    for (const Op& op : graph.ops()) {
      if (op.kind == OpKind::kConv2d) {
        ++convolutions;
        biased += std::get<ConvAttrs>(op.attrs).bias ? 1 : 0;
        computed += graph.tensor(op.inputs[1]).name.starts_with("onnx::Conv_") ? 1 : 0;
      }
      norms +=
          op.kind == OpKind::kBatchNorm || op.kind == OpKind::kLayerNorm || op.kind == OpKind::kLrn;
    }
    if (computed > 0) {
      warnings_.push_back(fmt::format("the export folded norms into {} of {} convolutions; {}",
                                      computed, convolutions, kHelp));
    } else if (convolutions > 1 && convolutions == biased && norms == 0) {
      warnings_.push_back(fmt::format(
          "all {} convolutions have a bias and there is no norm: if the model has batch norms, the "
          "export folded them away; {}",
          convolutions, kHelp));
    }
  }

  OnnxFile file_;
  std::string name_, logits_;
  OnnxConstants constants_;
  std::vector<std::string> warnings_;
  std::vector<bool> needed_nodes_;
  std::vector<const OnnxValueInfo*> data_;
  std::vector<TensorId> inputs_;
  std::optional<std::size_t> softmax_;
  std::optional<std::int64_t> fixed_batch_;
};

}  // namespace

Result<ImportedModel> import_onnx(const std::string& path) {
  PLUTO_ASSIGN(OnnxFile file, read_onnx(path));
  auto imported = Importer(std::move(file), std::filesystem::path(path).stem().string()).run();
  if (!imported) return with_context(imported.error(), path);
  return imported;
}

}  // namespace pluto
