#include <fmt/format.h>

#include <utility>

#include "plan/export_trainers.h"

namespace pluto {
namespace {

constexpr const char* kVersions = "Megatron-LM core 0.12 on; run in its folder";

using Words = std::vector<ShellWord>;

void add(Words& words, const char* option, const std::string& value) {
  words.emplace_back(std::string(option) + "=" + value);
}
void add(Words& words, const char* option, std::int64_t value) {
  add(words, option, fmt::format("{}", value));
}
void add(Words& words, const char* option, double value) {
  add(words, option, to_json(Value(value), true));
}
void add_if(Words& words, bool wanted, const char* option) {
  if (wanted) words.emplace_back(option);
}

void add_model(Words& words, const TransformerShape& shape, const Plan& plan) {
  add(words, "--num-layers", std::int64_t{shape.layers});
  add(words, "--hidden-size", std::int64_t{shape.hidden});
  add(words, "--ffn-hidden-size", std::int64_t{shape.ffn});
  add(words, "--num-attention-heads", std::int64_t{shape.heads});
  if (shape.kv_heads != shape.heads) {
    words.emplace_back("--group-query-attention");
    add(words, "--num-query-groups", std::int64_t{shape.kv_heads});
  }
  add(words, "--seq-length", std::int64_t{shape.sequence});
  add(words, "--max-position-embeddings", std::int64_t{shape.sequence});
  add(words, "--position-embedding-type",
      std::string(shape.learned_positions ? "learned_absolute" : "rope"));
  add_if(words, shape.gated, "--swiglu");
  add_if(words, !shape.biases, "--disable-bias-linear");
  add_if(words, !shape.tied_embedding, "--untie-embeddings-and-output-weights");
  if (shape.experts > 1) {
    add(words, "--num-experts", std::int64_t{shape.experts});
    add(words, "--moe-router-topk", std::int64_t{shape.experts_per_token});
    add(words, "--expert-model-parallel-size", std::int64_t{plan.expert});
  }
  add(words, "--attention-backend",
      std::string(plan.attention == AttentionKernel::kScores ? "unfused" : "flash"));
}

void add_layout(Words& words, const Exported& e, const TransformerShape& shape) {
  const Plan& plan = e.plan();
  add(words, "--tensor-model-parallel-size", std::int64_t{plan.layout.tensor});
  add(words, "--pipeline-model-parallel-size", std::int64_t{plan.layout.pipeline});
  add(words, "--context-parallel-size", std::int64_t{plan.layout.context});
  if (plan.pipeline.interleave > 1) {
    add(words, "--num-layers-per-virtual-pipeline-stage",
        std::int64_t{shape.layers / (plan.layout.pipeline * plan.pipeline.interleave)});
  }
  add_if(words, plan.sequence_parallel, "--sequence-parallel");
  if (plan.layout.data * plan.layout.context > 1) {
    words.emplace_back("--overlap-grad-reduce");
    add_if(words, plan.shard == 1, "--use-distributed-optimizer");
    add_if(words, plan.shard == 1, "--overlap-param-gather");
    // Buckets of a rank; those of the plan are of the whole model.
    add(words, "--ddp-bucket-size",
        std::max<std::int64_t>(1, bucket_elements(e.projection) / plan.layout.tensor));
    if (wire_of(plan) == "bf16") {
      words.emplace_back("--grad-reduce-in-bf16");
    } else if (plan.precision == TrainPrecision::kBf16 || plan.precision == TrainPrecision::kFp8) {
      words.emplace_back("--accumulate-allreduce-grads-in-fp32");
    }
  }
  if (plan.recompute == Recompute::kSelective) {
    add(words, "--recompute-granularity", std::string("selective"));
  } else if (plan.recompute == Recompute::kFull) {
    add(words, "--recompute-granularity", std::string("full"));
    add(words, "--recompute-method", std::string("uniform"));
    add(words, "--recompute-num-layers", std::int64_t{1});
  }
  add_if(words, plan.precision == TrainPrecision::kFp16, "--fp16");
  add_if(words, plan.precision == TrainPrecision::kBf16 || plan.precision == TrainPrecision::kFp8,
         "--bf16");
  if (plan.precision == TrainPrecision::kFp8) add(words, "--fp8-format", std::string("hybrid"));
}

void add_training(Words& words, const Plan& plan) {
  add(words, "--micro-batch-size", plan.micro_batch);
  add(words, "--global-batch-size", plan.global_batch);
  const std::int64_t samples = plan.steps * plan.global_batch;
  add(words, "--train-samples", samples);
  const LearningRate& rate = plan.learning_rate;
  add(words, "--lr", rate.peak);
  add(words, "--min-lr", 0.0);
  add(words, "--lr-decay-style", std::string(to_text(rate.schedule)));
  add(words, "--lr-decay-samples", samples);
  add(words, "--lr-warmup-samples", rate.warmup_samples);
  if (const auto* sgd = std::get_if<SgdAttrs>(&plan.optimizer)) {
    add(words, "--optimizer", std::string("sgd"));
    add(words, "--sgd-momentum", sgd->momentum);
    add(words, "--weight-decay", sgd->weight_decay);
  } else {
    const auto& adam = std::get<AdamAttrs>(plan.optimizer);
    add(words, "--optimizer", std::string("adam"));
    add(words, "--adam-beta1", adam.beta1);
    add(words, "--adam-beta2", adam.beta2);
    add(words, "--adam-eps", adam.epsilon);
    add(words, "--weight-decay", adam.weight_decay);
  }
  add(words, "--clip-grad", 0.0);  // its default is 1, the plan has none
  add(words, "--seed", static_cast<std::int64_t>(plan.seed));
  if (plan.checkpoint_every > 0) {
    add(words, "--save-interval", plan.checkpoint_every);
    words.push_back(ShellWord::expression("--save=\"${CHECKPOINTS:-checkpoints}\""));
  }
  if (plan.evaluation.every > 0) add(words, "--eval-interval", plan.evaluation.every);
}

}  // namespace

Result<Files> write_megatron(const Exported& e) {
  const Plan& plan = e.plan();
  if (!e.facts.shape) {
    return invalid_input(
        fmt::format("model: {} is no transformer, and megatron has arguments for those only",
                    plan.model.source),
        "another --target, such as torchrun");
  }
  const TransformerShape& shape = *e.facts.shape;
  if (!shape.causal) {
    return invalid_input(
        fmt::format("model: {} looks both ways; the arguments are those of pretrain_gpt.py",
                    plan.model.source),
        "another --target, such as deepspeed");
  }
  ShellScript script = node_script(e, kVersions);
  script.set("CUDA_DEVICE_MAX_CONNECTIONS", "1");
  script.line("# The corpus and its tokenizer; by default made-up tokens, which measure speed.");
  const std::string made_up = fmt::format(
      "--mock-data --tokenizer-type=NullTokenizer --vocab-size={}", shape.vocabulary - 1);
  script.line("read -r -a data <<< \"${DATA:-" + made_up + "}\"");
  add_rendezvous(script, launch_size(plan));
  Words words = torchrun_words(e);
  words.push_back(ShellWord::expression("\"${TRAIN:-pretrain_gpt.py}\""));
  add_layout(words, e, shape);
  add_model(words, shape, plan);
  add_training(words, plan);
  words.push_back(ShellWord::expression("\"${data[@]}\" \"$@\""));
  script.command(words);
  return Files{{"launch.sh", script.text(), true}};
}

}  // namespace pluto
