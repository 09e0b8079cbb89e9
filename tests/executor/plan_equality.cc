#include "tests/executor/plan_equality.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace pluto::testing {
namespace {

/// Deterministic values of tensors, by name and place.
class Samples {
 public:
  explicit Samples(std::uint64_t seed) : seed_(seed) {}

  Values start(const Tensor& tensor) const {
    Values values(static_cast<std::size_t>(tensor.type.shape.elements()));
    std::mt19937_64 random(seed_ * 977 + std::hash<std::string>()(tensor.name));
    for (float& value : values) {
      if (tensor.init.kind == Init::Kind::kZeros) value = 0;
      if (tensor.init.kind == Init::Kind::kOnes) value = 1;
      if (tensor.init.kind == Init::Kind::kNormal) {
        value = static_cast<float>(tensor.init.stddev) * unit(random);
      }
    }
    return values;
  }
  /// Sample `index` of the step's global batch.
  Values input(const Tensor& tensor, int step, std::int64_t index) const {
    Values values(static_cast<std::size_t>(tensor.type.shape.elements()));
    std::mt19937_64 random(seed_ * 31 + static_cast<std::uint64_t>(step * 1000 + index) * 2 +
                           (tensor.type.dtype == DType::kI32 ? 1 : 0));
    for (float& value : values) {
      value = tensor.type.dtype == DType::kI32 ? static_cast<float>(random() % 3) : unit(random);
    }
    return values;
  }

 private:
  static float unit(std::mt19937_64& random) {
    return static_cast<float>(random() % 20001) / 10000.0F - 1.0F;
  }
  std::uint64_t seed_;
};

bool starts(const Tensor& tensor) {
  return tensor.role == TensorRole::kParameter || tensor.role == TensorRole::kBuffer ||
         tensor.role == TensorRole::kOptimizerState;
}

}  // namespace

Equality::Equality(const ModelGraph& model, const Plan& plan, std::uint64_t seed)
    : model_(model), plan_(plan), seed_(seed), device_(make_reference_device()) {}

Outcome Equality::untransformed() const {
  const TrainingGraph training = differentiate(model_, plan_.optimizer).value();
  const Graph& graph = training.graph;
  std::vector<std::unique_ptr<GraphRunner>> ranks;
  for (int rank = 0; rank < plan_.layout.data; ++rank) {
    ranks.push_back(std::make_unique<GraphRunner>(graph, *device_, plan_.micro_batch));
    for (const Tensor& tensor : graph.tensors()) {
      if (starts(tensor)) ranks.back()->set(tensor.id, Samples(seed_).start(tensor));
    }
  }
  Outcome outcome;
  for (int step = 0; step < kEqualitySteps; ++step) {
    std::vector<Values> sums(training.trained.size());
    outcome.losses.emplace_back();
    for (int rank = 0; rank < plan_.layout.data; ++rank) {
      if (local()) sums.assign(training.trained.size(), {});
      GraphRunner& runner = *ranks[static_cast<std::size_t>(rank)];
      for (int micro = 0; micro < static_cast<int>(plan_.accumulation); ++micro) {
        const auto inputs = graph.with_role(TensorRole::kInput);
        const auto values = batch(graph, step, rank, micro);
        for (std::size_t i = 0; i < inputs.size(); ++i) runner.set(inputs[i], values[i]);
        for (const Op& op : graph.ops()) {
          if (training.phase[op.id.index()] == OpPhase::kUpdate) continue;
          runner.run(op.id, scalars(step, rank, micro));
        }
        outcome.losses.back().push_back(runner.get(training.loss)[0]);
        for (std::size_t i = 0; i < sums.size(); ++i) {
          const Values gradient = runner.get(training.trained[i].gradient);
          sums[i].resize(gradient.size());
          for (std::size_t j = 0; j < gradient.size(); ++j) sums[i][j] += gradient[j];
        }
      }
      if (local()) update(training, runner, sums, step);
    }
    for (auto& runner : ranks) {
      if (!local()) update(training, *runner, sums, step);
    }
  }
  for (const TrainedParameter& trained : training.trained) {
    if (!local()) break;
    Values mean = ranks[0]->get(trained.parameter);
    for (std::size_t j = 0; j < mean.size(); ++j) {
      for (std::size_t rank = 1; rank < ranks.size(); ++rank) {
        mean[j] += ranks[rank]->get(trained.parameter)[j];
      }
      mean[j] /= static_cast<float>(ranks.size());
    }
    ranks[0]->set(trained.parameter, mean);
  }
  for (const Tensor& tensor : graph.tensors()) {
    if (starts(tensor)) outcome.tensors[tensor.name] = ranks[0]->get(tensor.id);
  }
  return outcome;
}

Outcome Equality::lowered(NetworkPace pace, const MemoryOptions& options) const {
  return run(lower(model_, plan_).value(), pace, kEqualitySteps, options);
}

Outcome Equality::run(const LoweredPlan& lowered, NetworkPace pace, int steps,
                      const MemoryOptions& options) const {
  const Graph& graph = lowered.training.graph;
  StepInterpreter interpreter(lowered, plan_, *device_, options);
  for (int rank = 0; rank < interpreter.processes(); ++rank) {
    for (const Tensor& tensor : graph.tensors()) {
      if (starts(tensor)) interpreter.set(rank, tensor.id, Samples(seed_).start(tensor));
      if (!tensor.name.ends_with(".anchor")) continue;
      const std::string parameter = tensor.name.substr(0, tensor.name.size() - 7);
      interpreter.set(rank, tensor.id,
                      Samples(seed_).start(graph.tensor(*graph.find_tensor(parameter))));
    }
  }
  Outcome outcome;
  for (int step = 0; step < steps; ++step) {
    interpreter.average((step + 1) % plan_.local.steps == 0);
    const auto by_rank =
        interpreter.step([&](int rank, int micro) { return batch(graph, step, rank, micro); },
                         [&](int rank, int micro) { return scalars(step, rank, micro); }, pace);
    outcome.losses.emplace_back();
    for (const auto& losses : by_rank) {
      outcome.losses.back().insert(outcome.losses.back().end(), losses.begin(), losses.end());
    }
  }
  for (const Tensor& tensor : graph.tensors()) {
    if (!starts(tensor)) continue;
    outcome.tensors[tensor.name] = interpreter.get(0, tensor.id);
    if (tensor.role != TensorRole::kParameter || !ranks_agree()) continue;
    for (int rank = 1; rank < plan_.layout.data; ++rank) {
      EXPECT_EQ(interpreter.get(rank, tensor.id), outcome.tensors[tensor.name])
          << tensor.name << " of rank " << rank;
    }
  }
  gather_sharded_state(lowered, interpreter, outcome);
  return outcome;
}

void Equality::update(const TrainingGraph& training, GraphRunner& runner,
                      const std::vector<Values>& sums, int step) const {
  for (std::size_t i = 0; i < sums.size(); ++i) {
    runner.set(training.trained[i].gradient, sums[i]);
    runner.run(training.trained[i].update, scalars(step, 0, 0));
  }
}

/// A server keeps the optimizer state of its shard only.
void Equality::gather_sharded_state(const LoweredPlan& lowered, const StepInterpreter& interpreter,
                                    Outcome& outcome) const {
  const Graph& graph = lowered.training.graph;
  for (const Task& task : lowered.program.tasks) {
    const auto* update = std::get_if<OpTask>(&task.payload);
    if (update == nullptr || update->shards.empty()) continue;
    if (lowered.training.phase[update->op.index()] != OpPhase::kUpdate) continue;  // packing
    for (std::size_t server = 0; server < update->shards.size(); ++server) {
      const ElementRange range = update->shards[server];
      for (TensorId id : graph.op(update->op).updates) {
        const Values values = interpreter.get(interpreter.owner_process(server), id);
        const auto begin = update->part.begin + range.begin, end = update->part.begin + range.end;
        std::copy(values.begin() + begin, values.begin() + end,
                  outcome.tensors[graph.tensor(id).name].begin() + begin);
      }
    }
  }
  for (const Task& task : lowered.program.tasks) {
    const auto* update = std::get_if<OpTask>(&task.payload);
    if (update == nullptr || !update->server) continue;
    if (lowered.training.phase[update->op.index()] != OpPhase::kUpdate) continue;
    for (TensorId id : graph.op(update->op).updates) {
      outcome.tensors[graph.tensor(id).name] =
          interpreter.get(interpreter.owner_process(static_cast<std::size_t>(*update->server)), id);
    }
  }
}

/// Not where a rank has only its shard, or its shard in more bits than the others.
bool Equality::ranks_agree() const {
  if (plan_.shard == 3) return false;
  return std::all_of(plan_.buckets.begin(), plan_.buckets.end(), [](const BucketPlan& bucket) {
    return bucket.wire == DType::kF32 || bucket.method == SyncMethod::kAllReduce ||
           bucket.method == SyncMethod::kSufficientFactor;
  });
}

std::vector<Values> Equality::batch(const Graph& graph, int step, int rank, int micro) const {
  std::vector<Values> tensors;
  for (TensorId id : graph.with_role(TensorRole::kInput)) {
    tensors.emplace_back();
    for (std::int64_t i = 0; i < plan_.micro_batch; ++i) {
      const Values sample =
          Samples(seed_).input(graph.tensor(id), step, first_sample(rank, micro) + i);
      tensors.back().insert(tensors.back().end(), sample.begin(), sample.end());
    }
  }
  return tensors;
}

StepScalars Equality::scalars(int step, int rank, int micro) const {
  StepScalars scalars;
  scalars.learning_rate = 0.05;
  scalars.loss_scale = loss_scale_ / static_cast<double>(plan_.global_batch);
  if (local()) scalars.loss_scale *= plan_.layout.data;
  scalars.seed = 5;
  scalars.step = step;
  scalars.micro_index = micro;
  scalars.sample_offset = first_sample(rank, micro);
  return scalars;
}

void expect_close(float actual, float expected, const std::string& what, double rounding) {
  EXPECT_NEAR(actual, expected, 2e-5 + rounding + 2e-4 * std::abs(expected)) << what;
}

void expect_equal(const Outcome& actual, const Outcome& expected, const std::string& what,
                  double rounding) {
  ASSERT_EQ(actual.losses.size(), expected.losses.size()) << what;
  for (std::size_t step = 0; step < actual.losses.size(); ++step) {
    ASSERT_EQ(actual.losses[step].size(), expected.losses[step].size()) << what;
    for (std::size_t i = 0; i < actual.losses[step].size(); ++i) {
      expect_close(actual.losses[step][i], expected.losses[step][i], what + ": loss", rounding);
    }
  }
  ASSERT_EQ(actual.tensors.size(), expected.tensors.size()) << what;
  for (const auto& [name, values] : expected.tensors) {
    const auto found = actual.tensors.find(name);
    ASSERT_NE(found, actual.tensors.end()) << what << ": " << name;
    ASSERT_EQ(found->second.size(), values.size()) << what << ": " << name;
    for (std::size_t i = 0; i < values.size() && !::testing::Test::HasFailure(); ++i) {
      expect_close(found->second[i], values[i], what + ": " + name, rounding);
    }
  }
}

Plan with_sgd(Plan plan, std::uint64_t seed) {
  plan.optimizer = SgdAttrs{seed % 2 == 0 ? 0.9 : 0.0, 0.01, false};
  return plan;
}

void with_shards(Plan& plan, int stage) {
  plan.shard = stage;
  plan.servers.clear();
}

}  // namespace pluto::testing
