// torchrun, fsdp and accelerate: the launch command and the configuration against the plan.

#include <gmock/gmock.h>

#include "plan/export_trainers.h"
#include "tests/plan/export_cases.h"

namespace pluto {
namespace {

using testing::at;
using testing::option_of;
using enum ExportTarget;

TEST(ExportTorchrunTest, StartsThePlansRanks) {
  const testing::ExportCase c;
  const auto files = c.files({kTorchrun, {}});
  const auto words = testing::command_of(testing::file_of(files, "launch.sh"), "exec torchrun");
  EXPECT_EQ(option_of(words, "--nnodes"), "2");
  EXPECT_EQ(option_of(words, "--nproc_per_node"), "8");
  EXPECT_EQ(option_of(words, "--rdzv_backend"), "c10d");
  EXPECT_EQ(option_of(words, "--rdzv_endpoint"), "\"$MASTER_ADDR:$MASTER_PORT\"");
  EXPECT_EQ(option_of(words, "--rdzv_id"), "my-job-1");
  EXPECT_EQ(option_of(words, "--max_restarts"), "0");
  EXPECT_FALSE(testing::has_word(words, "--standalone"));
}

TEST(ExportTorchrunTest, OneNodeNeedsNobodyElse) {
  testing::ExportCase c;
  c.plan.layout.data = 4;
  c.plan.micro_batch = 16;
  const std::string script = testing::file_of(c.files({kTorchrun, {}}), "launch.sh");
  const auto words = testing::command_of(script, "exec torchrun");
  EXPECT_EQ(option_of(words, "--nnodes"), "1");
  EXPECT_EQ(option_of(words, "--nproc_per_node"), "4");
  EXPECT_TRUE(testing::has_word(words, "--standalone"));
  EXPECT_EQ(script.find("MASTER_ADDR"), std::string::npos);
}

// Several nodes without their names would wait for each other for ever.
TEST(ExportTorchrunTest, SeveralNodesAskForTheFirst) {
  const testing::ExportCase c;
  const testing::TemporaryFolder folder;
  testing::write_all(folder, c.files({kTorchrun, {}}));
  EXPECT_NE(testing::run_in(folder, "env -u MASTER_ADDR bash launch.sh 2> said"), 0);
  EXPECT_THAT(folder.read("said"), ::testing::HasSubstr("MASTER_ADDR"));
}

TEST(ExportTorchrunTest, TreesAreAskedOfNccl) {
  testing::ExportCase c;
  c.plan.buckets.front().algorithm = CollectiveAlgorithm::kTree;
  EXPECT_THAT(testing::file_of(c.files({kTorchrun, {}}), "launch.sh"),
              ::testing::HasSubstr("export NCCL_ALGO=Tree\n"));
}

TEST(ExportTorchrunTest, SettingsAreThePlan) {
  testing::ExportCase c;
  c.plan.buckets.front().wire = DType::kBF16;
  c.plan.precision = TrainPrecision::kBf16;
  const Value settings = testing::json_of(c.files({kTorchrun, {}}), "settings.json");
  EXPECT_EQ(at(settings, "global_batch").as_integer(), c.plan.global_batch);
  EXPECT_EQ(at(settings, "data_ranks").as_integer() * at(settings, "micro_batch").as_integer() *
                at(settings, "accumulation").as_integer(),
            c.plan.global_batch);
  EXPECT_EQ(at(settings, "wire").as_string(), "bf16");
  EXPECT_EQ(at(settings, "precision").as_string(), "bf16");
  EXPECT_EQ(at(settings, "bucket_elements").as_integer() * 4, std::int64_t{25} << 20);
  const Value& optimizer = at(settings, "optimizer");
  EXPECT_EQ(at(optimizer, "name").as_string(), "AdamW");
  EXPECT_EQ(at(optimizer, "betas").as_array().at(1).as_number(), 0.95);
  EXPECT_EQ(at(at(settings, "learning_rate"), "warmup_samples").as_integer(), 12800);
}

TEST(ExportTorchrunTest, FsdpSaysTheStage) {
  testing::ExportCase c;
  c.plan.shard = 2;
  c.plan.buckets.front().method = SyncMethod::kShard;
  const auto files = c.files({kFsdp, {}});
  EXPECT_EQ(at(testing::json_of(files, "settings.json"), "shard").as_integer(), 2);
  EXPECT_EQ(at(testing::json_of(files, "settings.json"), "trainer").as_string(), "fsdp");
}

TEST(ExportTorchrunTest, AccelerateHasOnlyKnownKeys) {
  const std::vector<std::string> known = {"compute_environment",
                                          "distributed_type",
                                          "num_machines",
                                          "num_processes",
                                          "machine_rank",
                                          "rdzv_backend",
                                          "same_network",
                                          "main_training_function",
                                          "mixed_precision",
                                          "use_cpu",
                                          "debug",
                                          "fsdp_config",
                                          "deepspeed_config",
                                          "main_process_ip",
                                          "parallelism_config",
                                          "mpirun_config"};
  testing::ExportCase c;
  for (const int shard : {0, 2, 3}) {
    c.plan.shard = shard;
    c.plan.buckets.front().method = shard > 0 ? SyncMethod::kShard : SyncMethod::kAllReduce;
    c.plan.precision = TrainPrecision::kBf16;
    c.plan.recompute = shard == 3 ? Recompute::kFull : Recompute::kNone;
    const auto files = c.files({kAccelerate, {}});
    const Value config = testing::yaml_of(files, "accelerate.yaml");
    for (const auto& [key, value] : config.as_object()) {
      EXPECT_EQ(std::ranges::count(known, key), 1) << key;
    }
    EXPECT_EQ(at(config, "num_machines").as_integer(), 2);
    EXPECT_EQ(at(config, "num_processes").as_integer(), 16) << "of all machines";
    EXPECT_EQ(at(config, "mixed_precision").as_string(), "bf16");
    EXPECT_EQ(at(config, "distributed_type").as_string(), shard == 0 ? "MULTI_GPU" : "FSDP");
    EXPECT_EQ(config.find("fsdp_config") != nullptr, shard > 0);
    if (shard > 0) {
      const Value& fsdp = at(config, "fsdp_config");
      EXPECT_EQ(at(fsdp, "fsdp_version").as_integer(), 2);
      EXPECT_EQ(at(fsdp, "fsdp_reshard_after_forward").as_bool(), shard == 3);
      EXPECT_EQ(at(fsdp, "fsdp_activation_checkpointing").as_bool(), shard == 3);
    }
    const auto words =
        testing::command_of(testing::file_of(files, "launch.sh"), "exec accelerate launch");
    EXPECT_EQ(option_of(words, "--machine_rank"), "\"$NODE_RANK\"");
  }
  c.plan.shard = 0;
  c.plan.buckets.front().method = SyncMethod::kAllReduce;
  c.plan.precision = TrainPrecision::kF32;
  const std::string yaml = testing::file_of(c.files({kAccelerate, {}}), "accelerate.yaml");
  EXPECT_THAT(yaml, ::testing::HasSubstr("mixed_precision: \"no\"\n")) << "not a boolean";
}

}  // namespace
}  // namespace pluto
