#pragma once
// A model trained whole on one rank, and by a plan that splits it over ranks: losses and parameters
// of both, for comparison.

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "runtime/reference/reference_device.h"
#include "tests/support/graph_runner.h"
#include "tests/support/step_interpreter.h"

namespace pluto::testing {

/// Elements of the whole tensor that rank `part` of a shard keeps, in its order.
inline std::vector<std::size_t> kept(const ParameterShard& shard, const Shape& whole,
                                     std::int64_t part) {
  const AxisView view({whole, DType::kF32, 0}, shard.axis, 1);
  std::vector<std::size_t> elements;
  for (std::size_t o = 0; o < view.outer; ++o) {
    std::int64_t begin = 0;
    for (const std::int64_t piece : shard.pieces) {
      const std::int64_t length = piece / shard.parts;
      for (std::int64_t i = 0; i < length; ++i) {
        const auto row = static_cast<std::size_t>(begin + part * length + i);
        for (std::size_t j = 0; j < view.inner; ++j) {
          elements.push_back((o * view.length + row) * view.inner + j);
        }
      }
      begin += piece;
    }
  }
  return elements;
}

class ShardedRun {
 public:
  struct Outcome {
    std::vector<float> losses;              ///< mean over data ranks and micro-batches, by step
    std::map<std::string, Values> tensors;  ///< parameters, whole
  };

  ShardedRun(const ModelGraph& model, const Plan& plan, int vocabulary = 3)
      : model_(model), plan_(plan), vocabulary_(vocabulary), device_(make_reference_device()) {}

  /// Every micro-batch through the whole model, gradients added by hand.
  Outcome whole() const {
    const TrainingGraph training = differentiate(model_, plan_.optimizer).value();
    const Graph& graph = training.graph;
    GraphRunner runner(graph, *device_, plan_.micro_batch);
    for (const Tensor& tensor : graph.tensors()) {
      if (starts(tensor)) runner.set(tensor.id, start(tensor.name, tensor));
    }
    Outcome outcome;
    for (int step = 0; step < kSteps; ++step) {
      std::vector<Values> sums(training.trained.size());
      double loss = 0;
      for (int rank = 0; rank < plan_.layout.data; ++rank) {
        for (int micro = 0; micro < static_cast<int>(plan_.accumulation); ++micro) {
          const auto inputs = graph.with_role(TensorRole::kInput);
          const auto values = batch(graph, step, rank, micro);
          for (std::size_t i = 0; i < inputs.size(); ++i) runner.set(inputs[i], values[i]);
          for (const Op& op : graph.ops()) {
            if (training.phase[op.id.index()] != OpPhase::kUpdate) {
              runner.run(op.id, scalars(step, rank, micro));
            }
          }
          loss += runner.get(training.loss)[0];
          for (std::size_t i = 0; i < sums.size(); ++i) {
            const Values gradient = runner.get(training.trained[i].gradient);
            sums[i].resize(gradient.size());
            for (std::size_t j = 0; j < gradient.size(); ++j) sums[i][j] += gradient[j];
          }
        }
      }
      outcome.losses.push_back(
          static_cast<float>(loss / static_cast<double>(plan_.layout.data * plan_.accumulation)));
      for (std::size_t i = 0; i < sums.size(); ++i) {
        runner.set(training.trained[i].gradient, sums[i]);
        runner.run(training.trained[i].update, scalars(step, 0, 0));
      }
    }
    for (const TrainedParameter& trained : training.trained) {
      outcome.tensors[graph.tensor(trained.parameter).name] = runner.get(trained.parameter);
    }
    return outcome;
  }

  /// All ranks of the lowered plan, in lock step. Checks that ranks agree on what they share.
  Outcome sharded(NetworkPace pace) const {
    auto result = lower(model_, plan_);
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
    if (!result.ok()) return {};
    const LoweredPlan& lowered = *result;
    const Graph& graph = lowered.training.graph;
    StepInterpreter interpreter(lowered, plan_, *device_);
    for (int rank = 0; rank < plan_.layout.ranks(); ++rank) {
      for (const Tensor& tensor : graph.tensors()) {
        if (starts(tensor)) interpreter.set(rank, tensor.id, part(lowered, tensor, rank));
      }
    }
    Outcome outcome;
    for (int step = 0; step < kSteps; ++step) {
      const auto by_rank = interpreter.step(
          [&](int rank, int micro) { return batch(graph, step, rank, micro); },
          [&](int rank, int micro) { return scalars(step, rank, micro, plan_.layout.context); },
          pace);
      double loss = 0;
      for (const auto& losses : by_rank) {
        for (const float value : losses) loss += value;
      }
      outcome.losses.push_back(static_cast<float>(
          loss / static_cast<double>(plan_.layout.ranks() * plan_.accumulation)));
    }
    for (const TrainedParameter& trained : lowered.training.trained) {
      const Tensor& tensor = graph.tensor(trained.parameter);
      Values whole(static_cast<std::size_t>(whole_shape(tensor.name).elements()));
      std::vector<bool> filled(whole.size());
      for (int rank = 0; rank < plan_.layout.ranks(); ++rank) {
        const Values mine = interpreter.get(rank, tensor.id);
        const auto elements = elements_of(lowered, tensor, rank);
        for (std::size_t i = 0; i < mine.size(); ++i) {
          if (plan_.shard == 3 && std::isnan(mine[i])) continue;  // another rank has it
          if (filled[elements[i]]) {
            EXPECT_EQ(whole[elements[i]], mine[i]) << tensor.name << " of rank " << rank;
          }
          whole[elements[i]] = mine[i];
          filled[elements[i]] = true;
        }
      }
      EXPECT_EQ(std::count(filled.begin(), filled.end(), false), 0) << tensor.name;
      outcome.tensors[tensor.name] = std::move(whole);
    }
    return outcome;
  }

  /// Both train the same model, to rounding: of f32, and of numbers that travelled in 16 bits.
  void expect_equal(NetworkPace pace = NetworkPace::kLazy, double rounding = 0) const {
    const Outcome expected = whole(), actual = sharded(pace);
    ASSERT_EQ(actual.losses.size(), expected.losses.size());
    for (std::size_t step = 0; step < expected.losses.size(); ++step) {
      EXPECT_NEAR(actual.losses[step], expected.losses[step], 2e-5 + rounding) << "step " << step;
    }
    ASSERT_EQ(actual.tensors.size(), expected.tensors.size());
    for (const auto& [name, values] : expected.tensors) {
      ASSERT_TRUE(actual.tensors.contains(name)) << name;
      const Values& found = actual.tensors.at(name);
      ASSERT_EQ(found.size(), values.size()) << name;
      for (std::size_t i = 0; i < values.size() && !::testing::Test::HasFailure(); ++i) {
        EXPECT_NEAR(found[i], values[i], 2e-5 + rounding + 2e-4 * std::abs(values[i]))
            << name << " " << i;
      }
    }
  }

 private:
  static constexpr int kSteps = 2;

  static bool starts(const Tensor& tensor) {
    return tensor.role == TensorRole::kParameter || tensor.role == TensorRole::kBuffer ||
           tensor.role == TensorRole::kOptimizerState;
  }
  /// Of a parameter, or of what belongs to it.
  const ParameterShard* shard_of(const LoweredPlan& lowered, const std::string& name) const {
    for (const ParameterShard& shard : lowered.training.model.shards) {
      if (name == shard.parameter || name == shard.parameter + ".momentum") return &shard;
    }
    return nullptr;
  }
  Shape whole_shape(const std::string& name) const {
    const std::string suffix = ".momentum";
    const bool state = name.size() > suffix.size() && name.ends_with(suffix);
    const auto id =
        model_.graph.find_tensor(state ? name.substr(0, name.size() - suffix.size()) : name);
    return model_.graph.tensor(*id).type.shape;
  }
  std::vector<std::size_t> elements_of(const LoweredPlan& lowered, const Tensor& tensor,
                                       int rank) const {
    if (const ParameterShard* shard = shard_of(lowered, tensor.name)) {
      const GroupShape group = group_shape(plan_, shard->group);
      EXPECT_EQ(group.ranks, shard->parts);
      return kept(*shard, whole_shape(tensor.name), rank / group.stride % group.ranks);
    }
    std::vector<std::size_t> all(static_cast<std::size_t>(tensor.type.shape.elements()));
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    return all;
  }
  Values part(const LoweredPlan& lowered, const Tensor& tensor, int rank) const {
    Tensor whole = tensor;
    if (shard_of(lowered, tensor.name)) whole.type.shape = whole_shape(tensor.name);
    const Values values = start(tensor.name, whole);
    Values mine;
    for (const std::size_t i : elements_of(lowered, tensor, rank)) mine.push_back(values[i]);
    return mine;
  }

  static Values start(const std::string& name, const Tensor& tensor) {
    std::mt19937_64 random(std::hash<std::string>()(name));
    Values values(static_cast<std::size_t>(tensor.type.shape.elements()));
    for (float& value : values) {
      const float noise = static_cast<float>(random() % 2001) / 1000.0F - 1.0F;
      // Biases and scales too: what is added once must not be added by every rank.
      value = tensor.role == TensorRole::kOptimizerState ? 0.0F
              : tensor.init.kind == Init::Kind::kOnes    ? 1.0F + 0.2F * noise
                                                         : 0.4F * noise;
      if (tensor.role == TensorRole::kBuffer) {
        value = tensor.init.kind == Init::Kind::kOnes ? 1.0F : 0.0F;
      }
    }
    return values;
  }
  std::vector<Values> batch(const Graph& graph, int step, int rank, int micro) const {
    std::vector<Values> tensors;
    for (const TensorId id : graph.with_role(TensorRole::kInput)) {
      const Tensor& tensor = graph.tensor(id);
      std::mt19937_64 random(std::hash<std::string>()(tensor.name) +
                             static_cast<std::uint64_t>(step * 100 + rank * 10 + micro));
      Values values(static_cast<std::size_t>(tensor.type.elements(plan_.micro_batch)));
      for (float& value : values) {
        const auto drawn = random();
        value = tensor.type.dtype == DType::kI32
                    ? static_cast<float>(drawn % static_cast<std::uint64_t>(vocabulary_))
                    : static_cast<float>(drawn % 2001) / 1000.0F - 1.0F;
      }
      tensors.push_back(std::move(values));
    }
    return tensors;
  }
  StepScalars scalars(int step, int rank, int micro, int context = 1) const {
    StepScalars scalars;
    scalars.learning_rate = 0.05;
    scalars.loss_scale = 1.0 / static_cast<double>(plan_.global_batch * context);
    scalars.seed = 5;
    scalars.step = step;
    scalars.micro_index = micro;
    scalars.sample_offset = (rank * plan_.accumulation + micro) * plan_.micro_batch;
    return scalars;
  }

  const ModelGraph& model_;
  const Plan& plan_;
  int vocabulary_;
  std::unique_ptr<Device> device_;
};

}  // namespace pluto::testing
