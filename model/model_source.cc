#include "model/model_source.h"

#include <fmt/format.h>

namespace pluto {

Result<ImportedModel> load_model(const std::string& source, const ZooOptions& options) {
  if (source.ends_with(".onnx")) {
    if (options != ZooOptions{}) {
      return invalid_input(fmt::format("{}: the sizes of an ONNX graph cannot be changed", source),
                           "export the model again with the sizes you want");
    }
    return import_onnx(source);
  }
  if (source.ends_with(".json")) return import_hf_config(source, options);
  auto model = build_model(source, options);
  if (!model) {
    if (source.find('/') == std::string::npos) return model.error();
    return not_found(fmt::format("'{}' is neither a built-in model nor a model file", source),
                     "model files end in .onnx or .json (a Hugging Face config.json)");
  }
  return ImportedModel{std::move(model).value(), "zoo", {}};
}

}  // namespace pluto
