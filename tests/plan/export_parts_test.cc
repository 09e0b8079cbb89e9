#include "plan/export_parts.h"

#include <gmock/gmock.h>

#include "plan/export_places.h"
#include "tests/plan/export_cases.h"

namespace pluto {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using enum ExportTarget;

TEST(ExportPartsTest, LabelsAreDnsNames) {
  Plan plan;
  for (const auto& [job, label] : {std::pair<const char*, const char*>{"My job: 1", "my-job-1"},
                                   {"--a--", "a"},
                                   {"7b", "pluto-7b"},
                                   {"\xc3\xbc", "pluto"},
                                   {"", "pluto"}}) {
    plan.job = job;
    EXPECT_EQ(label_of(plan), label);
  }
  plan.job = std::string(39, 'a') + "-b";
  EXPECT_EQ(label_of(plan), std::string(39, 'a'));
}

TEST(ExportPartsTest, RanksFillNodes) {
  testing::ExportCase c;
  EXPECT_EQ(launch_size(c.plan).nodes, 2);
  EXPECT_EQ(launch_size(c.plan).ranks_per_node, 8);
  c.plan.layout.data = 4;
  EXPECT_EQ(launch_size(c.plan).nodes, 1);
  EXPECT_EQ(launch_size(c.plan).ranks_per_node, 4);
}

TEST(ExportPartsTest, HostsAreGivenOrMadeUp) {
  testing::ExportCase c;
  const RunTarget target{kMpi, {}};
  const Projection projection{c.plan, {}, {}};
  EXPECT_THAT(*hosts_of({target, projection, c.facts}), ElementsAre("node-0", "node-1"));
  c.facts.hosts = {"alpha", "beta"};
  EXPECT_THAT(*hosts_of({target, projection, c.facts}), ElementsAre("alpha", "beta"));
  c.facts.hosts = {"alpha"};
  const auto few = hosts_of({target, projection, c.facts});
  ASSERT_FALSE(few.ok());
  EXPECT_THAT(few.error().message, HasSubstr("1 names for 2 nodes"));
}

// Of every text file of every target: what it is, both steps, and what it leaves out.
TEST(ExportPartsTest, EveryFileSaysWhatItCarries) {
  for (const char* list : {"torchrun", "fsdp", "deepspeed", "accelerate", "megatron", "horovod",
                           "mpi", "slurm", "skypilot", "pytorchjob", "mpijob", "trainjob"}) {
    testing::ExportCase c;
    c.facts.image = "registry/image:1";
    c.facts.shape = TransformerShape::gpt(12, 768, 12, 1024, 50257);
    c.plan.priority = true;  // which nobody can
    const RunTarget target = parse_run_targets(list)->front();
    if (target.trainer == kFsdp) {
      c.plan.shard = 3;
      c.plan.buckets.front().method = SyncMethod::kShard;
    }
    if (target.trainer == kMpi) c.plan.backend = "cpu";
    for (const ExportedFile& file : c.files(target)) {
      if (file.path == "plan.json") {
        const auto read = plan_from_json(file.text, file.path);
        ASSERT_TRUE(read.ok()) << list;
        EXPECT_FALSE(read->priority);
        continue;
      }
      if (file.path == "ds_config.json") continue;  // has no place for comments
      for (const char* what : {"My job: 1: plan ", "for ", "carries: 2 x 8 ranks, data 16",
                               "128 = 16 data x 4 micro-batch x 2 accumulation",
                               "10.0 ms predicted as planned, 12.0 ms as exported",
                               "cannot express: priority = true"}) {
        EXPECT_THAT(file.text, HasSubstr(what)) << list << " " << file.path;
      }
    }
  }
}

TEST(ExportPartsTest, ScriptsAreShell) {
  for (const char* list : {"torchrun", "deepspeed", "accelerate", "megatron", "horovod", "mpi",
                           "slurm", "slurm,horovod"}) {
    testing::ExportCase c;
    c.facts.shape = TransformerShape::gpt(12, 768, 12, 1024, 50257);
    const RunTarget target = parse_run_targets(list)->front();
    if (target.trainer == kMpi) c.plan.backend = "cpu";
    const testing::TemporaryFolder folder;
    const auto files = c.files(target);
    testing::write_all(folder, files);
    int scripts = 0;
    for (const ExportedFile& file : files) {
      if (!file.path.ends_with(".sh") && !file.path.ends_with(".sbatch")) continue;
      ++scripts;
      EXPECT_EQ(testing::run_in(folder, "bash -n " + file.path), 0) << list << " " << file.text;
      if (testing::has_command("shellcheck")) {
        EXPECT_EQ(testing::run_in(folder, "shellcheck -S warning " + file.path), 0) << list << "\n"
                                                                                    << file.text;
      }
    }
    EXPECT_GE(scripts, 1) << list;
  }
}

}  // namespace
}  // namespace pluto
