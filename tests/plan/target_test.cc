#include "plan/target.h"

#include <gmock/gmock.h>

#include "plan/plan.h"
#include "tests/support/sample_documents.h"

namespace pluto {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using enum ExportTarget;

std::vector<std::string> fields(const RunTarget& target, const PlanKnobs& knobs) {
  std::vector<std::string> names;
  for (const Gap& gap : gaps(target, knobs)) names.push_back(gap.field);
  return names;
}

PlanKnobs data_parallel() {
  PlanKnobs knobs;
  knobs.layout.data = 16;
  knobs.methods = 1U << static_cast<unsigned>(SyncMethod::kAllReduce);
  return knobs;
}

TEST(TargetTest, ListsAreTrainersInPlaces) {
  EXPECT_THAT(*parse_run_targets("torchrun"), ElementsAre(RunTarget{kTorchrun, {}}));
  EXPECT_THAT(*parse_run_targets("slurm"), ElementsAre(RunTarget{kTorchrun, kSlurm}));
  EXPECT_THAT(*parse_run_targets("mpijob"), ElementsAre(RunTarget{kHorovod, kMpiJob}));
  EXPECT_THAT(*parse_run_targets("megatron, slurm"), ElementsAre(RunTarget{kMegatron, kSlurm}));
  EXPECT_THAT(*parse_run_targets("fsdp,torchrun,fsdp"),
              ElementsAre(RunTarget{kFsdp, {}}, RunTarget{kTorchrun, {}}));
  EXPECT_THAT(*parse_run_targets("slurm,pytorchjob"),
              ElementsAre(RunTarget{kTorchrun, kSlurm}, RunTarget{kTorchrun, kPytorchJob}));
}

TEST(TargetTest, UnknownNamesAreAnswered) {
  const auto near = parse_run_targets("torchrnu");
  ASSERT_FALSE(near.ok());
  EXPECT_THAT(near.error().help, HasSubstr("did you mean \"torchrun\"?"));
  const auto far = parse_run_targets("slurm,kubernetes-cluster");
  ASSERT_FALSE(far.ok());
  EXPECT_EQ(far.error().code, ErrorCode::kInvalidInput);
  for (const ExportTarget target : all_export_targets()) {
    EXPECT_THAT(far.error().help, HasSubstr(to_text(target)));
    EXPECT_EQ(*parse_export_target(to_text(target)), target);
  }
  EXPECT_FALSE(parse_run_targets("").ok());
}

TEST(TargetTest, PlacesStartWhatTheyCan) {
  const auto wrong = parse_run_targets("pytorchjob,mpi");
  ASSERT_FALSE(wrong.ok());
  EXPECT_THAT(wrong.error().message, HasSubstr("pytorchjob does not start mpi"));
  EXPECT_THAT(wrong.error().help, HasSubstr("torchrun"));
  EXPECT_FALSE(parse_run_targets("mpijob,torchrun").ok());
  EXPECT_TRUE(parse_run_targets("slurm,mpi").ok());
}

TEST(TargetTest, WhoCanDoWhat) {
  EXPECT_THAT(carried_by(data_parallel()),
              ElementsAre(kTorchrun, kDeepspeed, kAccelerate, kMegatron, kHorovod, kSlurm,
                          kSkypilot, kPytorchJob, kMpiJob, kTrainJob));
  PlanKnobs knobs = data_parallel();
  knobs.shard = 3;
  EXPECT_THAT(carried_by(knobs), ElementsAre(kFsdp, kDeepspeed, kAccelerate));
  knobs = data_parallel();
  knobs.shard = 1;
  EXPECT_THAT(carried_by(knobs), ElementsAre(kDeepspeed, kMegatron));
  knobs = data_parallel();
  knobs.layout = {4, 2, 2, 1};
  knobs.layers = 24;
  knobs.interleave = 3;
  EXPECT_THAT(carried_by(knobs), ElementsAre(kMegatron));
  EXPECT_THAT(trainers_with("layout.pipeline", knobs), ElementsAre(kMegatron));
  knobs.layers = 25;
  EXPECT_THAT(fields({kMegatron, {}}, knobs), ElementsAre("layout.pipeline"));
  knobs = data_parallel();
  knobs.gpus = false;
  knobs.methods |= 1U << static_cast<unsigned>(SyncMethod::kSufficientFactor);
  EXPECT_THAT(carried_by(knobs), ElementsAre(kMpi));
  knobs = data_parallel();
  knobs.wires = 1U << static_cast<unsigned>(DType::kBF16);
  EXPECT_THAT(fields({kTorchrun, {}}, knobs), IsEmpty());
  EXPECT_THAT(fields({kHorovod, {}}, knobs), ElementsAre("buckets.wire"));
  knobs.wires |= 1U << static_cast<unsigned>(DType::kF32);
  EXPECT_THAT(fields({kTorchrun, {}}, knobs), ElementsAre("buckets.wire"))
      << "one hook for all buckets";
}

// Everything at once: each field that a plain script cannot do is named.
TEST(TargetTest, AllGapsAreNamed) {
  PlanKnobs knobs = data_parallel();
  knobs.layout = {2, 2, 2, 2};
  knobs.cuts = knobs.sequence_parallel = knobs.split_layers = knobs.priority = true;
  knobs.expert = knobs.shard = knobs.local_steps = knobs.chunks = 2;
  knobs.server_nodes = 1;
  knobs.even_nodes = knobs.one_type = false;
  knobs.recompute = Recompute::kSelective;
  knobs.precision = TrainPrecision::kFp8;
  EXPECT_THAT(
      fields({kTorchrun, {}}, knobs),
      ElementsAre("cluster.more", "layout", "layout.tensor", "layout.pipeline", "layout.context",
                  "pipeline.cuts", "sequence_parallel", "expert", "sharded", "shard", "recompute",
                  "precision", "local.steps", "server_nodes", "buckets.chunks", "priority"));
  EXPECT_TRUE(carried_by(knobs).empty());
}

TEST(TargetTest, PlacesHaveGapsOfTheirOwn) {
  PlanKnobs knobs = data_parallel();
  knobs.rented = false;
  knobs.moves = true;
  EXPECT_THAT(fields({kTorchrun, kSkypilot}, knobs),
              ElementsAre("cluster.instance", "on_demand_after"));
  EXPECT_THAT(fields({kTorchrun, kSlurm}, knobs), IsEmpty());
}

// The search asks the fast question, export the long one.
TEST(TargetTest, BothQuestionsHaveOneAnswer) {
  int carried = 0, asked = 0;
  for (const char* list : {"torchrun", "fsdp", "deepspeed", "accelerate", "megatron", "horovod",
                           "mpi", "skypilot", "slurm,mpi"}) {
    const RunTarget target = parse_run_targets(list)->front();
    for (unsigned bits = 0; bits < 1U << 11; ++bits) {
      const auto on = [&](int i) { return (bits >> i & 1U) != 0; };
      PlanKnobs knobs;
      knobs.layers = 8;
      knobs.layout = {on(0) ? 4 : 1, on(1) ? 2 : 1, on(2) ? 2 : 1, 1};
      knobs.shard = static_cast<int>(bits >> 3 & 3U);
      knobs.recompute = on(5) ? Recompute::kFull : Recompute::kNone;
      knobs.precision = on(6) ? TrainPrecision::kBf16 : TrainPrecision::kF32;
      knobs.gpus = !on(7);
      knobs.nesterov = on(8);
      knobs.moves = on(9);
      knobs.methods = 1U << static_cast<unsigned>(on(10) ? SyncMethod::kParameterServer
                                                         : SyncMethod::kAllReduce);
      const bool fast = carries({target}, knobs);
      ASSERT_EQ(fast, gaps(target, knobs).empty()) << list << " " << bits;
      carried += fast ? 1 : 0;
      ++asked;
    }
  }
  EXPECT_GT(carried, 0);
  EXPECT_LT(carried, asked);
  EXPECT_TRUE(carries({}, data_parallel()));
  EXPECT_FALSE(carries({{kTorchrun, {}}, {kFsdp, {}}}, data_parallel())) << "each of them";
}

TEST(TargetTest, KnobsAreThoseOfThePlan) {
  Plan plan = testing::sample_plan();
  plan.on_demand_after = 0.5;
  const PlanKnobs knobs = knobs_of(plan, 3);
  EXPECT_EQ(knobs.layout, plan.layout);
  EXPECT_EQ(knobs.layers, 3);
  EXPECT_TRUE(knobs.gpus && knobs.rented && knobs.moves && knobs.step_schedule && knobs.nesterov);
  EXPECT_TRUE(knobs.even_nodes);
  EXPECT_EQ(knobs.methods, 1U << static_cast<unsigned>(SyncMethod::kAllReduce) |
                               1U << static_cast<unsigned>(SyncMethod::kParameterServer) |
                               1U << static_cast<unsigned>(SyncMethod::kSufficientFactor));
  plan.layout.data = 12;
  EXPECT_FALSE(knobs_of(plan).even_nodes) << "8 and 4";
  EXPECT_THAT(fields({kMegatron, {}}, knobs),
              ElementsAre("optimizer.nesterov", "learning_rate.schedule", "buckets.method"));
}

}  // namespace
}  // namespace pluto
