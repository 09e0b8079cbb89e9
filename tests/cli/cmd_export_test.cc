// export and search --target, as a user types them.

#include <gmock/gmock.h>

#include <filesystem>

#include "executor/plan_support.h"
#include "plan/plan.h"
#include "plan/target.h"
#include "tests/support/command.h"
#include "tests/support/sample_documents.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const Value& at(const Value& value, const std::string& key) {
  static const Value kNothing;
  const Value* found = value.find(key);
  EXPECT_NE(found, nullptr) << "no key " << key << " in " << to_json(value);
  return found ? *found : kNothing;
}

std::vector<std::string> texts(const Value& list) {
  std::vector<std::string> all;
  for (const Value& one : list.as_array()) all.push_back(one.as_string());
  return all;
}

class ExportTest : public testing::CommandTest {
 protected:
  void SetUp() override {
    testing::CommandTest::SetUp();
    write("gpt.yaml",
          "name: gpt\nmodel: {name: gpt2, layers: 24, width_model: 2048, heads: 16, sequence: "
          "2048, vocabulary: 51200}\n"
          "data: {source: synthetic, samples: 512000}\ntarget: {steps: 2000}\n"
          "batch: {global: 64}\noptimizer: {name: adamw}\nprecision: bf16\nminimize: time\n"
          "cluster: {instances: [\"aws:p4d.24xlarge\"], ranks: 16}\n");
    write("mlp.yaml",
          "name: tiny\nmodel: {name: mlp, channels: 1, height: 12, width: 12}\ndata: {source: "
          "synthetic, samples: 512}\ntarget: {steps: 20}\nbatch: {global: 32}\n"
          "cluster: {instances: [local], ranks: 2, local_price_per_hour: 0.36}\n");
  }
  Plan plan(const std::string& name) const {
    auto read = plan_from_json(CommandTest::read(name), name);
    EXPECT_TRUE(read.ok()) << (read.ok() ? "" : read.error().message);
    return read.ok() ? *read : Plan();
  }
};

// mpirun of the bundled executor, started by the exported script alone.
TEST_F(ExportTest, TwoRanksTrainByTheExportedScript) {
  run_json({"search", "mlp.yaml", "--target", "mpi", "-o", "plan.json"});
  const Value document = run_json({"export", "plan.json", "--target", "mpi", "-o", "out"});
  const Value& made = at(document, "exports").as_array().front();
  EXPECT_EQ(at(made, "planned_step_s"), at(made, "exported_step_s"));
  EXPECT_TRUE(at(made, "left_out").as_array().empty());
  EXPECT_EQ(plan("out/plan.json"), plan("plan.json"));
  const auto mode = std::filesystem::status(folder() + "/out/launch.sh").permissions();
  EXPECT_NE(mode & std::filesystem::perms::owner_exec, std::filesystem::perms::none);
  const std::string command = "cd " + folder() +
                              " && OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_btl=self,vader,tcp "
                              "ASAN_OPTIONS=detect_leaks=0 PLUTO_DB=$PWD/profiles.db PLUTO_PLAN=" +
                              std::string(PLUTO_PLAN_PROGRAM) +
                              " ./out/launch.sh > said 2> complained";
  ASSERT_EQ(std::system(command.c_str()), 0) << read("said") << read("complained");
  EXPECT_THAT(read("said"), HasSubstr("\"last_step\":20"));
  EXPECT_TRUE(std::filesystem::exists(folder() + "/out/checkpoints"));
}

TEST_F(ExportTest, FilesAreListedAndStepsPredicted) {
  const Value found = run_json({"search", "gpt.yaml", "--target", "torchrun", "-o", "plan.json"});
  const double step =
      at(at(at(at(found, "plans").as_array().front(), "prediction"), "step_s"), "p50").as_number();
  const Value document =
      run_json({"export", "plan.json", "--target", "slurm,torchrun,deepspeed", "-o", "out"});
  ASSERT_EQ(at(document, "exports").as_array().size(), 2U);
  for (const Value& made : at(document, "exports").as_array()) {
    EXPECT_EQ(at(made, "planned_step_s").as_number(), step);
    EXPECT_EQ(at(made, "exported_step_s").as_number(), step);
    EXPECT_EQ(at(made, "place").as_string(), "slurm");
    for (const std::string& file : texts(at(made, "files"))) {
      EXPECT_TRUE(
          std::filesystem::exists(folder() + "/" + at(made, "folder").as_string() + "/" + file));
    }
  }
  const testing::CommandResult said =
      run({"export", "plan.json", "--target", "torchrun", "-o", "other"});
  EXPECT_EQ(said.exit, 0) << said.err;
  EXPECT_THAT(said.out, HasSubstr("step exported"));
  EXPECT_THAT(said.out, HasSubstr("next      cd other && MASTER_ADDR=FIRST_NODE NODE_RANK=0"));
}

// Methods no launcher has: both steps differ, and everything says so.
TEST_F(ExportTest, WhatIsLeftOutIsPredictedWithout) {
  run_json({"search", "mlp.yaml", "-o", "plan.json"});
  Plan served = plan("plan.json");
  ASSERT_EQ(served.layout.ranks(), 2);
  for (BucketPlan& bucket : served.buckets) bucket.method = SyncMethod::kParameterServer;
  served.servers = {0};
  write("served.json", to_json(served));
  const Value document = run_json({"export", "served.json", "--target", "torchrun", "-o", "out"});
  const Value& made = at(document, "exports").as_array().front();
  EXPECT_NE(at(made, "planned_step_s").as_number(), at(made, "exported_step_s").as_number());
  const Value& left = at(made, "left_out").as_array().front();
  EXPECT_EQ(at(left, "field").as_string(), "buckets.method");
  EXPECT_EQ(at(left, "value").as_string(), "parameter_server");
  EXPECT_THAT(read("out/launch.sh"), HasSubstr("cannot express: buckets.method"));
  EXPECT_EQ(plan("out/plan.json").buckets.front().method, SyncMethod::kAllReduce);
  const testing::CommandResult said = run({"export", "served.json", "--target", "torchrun"});
  EXPECT_THAT(said.out, HasSubstr("buckets.method = parameter_server"));
}

TEST_F(ExportTest, WhatMattersIsRefusedAndNothingWritten) {
  run_json({"search", "gpt.yaml", "--fix", "pipeline=2", "--fix", "tensor=1", "-o", "plan.json"});
  const testing::CommandResult refused =
      run({"export", "plan.json", "--target", "megatron,torchrun", "-o", "out"});
  EXPECT_EQ(refused.exit, 2) << refused.out;
  EXPECT_THAT(refused.err, HasSubstr("layout.pipeline: 2"));
  EXPECT_THAT(refused.err, HasSubstr("targets that can: megatron"));
  EXPECT_FALSE(std::filesystem::exists(folder() + "/out"));
}

TEST_F(ExportTest, UnknownTargetsAreAnswered) {
  for (const char* verb : {"search", "export"}) {
    const testing::CommandResult near = run({verb, "gpt.yaml", "--target", "megatorn"});
    EXPECT_EQ(near.exit, 2);
    EXPECT_THAT(near.err, HasSubstr("--target: unknown target \"megatorn\""));
    EXPECT_THAT(near.err, HasSubstr("did you mean \"megatron\"?"));
  }
  EXPECT_THAT(run({"export", "gpt.yaml", "--target", "kubernetes"}).err,
              HasSubstr("torchrun, fsdp, deepspeed"));
}

// 1.3 billion parameters in 40 GB: best with tensor ranks, or ZeRO where they are not to be had.
TEST_F(ExportTest, SearchKeepsToWhatTheTargetCan) {
  const Value free = run_json({"search", "gpt.yaml"});
  const Value& best = at(free, "plans").as_array().front();
  EXPECT_EQ(at(at(free, "rejected"), "target").as_integer(), 0);
  EXPECT_TRUE(at(free, "targets").as_array().empty());
  for (const char* target :
       {"torchrun", "fsdp", "deepspeed", "accelerate", "megatron", "horovod"}) {
    const Value found = run_json({"search", "gpt.yaml", "--target", target});
    const Value& plan = at(found, "plans").as_array().front();
    EXPECT_THAT(texts(at(found, "expressible")), ::testing::Contains(target));
    EXPECT_GE(at(at(at(plan, "prediction"), "step_s"), "p50").as_number() * 1.0101,
              at(at(at(best, "prediction"), "step_s"), "p50").as_number())
        << target << ": of fewer plans";
    const bool was = [&] {
      for (const std::string& able : texts(at(free, "expressible"))) {
        if (able == target) return true;
      }
      return false;
    }();
    if (!was) {
      EXPECT_NE(at(plan, "layout"), at(best, "layout")) << target;
      EXPECT_GT(at(at(found, "rejected"), "target").as_integer(), 0);
    }
    const std::string name = target;
    if (name == "fsdp") {
      EXPECT_GE(at(at(plan, "layout"), "shard").as_integer(), 2);
    }
    if (name == "torchrun" || name == "horovod") {
      EXPECT_EQ(at(at(plan, "layout"), "shard").as_integer(), 0);
      EXPECT_EQ(at(at(plan, "layout"), "tensor").as_integer(), 1);
    }
  }
}

// The simulator's space too: four ways of the bundled executor, one of torchrun.
TEST_F(ExportTest, SimulatedPlansAreKeptToTheTarget) {
  // Over 10 Gb/s the large matrices travel as factors.
  write("alexnet.yaml",
        "model: {name: alexnet}\ndata: {source: synthetic, samples: 5120}\ntarget: {epochs: 1}\n"
        "batch: {global: 256}\ncluster: {instances: [\"aws:p3.8xlarge\"], ranks: 16}\n");
  const Value free = run_json({"search", "alexnet.yaml"});
  const std::string sync = at(at(free, "plans").as_array().front(), "sync").as_string();
  ASSERT_THAT(texts(at(free, "expressible")), Not(::testing::Contains("torchrun"))) << sync;
  const Value found = run_json({"search", "alexnet.yaml", "--target", "torchrun"});
  EXPECT_THAT(texts(at(found, "expressible")), ::testing::Contains("torchrun"));
  EXPECT_NE(at(at(found, "plans").as_array().front(), "sync").as_string(), sync);
  EXPECT_THAT(texts(at(found, "expressible")), Not(::testing::Contains("megatron")));
  EXPECT_EQ(run({"search", "alexnet.yaml", "--target", "megatron"}).exit, 2) << "no GPT";
  const Value sharded = run_json({"search", "alexnet.yaml", "--target", "fsdp"});
  EXPECT_GE(at(at(at(sharded, "plans").as_array().front(), "layout"), "shard").as_integer(), 2);
}

TEST_F(ExportTest, NobodyThereIsNoPlan) {
  const testing::CommandResult none =
      run({"search", "gpt.yaml", "--fix", "tensor=2", "--target", "torchrun"});
  EXPECT_EQ(none.exit, 3) << none.err;
  EXPECT_THAT(none.out, HasSubstr("not for --target torchrun"));
  const testing::CommandResult gpus =
      run({"search", "gpt.yaml", "--fix", "tensor=2", "--target", "mpi"});
  EXPECT_EQ(gpus.exit, 3) << gpus.err;
}

// What `mpi` is said to carry is what the executor runs.
TEST(ExportAgreementTest, MpiIsTheBundledExecutor) {
  const auto agrees = [](const char* what, auto change) {
    Plan plan = testing::sample_plan();
    plan.backend = "cpu";
    change(plan);
    const bool runs = check_runnable(plan).ok();
    EXPECT_EQ(carries({{ExportTarget::kMpi, {}}}, knobs_of(plan)), runs) << what;
    return runs;
  };
  EXPECT_TRUE(agrees("as it is", [](Plan&) {}));
  int refused = 0;
  const auto no = [&](const char* what, auto change) { refused += agrees(what, change) ? 0 : 1; };
  no("tensor", [](Plan& plan) { plan.layout.tensor = 2; });
  no("pipeline", [](Plan& plan) { plan.layout.pipeline = 2; });
  no("context", [](Plan& plan) { plan.layout.context = 2; });
  no("expert", [](Plan& plan) { plan.expert = 2; });
  no("sharded", [](Plan& plan) { plan.sharded = {"fc1"}; });
  no("shard", [](Plan& plan) { plan.shard = 1; });
  no("precision", [](Plan& plan) { plan.precision = TrainPrecision::kBf16; });
  no("tf32", [](Plan& plan) { plan.precision = TrainPrecision::kTf32; });
  no("queue", [](Plan& plan) { plan.data.queue = 0; });
  no("evaluation", [](Plan& plan) { plan.evaluation = {100, 10}; });
  no("server nodes", [](Plan& plan) { plan.server_nodes = 1; });
  no("priority", [](Plan& plan) { plan.priority = true; });
  no("local steps", [](Plan& plan) { plan.local.steps = 4; });
  no("factor server", [](Plan& plan) { plan.buckets[1].method = SyncMethod::kFactorServer; });
  no("tree", [](Plan& plan) { plan.buckets[0].algorithm = CollectiveAlgorithm::kTree; });
  no("wire", [](Plan& plan) { plan.buckets[0].wire = DType::kF16; });
  no("chunks", [](Plan& plan) { plan.buckets[0].chunks = 2; });
  EXPECT_EQ(refused, 17);
  for (const Recompute recompute : {Recompute::kSelective, Recompute::kFull}) {
    EXPECT_TRUE(agrees("recompute", [&](Plan& plan) { plan.recompute = recompute; }));
  }
}

}  // namespace
}  // namespace pluto
