#include "model/schema_gradient.h"

#include <fmt/format.h>

#include <algorithm>

namespace pluto {

bool GradientContext::any_wanted() const {
  return std::find(wanted_.begin(), wanted_.end(), true) != wanted_.end();
}

Result<bool> GradientContext::arrives() const {
  for (std::size_t i = 1; i < output_gradients_.size(); ++i) {
    if (output_gradients_[i]) {
      return unsupported(
          fmt::format("node {} ({}): output {} is read by a node that needs its gradient, but "
                      "only output 0 is differentiable",
                      op_.name, to_text(op_.kind), i));
    }
  }
  return !output_gradients_.empty() && output_gradients_[0].has_value();
}

void GradientContext::append(const std::string& suffix, OpKind kind, OpPass pass, OpAttrs attrs,
                             std::vector<TensorId> inputs, const std::vector<std::size_t>& of) {
  std::vector<TensorType> types;
  std::vector<TensorRole> roles;
  std::vector<std::string> names;
  for (std::size_t i : of) {
    const Tensor& tensor = builder_.tensor_at(input(i));
    const bool whole =
        wanted(i) && tensor.role == TensorRole::kParameter && builder_.base_uses(tensor.id) <= 1;
    types.push_back(tensor.type);
    roles.push_back(whole ? TensorRole::kGradient : TensorRole::kActivation);
    names.push_back(whole ? tensor.name + ".grad" : std::string());
  }
  const auto outputs = builder_.op_with_types(op_.name + "." + suffix, kind, pass, std::move(attrs),
                                              std::move(inputs), std::move(types), std::move(roles),
                                              {}, std::move(names));
  for (std::size_t k = 0; k < of.size() && k < outputs.size(); ++k) {
    if (wanted(of[k])) result_[of[k]] = outputs[k];
  }
}

}  // namespace pluto
