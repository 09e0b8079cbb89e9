#include "executor/evaluation.h"

#include <algorithm>

#include "executor/training_state.h"

namespace pluto {

namespace {

OpKind loss_kind(const TrainingGraph& training) {
  for (const OpId id : training.graph.consumers(training.labels)) {
    const Op& op = training.graph.op(id);
    if (op.pass == OpPass::kForward) return op.kind;
  }
  return OpKind::kMse;
}

/// Test samples through the forward nodes, a micro-batch at a time.
class ForwardPass {
 public:
  ForwardPass(const StepCode& code, Device& device, const DataSource& test, StepScalars scalars)
      : code_(code), device_(device), test_(test), scalars_(scalars) {
    scalars_.training = false;
    scalars_.micro_index = 0;
    const TrainingGraph& training = code.training();
    std::vector<TensorId> ids = training.inputs;
    ids.push_back(training.labels);
    for (const TensorId id : ids) {
      places_.push_back(code.place(id, 0).data);
      host_.emplace_back(static_cast<std::size_t>(training.graph.tensor(id).type.bytes(1).value()));
    }
    const TensorType& logits = training.graph.tensor(training.logits).type;
    logits_.resize(static_cast<std::size_t>(logits.elements(code.program().micro_batch)));
  }

  /// Logits and labels of samples [first, first + micro_batch); behind `end` the last one repeats.
  void run(std::int64_t first, std::int64_t end) {
    const std::int64_t micro_batch = code_.program().micro_batch;
    std::vector<void*> targets;
    for (auto& sample : host_) targets.push_back(sample.data());
    labels_.clear();
    for (std::int64_t i = 0; i < micro_batch; ++i) {
      test_.read(std::min(first + i, end - 1), targets);
      for (std::size_t slot = 0; slot < host_.size(); ++slot) {
        const auto size = static_cast<std::int64_t>(host_[slot].size());
        device_.copy_to_device(places_[slot] + i * size, host_[slot].data(), Bytes(size));
      }
      labels_.insert(labels_.end(), host_.back().begin(), host_.back().end());
    }
    const TensorId logits = code_.training().logits;
    for (const ComputeEntry& entry : code_.compute()) {
      if (entry.micro_index != 0 || entry.phase != OpPhase::kForward || entry.acquire) continue;
      if (entry.kernel != nullptr) {
        const BoundPointers& bound = entry.bound[0];
        entry.kernel->run(
            {bound.inputs, bound.outputs, bound.updates, code_.workspace(), scalars_});
      }
      if (entry.makes_logits) break;
    }
    const Place place = code_.place(logits);
    device_.copy_to_host(logits_.data(), place.data, place.size);
  }

  std::span<const float> logits() const { return logits_; }
  template <class Label>
  std::span<const Label> labels() const {
    return {reinterpret_cast<const Label*>(labels_.data()), labels_.size() / sizeof(Label)};
  }

 private:
  const StepCode& code_;
  Device& device_;
  const DataSource& test_;
  StepScalars scalars_;
  std::vector<std::byte*> places_;
  std::vector<std::vector<std::byte>> host_;  ///< one sample, by slot
  std::vector<std::byte> labels_;
  std::vector<float> logits_;
};

}  // namespace

Hits count_largest(std::span<const float> logits, std::span<const std::int32_t> labels) {
  Hits hits;
  if (labels.empty()) return hits;
  const std::size_t classes = logits.size() / labels.size();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0) continue;
    const auto row = logits.subspan(i * classes, classes);
    const auto largest = std::max_element(row.begin(), row.end()) - row.begin();
    hits.correct += largest == labels[i] ? 1 : 0;
    ++hits.counted;
  }
  return hits;
}

Hits count_signs(std::span<const float> logits, std::span<const float> targets) {
  Hits hits;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    hits.correct += (logits[i] > 0) == (targets[i] > 0.5F) ? 1 : 0;
    ++hits.counted;
  }
  return hits;
}

Result<std::optional<double>> evaluate(const StepCode& code, Device& device,
                                       Communicator& communicator, const DataSource& test,
                                       StepScalars scalars) {
  const OpKind kind = loss_kind(code.training());
  if (kind != OpKind::kSoftmaxCrossEntropy && kind != OpKind::kBceWithLogits) {
    return std::optional<double>();
  }
  PLUTO_TRY(broadcast_state({state_blocks(code)[1]}, device, communicator));
  const ShardRange own = shard_of(test.size(), communicator.rank(), communicator.size());
  const std::int64_t micro_batch = code.program().micro_batch;
  ForwardPass forward(code, device, test, scalars);
  Hits hits;
  for (std::int64_t first = own.begin; first < own.end; first += micro_batch) {
    forward.run(first, own.end);
    const auto real = static_cast<std::size_t>(std::min(micro_batch, own.end - first));
    const auto all = static_cast<std::size_t>(micro_batch);
    const auto logits = forward.logits().first(forward.logits().size() / all * real);
    const auto add = [&](auto count, auto labels) {
      const Hits more = count(logits, labels.first(labels.size() / all * real));
      hits.correct += more.correct;
      hits.counted += more.counted;
    };
    if (kind == OpKind::kSoftmaxCrossEntropy) {
      add(count_largest, forward.labels<std::int32_t>());
    } else {
      add(count_signs, forward.labels<float>());
    }
  }
  std::vector<Hits> every(static_cast<std::size_t>(communicator.size()));
  PLUTO_TRY(communicator.all_gather(std::as_bytes(std::span(&hits, 1)),
                                    std::as_writable_bytes(std::span(every))));
  Hits sum;
  for (const Hits& one : every) {
    sum.correct += one.correct;
    sum.counted += one.counted;
  }
  if (sum.counted == 0) return std::optional<double>();
  return std::optional<double>(static_cast<double>(sum.correct) / static_cast<double>(sum.counted));
}

}  // namespace pluto
