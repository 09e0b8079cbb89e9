#include "costmodel/training_step.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "costmodel/simulator.h"
#include "costmodel/sources.h"
#include "model/zoo.h"
#include "plan/allocator_replay.h"
#include "plan/lowering.h"

namespace pluto {

namespace {

// A full queue hides uneven reading, a nearly empty one does not: t = (step^q + reading^q)^(1/q).
constexpr double kQueue = 4;
constexpr std::int64_t kBucketBytes = 25 * 1024 * 1024;

OptimizerAttrs optimizer_of(const std::string& name) {
  if (name == "adam") return AdamAttrs{};
  SgdAttrs sgd;
  sgd.momentum = name == "momentum" ? 0.9 : 0;
  return sgd;
}

/// Of the row's kind of synchronisation; one parameter to a bucket for servers.
std::vector<BucketPlan> buckets_of(const TrainingGraph& training, StepSync sync) {
  std::vector<BucketPlan> buckets;
  std::int64_t filled = kBucketBytes;
  for (const TrainedParameter& trained : training.trained) {
    const Tensor& parameter = training.graph.tensor(trained.parameter);
    if (sync != StepSync::kAllReduce || filled >= kBucketBytes) {
      buckets.push_back(
          {sync == StepSync::kAllReduce ? SyncMethod::kAllReduce : SyncMethod::kParameterServer,
           {}});
      filled = 0;
    }
    buckets.back().parameters.push_back(parameter.name);
    filled += parameter.type.bytes(1).value();
  }
  return buckets;
}

/// Micro-batches after the second are like the second.
int simulated_accumulation(const TrainingRow& row) { return std::min(row.accumulation, 2); }

/// What the host has to issue.
struct Issued {
  std::int64_t forward = 0, backward = 0, parameters = 0;
};
Issued issued_by(const TrainingGraph& training) {
  Issued issued;
  issued.parameters = static_cast<std::int64_t>(training.trained.size());
  for (const Op& op : training.graph.ops()) {
    // Ours is one product for queries, keys and values; elsewhere they are three.
    if (op.kind == OpKind::kAttention && op.pass == OpPass::kForward) issued.parameters += 4;
  }
  for (const Op& op : training.graph.ops()) {
    if (schema_of(op.kind).alias == OpSchema::Alias::kSameBytes) continue;
    const OpPhase phase = training.phase[op.id.index()];
    if (phase == OpPhase::kForward) ++issued.forward;
    if (phase == OpPhase::kBackward) ++issued.backward;
  }
  return issued;
}

}  // namespace

/// A model ready to be lowered for any number of ranks.
struct StepPredictor::Prepared {
  TrainingGraph training;  ///< before communication
  Plan plan;               ///< without cluster, ranks and batch
  Issued issued;
};

Result<StepPredictor> StepPredictor::load(const std::string& data_folder,
                                          FrameworkTable frameworks) {
  StepPredictor predictor;
  predictor.frameworks_ = std::move(frameworks);
  PLUTO_ASSIGN(predictor.interference_, load_interference(data_folder + "/interference.json"));
  for (const bool tf32 : {false, true}) {
    for (const bool eager : {false, true}) {
      for (const bool last : {false, true}) {
        PLUTO_ASSIGN(auto source,
                     make_roofline_source(data_folder + "/efficiency.json",
                                          {.surfaces_path = data_folder + "/op_surfaces.json",
                                           .tf32 = tf32,
                                           .eager_attention = eager,
                                           .channels_last = last}));
        predictor.sources_[tf32 ? 1 : 0][eager ? 1 : 0][last ? 1 : 0] = std::move(source);
      }
    }
  }
  return predictor;
}

Result<std::shared_ptr<const StepPredictor::Prepared>> StepPredictor::prepare(
    const TrainingRow& row) {
  const bool fuse = frameworks_.frameworks.at(row.framework).fuse;
  const ZooOptions& options = row.model.options;
  const std::string key =
      fmt::format("{} {} {} {} {} {} {}", row.model.source, options.height.value_or(0),
                  options.classes.value_or(0), options.sequence.value_or(0), row.optimizer, fuse,
                  simulated_accumulation(row));
  auto& known = prepared_[key];
  if (known) return known;
  auto made = std::make_shared<Prepared>();
  PLUTO_ASSIGN(const ModelGraph model, build_model(row.model.source, options));
  Plan& plan = made->plan;
  plan.model = row.model;
  plan.model_fingerprint = model.graph.fingerprint();
  plan.fuse = fuse;
  plan.backend = "cuda";
  plan.data.samples = plan.dataset_samples = 1;
  plan.accumulation = simulated_accumulation(row);
  plan.optimizer = optimizer_of(row.optimizer);
  plan.cluster = row.cluster;
  plan.global_batch = plan.micro_batch * plan.accumulation;
  PLUTO_ASSIGN(made->training, unsynchronized(model, plan));
  made->issued = issued_by(made->training);
  known = std::move(made);
  return known;
}

Plan StepPredictor::plan_of(const Prepared& prepared, const TrainingRow& row) {
  Plan plan = prepared.plan;
  plan.cluster = row.cluster;
  plan.layout.data = row.gpus;
  plan.micro_batch = row.batch;
  plan.global_batch = row.batch * plan.accumulation * row.gpus;
  if (row.gpus == 1) return plan;
  plan.buckets = buckets_of(prepared.training, row.sync);
  if (row.sync != StepSync::kAllReduce) {
    const int servers = row.sync == StepSync::kServerGpu ? row.gpus : 1;
    for (int i = 0; i < servers; ++i) plan.servers.push_back(i);
  }
  return plan;
}

Result<TrainingStep> StepPredictor::predict(const TrainingRow& row) {
  PLUTO_ASSIGN(const auto prepared, prepare(row));
  const FrameworkCosts& framework = frameworks_.frameworks.at(row.framework);
  const Plan plan = plan_of(*prepared, row);
  PLUTO_ASSIGN(const LoweredPlan lowered, lower(prepared->training, plan));

  const bool tf32 = row.precision == StepPrecision::kTf32;
  const CostSource& source =
      *sources_[tf32 ? 1 : 0][framework.eager_attention ? 1 : 0][framework.channels_last ? 1 : 0];
  FrameworkRun run{framework, row.precision, row.sync, row.interleaved};
  run.host_bandwidth = frameworks_.host_bandwidth;
  run.interference = &interference_;
  const auto generation = frameworks_.generations.find(row.cluster.instance.node.device.generation);
  if (generation != frameworks_.generations.end()) run.generation = generation->second;
  TrainingStep result;
  Seconds alone, micro;  // of the step, of one micro-batch
  const auto add_up = [&](const Op& op) {
    const OpPhase phase = lowered.training.phase[op.id.index()];
    const bool repeats = phase == OpPhase::kForward || phase == OpPhase::kBackward;
    const auto cost = FrameworkSource(source, run)
                          .op(signature_of(lowered.training.graph, op, row.batch),
                              row.cluster.instance.node.device, 1);
    const Seconds of_step = cost.time * static_cast<double>(repeats ? row.accumulation : 1);
    alone += of_step;
    result.by_class[static_cast<std::size_t>(class_of(op.kind))] += of_step;
    if (repeats) micro += cost.time;
  };
  for (const Op& op : lowered.training.graph.ops()) {
    if (!std::holds_alternative<CommAttrs>(op.attrs)) add_up(op);
  }
  const Issued& issued = prepared->issued;
  const Seconds host = (framework.forward * static_cast<double>(issued.forward) +
                        framework.backward * static_cast<double>(issued.backward)) *
                           static_cast<double>(row.accumulation) +
                       framework.update * static_cast<double>(issued.parameters);
  run.slower = std::max(1.0, host / alone);

  const FrameworkSource costs(source, run);
  PLUTO_ASSIGN(const SimulatedStep step,
               simulate(lowered, row.cluster, plan.data, costs, {.timeline = false}));
  const Seconds beyond = micro * static_cast<double>(row.accumulation - plan.accumulation);
  result.compute = step.compute * (1 / run.slower) + beyond;
  result.update = step.update * (1 / run.slower);
  result.waiting = (result.compute + result.update) * (run.slower - 1);
  result.exposed_comm = step.exposed_comm;
  result.serial =
      (run.precision == StepPrecision::kMixed ? framework.half_serial : framework.serial) *
      static_cast<double>(issued.parameters);
  result.spread = framework.spread > 0 ? framework.spread : step.relative_spread;
  if (row.optimizer == "none") {
    result.waiting = result.compute * (run.slower - 1);
    result.update = Seconds(0);
  }
  // The slowest of n normal ranks is sigma sqrt(2 ln n) late, nearly.
  if (row.reads_data && row.gpus > 1) {
    result.exposed_comm += framework.jitter * std::sqrt(2 * std::log(row.gpus));
  }
  const double fed = framework.sample.value() * static_cast<double>(row.batch * row.accumulation);
  const double fast = result.step().value();
  result.input =
      Seconds(std::pow(std::pow(fast, kQueue) + std::pow(fed, kQueue), 1 / kQueue) - fast);
  return result;
}

Result<StepPredictor::Memory> StepPredictor::predict_memory(const TrainingRow& row) {
  PLUTO_ASSIGN(const auto prepared, prepare(row));
  PLUTO_ASSIGN(const LoweredPlan lowered, lower(prepared->training, plan_of(*prepared, row)));
  const FrameworkCosts& framework = frameworks_.frameworks.at(row.framework);
  const Graph& graph = lowered.training.graph;
  const auto held = replay_caching_allocator(lowered.training, lowered.program, {});
  double parameters = 0, gradients = 0, persistent = 0;
  for (const Tensor& tensor : graph.tensors()) {
    const auto bytes = static_cast<double>(tensor.type.bytes(row.batch).value());
    if (tensor.role == TensorRole::kParameter) parameters += bytes;
    if (tensor.role == TensorRole::kGradient) gradients += bytes;
    if (is_persistent(tensor.role)) persistent += bytes;
  }
  double activations = static_cast<double>(held->reserved.value()) - persistent;
  for (const Op& op : graph.ops()) {
    const auto* attention = std::get_if<AttentionAttrs>(&op.attrs);
    if (!framework.eager_attention || attention == nullptr || op.pass != OpPass::kForward) continue;
    const Shape& queries = graph.tensor(op.inputs[0]).type.shape;
    const Shape& keys = graph.tensor(op.inputs[1]).type.shape;
    activations += static_cast<double>(row.batch) *
                   (9.0 * static_cast<double>(attention->heads * queries[0] * keys[0]) +
                    16.0 * static_cast<double>(queries.elements()));
  }
  if (row.precision == StepPrecision::kMixed) {
    activations *= framework.half_activations;
    persistent += parameters / 2 - gradients / 2;
  }
  const double needed = persistent + activations;
  const auto context = static_cast<double>(framework.context.value());
  const auto card = static_cast<double>(row.cluster.instance.node.device.memory.value());
  // The allocator gives its cache back before it fails, so slack does not keep a step from running.
  return Memory{
      Bytes(static_cast<std::int64_t>(std::min(framework.slack * needed + context, card))),
      needed + context <= card};
}

}  // namespace pluto
