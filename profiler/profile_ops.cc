#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <set>
#include <unordered_set>

#include "base/check.h"
#include "base/philox.h"
#include "base/statistics.h"
#include "plan/memory_plan.h"
#include "profiler/agreement.h"
#include "profiler/profile.h"

namespace pluto {

namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Kinds without a kernel: all that passes add between ranks.
bool is_communication(OpKind kind) { return kind >= OpKind::kAllReduce; }

/// Values an index tensor may take: what reads it as a look-up or as a label says so.
std::int64_t index_limit(const Graph& graph, TensorId id) {
  std::int64_t limit = 2;
  for (const OpId consumer : graph.consumers(id)) {
    const Op& op = graph.op(consumer);
    if (const auto* embedding = std::get_if<EmbeddingAttrs>(&op.attrs)) limit = embedding->rows;
    if (op.kind == OpKind::kSoftmaxCrossEntropy && op.pass == OpPass::kForward) {
      limit = graph.tensor(op.inputs.front()).type.shape.dims.back();
    }
  }
  return limit;
}

/// One op of the step, compiled and bound to its place in the arena.
struct BoundOp {
  const Op* op = nullptr;
  std::unique_ptr<Kernel> kernel;
  std::vector<const void*> inputs;
  std::vector<void*> outputs, updates;
  std::string signature;
  std::vector<double> seconds;  // of each repeat
};

/// The compute ops of one step in issue order, ready to run again and again.
class StepUnderTest {
 public:
  static Result<StepUnderTest> make(Device& device, const LoweredPlan& lowered) {
    StepUnderTest step(device, lowered);
    PLUTO_TRY(step.compile());
    PLUTO_TRY(step.bind());
    step.fill();
    return step;
  }

  std::vector<BoundOp>& ops() { return ops_; }

  /// Runs every op once; returns the sum of their times.
  double run(int repeat) {
    KernelArguments arguments;
    arguments.workspace = at(memory_.workspace_offset);
    arguments.scalars.seed = 1;
    arguments.scalars.step = repeat;
    arguments.scalars.loss_scale = 1.0 / static_cast<double>(lowered_->program.micro_batch);
    // The weights stay where they are, so that no repeat computes on overflow or denormals.
    arguments.scalars.learning_rate = 0;
    double total = 0;
    for (BoundOp& bound : ops_) {
      arguments.inputs = bound.inputs;
      arguments.outputs = bound.outputs;
      arguments.updates = bound.updates;
      const auto start = Clock::now();
      bound.kernel->run(arguments);
      device_->synchronize();
      const double took = seconds_since(start);
      bound.seconds.push_back(took);
      total += took;
    }
    return total;
  }
  /// Forgets what warming up measured.
  void forget() {
    for (BoundOp& bound : ops_) bound.seconds.clear();
  }

 private:
  StepUnderTest(Device& device, const LoweredPlan& lowered)
      : device_(&device), lowered_(&lowered) {}
  const Graph& graph() const { return lowered_->training.graph; }
  void* at(Bytes offset) { return static_cast<std::byte*>(arena_->data()) + offset.value(); }

  Result<void> compile() {
    const std::int64_t batch = lowered_->program.micro_batch;
    for (const Task& task : lowered_->program.tasks) {
      const auto* op_task = std::get_if<OpTask>(&task.payload);
      // Micro-batches repeat the same ops; the first stands for all.
      if (!op_task || op_task->micro_index != 0) continue;
      const Op& op = graph().op(op_task->op);
      if (is_communication(op.kind)) continue;
      KernelRequest request{signature_of(graph(), op, batch), {}};
      for (const TensorId id : op.updates) request.updates.push_back(graph().tensor(id).type);
      BoundOp bound;
      bound.op = &op;
      bound.signature = to_text(request.signature);
      PLUTO_ASSIGN_AT(op.name, bound.kernel, device_->compile(request));
      ops_.push_back(std::move(bound));
    }
    return {};
  }

  Result<void> bind() {
    std::map<OpId, Bytes> workspaces;
    for (const BoundOp& bound : ops_) workspaces[bound.op->id] = bound.kernel->workspace();
    memory_ = plan_memory(lowered_->training, lowered_->program, [&](const Op& op) {
      const auto found = workspaces.find(op.id);
      return found == workspaces.end() ? Bytes(0) : found->second;
    });
    PLUTO_ASSIGN(arena_, device_->allocate(memory_.breakdown.total()));
    for (BoundOp& bound : ops_) {
      for (const TensorId id : bound.op->inputs)
        bound.inputs.push_back(at(memory_.offset[id.index()]));
      for (const TensorId id : bound.op->outputs)
        bound.outputs.push_back(at(memory_.offset[id.index()]));
      for (const TensorId id : bound.op->updates)
        bound.updates.push_back(at(memory_.offset[id.index()]));
    }
    return {};
  }

  /// Inputs and parameters as training starts with; everything else is made by the ops, except what
  /// other ranks would send.
  void fill() {
    constexpr std::uint64_t kSeed = 1;
    for (const Tensor& tensor : graph().tensors()) {
      const bool gathered = tensor.producer && is_communication(graph().op(*tensor.producer).kind);
      if (tensor.role != TensorRole::kInput && tensor.role != TensorRole::kParameter &&
          tensor.role != TensorRole::kBuffer && !gathered)
        continue;
      const std::int64_t count = tensor.type.elements(lowered_->program.micro_batch);
      const auto stream = static_cast<std::uint32_t>(tensor.id.index());
      std::vector<std::byte> host(
          static_cast<std::size_t>(tensor.type.bytes(lowered_->program.micro_batch).value()));
      if (tensor.type.dtype == DType::kI32) {
        const auto limit = static_cast<float>(index_limit(graph(), tensor.id));
        auto* values = reinterpret_cast<std::int32_t*>(host.data());
        for (std::int64_t i = 0; i < count; ++i) {
          values[i] = static_cast<std::int32_t>(
              philox_uniform(kSeed, stream, 0, static_cast<std::uint64_t>(i)) * limit);
        }
      } else if (tensor.type.dtype == DType::kF32) {
        auto* values = reinterpret_cast<float*>(host.data());
        const bool drawn = tensor.role == TensorRole::kInput || gathered ||
                           tensor.init.kind == Init::Kind::kNormal;
        const auto scale =
            static_cast<float>(tensor.init.kind == Init::Kind::kNormal ? tensor.init.stddev : 1.0);
        const float constant = tensor.init.kind == Init::Kind::kOnes ? 1.0F : 0.0F;
        for (std::int64_t i = 0; i < count; ++i) {
          values[i] = drawn ? scale * philox_normal(kSeed, stream, 0, static_cast<std::uint64_t>(i))
                            : constant;
        }
      }
      device_->copy_to_device(at(memory_.offset[tensor.id.index()]), host.data(),
                              Bytes(static_cast<std::int64_t>(host.size())));
    }
  }

  Device* device_;
  const LoweredPlan* lowered_;
  std::vector<BoundOp> ops_;
  MemoryPlan memory_;
  std::unique_ptr<DeviceBuffer> arena_;
};

/// Signatures of the step's compute ops that `known` lacks.
std::set<std::string> missing(const LoweredPlan& lowered, std::span<const std::string> known) {
  const std::unordered_set<std::string> have(known.begin(), known.end());
  std::set<std::string> wanted;
  for (const Task& task : lowered.program.tasks) {
    const auto* op_task = std::get_if<OpTask>(&task.payload);
    if (!op_task) continue;
    const Op& op = lowered.training.graph.op(op_task->op);
    if (is_communication(op.kind)) continue;
    std::string text =
        to_text(signature_of(lowered.training.graph, op, lowered.program.micro_batch));
    if (!have.contains(text)) wanted.insert(std::move(text));
  }
  return wanted;
}

}  // namespace

Result<ProfileOutcome> profile_ops(Device& device, const LoweredPlan& lowered,
                                   std::span<const std::string> known, const RunContext& context,
                                   const ProfileLimits& limits, Communicator* communicator,
                                   MeasurementSink& sink, const ProfileProgress& progress) {
  ProfileOutcome outcome;
  const std::set<std::string> wanted = missing(lowered, known);
  const int compute_signatures = static_cast<int>(missing(lowered, {}).size());
  outcome.already_known = compute_signatures - static_cast<int>(wanted.size());
  if (wanted.empty()) return outcome;

  const auto start = Clock::now();
  PLUTO_ASSIGN(StepUnderTest step, StepUnderTest::make(device, lowered));
  std::vector<double> totals;
  const std::string what =
      fmt::format("{} ops at micro-batch {}", wanted.size(), lowered.program.micro_batch);
  for (int repeat = -1;; ++repeat) {
    PLUTO_TRY(start_together(communicator));
    const double total = step.run(repeat + 1);
    if (repeat < 0) {  // the first run pays for page faults and code generation
      step.forget();
      totals.clear();
      continue;
    }
    totals.push_back(total);
    const double elapsed = seconds_since(start);
    const double half_width = relative_half_width(summarize(totals));
    const auto count = static_cast<int>(totals.size());
    const bool tight = count >= limits.min_repeats && half_width <= limits.relative_half_width;
    const bool out_of_time = elapsed >= limits.max_time.value();
    PLUTO_ASSIGN(const bool done,
                 leader_decides(communicator, tight || out_of_time || count >= limits.max_repeats));
    if (progress) {
      const double by_repeats = static_cast<double>(count) /
                                std::max(limits.min_repeats, std::min(limits.max_repeats, 30));
      progress(std::min(1.0, std::max(by_repeats, elapsed / limits.max_time.value())), what);
    }
    if (done) {
      outcome.complete = count >= limits.min_repeats;
      break;
    }
  }
  if (communicator && communicator->rank() != 0) return outcome;

  std::map<std::string, std::vector<double>> samples;
  std::map<std::string, const BoundOp*> example;
  for (const BoundOp& bound : step.ops()) {
    if (!wanted.contains(bound.signature)) continue;
    auto& all = samples[bound.signature];
    all.insert(all.end(), bound.seconds.begin(), bound.seconds.end());
    example.emplace(bound.signature, &bound);
  }
  for (const auto& [text, seconds] : samples) {
    const BoundOp& bound = *example.at(text);
    const Summary summary = summarize(seconds);
    OpMeasurement measurement;
    measurement.signature =
        signature_of(lowered.training.graph, *bound.op, lowered.program.micro_batch);
    measurement.implementation = bound.kernel->implementation();
    measurement.time = {Seconds(summary.median), summary.relative_spread,
                        static_cast<std::int64_t>(summary.count)};
    measurement.workspace = bound.kernel->workspace();
    PLUTO_TRY(sink.record({context, measurement}));
    ++outcome.measured;
  }
  return outcome;
}

}  // namespace pluto
