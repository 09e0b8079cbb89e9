// What the fuse pass gives on this machine: the nodes that differ between a model with and without
// it, forward and backward, timed in turns on one thread, and what the cost model predicts of them.
// Exit status 1 where the cost model has the direction wrong of a difference that can be measured.
// Usage: fusion

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <new>
#include <string>
#include <vector>

#include "base/statistics.h"
#include "base/text.h"
#include "costmodel/sources.h"
#include "model/passes/passes.h"
#include "runtime/backends.h"

namespace pluto {
namespace {

constexpr int kTurns = 15;
// A smaller difference is noise: where operands lie alone makes some percent.
constexpr double kSeen = 0.1;

/// x -> what is to be merged -> mean of squares.
class Chain {
 public:
  explicit Chain(std::vector<std::int64_t> dims) { x_ = model_.inputs[0] = b_.input("x", {dims}); }

  Chain& product(OpKind kind, std::int64_t out, std::int64_t kernel, bool bias) {
    const Shape& shape = b_.type(x_).shape;
    if (kind == OpKind::kLinear) {
      return weights(kind, LinearAttrs{out, bias}, {{out, shape.dims.back()}}, out, bias);
    }
    ConvAttrs attrs;
    attrs.out_channels = out;
    attrs.kernel_h = attrs.kernel_w = kernel;
    attrs.pad_top = attrs.pad_left = attrs.pad_bottom = attrs.pad_right = kernel / 2;
    attrs.bias = bias;
    return weights(kind, attrs, {{out, shape[0], kernel, kernel}}, out, bias);
  }
  Chain& norm() {
    const Shape channels{{b_.type(x_).shape[0]}};
    const TensorType statistic{channels, DType::kF32, 0};
    x_ = b_.op(
        name(), OpKind::kBatchNorm, OpPass::kForward, BatchNormAttrs{},
        {x_, b_.parameter(name() + ".g", channels, {}), b_.parameter(name() + ".b", channels, {})},
        {b_.tensor(name() + ".m", TensorRole::kBuffer, statistic),
         b_.tensor(name() + ".v", TensorRole::kBuffer, statistic)})[0];
    return *this;
  }
  Chain& function(OpKind kind) {
    x_ = b_.forward(name(), kind, NoAttrs{}, {x_});
    return *this;
  }
  Chain& remember() {
    kept_ = x_;
    return *this;
  }
  Chain& add() {
    x_ = b_.forward(name(), OpKind::kAdd, AddAttrs{}, {x_, kept_});
    return *this;
  }
  ModelGraph end() {
    model_.labels = b_.input("target", b_.type(x_).shape);
    model_.logits = x_ = b_.forward("end", OpKind::kMul, NoAttrs{}, {x_, x_});
    model_.loss = b_.forward("loss", OpKind::kMse, NoAttrs{}, {x_, model_.labels});
    model_.graph = std::move(b_).build().value();
    return model_;
  }

 private:
  static ModelGraph empty() {
    ModelGraph model;
    model.name = "chain";
    model.inputs.resize(1);
    return model;
  }
  std::string name() const { return fmt::format("n{}", b_.ops()); }
  Chain& weights(OpKind kind, OpAttrs attrs, Shape shape, std::int64_t out, bool bias) {
    std::vector<TensorId> inputs = {x_, b_.parameter(name() + ".w", std::move(shape), {})};
    if (bias) inputs.push_back(b_.parameter(name() + ".c", {{out}}, {}));
    x_ = b_.forward(name(), kind, std::move(attrs), std::move(inputs));
    return *this;
  }

  GraphBuilder b_;
  ModelGraph model_ = empty();
  TensorId x_, kept_;
};

struct Case {
  const char* name;
  std::int64_t batch;
  ModelGraph model;
};

std::vector<Case> cases() {
  const auto conv = OpKind::kConv2d, linear = OpKind::kLinear;
  std::vector<Case> all;
  const auto add = [&](const char* name, std::int64_t batch, Chain& chain) {
    all.push_back({name, batch, chain.end()});
  };
  // A product in front, so that gradients go through what is merged.
  add("VGG conv 3x3 + relu", 4,
      Chain({64, 56, 56}).product(conv, 64, 3, true).function(OpKind::kRelu));
  add("bottleneck conv 1x1 + relu", 8,
      Chain({64, 56, 56}).product(conv, 256, 1, true).function(OpKind::kRelu));
  add("AlexNet linear + relu", 64,
      Chain({4096}).product(linear, 4096, 1, true).function(OpKind::kRelu));
  add("recommender linear + relu", 4096,
      Chain({64}).product(linear, 256, 1, true).function(OpKind::kRelu));
  add("transformer linear + gelu", 4,
      Chain({256, 256}).product(linear, 1024, 1, true).function(OpKind::kGelu));
  add("gated linear + silu", 4,
      Chain({256, 256}).product(linear, 1024, 1, false).function(OpKind::kSilu));
  add("linear + tanh", 1024, Chain({256}).product(linear, 256, 1, true).function(OpKind::kTanh));
  add("batch norm + relu", 8,
      Chain({64, 56, 56}).product(conv, 64, 1, false).norm().function(OpKind::kRelu));
  add("batch norm + add + relu", 8,
      Chain({64, 56, 56})
          .product(conv, 64, 1, false)
          .remember()
          .product(conv, 64, 1, false)
          .norm()
          .add()
          .function(OpKind::kRelu));
  return all;
}

/// Every tensor of a training graph in memory of its own.
class Arena {
 public:
  Arena(const Graph& graph, std::int64_t batch) {
    for (const Tensor& tensor : graph.tensors()) {
      const auto elements = static_cast<std::size_t>(tensor.type.elements(batch));
      // 64-byte lines; small numbers of either sign, which no function overflows on.
      auto* data = static_cast<float*>(::operator new(elements * sizeof(float) + 64, kAlign));
      for (std::size_t i = 0; i < elements; ++i) {
        data[i] = 0.01F * static_cast<float>(static_cast<int>(i % 201) - 100);
      }
      data_.push_back(data);
    }
  }
  ~Arena() {
    for (void* data : data_) ::operator delete(data, kAlign);
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  void* at(TensorId id) const { return data_[id.index()]; }

 private:
  static constexpr std::align_val_t kAlign{64};
  std::vector<void*> data_;
};

/// The nodes of one form of a model that the other does not have.
class Nodes {
 public:
  Nodes(const TrainingGraph& training, std::int64_t batch, Device& device)
      : training_(training), batch_(batch), device_(device), arena_(training.graph, batch) {}

  std::map<std::string, int> signatures() const {
    std::map<std::string, int> counts;
    for (const Op& op : training_.graph.ops()) ++counts[text(op)];
    return counts;
  }
  void keep_what_differs(std::map<std::string, int> other) {
    for (const Op& op : training_.graph.ops()) {
      if (training_.phase[op.id.index()] == OpPhase::kUpdate || --other[text(op)] >= 0) continue;
      KernelRequest request{signature_of(training_.graph, op, batch_), {}};
      for (TensorId id : op.updates) request.updates.push_back(training_.graph.tensor(id).type);
      ops_.push_back(&op);
      kernels_.push_back(std::move(device_.compile(request).value()));
      workspace_.resize(std::max(
          workspace_.size(), static_cast<std::size_t>(kernels_.back()->workspace().value()) + 64));
    }
  }
  std::size_t count() const { return ops_.size(); }

  double seconds() {
    auto* space = workspace_.data();
    space += (64 - reinterpret_cast<std::uintptr_t>(space) % 64) % 64;
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < ops_.size(); ++i) {
      std::vector<const void*> inputs;
      std::vector<void*> outputs, updates;
      for (TensorId id : ops_[i]->inputs) inputs.push_back(arena_.at(id));
      for (TensorId id : ops_[i]->outputs) outputs.push_back(arena_.at(id));
      for (TensorId id : ops_[i]->updates) updates.push_back(arena_.at(id));
      kernels_[i]->run({inputs, outputs, updates, space, {}});
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  double predicted(const CostSource& costs) const {
    DeviceSpec device;
    device.kind = DeviceKind::kCpu;
    double sum = 0;
    for (const Op* op : ops_) {
      sum += costs.op(signature_of(training_.graph, *op, batch_), device, 1).time.value();
    }
    return sum;
  }

 private:
  std::string text(const Op& op) const {
    return to_text(signature_of(training_.graph, op, batch_));
  }

  const TrainingGraph& training_;
  std::int64_t batch_;
  Device& device_;
  Arena arena_;
  std::vector<const Op*> ops_;
  std::vector<std::unique_ptr<Kernel>> kernels_;
  std::vector<std::byte> workspace_;
};

int run() {
  const auto device = open_device("cpu", 1).value();
  const auto costs =
      make_roofline_source(std::string(PLUTO_SOURCE_DIR) + "/data/efficiency.json").value();
  std::vector<std::vector<std::string>> rows = {
      {"nodes that differ", "apart", "merged", "apart ms", "merged ms", "ratio", "predicted"}};
  int wrong = 0;
  std::vector<double> gains;
  for (const Case& one : cases()) {
    const TrainingGraph apart = differentiate(one.model, SgdAttrs{}).value();
    const TrainingGraph merged = differentiate(fuse(one.model).value(), SgdAttrs{}).value();
    Nodes unfused(apart, one.batch, *device), fused(merged, one.batch, *device);
    unfused.keep_what_differs(fused.signatures());
    fused.keep_what_differs(unfused.signatures());
    std::vector<double> times[2];
    for (int turn = 0; turn < kTurns + 1; ++turn) {
      const double a = unfused.seconds(), b = fused.seconds();
      if (turn == 0) continue;  // memory is touched for the first time
      times[0].push_back(a);
      times[1].push_back(b);
    }
    // The least: what other processes take does not count.
    const double a = *std::ranges::min_element(times[0]), b = *std::ranges::min_element(times[1]);
    const double predicted = fused.predicted(*costs) / unfused.predicted(*costs);
    gains.push_back(b / a);
    if (std::abs(b / a - 1) > kSeen && (b < a) != (predicted < 1)) ++wrong;
    rows.push_back({one.name, fmt::format("{}", unfused.count()), fmt::format("{}", fused.count()),
                    fmt::format("{:.2f}", 1e3 * a), fmt::format("{:.2f}", 1e3 * b),
                    fmt::format("{:.2f}", b / a), fmt::format("{:.2f}", predicted)});
  }
  std::fputs(format_table(rows).c_str(), stdout);
  std::printf("time merged / apart: median %.2f; direction predicted wrong: %d\n", median(gains),
              wrong);
  return wrong > 0 ? 1 : 0;
}

}  // namespace
}  // namespace pluto

int main() { return pluto::run(); }
