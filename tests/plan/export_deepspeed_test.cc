#include <gmock/gmock.h>

#include "base/text.h"
#include "plan/export_trainers.h"
#include "tests/plan/export_cases.h"

namespace pluto {
namespace {

using testing::at;
using testing::option_of;
using enum ExportTarget;

TEST(ExportDeepspeedTest, BatchIsTheThreeNumbers) {
  const testing::ExportCase c;
  const Value config = testing::json_of(c.files({kDeepspeed, {}}), "ds_config.json");
  // The equation the launcher asserts at start.
  EXPECT_EQ(at(config, "train_batch_size").as_integer(),
            at(config, "train_micro_batch_size_per_gpu").as_integer() *
                at(config, "gradient_accumulation_steps").as_integer() * c.plan.layout.ranks());
  EXPECT_EQ(at(config, "train_batch_size").as_integer(), c.plan.global_batch);
  EXPECT_EQ(at(config, "gradient_clipping").as_number(), 0) << "the plan clips nothing";
  EXPECT_EQ(at(config, "communication_data_type").as_string(), "fp32");
  EXPECT_EQ(config.find("bf16"), nullptr);
}

TEST(ExportDeepspeedTest, StagesAndPrecision) {
  testing::ExportCase c;
  for (const int stage : {1, 2, 3}) {
    c.plan.shard = stage;
    c.plan.buckets.front().method = SyncMethod::kShard;
    c.plan.precision = stage == 1 ? TrainPrecision::kFp16 : TrainPrecision::kF32;
    const Value config = testing::json_of(c.files({kDeepspeed, {}}), "ds_config.json");
    const Value& zero = at(config, "zero_optimization");
    EXPECT_EQ(at(zero, "stage").as_integer(), stage);
    EXPECT_EQ(at(zero, "reduce_bucket_size").as_integer(), (std::int64_t{25} << 20) / 4)
        << "in elements";
    EXPECT_EQ(zero.find("stage3_prefetch_bucket_size") != nullptr, stage == 3);
    EXPECT_EQ(config.find("fp16") != nullptr, stage == 1);
  }
}

TEST(ExportDeepspeedTest, SchedulesItHas) {
  testing::ExportCase c;
  const auto scheduler = [&]() -> const Value {
    const Value config = testing::json_of(c.files({kDeepspeed, {}}), "ds_config.json");
    const Value* found = config.find("scheduler");
    return found != nullptr ? *found : Value();
  };
  Value cosine = scheduler();
  EXPECT_EQ(at(cosine, "type").as_string(), "WarmupCosineLR");
  EXPECT_EQ(at(at(cosine, "params"), "warmup_num_steps").as_integer(), 100) << "12800 samples";
  EXPECT_EQ(at(at(cosine, "params"), "total_num_steps").as_integer(), 1000);
  EXPECT_EQ(at(at(cosine, "params"), "cos_min_ratio").as_number(), 0);
  c.plan.learning_rate.schedule = ScheduleKind::kLinear;
  EXPECT_EQ(at(scheduler(), "type").as_string(), "WarmupDecayLR");
  c.plan.learning_rate.schedule = ScheduleKind::kConstant;
  EXPECT_EQ(at(scheduler(), "type").as_string(), "WarmupLR");
  EXPECT_EQ(at(at(scheduler(), "params"), "warmup_max_lr").as_number(), 3e-4);
  c.plan.learning_rate = {0.1, ScheduleKind::kStep, 0, {0.1, 0.01}, {6400}};
  EXPECT_TRUE(scheduler().is_null()) << "pluto_plan.schedule() has it";
}

TEST(ExportDeepspeedTest, OptimizersByItsNames) {
  testing::ExportCase c;
  const auto optimizer = [&] {
    return at(testing::json_of(c.files({kDeepspeed, {}}), "ds_config.json"), "optimizer");
  };
  EXPECT_EQ(at(optimizer(), "type").as_string(), "AdamW");
  EXPECT_EQ(at(at(optimizer(), "params"), "lr").as_number(), 3e-4);
  c.plan.optimizer = AdamAttrs{0.9, 0.999, 1e-8, 0.01, false};
  EXPECT_EQ(at(optimizer(), "type").as_string(), "Adam");
  c.plan.optimizer = SgdAttrs{0.9, 1e-4, true};
  EXPECT_EQ(at(optimizer(), "type").as_string(), "SGD");
  EXPECT_TRUE(at(at(optimizer(), "params"), "nesterov").as_bool());
}

TEST(ExportDeepspeedTest, OneHostALine) {
  testing::ExportCase c;
  c.facts.hosts = {"alpha", "beta"};
  const auto files = c.files({kDeepspeed, {}});
  std::vector<std::string> lines;
  for (std::string& line : split(testing::file_of(files, "hostfile"), '\n')) {
    if (!line.empty() && line.front() != '#') lines.push_back(std::move(line));
  }
  EXPECT_THAT(lines, ::testing::ElementsAre("alpha slots=8", "beta slots=8"));
  const auto once = testing::command_of(testing::file_of(files, "deepspeed.sh"), "exec deepspeed");
  EXPECT_EQ(option_of(once, "--num_nodes"), "2");
  EXPECT_EQ(option_of(once, "--num_gpus"), "8");
  EXPECT_TRUE(testing::has_word(once, "--hostfile"));
  EXPECT_TRUE(testing::has_word(once, "--deepspeed_config"));
}

}  // namespace
}  // namespace pluto
