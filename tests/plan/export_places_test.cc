#include "plan/export_places.h"

#include <gmock/gmock.h>

#include "base/text.h"
#include "tests/plan/export_cases.h"

namespace pluto {
namespace {

using testing::at;
using ::testing::HasSubstr;
using enum ExportTarget;

/// The value of "#SBATCH --option=value"; empty when it is not there.
std::string directive(const std::string& script, const std::string& option) {
  for (const std::string& line : split(script, '\n')) {
    const std::string begin = "#SBATCH --" + option + "=";
    if (line.starts_with(begin)) return line.substr(begin.size());
  }
  return {};
}

TEST(ExportPlacesTest, SlurmAsksForThePlansNodes) {
  testing::ExportCase c;
  c.plan.deadline = Seconds(6 * 3600 + 1);
  const std::string script = testing::file_of(c.files({kTorchrun, kSlurm}), "job.sbatch");
  EXPECT_EQ(directive(script, "nodes"), "2");
  EXPECT_EQ(directive(script, "ntasks-per-node"), "1") << "torchrun starts the ranks of a node";
  EXPECT_EQ(directive(script, "gpus-per-node"), "8");
  EXPECT_EQ(directive(script, "cpus-per-task"), "32");
  EXPECT_EQ(directive(script, "time"), "06:01:00");
  EXPECT_EQ(directive(script, "job-name"), "my-job-1");
  // Directives behind the first command would be ignored.
  EXPECT_LT(script.rfind("#SBATCH"), script.find("set -euo"));
  // The first compute node, a port of this job, and each node's own number.
  EXPECT_THAT(script, HasSubstr("scontrol show hostnames \"$SLURM_JOB_NODELIST\""));
  EXPECT_THAT(script, HasSubstr("SLURM_JOB_ID % 20000"));
  EXPECT_THAT(script, HasSubstr("bash -c 'NODE_RANK=\"$SLURM_NODEID\""));
  const std::string mpi = testing::file_of(c.files({kHorovod, kSlurm}), "job.sbatch");
  EXPECT_EQ(directive(mpi, "ntasks-per-node"), "8");
  c.plan.deadline.reset();
  EXPECT_EQ(directive(testing::file_of(c.files({kTorchrun, kSlurm}), "job.sbatch"), "time"), "");
}

TEST(ExportPlacesTest, SlurmTimes) {
  EXPECT_EQ(slurm_time(Seconds(60)), "00:01:00");
  EXPECT_EQ(slurm_time(Seconds(61)), "00:02:00");
  EXPECT_EQ(slurm_time(Seconds(86400)), "1-00:00:00");
  EXPECT_EQ(slurm_time(Seconds(86400 * 2 + 3600 * 3 + 60 * 4)), "2-03:04:00");
}

// Run for real, with commands that stand in for those of Slurm: the second node gets its number and
// the first one's name.
TEST(ExportPlacesTest, SlurmStartsEveryNode) {
  const testing::ExportCase c;
  const testing::TemporaryFolder folder;
  testing::write_all(folder, c.files({kTorchrun, kSlurm}));
  const auto command = [&](const char* name, const char* body) {
    folder.write(name, std::string("#!/bin/bash\n") + body);
    return testing::run_in(folder, std::string("chmod +x ") + name);
  };
  command("scontrol", "printf 'gpu01\\ngpu02\\n'\n");
  command("srun", "shift; for i in 0 1; do SLURM_NODEID=$i \"$@\"; done\n");
  command("torchrun", "echo \"$MASTER_ADDR $MASTER_PORT $NODE_RANK $*\" >> ranks\n");
  ASSERT_EQ(testing::run_in(folder,
                            "PATH=\"$PWD:$PATH\" SLURM_SUBMIT_DIR=\"$PWD\" SLURM_JOB_ID=20005 "
                            "SLURM_JOB_NODELIST='gpu[01-02]' bash job.sbatch --mine=1"),
            0);
  const auto lines = split(folder.read("ranks"), '\n');
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_THAT(lines[0], HasSubstr("gpu01 20005 0 --nnodes=2 --nproc_per_node=8"));
  EXPECT_THAT(lines[0], HasSubstr("--rdzv_endpoint=gpu01:20005 --rdzv_conf=is_host=1"));
  EXPECT_THAT(lines[1], HasSubstr("gpu01 20005 1 "));
  EXPECT_THAT(lines[1], HasSubstr("is_host=0"));
  EXPECT_THAT(lines[1], HasSubstr("train.py --mine=1"));
}

TEST(ExportPlacesTest, SkypilotRentsThePlansInstances) {
  testing::ExportCase c;
  c.plan.cluster.market = Market::kSpot;
  const Value task = testing::yaml_of(c.files({kDeepspeed, kSkypilot}), "task.yaml");
  EXPECT_EQ(at(task, "num_nodes").as_integer(), 2);
  EXPECT_EQ(at(task, "name").as_string(), "my-job-1");
  const Value& resources = at(task, "resources");
  EXPECT_EQ(at(resources, "infra").as_string(), "aws");
  EXPECT_EQ(at(resources, "instance_type").as_string(), "p4d.24xlarge");
  EXPECT_TRUE(at(resources, "use_spot").as_bool());
  EXPECT_TRUE(at(at(resources, "autostop"), "down").as_bool()) << "or it bills for ever";
  EXPECT_THAT(at(task, "run").as_string(), HasSubstr("SKYPILOT_NODE_RANK"));
  c.plan.cluster.instance.name = "mine";
  const Projection projection{c.plan, {}, {}};
  const auto wrong = export_plan({kTorchrun, kSkypilot}, projection, c.facts);
  ASSERT_FALSE(wrong.ok());
  EXPECT_THAT(wrong.error().message, HasSubstr("cluster.instance: mine"));
}

/// What the published schemas require of a pod template.
void expect_pod(const Value& pod, int gpus) {
  const Value& spec = at(pod, "spec");
  ASSERT_EQ(at(spec, "containers").as_array().size(), 1U);
  const Value& container = at(spec, "containers").as_array().front();
  EXPECT_TRUE(at(container, "name").is_string());
  EXPECT_TRUE(at(container, "image").is_string());
  if (gpus > 0) {
    EXPECT_EQ(at(at(at(container, "resources"), "limits"), "nvidia.com/gpu").as_integer(), gpus);
  }
  std::vector<std::string> named;
  for (const Value& volume : at(spec, "volumes").as_array()) {
    named.push_back(at(volume, "name").as_string());
  }
  for (const Value& mount : at(container, "volumeMounts").as_array()) {
    EXPECT_EQ(std::ranges::count(named, at(mount, "name").as_string()), 1);
  }
  EXPECT_EQ(at(at(at(spec, "volumes").as_array().at(1), "emptyDir"), "medium").as_string(),
            "Memory")
      << "/dev/shm";
}

TEST(ExportPlacesTest, PytorchJobCountsTheMaster) {
  testing::ExportCase c;
  c.plan.deadline = Seconds(3600.5);
  const auto files = c.files({kTorchrun, kPytorchJob});
  const Value job = testing::yaml_of(files, "pytorchjob.yaml");
  EXPECT_EQ(at(job, "apiVersion").as_string(), "kubeflow.org/v1");
  EXPECT_EQ(at(job, "kind").as_string(), "PyTorchJob");
  const Value& spec = at(job, "spec");
  EXPECT_EQ(at(spec, "nprocPerNode").as_string(), "8") << "a text";
  EXPECT_EQ(at(at(spec, "runPolicy"), "activeDeadlineSeconds").as_integer(), 3601);
  const Value& replicas = at(spec, "pytorchReplicaSpecs");
  EXPECT_EQ(at(at(replicas, "Master"), "replicas").as_integer(), 1);
  EXPECT_EQ(at(at(replicas, "Worker"), "replicas").as_integer(), 1) << "two nodes";
  expect_pod(at(at(replicas, "Master"), "template"), 8);
  expect_pod(at(at(replicas, "Worker"), "template"), 8);
  const Value map = testing::yaml_of(files, "configmap.yaml");
  EXPECT_EQ(at(map, "kind").as_string(), "ConfigMap");
  // The files arrive as they were written.
  for (const char* name : {"launch.sh", "pluto_plan.py", "settings.json", "plan.json"}) {
    EXPECT_EQ(at(at(map, "data"), name).as_string(), testing::file_of(files, name)) << name;
  }
  const Value& volumes = at(at(at(at(replicas, "Master"), "template"), "spec"), "volumes");
  EXPECT_EQ(at(at(volumes.as_array().front(), "configMap"), "name").as_string(),
            at(at(map, "metadata"), "name").as_string());
}

TEST(ExportPlacesTest, MpiJobHasALauncherAndWorkers) {
  testing::ExportCase c;
  c.facts.image = "registry/horovod:1";
  c.plan.deadline.reset();
  const Value job = testing::yaml_of(c.files({kHorovod, kMpiJob}), "mpijob.yaml");
  EXPECT_EQ(at(job, "apiVersion").as_string(), "kubeflow.org/v2beta1");
  const Value& spec = at(job, "spec");
  EXPECT_EQ(at(spec, "slotsPerWorker").as_integer(), 8);
  EXPECT_EQ(at(spec, "mpiImplementation").as_string(), "OpenMPI");
  EXPECT_EQ(at(spec, "runPolicy").find("activeDeadlineSeconds"), nullptr);
  const Value& replicas = at(spec, "mpiReplicaSpecs");
  EXPECT_EQ(at(at(replicas, "Launcher"), "replicas").as_integer(), 1);
  EXPECT_EQ(at(at(replicas, "Worker"), "replicas").as_integer(), 2);
  expect_pod(at(at(replicas, "Launcher"), "template"), 0);
  expect_pod(at(at(replicas, "Worker"), "template"), 8);
}

TEST(ExportPlacesTest, TrainJobPassesTheRendezvous) {
  testing::ExportCase c;
  c.facts.image = "registry/image:1";
  const Value job = testing::yaml_of(c.files({kDeepspeed, kTrainJob}), "trainjob.yaml");
  EXPECT_EQ(at(job, "apiVersion").as_string(), "trainer.kubeflow.org/v1alpha1");
  const Value& trainer = at(at(job, "spec"), "trainer");
  EXPECT_EQ(at(trainer, "numNodes").as_integer(), 2);
  EXPECT_EQ(at(trainer, "numProcPerNode").as_integer(), 8);
  EXPECT_EQ(at(trainer, "image").as_string(), "registry/image:1");
  EXPECT_EQ(at(at(at(job, "spec"), "runtimeRef"), "name").as_string(), "torch-distributed");
  EXPECT_THAT(at(trainer, "command").as_array().at(2).as_string(),
              HasSubstr("NODE_RANK=\"${PET_NODE_RANK:-0}\" exec bash /opt/pluto/launch.sh"));
}

TEST(ExportPlacesTest, ImagesAreGivenWherePytorchIsNotEnough) {
  testing::ExportCase c;
  const auto without = export_plan({kDeepspeed, kPytorchJob}, {c.plan, {}, {}}, c.facts);
  ASSERT_FALSE(without.ok());
  EXPECT_THAT(without.error().message, HasSubstr("--image: pytorchjob needs an image"));
}

}  // namespace
}  // namespace pluto
