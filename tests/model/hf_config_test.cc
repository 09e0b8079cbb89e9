#include "model/hf_config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/model_source.h"
#include "model/op_schema.h"
#include "model/training_graph.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

Result<ImportedModel> import(const std::string& json, const ZooOptions& options = {}) {
  const testing::TemporaryFolder folder;
  return import_hf_config(folder.write("config.json", json), options);
}

struct Decoder {
  std::string type;
  std::int64_t hidden, layers, intermediate, heads, kv_heads, vocabulary;
  std::string more;
};
std::string json(const Decoder& d) {
  return fmt::format(R"({{"model_type": "{}", "hidden_size": {}, "num_hidden_layers": {},
  "intermediate_size": {}, "num_attention_heads": {}, "num_key_value_heads": {}, "vocab_size": {},
  "hidden_act": "silu", "rms_norm_eps": 1e-05, "max_position_embeddings": 32768, "architectures": ["X"]{}}})",
                     d.type, d.hidden, d.layers, d.intermediate, d.heads, d.kv_heads, d.vocabulary,
                     d.more);
}

const std::string kGpt2 =
    R"({"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_ctx": 1024,
  "n_positions": 1024, "vocab_size": 50257, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-05})";
const std::string kBert = R"({"model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12,
  "num_attention_heads": 12, "intermediate_size": 3072, "hidden_act": "gelu", "vocab_size": 30522,
  "type_vocab_size": 2, "max_position_embeddings": 512, "layer_norm_eps": 1e-12})";

// Published hyper-parameters and parameter counts, in billions: the model cards of each family.
TEST(HfConfig, HasThePublishedSizes) {
  const struct {
    Decoder config;
    double billions;
  } cases[] = {
      {{"llama", 4096, 32, 14336, 32, 8, 128256, R"(, "tie_word_embeddings": false)"}, 8.030},
      {{"llama", 8192, 80, 28672, 64, 8, 128256, ""}, 70.554},
      {{"llama", 16384, 126, 53248, 128, 8, 128256, ""}, 405.853},
      {{"llama", 4096, 32, 11008, 32, 32, 32000, ""}, 6.738},
      {{"qwen3", 1024, 28, 3072, 16, 8, 151936,
        R"(, "head_dim": 128, "tie_word_embeddings": true)"},
       0.596},
      {{"qwen3", 4096, 36, 12288, 32, 8, 151936, R"(, "head_dim": 128, "attention_bias": false)"},
       8.191},
      {{"qwen3", 5120, 64, 25600, 64, 8, 151936, R"(, "head_dim": 128)"}, 32.762},
      {{"qwen2", 896, 24, 4864, 14, 2, 151936, R"(, "tie_word_embeddings": true)"}, 0.494},
      {{"qwen2", 3584, 28, 18944, 28, 4, 152064, ""}, 7.616},
      {{"mistral", 4096, 32, 14336, 32, 8, 32000, R"(, "sliding_window": 4096)"}, 7.242},
      {{"mixtral", 4096, 32, 14336, 32, 8, 32000,
        R"(, "num_local_experts": 8, "num_experts_per_tok": 2, "sliding_window": null)"},
       46.703},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(json(c.config));
    const auto imported = import(json(c.config));
    ASSERT_TRUE(imported.ok()) << imported.error().message;
    const auto& graph = imported->model.graph;
    EXPECT_NEAR(static_cast<double>(parameter_count(graph)) / 1e9, c.billions, 0.0005);
    EXPECT_EQ(imported->origin, "hugging-face");
    EXPECT_TRUE(imported->warnings.empty());
    EXPECT_EQ(graph.tensor(imported->model.logits).type.shape,
              (Shape{{1024, c.config.vocabulary}}));
  }
}

TEST(HfConfig, HasTheSizesOfGptAndBert) {
  const auto gpt2 = import(kGpt2), bert = import(kBert);
  ASSERT_TRUE(gpt2.ok()) << gpt2.error().message;
  ASSERT_TRUE(bert.ok()) << bert.error().message;
  EXPECT_EQ(parameter_count(gpt2->model.graph), 124'439'808);
  EXPECT_EQ(parameter_count(bert->model.graph), 109'514'298);  // with the masked-language head
}

TEST(HfConfig, AgreesWithTheZoo) {
  const auto work = [](const Graph& graph) {
    double flops = 0;
    for (const Op& op : graph.ops()) flops += op_work(graph, op, 1).flops.value();
    return flops;
  };
  EXPECT_EQ(work(import(kGpt2)->model.graph), work(build_model("gpt2")->graph));
  EXPECT_EQ(work(import(kBert)->model.graph), work(build_model("bert-base")->graph));
}

TEST(HfConfig, CanBeTrained) {
  ZooOptions options;
  options.sequence = 16;
  const Decoder small{"qwen3", 64, 2,   96,
                      4,       2,  100, R"(, "head_dim": 32, "tie_word_embeddings": true)"};
  const Decoder experts{
      "mixtral", 64, 2, 96, 4, 2, 100, R"(, "num_local_experts": 4, "num_experts_per_tok": 2)"};
  for (const std::string& text : {json(small), json(experts), kGpt2, kBert}) {
    const auto imported = import(text, options);
    ASSERT_TRUE(imported.ok()) << imported.error().message;
    const auto training = differentiate(imported->model, AdamAttrs{});
    ASSERT_TRUE(training.ok()) << training.error().message;
    EXPECT_EQ(training->trained.size(),
              imported->model.graph.with_role(TensorRole::kParameter).size());
  }
}

TEST(HfConfig, TreatsMissingKeyValueHeadsAsOnePerHead) {
  const auto imported = import(R"({"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1,
    "intermediate_size": 96, "num_attention_heads": 4, "vocab_size": 100})");
  ASSERT_TRUE(imported.ok()) << imported.error().message;
  const Graph& g = imported->model.graph;
  EXPECT_EQ(g.tensor(*g.find_tensor("layer0.k.weight")).type.shape, (Shape{{64, 64}}));
}

TEST(HfConfig, PutsBiasesWhereTheFamilyHasThem) {
  const auto biases = [](const std::string& type, const std::string& more) {
    const auto imported = import(json({type, 64, 1, 96, 4, 2, 100, more}));
    std::string found;
    for (const char* part : {"q", "k", "v", "o", "gate", "down"}) {
      if (imported->model.graph.find_tensor(fmt::format("layer0.{}.bias", part))) found += part;
    }
    return found;
  };
  EXPECT_EQ(biases("llama", ""), "");
  EXPECT_EQ(biases("llama", R"(, "attention_bias": true, "mlp_bias": true)"), "qkvogatedown");
  EXPECT_EQ(biases("qwen2", ""), "qkv");
  EXPECT_EQ(biases("qwen3", ""), "");
}

TEST(HfConfig, ReadsTheLanguagePartOfAMultimodalModel) {
  const std::string text = json({"qwen3_text", 64, 1, 96, 4, 2, 100, ""});
  const auto imported =
      import(R"({"model_type": "something_vl", "vision_config": {}, "text_config": )" + text + "}");
  ASSERT_TRUE(imported.ok()) << imported.error().message;
  ASSERT_EQ(imported->warnings.size(), 1u);
  EXPECT_THAT(imported->warnings[0], HasSubstr("text_config"));
}

TEST(HfConfig, WarnsAboutWhatItLeavesOut) {
  const auto quantised =
      import(json({"llama", 64, 1, 96, 4, 2, 100, R"(, "quantization_config": {"bits": 4})"}));
  ASSERT_TRUE(quantised.ok());
  EXPECT_THAT(quantised->warnings.at(0), HasSubstr("quantised"));
  const auto window = import(json({"mistral", 64, 1, 96, 4, 2, 100, R"(, "sliding_window": 256)"}));
  ASSERT_TRUE(window.ok());
  EXPECT_THAT(window->warnings.at(0), HasSubstr("window of 256 tokens"));
  // Qwen2 states a window it does not use.
  EXPECT_TRUE(import(json({"qwen2", 64, 1, 96, 4, 2, 100,
                           R"(, "sliding_window": 256, "use_sliding_window": false)"}))
                  ->warnings.empty());
}

TEST(HfConfig, NamesTheFieldThatIsWrong) {
  const struct {
    std::string json, message;
  } cases[] = {
      {R"({"model_type": "llama"})", "'hidden_size' is missing"},
      {json({"llama", 0, 1, 96, 4, 2, 100, ""}), "'hidden_size' is 0, expected 1 to"},
      {json({"llama", 64, 2'000'000, 96, 4, 2, 100, ""}), "'num_hidden_layers' is 2000000"},
      {json({"llama", 64, 1, 96, 4, 3, 100, ""}), "'num_key_value_heads' 3 does not divide"},
      {json({"llama", 66, 1, 96, 4, 2, 100, ""}),
       "'num_attention_heads' 4 does not divide 'hidden_size' 66"},
      {json({"llama", 64, 1, 96, 4, 2, 100, R"(, "head_dim": 15)"}), "the width is odd"},
      {json({"mixtral", 64, 1, 96, 4, 2, 100, ""}), "'num_local_experts' is missing"},
      {json({"mixtral", 64, 1, 96, 4, 2, 100,
             R"(, "num_local_experts": 2, "num_experts_per_tok": 3)"}),
       "'num_experts_per_tok' 3 is more than"},
      {R"({"model_type": "llama", "hidden_size": "wide"})", "hidden_size"},
      {R"({"hidden_size": 5})", "'model_type' is missing"},
      {R"(["llama"])", "config.json"},
      {R"({"model_type": "gpt2", "n_embd": 10, "n_layer": 1, "n_head": 3, "vocab_size": 9, "n_positions": 8})",
       "3 heads do not divide a width of 10"},
  };
  for (const auto& c : cases) {
    const auto imported = import(c.json);
    ASSERT_FALSE(imported.ok()) << c.json;
    EXPECT_THAT(imported.error().message, HasSubstr(c.message));
    EXPECT_THAT(imported.error().message, HasSubstr("config.json"));
  }
}

TEST(HfConfig, ListsWhatItSupportsWithTheNearest) {
  const auto imported = import(R"({"model_type": "qwen4"})");
  ASSERT_FALSE(imported.ok());
  EXPECT_EQ(imported.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(imported.error().message, HasSubstr("llama qwen2 qwen3 mistral mixtral gpt2 bert"));
  EXPECT_THAT(imported.error().help, HasSubstr("nearest is qwen"));
}

TEST(HfConfig, LetsTheCallerChooseTheSequenceOnly) {
  ZooOptions options;
  options.sequence = 2000;
  const auto longer = import(kGpt2, options);
  ASSERT_FALSE(longer.ok());
  EXPECT_THAT(longer.error().message,
              HasSubstr("2000 tokens is asked for, but the model has 1024"));
  options.sequence = 100;
  const auto imported = import(kGpt2, options);
  ASSERT_TRUE(imported.ok());
  EXPECT_EQ(imported->model.graph.tensor(imported->model.inputs[0]).type.shape, (Shape{{100}}));
  options.layers = 3;
  EXPECT_THAT(import(kGpt2, options).error().message, HasSubstr("only the sequence length"));
}

TEST(HfConfig, RefusesAnotherActivation) {
  const auto imported =
      import(R"({"model_type": "gpt2", "n_embd": 12, "n_layer": 1, "n_head": 3, "vocab_size": 9,
    "n_positions": 8, "activation_function": "relu"})");
  ASSERT_FALSE(imported.ok());
  EXPECT_THAT(imported.error().message, HasSubstr("activation 'relu'"));
}

}  // namespace
}  // namespace pluto
