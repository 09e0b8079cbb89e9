#pragma once
// Built-in models by name. Every size is checked against its published parameter count and FLOPs in
// the tests.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/graph.h"

namespace pluto {

/// What a caller may change about a built-in model. Unset means the published value.
struct ZooOptions {
  std::optional<std::int64_t> channels, height, width;  ///< image models
  std::optional<std::int64_t> classes;  ///< of BERT: dropout and a head of so many, as to fine-tune
  std::optional<std::int64_t> sequence, layers, width_model, heads,
      vocabulary;  ///< sequence models
  bool operator==(const ZooOptions&) const = default;
};

/// Names: mlp lenet alexnet alexnet-one-tower vgg16 vgg19 googlenet inception-v3 resnet18
/// resnet18-cifar resnet50 resnet101 resnet152 gru-seq2seq lstm-lm gpt2 gpt2-medium gpt2-large
/// gpt2-xl gpt-small bert-base bert-large wide-deep dssm.
const std::vector<std::string>& zoo_names();
/// One line about the model: source and published parameter count.
std::string zoo_summary(const std::string& name);
/// Errors: kNotFound with the nearest name in help; kInvalidInput naming the node when the input is
/// too small for the model.
Result<ModelGraph> build_model(const std::string& name, const ZooOptions& options = {});

}  // namespace pluto
