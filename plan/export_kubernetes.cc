#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/yaml_writer.h"
#include "plan/export_places.h"

namespace pluto {
namespace {

constexpr const char* kFolder = "/opt/pluto";
constexpr const char* kWritable = "/tmp/pluto";

Value member(const char* key, Value value) {
  Value object = Value::object();
  object.set(key, std::move(value));
  return object;
}

Value one_of(Value element) {
  Value list = Value::array();
  list.push_back(std::move(element));
  return list;
}

std::string configmap_name(const Plan& plan) { return label_of(plan) + "-files"; }

/// The image given, or PyTorch's for what needs nothing beside it.
Result<std::string> image_of(const Exported& e) {
  if (!e.facts.image.empty()) return e.facts.image;
  const bool pytorch =
      e.target.trainer == ExportTarget::kTorchrun || e.target.trainer == ExportTarget::kFsdp;
  if (pytorch) return std::string("pytorch/pytorch:2.7.1-cuda12.8-cudnn9-runtime");
  return invalid_input(fmt::format("--image: {} needs an image that has {}",
                                   to_text(*e.target.place), to_text(e.target.trainer)),
                       "--image REGISTRY/NAME:TAG");
}

Value resources_of(const Exported& e) {
  Value limits = Value::object();
  const LaunchSize size = launch_size(e.plan());
  if (on_gpus(e.plan())) {
    limits.set("nvidia.com/gpu", size.ranks_per_node);
  } else {
    limits.set("cpu", size.ranks_per_node * e.plan().threads_per_rank);
  }
  Value resources = Value::object();
  resources.set("limits", limits).set("requests", limits);
  return resources;
}

/// `assignments`: of shell variables, from those of the operator. A ConfigMap cannot be written to:
/// what launch.sh keeps goes elsewhere.
std::string start(const std::string& assignments) {
  return fmt::format("CHECKPOINTS={} {}exec bash {}/launch.sh", kWritable, assignments, kFolder);
}

Value shell(const std::string& command) {
  Value words = Value::array();
  words.push_back("bash");
  words.push_back("-c");
  words.push_back(command);
  return words;
}

Value mounts() {
  Value files = Value::object();
  files.set("name", "plan").set("mountPath", kFolder);
  Value shared = Value::object();
  shared.set("name", "shm").set("mountPath", "/dev/shm");
  Value list = one_of(std::move(files));
  list.push_back(std::move(shared));
  return list;
}

Value volumes(const Exported& e) {
  Value files = Value::object();
  files.set("name", "plan").set("configMap", member("name", configmap_name(e.plan())));
  // Readers and NCCL pass tensors through shared memory; the default is 64 MiB.
  Value shared = Value::object();
  shared.set("name", "shm").set("emptyDir", member("medium", "Memory"));
  Value list = one_of(std::move(files));
  list.push_back(std::move(shared));
  return list;
}

Value pod(const Exported& e, const char* container, const std::string& image, Value command,
          bool works) {
  Value one = Value::object();
  one.set("name", container).set("image", image);
  if (!command.is_null()) one.set("command", std::move(command));
  if (works) one.set("resources", resources_of(e));
  one.set("volumeMounts", mounts());
  Value spec = Value::object();
  spec.set("containers", one_of(std::move(one))).set("volumes", volumes(e));
  return member("spec", std::move(spec));
}

Value replicas(int count, Value pod_template) {
  Value value = Value::object();
  // A rank that fails ends the others: starting it alone again helps nobody.
  value.set("replicas", count).set("restartPolicy", "Never");
  value.set("template", std::move(pod_template));
  return value;
}

Value object_of(const char* version, const char* kind, const std::string& name) {
  Value value = Value::object();
  value.set("apiVersion", version).set("kind", kind).set("metadata", member("name", name));
  return value;
}

Value run_policy(const Plan& plan) {
  Value policy = Value::object();
  policy.set("cleanPodPolicy", "Running").set("backoffLimit", 0);
  if (plan.deadline) {
    policy.set("activeDeadlineSeconds",
               static_cast<std::int64_t>(std::ceil(plan.deadline->value())));
  }
  return policy;
}

Files both(const Exported& e, const Files& trainer, const char* path, const std::string& versions,
           const Value& job) {
  Value data = Value::object();
  for (const ExportedFile& file : trainer) data.set(file.path, file.text);
  Value map = object_of("v1", "ConfigMap", configmap_name(e.plan()));
  map.set("data", std::move(data));
  const std::string comment = comments(about(e, versions));
  return {{"configmap.yaml", comment + to_yaml(map), false}, {path, comment + to_yaml(job), false}};
}

}  // namespace

Result<Files> write_pytorchjob(const Exported& e, const Files& trainer) {
  const Plan& plan = e.plan();
  const int nodes = launch_size(plan).nodes;
  PLUTO_ASSIGN(const std::string image, image_of(e));
  // RANK is that of the pod here; the ranks get theirs from launch.sh.
  const Value worker = pod(e, "pytorch", image, shell(start("NODE_RANK=\"${RANK:-0}\" ")), true);
  Value specs = Value::object();
  specs.set("Master", replicas(1, worker));  // a node like the others
  if (nodes > 1) specs.set("Worker", replicas(nodes - 1, worker));
  Value spec = Value::object();
  spec.set("nprocPerNode", std::to_string(launch_size(plan).ranks_per_node));
  spec.set("runPolicy", run_policy(plan)).set("pytorchReplicaSpecs", std::move(specs));
  Value job = object_of("kubeflow.org/v1", "PyTorchJob", label_of(plan));
  job.set("spec", std::move(spec));
  return both(e, trainer, "pytorchjob.yaml",
              "Kubeflow training operator 1.9; kubectl apply -f configmap.yaml -f pytorchjob.yaml",
              job);
}

Result<Files> write_mpijob(const Exported& e, const Files& trainer) {
  const Plan& plan = e.plan();
  const LaunchSize size = launch_size(plan);
  PLUTO_ASSIGN(const std::string image, image_of(e));
  Value specs = Value::object();
  specs.set("Launcher", replicas(1, pod(e, "launcher", image, shell(start("")), false)));
  // The workers run the image's own ssh server.
  specs.set("Worker", replicas(size.nodes, pod(e, "worker", image, Value(), true)));
  Value spec = Value::object();
  spec.set("slotsPerWorker", size.ranks_per_node).set("runLauncherAsWorker", false);
  spec.set("mpiImplementation", "OpenMPI").set("launcherCreationPolicy", "WaitForWorkersReady");
  spec.set("runPolicy", run_policy(plan)).set("mpiReplicaSpecs", std::move(specs));
  Value job = object_of("kubeflow.org/v2beta1", "MPIJob", label_of(plan));
  job.set("spec", std::move(spec));
  return both(e, trainer, "mpijob.yaml",
              "Kubeflow MPI operator 0.5 on; kubectl apply -f configmap.yaml -f mpijob.yaml", job);
}

Result<Files> write_trainjob(const Exported& e, const Files& trainer) {
  const Plan& plan = e.plan();
  const LaunchSize size = launch_size(plan);
  PLUTO_ASSIGN(const std::string image, image_of(e));
  Value train = Value::object();
  train.set("image", image).set("numNodes", size.nodes);
  train.set("numProcPerNode", size.ranks_per_node).set("resourcesPerNode", resources_of(e));
  train.set("command", shell(start("MASTER_ADDR=\"${PET_MASTER_ADDR:-}\" "
                                   "MASTER_PORT=\"${PET_MASTER_PORT:-29500}\" "
                                   "NODE_RANK=\"${PET_NODE_RANK:-0}\" ")));
  Value target = Value::object();
  target.set("name", "node");
  Value override_ = Value::object();
  Value container = Value::object();
  container.set("name", "node").set("volumeMounts", mounts());
  override_.set("targetJobs", one_of(std::move(target)));
  override_.set("containers", one_of(std::move(container))).set("volumes", volumes(e));
  Value spec = Value::object();
  spec.set("runtimeRef", member("name", "torch-distributed"));
  spec.set("trainer", std::move(train));
  spec.set("podSpecOverrides", one_of(std::move(override_)));
  Value job = object_of("trainer.kubeflow.org/v1alpha1", "TrainJob", label_of(plan));
  job.set("spec", std::move(spec));
  return both(e, trainer, "trainjob.yaml",
              "Kubeflow Trainer 2.0; kubectl apply -f configmap.yaml -f trainjob.yaml", job);
}

}  // namespace pluto
