#include <gmock/gmock.h>

#include "plan/export_trainers.h"
#include "tests/plan/export_cases.h"

namespace pluto {
namespace {

using testing::has_word;
using testing::option_of;
using enum ExportTarget;

testing::ExportCase gpt() {
  testing::ExportCase c;
  c.facts.shape = TransformerShape::gpt(24, 2048, 16, 2048, 51200);
  c.plan.layout = {2, 4, 2, 1};
  c.plan.pipeline.interleave = 3;
  c.plan.micro_batch = 4;
  c.plan.accumulation = 16;
  c.plan.sequence_parallel = true;
  c.plan.precision = TrainPrecision::kBf16;
  c.plan.recompute = Recompute::kSelective;
  c.plan.shard = 1;
  c.plan.buckets.front().method = SyncMethod::kShard;
  return c;
}

std::vector<std::string> arguments(const testing::ExportCase& c) {
  return testing::command_of(testing::file_of(c.files({kMegatron, {}}), "launch.sh"),
                             "exec torchrun");
}

TEST(ExportMegatronTest, ArgumentsAreThePlan) {
  const testing::ExportCase c = gpt();
  const auto words = arguments(c);
  const auto whole = [&](const char* option) { return std::stoll(option_of(words, option)); };
  EXPECT_EQ(whole("--tensor-model-parallel-size"), 4);
  EXPECT_EQ(whole("--pipeline-model-parallel-size"), 2);
  EXPECT_EQ(whole("--context-parallel-size"), 1);
  EXPECT_EQ(whole("--num-layers-per-virtual-pipeline-stage"), 4) << "24 layers, 2 x 3 chunks";
  EXPECT_EQ(whole("--micro-batch-size"), 4);
  EXPECT_EQ(whole("--global-batch-size"), 128);
  EXPECT_EQ(whole("--train-samples"), 128000);
  EXPECT_EQ(whole("--lr-warmup-samples"), 12800);
  EXPECT_EQ(option_of(words, "--lr-decay-style"), "cosine");
  EXPECT_EQ(std::stod(option_of(words, "--lr")), 3e-4);
  EXPECT_EQ(option_of(words, "--recompute-granularity"), "selective");
  EXPECT_EQ(whole("--ddp-bucket-size"), (std::int64_t{25} << 20) / 4 / 4) << "of a tensor rank";
  for (const char* flag :
       {"--sequence-parallel", "--bf16", "--use-distributed-optimizer", "--overlap-grad-reduce",
        "--overlap-param-gather", "--accumulate-allreduce-grads-in-fp32"}) {
    EXPECT_TRUE(has_word(words, flag)) << flag;
  }
  EXPECT_EQ(std::stod(option_of(words, "--clip-grad")), 0);
  // What the program checks at start.
  const long long world = whole("--nnodes") * whole("--nproc_per_node");
  const long long data =
      world / (whole("--tensor-model-parallel-size") * whole("--pipeline-model-parallel-size"));
  EXPECT_EQ(data, c.plan.layout.data);
  EXPECT_EQ(whole("--global-batch-size") % (whole("--micro-batch-size") * data), 0);
  EXPECT_EQ(whole("--num-layers") % whole("--pipeline-model-parallel-size"), 0);
}

TEST(ExportMegatronTest, ModelsAreTheirShape) {
  testing::ExportCase c = gpt();
  auto words = arguments(c);
  EXPECT_EQ(option_of(words, "--hidden-size"), "2048");
  EXPECT_EQ(option_of(words, "--ffn-hidden-size"), "8192");
  EXPECT_EQ(option_of(words, "--position-embedding-type"), "learned_absolute");
  EXPECT_FALSE(has_word(words, "--swiglu"));
  EXPECT_FALSE(has_word(words, "--group-query-attention"));
  c.facts.shape->kv_heads = 4;
  c.facts.shape->gated = true;
  c.facts.shape->biases = c.facts.shape->learned_positions = c.facts.shape->tied_embedding = false;
  c.facts.shape->experts = 8;
  c.facts.shape->experts_per_token = 2;
  words = arguments(c);
  EXPECT_EQ(option_of(words, "--num-query-groups"), "4");
  EXPECT_EQ(option_of(words, "--moe-router-topk"), "2");
  EXPECT_EQ(option_of(words, "--position-embedding-type"), "rope");
  for (const char* flag : {"--swiglu", "--disable-bias-linear", "--group-query-attention",
                           "--untie-embeddings-and-output-weights"}) {
    EXPECT_TRUE(has_word(words, flag)) << flag;
  }
}

TEST(ExportMegatronTest, OnlyForGpt) {
  testing::ExportCase c = gpt();
  const Projection projection = c.projected({kMegatron, {}});
  c.facts.shape->causal = false;
  EXPECT_THAT(export_plan({kMegatron, {}}, projection, c.facts).error().message,
              ::testing::HasSubstr("pretrain_gpt.py"));
  c.facts.shape.reset();
  EXPECT_THAT(export_plan({kMegatron, {}}, projection, c.facts).error().message,
              ::testing::HasSubstr("no transformer"));
}

}  // namespace
}  // namespace pluto
