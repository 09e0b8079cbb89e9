#include "model/onnx_fold.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_map>

namespace pluto {

namespace {

class Folder {
 public:
  Folder(OnnxFile& file, const OnnxConstants& constants) : file_(file), constants_(constants) {
    for (std::size_t i = 0; i < file.nodes.size(); ++i) {
      for (const std::string& output : file.nodes[i].outputs) producer_.emplace(output, i);
      for (const std::string& input : file.nodes[i].inputs) ++uses_[input];
    }
    for (const OnnxValueInfo& output : file.outputs) ++uses_[output.name];
  }

  void run(std::vector<std::string>& warnings) {
    for (OnnxNode& node : file_.nodes) {
      if (node.outputs.empty()) continue;
      if (node.kind == "Add" && node.inputs.size() == 2) {
        if (!layer_norm(node) && !scaled_batch_norm(node)) bias(node);
      } else if ((node.kind == "Mul" || node.kind == "Div") && node.inputs.size() == 2) {
        if (node.kind != "Mul" || (!gelu(node) && !silu(node))) scaled_product(node);
      } else if ((node.kind == "AveragePool" || node.kind == "Conv") && !node.inputs.empty()) {
        padded(node);
      }
    }
    if (shifts_ > 0) {
      warnings.push_back(fmt::format(
          "{} batch norms and the scale and shift that follow each of them became one norm",
          shifts_));
    }
    if (gelus_ > 0) {
      warnings.push_back("gelu by the error function is trained in its tanh form");
    }
  }

 private:
  /// The producer of `name` when it is of this kind and has enough inputs.
  const OnnxNode* made_by(const std::string& name, std::string_view kind,
                          std::size_t inputs) const {
    const auto found = producer_.find(name);
    if (found == producer_.end()) return nullptr;
    const OnnxNode& node = file_.nodes[found->second];
    return node.kind == kind && node.inputs.size() >= inputs ? &node : nullptr;
  }
  const OnnxConstant* constant(const std::string& name) const {
    const auto found = constants_.find(name);
    return found == constants_.end() ? nullptr : &found->second;
  }
  bool is_scalar(const std::string& name, double value) const {
    const OnnxConstant* c = constant(name);
    const auto scalar = c ? c->scalar() : std::nullopt;
    return scalar && std::abs(*scalar - value) < 1e-3 * std::abs(value);
  }
  bool once(const std::string& name) const {
    const auto found = uses_.find(name);
    return found != uses_.end() && found->second == 1;
  }
  /// Splits (a, b) into the operand made by `kind` and the other one; both orders are tried.
  template <class F>
  bool either(const OnnxNode& node, F&& f) const {
    return f(node.inputs[0], node.inputs[1]) || f(node.inputs[1], node.inputs[0]);
  }
  /// Axis of a mean over one axis that keeps it.
  std::optional<std::int64_t> mean_axis(const OnnxNode& node) const {
    const auto axes = axes_of(node, node.inputs.size() > 1 ? constant(node.inputs[1]) : nullptr);
    if (!axes || axes->size() != 1 || node.integer("keepdims", 1) != 1) return std::nullopt;
    return axes->front();
  }

  bool layer_norm(OnnxNode& root) {
    return either(root, [&](const std::string& scaled, const std::string& beta) {
      const OnnxNode* mul = constant(beta) ? made_by(scaled, "Mul", 2) : nullptr;
      return mul && either(*mul, [&](const std::string& normed, const std::string& gamma) {
               const OnnxNode* div = constant(gamma) ? made_by(normed, "Div", 2) : nullptr;
               return div && normalized(*div, root, gamma, beta);
             });
    });
  }

  bool normalized(const OnnxNode& div, OnnxNode& root, const std::string& gamma,
                  const std::string& beta) {
    const OnnxNode* difference = made_by(div.inputs[0], "Sub", 2);
    const OnnxNode* deviation = made_by(div.inputs[1], "Sqrt", 1);
    if (!difference || !deviation) return false;
    const OnnxNode* mean = made_by(difference->inputs[1], "ReduceMean", 1);
    const OnnxNode* shifted = made_by(deviation->inputs[0], "Add", 2);
    if (!mean || mean->inputs[0] != difference->inputs[0] || !shifted) return false;
    return either(*shifted, [&](const std::string& spread, const std::string& epsilon) {
      const OnnxNode* variance = made_by(spread, "ReduceMean", 1);
      const OnnxConstant* c = constant(epsilon);
      const auto axis = mean_axis(*mean);
      if (!variance || !c || !c->scalar() || !axis || mean_axis(*variance) != axis) return false;
      if (!square_of(variance->inputs[0], *difference)) return false;
      OnnxNode folded;
      folded.name = root.name;
      folded.kind = "LayerNormalization";
      folded.inputs = {difference->inputs[0], gamma, beta};
      folded.outputs = root.outputs;
      folded.attributes["axis"].integer = *axis;
      folded.attributes["epsilon"].number = *c->scalar();
      root = std::move(folded);
      return true;
    });
  }

  /// Exporters may compute the difference twice, in equal nodes.
  bool same_difference(const std::string& name, const OnnxNode& difference) const {
    const OnnxNode* sub = made_by(name, "Sub", 2);
    return sub && sub->inputs == difference.inputs;
  }
  bool square_of(const std::string& name, const OnnxNode& difference) const {
    if (const OnnxNode* pow = made_by(name, "Pow", 2)) {
      return is_scalar(pow->inputs[1], 2) && same_difference(pow->inputs[0], difference);
    }
    const OnnxNode* mul = made_by(name, "Mul", 2);
    return mul && same_difference(mul->inputs[0], difference) &&
           same_difference(mul->inputs[1], difference);
  }

  /// x, half and the bracket, in any of the orders two products allow.
  bool gelu(OnnxNode& root) {
    return either(root, [&](const std::string& product, const std::string& third) {
      const OnnxNode* mul = made_by(product, "Mul", 2);
      if (!mul) return false;
      std::vector<std::string> factors = {mul->inputs[0], mul->inputs[1], third};
      std::sort(factors.begin(), factors.end());
      do {
        if (is_scalar(factors[0], 0.5) && gelu_bracket(factors[1], factors[2])) {
          const std::string x = factors[2];
          replace(root, "Gelu", {x});
          ++gelus_;
          return true;
        }
      } while (std::next_permutation(factors.begin(), factors.end()));
      return false;
    });
  }

  /// 1 + erf(x / sqrt 2) or 1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)).
  bool gelu_bracket(const std::string& name, const std::string& x) const {
    constexpr double kRootTwo = 1.41421356, kRootTwoOverPi = 0.79788456, kCubic = 0.044715;
    const OnnxNode* add = made_by(name, "Add", 2);
    return add && either(*add, [&](const std::string& curve, const std::string& one) {
             if (!is_scalar(one, 1)) return false;
             if (const OnnxNode* erf = made_by(curve, "Erf", 1)) {
               const OnnxNode* div = made_by(erf->inputs[0], "Div", 2);
               if (div) return div->inputs[0] == x && is_scalar(div->inputs[1], kRootTwo);
               const OnnxNode* mul = made_by(erf->inputs[0], "Mul", 2);
               return mul && either(*mul, [&](const std::string& a, const std::string& b) {
                        return a == x && is_scalar(b, 1 / kRootTwo);
                      });
             }
             const OnnxNode* tanh = made_by(curve, "Tanh", 1);
             const OnnxNode* scaled = tanh ? made_by(tanh->inputs[0], "Mul", 2) : nullptr;
             return scaled &&
                    either(*scaled, [&](const std::string& sum, const std::string& factor) {
                      const OnnxNode* plus =
                          is_scalar(factor, kRootTwoOverPi) ? made_by(sum, "Add", 2) : nullptr;
                      return plus &&
                             either(*plus, [&](const std::string& linear, const std::string& rest) {
                               const OnnxNode* cubic =
                                   linear == x ? made_by(rest, "Mul", 2) : nullptr;
                               return cubic && either(*cubic, [&](const std::string& cube,
                                                                  const std::string& k) {
                                        const OnnxNode* pow = is_scalar(k, kCubic)
                                                                  ? made_by(cube, "Pow", 2)
                                                                  : nullptr;
                                        return pow && pow->inputs[0] == x &&
                                               is_scalar(pow->inputs[1], 3);
                                      });
                             });
                    });
           });
  }

  bool silu(OnnxNode& root) {
    return either(root, [&](const std::string& x, const std::string& gate) {
      const OnnxNode* sigmoid = made_by(gate, "Sigmoid", 1);
      if (!sigmoid || sigmoid->inputs[0] != x) return false;
      const std::string input = x;
      replace(root, "Silu", {input});
      return true;
    });
  }

  /// One number per channel of an image: (C,1,1) or (1,C,1,1).
  bool per_channel(const std::string& name) const {
    const OnnxConstant* c = constant(name);
    if (!c || c->dims.size() < 3 || c->dims.size() > 4) return false;
    const BatchInt one{1, false};
    const std::size_t rank = c->dims.size();
    return c->dims[rank - 1] == one && c->dims[rank - 2] == one && (rank == 3 || c->dims[0] == one);
  }

  bool scaled_batch_norm(OnnxNode& root) {
    return either(root, [&](const std::string& scaled, const std::string& beta) {
      const OnnxNode* mul = per_channel(beta) && once(scaled) ? made_by(scaled, "Mul", 2) : nullptr;
      return mul && either(*mul, [&](const std::string& normed, const std::string& gamma) {
               const OnnxNode* norm = per_channel(gamma) && once(normed)
                                          ? made_by(normed, "BatchNormalization", 5)
                                          : nullptr;
               if (!norm || !constant(norm->inputs[1]) || !constant(norm->inputs[2])) return false;
               OnnxNode folded = *norm;
               folded.name = root.name;
               folded.inputs[1] = gamma;
               folded.inputs[2] = beta;
               folded.outputs = root.outputs;
               root = std::move(folded);
               ++shifts_;
               return true;
             });
    });
  }

  bool bias(OnnxNode& root) {
    return either(root, [&](const std::string& product, const std::string& shift) {
      const OnnxConstant* b = constant(shift);
      const OnnxNode* mul = b && once(product) ? made_by(product, "MatMul", 2) : nullptr;
      if (!mul || mul->inputs.size() != 2 || !constant(mul->inputs[1]) || b->dims.size() != 1) {
        return false;
      }
      replace(root, "MatMul", {mul->inputs[0], mul->inputs[1], shift});
      return true;
    });
  }

  bool scaled_product(OnnxNode& root) {
    const auto fold = [&](const std::string& product, const std::string& factor) {
      const OnnxConstant* c = constant(factor);
      const auto value = c ? c->scalar() : std::nullopt;
      const OnnxNode* mul = value && once(product) ? made_by(product, "MatMul", 2) : nullptr;
      if (!mul || mul->inputs.size() != 2 || constant(mul->inputs[1]) || *value == 0) return false;
      const double before = mul->number("scale", 1);
      const double after = root.kind == "Div" ? before / *value : before * *value;
      replace(root, "MatMul", {mul->inputs[0], mul->inputs[1]});
      root.attributes["scale"].number = after;
      return true;
    };
    return root.kind == "Div" ? fold(root.inputs[0], root.inputs[1]) : either(root, fold);
  }

  /// Top, left, bottom, right. Nullopt: anything but zeros around an image.
  std::optional<std::vector<std::int64_t>> zeros_around(const OnnxNode& pad) const {
    const auto operand = [&](std::size_t i) {
      return i < pad.inputs.size() ? constant(pad.inputs[i]) : nullptr;
    };
    const auto* attribute = pad.integers("pads");
    const auto pads = attribute ? std::optional(*attribute) : plain_integers(operand(1));
    const bool has_value = pad.inputs.size() > 2 && !pad.inputs[2].empty();
    const auto value = has_value && operand(2) ? operand(2)->scalar() : std::nullopt;
    if (pad.text("mode", "constant") != "constant" || pad.number("value", 0) != 0 ||
        (has_value && value != 0.0) || pad.inputs.size() > 3 || !pads || pads->size() != 8) {
      return std::nullopt;
    }
    const std::vector<std::int64_t>& p = *pads;
    const bool image = p[0] == 0 && p[1] == 0 && p[4] == 0 && p[5] == 0;
    const bool grows = std::all_of(p.begin(), p.end(), [](auto n) { return n >= 0 && n <= kMost; });
    return image && grows ? std::optional(std::vector{p[2], p[3], p[6], p[7]}) : std::nullopt;
  }

  void padded(OnnxNode& root) {
    const OnnxNode* pad = made_by(root.inputs[0], "Pad", 1);
    auto pads = pad ? zeros_around(*pad) : std::nullopt;
    const std::string automatic = root.text("auto_pad", "NOTSET");
    if (!pads || (automatic != "NOTSET" && automatic != "VALID")) return;
    const auto* attribute = automatic == "VALID" ? nullptr : root.integers("pads");
    const auto own = attribute && !attribute->empty() ? *attribute : std::vector<std::int64_t>(4);
    if (own.size() != 4) return;
    const bool pool = root.kind == "AveragePool";
    const bool inner = std::any_of(own.begin(), own.end(), [](auto n) { return n != 0; });
    if (pool && (inner || root.integer("ceil_mode", 0) != 0)) return;
    for (std::size_t i = 0; i < 4; ++i) {
      if (own[i] < 0 || own[i] > kMost) return;
      (*pads)[i] += own[i];
    }
    root.inputs[0] = pad->inputs[0];
    root.attributes["pads"].integers = std::move(*pads);
    root.attributes.erase("auto_pad");
    if (pool) root.attributes["count_include_pad"].integer = 1;
  }

  static void replace(OnnxNode& root, const char* kind, std::vector<std::string> inputs) {
    root.kind = kind;
    root.inputs = std::move(inputs);
    root.attributes.clear();
  }

  static constexpr std::int64_t kMost = 1 << 20;
  OnnxFile& file_;
  const OnnxConstants& constants_;
  std::unordered_map<std::string, std::size_t> producer_;
  std::unordered_map<std::string, int> uses_;
  int shifts_ = 0, gelus_ = 0;
};

}  // namespace

OnnxConstants constants_of(const OnnxFile& file) {
  OnnxConstants constants;
  for (const OnnxTensor& tensor : file.initializers) {
    constants.insert_or_assign(tensor.name, to_constant(tensor));
  }
  for (const OnnxNode& node : file.nodes) {
    std::vector<const OnnxConstant*> inputs;
    bool known = node.outputs.size() == 1;
    for (const std::string& name : node.inputs) {
      const auto found = constants.find(name);
      known = known && (name.empty() || found != constants.end());
      inputs.push_back(found == constants.end() ? nullptr : &found->second);
    }
    if (!known) continue;
    const auto value = evaluate_constant(node, inputs);
    if (value && *value) constants.insert_or_assign(node.outputs[0], **value);
  }
  return constants;
}

void fold_patterns(OnnxFile& file, const OnnxConstants& constants,
                   std::vector<std::string>& warnings) {
  Folder(file, constants).run(warnings);
}

}  // namespace pluto
