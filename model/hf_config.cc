#include "model/hf_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/document.h"
#include "base/text.h"
#include "model/model_source.h"

namespace pluto {

namespace {

constexpr std::int64_t kMaxWidth = 1 << 20, kMaxLayers = 10'000, kMaxHeads = 1 << 16,
                       kMaxVocabulary = 1 << 24, kMaxSequence = 1 << 24, kMaxExperts = 1 << 14;
constexpr std::int64_t kDefaultSequence = 1024;

const std::vector<std::string>& model_types() {
  static const std::vector<std::string> kTypes = {"llama",   "qwen2", "qwen3", "mistral",
                                                  "mixtral", "gpt2",  "bert"};
  return kTypes;
}

/// Reads the members that decide size. Keys nobody asks for are lawful: a config.json holds many.
class ConfigReader {
 public:
  explicit ConfigReader(ObjectReader reader) : reader_(std::move(reader)) {}

  /// Whole number in 1..most.
  Result<std::int64_t> size(std::string_view key, std::int64_t most) {
    if (!reader_.optional(key)) {
      return reader_.error(key, fmt::format("'{}' is missing", key),
                           "a config.json as published with the model states it");
    }
    PLUTO_ASSIGN(const std::int64_t value, reader_.integer(key));
    return in_range(key, value, most);
  }
  Result<std::optional<std::int64_t>> optional_size(std::string_view key, std::int64_t most) {
    PLUTO_ASSIGN(const auto value, reader_.optional_integer(key));
    if (!value) return std::optional<std::int64_t>{};
    PLUTO_ASSIGN(const std::int64_t checked, in_range(key, *value, most));
    return std::optional<std::int64_t>{checked};
  }
  Result<double> number(std::string_view key, double standard) {
    PLUTO_ASSIGN(const auto value, reader_.optional_number(key));
    if (value && *value <= 0) {
      return reader_.error(key, fmt::format("'{}' is {}, expected more than 0", key, *value));
    }
    return value.value_or(standard);
  }
  Result<bool> flag(std::string_view key, bool standard) {
    PLUTO_ASSIGN(const auto value, reader_.optional_boolean(key));
    return value.value_or(standard);
  }
  /// The activation must be one of `allowed`.
  Result<void> activation(std::string_view key, const std::vector<std::string>& allowed) {
    PLUTO_ASSIGN(const auto value, reader_.optional_string(key));
    if (!value || std::find(allowed.begin(), allowed.end(), *value) != allowed.end()) return {};
    Error error =
        reader_.error(key, fmt::format("activation '{}' is not supported here; expected {}", *value,
                                       fmt::join(allowed, ", ")));
    error.code = ErrorCode::kUnsupported;
    return error;
  }
  Error error(std::string_view key, const std::string& message, std::string help = {}) const {
    return reader_.error(key, message, std::move(help));
  }
  ObjectReader& object() { return reader_; }

 private:
  Result<std::int64_t> in_range(std::string_view key, std::int64_t value, std::int64_t most) const {
    if (value >= 1 && value <= most) return value;
    return reader_.error(key, fmt::format("'{}' is {}, expected 1 to {}", key, value, most));
  }
  ObjectReader reader_;
};

/// Tokens per sample: as asked for, else the smaller of 1024 and what the model was made for.
std::int64_t sequence_of(const ZooOptions& options, std::int64_t positions) {
  return options.sequence.value_or(std::min(kDefaultSequence, positions));
}

Result<ModelGraph> import_decoder(ConfigReader& in, const std::string& type,
                                  const ZooOptions& options, std::vector<std::string>& warnings) {
  DecoderConfig c;
  c.name = type;
  PLUTO_ASSIGN(c.hidden, in.size("hidden_size", kMaxWidth));
  PLUTO_ASSIGN(c.layers, in.size("num_hidden_layers", kMaxLayers));
  PLUTO_ASSIGN(c.intermediate, in.size("intermediate_size", kMaxWidth));
  PLUTO_ASSIGN(c.vocabulary, in.size("vocab_size", kMaxVocabulary));
  PLUTO_ASSIGN(c.heads, in.size("num_attention_heads", kMaxHeads));
  PLUTO_ASSIGN(const auto kv_heads, in.optional_size("num_key_value_heads", kMaxHeads));
  PLUTO_ASSIGN(const auto head_dim, in.optional_size("head_dim", kMaxWidth));
  PLUTO_ASSIGN(const auto positions, in.optional_size("max_position_embeddings", kMaxSequence));
  c.kv_heads = kv_heads.value_or(c.heads);
  if (c.heads % c.kv_heads != 0) {
    return in.error("num_key_value_heads",
                    fmt::format("'num_key_value_heads' {} does not divide 'num_attention_heads' {}",
                                c.kv_heads, c.heads));
  }
  if (!head_dim && type != "qwen3" && c.hidden % c.heads != 0) {
    return in.error("num_attention_heads",
                    fmt::format("'num_attention_heads' {} does not divide 'hidden_size' {}, and "
                                "'head_dim' is missing",
                                c.heads, c.hidden));
  }
  constexpr std::int64_t kQwen3HeadDim = 128;  // of its configuration class
  c.head_dim = head_dim.value_or(type == "qwen3" ? kQwen3HeadDim : c.hidden / c.heads);
  if (c.head_dim % 2 != 0) {
    return in.error("head_dim", fmt::format("heads of width {} cannot be rotated: the width is odd",
                                            c.head_dim));
  }
  c.sequence = sequence_of(options, positions.value_or(kDefaultSequence));
  if (positions && c.sequence > *positions) {
    warnings.push_back(
        fmt::format("{} tokens per sample; the model was made for {}", c.sequence, *positions));
  }
  PLUTO_TRY(in.activation("hidden_act", {"silu", "swish"}));
  PLUTO_ASSIGN(c.norm_epsilon, in.number("rms_norm_eps", c.norm_epsilon));
  PLUTO_ASSIGN(c.rope_theta, in.number("rope_theta", c.rope_theta));
  PLUTO_ASSIGN(c.stddev, in.number("initializer_range", c.stddev));
  PLUTO_ASSIGN(c.tied, in.flag("tie_word_embeddings", false));
  // Qwen2 has biases on queries, keys and values only, and no switch for them.
  PLUTO_ASSIGN(const bool bias, in.flag("attention_bias", false));
  c.qkv_bias = bias || type == "qwen2";
  c.output_bias = bias && type != "qwen2";
  PLUTO_ASSIGN(c.mlp_bias, in.flag("mlp_bias", false));
  c.head_norms = type == "qwen3";
  if (type == "mixtral") {
    PLUTO_ASSIGN(c.experts, in.size("num_local_experts", kMaxExperts));
    PLUTO_ASSIGN(c.experts_per_token, in.size("num_experts_per_tok", kMaxExperts));
    if (c.experts_per_token > c.experts) {
      return in.error("num_experts_per_tok",
                      fmt::format("'num_experts_per_tok' {} is more than 'num_local_experts' {}",
                                  c.experts_per_token, c.experts));
    }
  }
  PLUTO_ASSIGN(const auto window, in.optional_size("sliding_window", kMaxSequence));
  PLUTO_ASSIGN(const bool windowed, in.flag("use_sliding_window", type.starts_with("mi")));
  if (window && windowed && *window < c.sequence) {
    warnings.push_back(
        fmt::format("attention within a window of {} tokens is counted as attention "
                    "to all {}",
                    *window, c.sequence));
  }
  return build_decoder(c);
}

Result<ModelGraph> import_learned_positions(ConfigReader& in, const std::string& type,
                                            const ZooOptions& options,
                                            std::vector<std::string>& warnings) {
  const bool gpt = type == "gpt2";
  LearnedPositionConfig c;
  c.name = type;
  c.norm_epsilon = gpt ? 1e-5 : 1e-12;
  PLUTO_ASSIGN(c.hidden, in.size(gpt ? "n_embd" : "hidden_size", kMaxWidth));
  PLUTO_ASSIGN(c.layers, in.size(gpt ? "n_layer" : "num_hidden_layers", kMaxLayers));
  PLUTO_ASSIGN(c.heads, in.size(gpt ? "n_head" : "num_attention_heads", kMaxHeads));
  PLUTO_ASSIGN(c.vocabulary, in.size("vocab_size", kMaxVocabulary));
  PLUTO_ASSIGN(c.positions, in.size(gpt ? "n_positions" : "max_position_embeddings", kMaxSequence));
  if (gpt) {
    PLUTO_ASSIGN(const auto inner, in.optional_size("n_inner", kMaxWidth));
    c.intermediate = inner.value_or(4 * c.hidden);
    PLUTO_TRY(in.activation("activation_function", {"gelu_new", "gelu", "gelu_pytorch_tanh"}));
  } else {
    PLUTO_ASSIGN(c.intermediate, in.size("intermediate_size", kMaxWidth));
    PLUTO_ASSIGN(c.token_types, in.size("type_vocab_size", kMaxVocabulary));
    PLUTO_TRY(in.activation("hidden_act", {"gelu", "gelu_new", "gelu_pytorch_tanh"}));
  }
  if (c.hidden % c.heads != 0) {
    return in.error(gpt ? "n_head" : "num_attention_heads",
                    fmt::format("{} heads do not divide a width of {}", c.heads, c.hidden));
  }
  c.sequence = sequence_of(options, c.positions);
  if (c.sequence > c.positions) {
    return in.error(gpt ? "n_positions" : "max_position_embeddings",
                    fmt::format("a sequence of {} tokens is asked for, but the model has {} "
                                "positions",
                                c.sequence, c.positions),
                    fmt::format("ask for at most {}", c.positions));
  }
  PLUTO_ASSIGN(c.norm_epsilon,
               in.number(gpt ? "layer_norm_epsilon" : "layer_norm_eps", c.norm_epsilon));
  PLUTO_ASSIGN(c.stddev, in.number("initializer_range", c.stddev));
  PLUTO_ASSIGN(c.tied, in.flag("tie_word_embeddings", true));
  for (const char* key : {"resid_pdrop", "hidden_dropout_prob"}) {
    const Value* p = in.object().optional(key);
    if (p && p->is_number() && p->as_number() > 0) {
      warnings.push_back(fmt::format("dropout ('{}' {}) is left out", key, p->as_number()));
    }
  }
  return gpt ? build_gpt2(c) : build_bert(c);
}

Error unknown_type(const ObjectReader& reader, const std::string& type) {
  const auto near = nearest_word(type, model_types());
  Error error = reader.error(
      "model_type",
      fmt::format("model_type '{}' is not supported; supported: {}", type,
                  fmt::join(model_types(), " ")),
      near ? fmt::format("the nearest is {}; other architectures can be given as an .onnx file",
                         *near)
           : "other architectures can be given as an .onnx file");
  error.code = ErrorCode::kUnsupported;
  return error;
}

Result<void> check_options(const ZooOptions& options, const std::string& path) {
  ZooOptions rest = options;
  rest.sequence.reset();
  if (rest != ZooOptions{}) {
    return invalid_input(path +
                             ": only the sequence length can be chosen, all other sizes come "
                             "from the file",
                         "change the number in a copy of the file");
  }
  if (options.sequence && (*options.sequence < 1 || *options.sequence > kMaxSequence)) {
    return invalid_input(fmt::format("{}: a sequence of {} tokens; expected 1 to {}", path,
                                     *options.sequence, kMaxSequence));
  }
  return {};
}

}  // namespace

Result<ImportedModel> import_hf_config(const std::string& path, const ZooOptions& options) {
  PLUTO_TRY(check_options(options, path));
  PLUTO_ASSIGN(const Value document, read_document(path));
  ImportedModel imported;
  imported.origin = "hugging-face";
  PLUTO_ASSIGN(ObjectReader outer, ObjectReader::open(document, path));
  if (outer.optional("quantization_config")) {
    imported.warnings.push_back(
        "the file describes a quantised model for inference ('quantization_config'); sizes are "
        "those of the model trained in full");
  }
  ObjectReader reader = outer;
  if (outer.optional("text_config")) {
    PLUTO_ASSIGN(const Value* text, outer.object("text_config"));
    PLUTO_ASSIGN(reader, ObjectReader::open(*text, outer.place("text_config")));
    imported.warnings.push_back(
        "only the language part ('text_config') of a multimodal model is imported");
  }
  if (!reader.optional("model_type")) {
    return reader.error("model_type", "'model_type' is missing",
                        "give the config.json published with the model");
  }
  PLUTO_ASSIGN(std::string type, reader.string("model_type"));
  // Multimodal models name their language part "<type>_text".
  if (type.ends_with("_text")) type.resize(type.size() - std::string_view("_text").size());
  if (std::find(model_types().begin(), model_types().end(), type) == model_types().end()) {
    return unknown_type(reader, type);
  }
  ConfigReader config(reader);
  auto model = type == "gpt2" || type == "bert"
                   ? import_learned_positions(config, type, options, imported.warnings)
                   : import_decoder(config, type, options, imported.warnings);
  if (!model) {  // errors of fields say the place already
    const Error& error = model.error();
    return error.message.starts_with(path) ? error : with_context(error, path);
  }
  imported.model = std::move(model).value();
  return imported;
}

}  // namespace pluto
