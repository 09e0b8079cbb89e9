#include "costmodel/transformer_candidates.h"

#include <fmt/format.h>

#include "costmodel/transformer_memory.h"

namespace pluto {

namespace {

constexpr int kVocabulary = 51200;
constexpr int kMicroBatches = 4;

std::string number_unless(int value, int standard) {
  return value == standard ? "" : std::to_string(value);
}
std::string word_unless(std::string_view word, std::string_view standard) {
  return word == standard ? "" : std::string(word);
}

std::string style_of(const TransformerShape& shape) {
  return shape.gated ? "llama" : shape.biases ? "" : "mpt";
}

}  // namespace

std::vector<TransformerRow> candidate_runs(const InstanceType& instance) {
  std::vector<TransformerRow> rows;
  const NodeSpec& node = instance.node;
  const bool bf16 = node.device.peak.contains(DType::kBF16);
  if (!bf16 && !node.device.peak.contains(DType::kF16)) return rows;
  const auto add = [&](const TransformerShape& shape, TransformerPlan plan) {
    plan.precision = bf16 ? TrainPrecision::kBf16 : TrainPrecision::kFp16;
    plan.global_batch = plan.data * plan.micro_batch * kMicroBatches;
    const auto memory = predict_transformer_memory(shape, plan);
    if (!memory.ok() || memory->reserved() > node.device.memory) return;
    TransformerRow row;
    row.point = {shape, plan, {instance, 1}, Seconds(0)};
    row.cluster = instance.name;
    rows.push_back(std::move(row));
  };
  for (const int layers : {8, 16, 24}) {
    for (const int hidden : {1024, 2048, 4096}) {
      for (const int sequence : {1024, 2048}) {
        const auto shape =
            TransformerShape::gpt(layers, hidden, hidden / 64, sequence, kVocabulary);
        TransformerPlan plan;
        for (plan.tensor = 1; plan.tensor <= node.devices; plan.tensor *= 2) {
          for (plan.pipeline = 1; plan.tensor * plan.pipeline <= node.devices; plan.pipeline *= 2) {
            const int most = node.devices / (plan.tensor * plan.pipeline);
            for (plan.data = 1; plan.data <= most; plan.data *= 2) {
              for (plan.micro_batch = 1; plan.micro_batch <= 8; plan.micro_batch *= 2) {
                for (const auto recompute : {Recompute::kNone, Recompute::kFull}) {
                  plan.recompute = recompute;
                  add(shape, plan);
                }
              }
            }
          }
        }
      }
    }
  }
  return rows;
}

std::string to_csv(std::span<const TransformerRow> rows) {
  std::string text =
      "cluster,layers,hidden,heads,kv_heads,ffn,sequence,vocabulary,style,experts,"
      "experts_per_token,data,tensor,pipeline,context,interleave,sequence_parallel,shard,"
      "micro_batch,global_batch,recompute,precision,attention,overlap_data,overlap_tensor,"
      "gradient_bytes,step_s\n";
  for (const TransformerRow& row : rows) {
    const TransformerShape& s = row.point.shape;
    const TransformerPlan& p = row.point.plan;
    const double step = row.point.step.value();
    text += fmt::format(
        "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n",
        row.cluster, s.layers, s.hidden, s.heads, number_unless(s.kv_heads, s.heads),
        number_unless(s.ffn, 4 * s.hidden), s.sequence, s.vocabulary, style_of(s),
        number_unless(s.experts, 1), number_unless(s.experts_per_token, 1), p.data, p.tensor,
        p.pipeline, number_unless(p.context, 1), number_unless(p.interleave, 1),
        number_unless(p.sequence_parallel, 0), number_unless(p.shard, 0), p.micro_batch,
        p.global_batch, word_unless(to_text(p.recompute), "none"), to_text(p.precision),
        word_unless(to_text(p.attention), "scores"), number_unless(p.overlap_data, 0),
        number_unless(p.overlap_tensor, 0), number_unless(p.gradient_bytes, 2),
        step > 0 ? fmt::format("{}", step) : "");
  }
  return text;
}

}  // namespace pluto
