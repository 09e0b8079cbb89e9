#pragma once
// One door for models: a zoo name, an ONNX file or a Hugging Face config.json.

#include <string>
#include <vector>

#include "base/result.h"
#include "model/graph.h"
#include "model/zoo.h"

namespace pluto {

struct ImportedModel {
  ModelGraph model;
  std::string origin;                 ///< "zoo", "onnx", "hugging-face"
  std::vector<std::string> warnings;  ///< e.g. batch norms folded away in an inference export
};

/// `source`: a zoo name, or a path ending in .onnx or .json. Errors: kNotFound, kInvalidInput,
/// kUnsupported, each naming the node or field.
Result<ImportedModel> load_model(const std::string& source, const ZooOptions& options = {});

/// ONNX by our own wire reader; tensor contents are skipped except small integer constants that
/// shapes depend on. Batch baked into Reshape/Expand constants is recognised or refused naming the
/// node; a compute op without a shape is an error, never a partial graph. An output of one number
/// per class gets softmax cross-entropy (a final Softmax is dropped), others leave `loss` invalid
/// with a warning.
Result<ImportedModel> import_onnx(const std::string& path);

/// Hugging Face config.json: llama, qwen2, qwen3, mistral, mixtral, gpt2, bert. `sequence` tokens
/// per sample (default: the smaller of 1024 and the model's maximum). Errors: unknown model_type
/// lists the supported ones.
Result<ImportedModel> import_hf_config(const std::string& path, const ZooOptions& options = {});

}  // namespace pluto
