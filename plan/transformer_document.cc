#include <fmt/format.h>

#include <optional>

#include "plan/document_parts.h"
#include "plan/transformer_shape.h"

namespace pluto {
namespace {

// One list for both directions.
template <class Shape, class Visit>
void visit_fields(Shape& shape, Visit visit, const TransformerShape*) {
  visit("layers", shape.layers);
  visit("hidden", shape.hidden);
  visit("heads", shape.heads);
  visit("kv_heads", shape.kv_heads);
  visit("ffn", shape.ffn);
  visit("sequence", shape.sequence);
  visit("vocabulary", shape.vocabulary);
  visit("gated", shape.gated);
  visit("biases", shape.biases);
  visit("learned_positions", shape.learned_positions);
  visit("tied_embedding", shape.tied_embedding);
  visit("experts", shape.experts);
  visit("experts_per_token", shape.experts_per_token);
  visit("causal", shape.causal);
}

template <class Plan, class Visit>
void visit_fields(Plan& plan, Visit visit, const TransformerPlan*) {
  visit("data", plan.data);
  visit("tensor", plan.tensor);
  visit("pipeline", plan.pipeline);
  visit("context", plan.context);
  visit("interleave", plan.interleave);
  visit("sequence_parallel", plan.sequence_parallel);
  visit("shard", plan.shard);
  visit("micro_batch", plan.micro_batch);
  visit("global_batch", plan.global_batch);
  visit("recompute", plan.recompute);
  visit("precision", plan.precision);
  visit("attention", plan.attention);
  visit("overlap_data", plan.overlap_data);
  visit("overlap_tensor", plan.overlap_tensor);
  visit("gradient_bytes", plan.gradient_bytes);
}

Value field_value(int number) { return number; }
Value field_value(bool flag) { return flag; }
template <class Word>
Value field_value(Word word) {
  return to_text(word);
}

Result<void> read_field(ObjectReader& reader, const char* key, int& number) {
  PLUTO_ASSIGN(number, read_int(reader, key));
  return {};
}
Result<void> read_field(ObjectReader& reader, const char* key, bool& flag) {
  PLUTO_ASSIGN(flag, reader.boolean(key));
  return {};
}
template <class Word>
Result<void> read_word(ObjectReader& reader, const char* key, Word& word,
                       Result<Word> (*parse)(std::string_view)) {
  PLUTO_ASSIGN(const std::string text, reader.string(key));
  PLUTO_ASSIGN_AT(reader.place(key), word, parse(text));
  return {};
}
Result<void> read_field(ObjectReader& reader, const char* key, Recompute& word) {
  return read_word(reader, key, word, &parse_recompute);
}
Result<void> read_field(ObjectReader& reader, const char* key, TrainPrecision& word) {
  return read_word(reader, key, word, &parse_train_precision);
}
Result<void> read_field(ObjectReader& reader, const char* key, AttentionKernel& word) {
  return read_word(reader, key, word, &parse_attention_kernel);
}

template <class Document>
Value document_value(const Document& document) {
  Value value = Value::object();
  visit_fields(
      document, [&](const char* key, const auto& field) { value.set(key, field_value(field)); },
      static_cast<const Document*>(nullptr));
  return value;
}

template <class Document>
Result<Document> document_from(const Value& value, const std::string& where) {
  PLUTO_ASSIGN(ObjectReader reader, ObjectReader::open(value, where));
  Document document;
  std::optional<Error> failed;
  visit_fields(
      document,
      [&](const char* key, auto& field) {
        if (failed) return;
        const Result<void> read = read_field(reader, key, field);
        if (!read.ok()) failed = read.error();
      },
      static_cast<const Document*>(nullptr));
  if (failed) return *failed;
  PLUTO_TRY(reader.finish());
  return document;
}

}  // namespace

Value to_value(const TransformerShape& shape) { return document_value(shape); }
Value to_value(const TransformerPlan& plan) { return document_value(plan); }

Result<TransformerShape> transformer_shape_from_value(const Value& value,
                                                      const std::string& where) {
  return document_from<TransformerShape>(value, where);
}
Result<TransformerPlan> transformer_plan_from_value(const Value& value, const std::string& where) {
  return document_from<TransformerPlan>(value, where);
}

std::string to_text(const TransformerShape& shape) {
  std::string text =
      fmt::format("{} layers x {}, {} heads, sequence {}, vocabulary {}", shape.layers,
                  shape.hidden, shape.heads, shape.sequence, shape.vocabulary);
  if (shape.kv_heads != shape.heads) text += fmt::format(", {} heads of keys", shape.kv_heads);
  if (shape.experts > 1) {
    text += fmt::format(", {} of {} experts", shape.experts_per_token, shape.experts);
  }
  return text;
}

std::string to_text(const TransformerPlan& plan) {
  std::string text =
      fmt::format("data {} tensor {} pipeline {}", plan.data, plan.tensor, plan.pipeline);
  if (plan.context > 1) text += fmt::format(" context {}", plan.context);
  if (plan.interleave > 1) text += fmt::format(" interleave {}", plan.interleave);
  if (plan.shard > 0) text += fmt::format(" shard {}", plan.shard);
  text += fmt::format(", micro {} of {}, {}", plan.micro_batch, plan.global_batch,
                      to_text(plan.precision));
  if (plan.sequence_parallel) text += ", sequence parallel";
  if (plan.recompute != Recompute::kNone) {
    text += fmt::format(", recompute {}", to_text(plan.recompute));
  }
  if (plan.attention != AttentionKernel::kScores) {
    text += fmt::format(", attention {}", to_text(plan.attention));
  }
  return text;
}

}  // namespace pluto
