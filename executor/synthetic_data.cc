#include "executor/synthetic_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "base/philox.h"

namespace pluto {

namespace {

/// Counter word that no initial value (0xffffffff) and no dropout (the step) uses.
constexpr std::uint32_t kSyntheticStep = 0xfffffffe;
constexpr std::size_t kNoise = std::size_t{1} << 16;
constexpr std::uint32_t kNoiseStream = 0xffff;

std::uint32_t low(std::uint64_t value) { return static_cast<std::uint32_t>(value); }
std::uint32_t high(std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32); }

/// How one slot of a sample is made.
struct Slot {
  enum class Kind : std::uint8_t { kNormal, kIds, kBits } kind = Kind::kNormal;
  std::int64_t elements = 1;
  std::int64_t bound = 1;  ///< ids: uniform below this
  std::uint32_t stream = 0;
  std::int64_t first = 0;   ///< ids: of the stream's sequence
  std::int64_t stride = 1;  ///< ids: of the stream, per sample
};

class Synthetic : public DataSource {
 public:
  Synthetic(std::int64_t samples, std::uint64_t seed, std::vector<Slot> slots, Bytes per_sample)
      : samples_(samples), seed_(seed), slots_(std::move(slots)), per_sample_(per_sample) {
    noise_.resize(kNoise);
    for (std::size_t i = 0; i < kNoise; ++i) {
      noise_[i] = philox_normal(seed, kNoiseStream, kSyntheticStep, i);
    }
  }
  std::int64_t size() const override { return samples_; }
  Bytes bytes_per_sample() const override { return per_sample_; }
  Bytes resident() const override { return Bytes(kNoise * sizeof(float)); }

  void read(std::int64_t index, std::span<void* const> targets) const override {
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      const Slot& slot = slots_[i];
      switch (slot.kind) {
        case Slot::Kind::kNormal:
          fill_normal(slot, index, static_cast<float*>(targets[i]));
          break;
        case Slot::Kind::kIds:
          fill_ids(slot, index, static_cast<std::int32_t*>(targets[i]));
          break;
        case Slot::Kind::kBits:
          fill_bits(slot, index, static_cast<float*>(targets[i]));
          break;
      }
    }
  }

 private:
  void fill_normal(const Slot& slot, std::int64_t index, float* target) const {
    const auto sample = static_cast<std::uint64_t>(index);
    std::size_t at =
        philox(seed_, {low(sample), high(sample), slot.stream, kSyntheticStep})[0] % kNoise;
    for (std::int64_t done = 0; done < slot.elements;) {
      const std::int64_t piece =
          std::min(slot.elements - done, static_cast<std::int64_t>(kNoise - at));
      std::copy_n(noise_.data() + at, piece, target + done);
      done += piece;
      at = 0;
    }
  }
  std::uint32_t word(const Slot& slot, std::int64_t position) const {
    const auto p = static_cast<std::uint64_t>(position);
    return philox(seed_, {low(p / 4), high(p / 4), slot.stream, kSyntheticStep})[p % 4];
  }
  void fill_ids(const Slot& slot, std::int64_t index, std::int32_t* target) const {
    for (std::int64_t i = 0; i < slot.elements; ++i) {
      const std::uint64_t drawn = word(slot, index * slot.stride + slot.first + i);
      target[i] = static_cast<std::int32_t>(drawn * static_cast<std::uint64_t>(slot.bound) >> 32);
    }
  }
  void fill_bits(const Slot& slot, std::int64_t index, float* target) const {
    for (std::int64_t i = 0; i < slot.elements; ++i) {
      target[i] = static_cast<float>(word(slot, index * slot.elements + i) >> 31);
    }
  }

  std::int64_t samples_;
  std::uint64_t seed_;
  std::vector<Slot> slots_;
  Bytes per_sample_;
  std::vector<float> noise_;
};

/// Rows of the smallest table that `ids` selects from; nullopt when it selects from none.
std::optional<std::int64_t> rows_looked_up(const Graph& graph, TensorId ids) {
  std::optional<std::int64_t> rows;
  const auto smallest = [&](std::optional<std::int64_t> found) {
    if (found) rows = std::min(rows.value_or(*found), *found);
  };
  for (const OpId id : graph.consumers(ids)) {
    const Op& op = graph.op(id);
    switch (op.kind) {
      case OpKind::kEmbedding:
      case OpKind::kEmbeddingBag:
        if (op.inputs[0] == ids) smallest(std::get<EmbeddingAttrs>(op.attrs).rows);
        break;
      case OpKind::kReshape:
      case OpKind::kSlice:
      case OpKind::kSplit:
      case OpKind::kTranspose:
      case OpKind::kConcat:
        for (const TensorId output : op.outputs) smallest(rows_looked_up(graph, output));
        break;
      default:
        break;
    }
  }
  return rows;
}

Result<Slot> input_slot(const ModelGraph& model, TensorId id) {
  const Tensor& input = model.graph.tensor(id);
  Slot slot;
  slot.elements = slot.stride = input.type.elements(1);
  if (input.type.dtype == DType::kF32) return slot;
  if (input.type.dtype != DType::kI32) {
    return invalid_input(
        fmt::format("synthetic data: model {}: input {} holds {}; f32 and i32 can "
                    "be made",
                    model.name, input.name, to_text(input.type.dtype)));
  }
  const auto rows = rows_looked_up(model.graph, id);
  if (!rows) {
    return invalid_input(
        fmt::format("synthetic data: model {}: ids {} select from no table, their "
                    "range is unknown",
                    model.name, input.name));
  }
  slot.kind = Slot::Kind::kIds;
  slot.bound = *rows;
  return slot;
}

Result<Slot> label_slot(const ModelGraph& model, std::vector<Slot>& inputs) {
  const Tensor& labels = model.graph.tensor(model.labels);
  Slot slot;
  slot.elements = slot.stride = labels.type.elements(1);
  for (const OpId id : model.graph.consumers(model.labels)) {
    const Op& loss = model.graph.op(id);
    if (loss.kind == OpKind::kMse) return slot;
    if (loss.kind == OpKind::kBceWithLogits) {
      slot.kind = Slot::Kind::kBits;
      return slot;
    }
    if (loss.kind != OpKind::kSoftmaxCrossEntropy) continue;
    slot.kind = Slot::Kind::kIds;
    slot.bound = model.graph.tensor(loss.inputs[0]).type.shape.dims.back();
    for (std::size_t i = inputs.size(); i-- > 0;) {
      const Shape& shape = model.graph.tensor(model.inputs[i]).type.shape;
      const bool sequence = inputs[i].kind == Slot::Kind::kIds && shape.rank() > 0 &&
                            shape == labels.type.shape && inputs[i].bound <= slot.bound;
      if (!sequence) continue;
      // One id more per sample: the labels are the same sequence, one on.
      inputs[i].stride = slot.elements + 1;
      slot = inputs[i];
      slot.first = 1;
      break;
    }
    return slot;
  }
  return invalid_input(fmt::format("synthetic data: model {}: labels {} enter no known loss",
                                   model.name, labels.name));
}

}  // namespace

Result<DataSet> open_synthetic(const DataChoice& choice, const ModelGraph& model,
                               std::uint64_t seed) {
  if (!choice.samples || *choice.samples < 1) {
    return invalid_input("data: synthetic needs the number of samples", "set data.samples");
  }
  std::vector<Slot> slots;
  Bytes per_sample(0);
  for (std::size_t i = 0; i < model.inputs.size(); ++i) {
    PLUTO_ASSIGN(auto slot, input_slot(model, model.inputs[i]));
    slot.stream = static_cast<std::uint32_t>(i);
    slots.push_back(slot);
    per_sample += model.graph.tensor(model.inputs[i]).type.bytes(1);
  }
  if (!model.labels.valid()) {
    return invalid_input(fmt::format("synthetic data: model {} has no labels", model.name));
  }
  PLUTO_ASSIGN(auto labels, label_slot(model, slots));
  if (labels.first == 0) labels.stream = static_cast<std::uint32_t>(model.inputs.size());
  slots.push_back(labels);
  per_sample += model.graph.tensor(model.labels).type.bytes(1);
  DataSet set;
  set.train = std::make_unique<Synthetic>(*choice.samples, seed, std::move(slots), per_sample);
  return set;
}

}  // namespace pluto
