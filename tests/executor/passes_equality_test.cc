// Every pass keeps what is trained: lowered plans on planned memory against the untransformed graph
// on memory without plan, on the reference backend.

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "runtime/communicator.h"
#include "runtime/reference/reference_device.h"
#include "tests/support/graph_runner.h"
#include "tests/support/random_model.h"
#include "tests/support/recompute_models.h"
#include "tests/support/step_interpreter.h"
#include "tests/support/toy_models.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using pluto::testing::GraphRunner;
using pluto::testing::NetworkPace;
using pluto::testing::plan_with;
using pluto::testing::random_plan;
using pluto::testing::RandomModel;
using pluto::testing::RandomModelOptions;
using pluto::testing::StepInterpreter;
using pluto::testing::Values;

constexpr int kSteps = 2;

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

struct Outcome {
  std::vector<std::vector<float>> losses;  // by step; micro-batches in rank order
  std::map<std::string, Values> tensors;   // parameters, optimizer state and buffers of rank 0
};

class Equality {
 public:
  Equality(const ModelGraph& model, const Plan& plan, std::uint64_t seed)
      : model_(model), plan_(plan), samples_(seed), device_(make_reference_device()) {}

  /// Micro-batch by micro-batch through the graph that autodiff alone made; gradients added by
  /// hand.
  Outcome untransformed() const {
    const TrainingGraph training = differentiate(model_, plan_.optimizer).value();
    const Graph& graph = training.graph;
    std::vector<std::unique_ptr<GraphRunner>> ranks;
    for (int rank = 0; rank < plan_.layout.data; ++rank) {
      ranks.push_back(std::make_unique<GraphRunner>(graph, *device_, plan_.micro_batch));
      for (const Tensor& tensor : graph.tensors()) {
        if (starts(tensor)) ranks.back()->set(tensor.id, samples_.start(tensor));
      }
    }
    Outcome outcome;
    for (int step = 0; step < kSteps; ++step) {
      std::vector<Values> sums(training.trained.size());
      outcome.losses.emplace_back();
      for (int rank = 0; rank < plan_.layout.data; ++rank) {
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
      }
      for (auto& runner : ranks) {
        for (std::size_t i = 0; i < sums.size(); ++i) {
          runner->set(training.trained[i].gradient, sums[i]);
          runner->run(training.trained[i].update, scalars(step, 0, 0));
        }
      }
    }
    for (const Tensor& tensor : graph.tensors()) {
      if (starts(tensor)) outcome.tensors[tensor.name] = ranks[0]->get(tensor.id);
    }
    return outcome;
  }

  /// Through every pass the plan asks for. Also checks that ranks agree on the parameters.
  Outcome lowered(NetworkPace pace, const MemoryOptions& options = {}) const {
    const LoweredPlan lowered = lower(model_, plan_).value();
    const Graph& graph = lowered.training.graph;
    StepInterpreter interpreter(lowered, plan_, *device_, options);
    for (int rank = 0; rank < plan_.layout.data; ++rank) {
      for (const Tensor& tensor : graph.tensors()) {
        if (starts(tensor)) interpreter.set(rank, tensor.id, samples_.start(tensor));
      }
    }
    Outcome outcome;
    for (int step = 0; step < kSteps; ++step) {
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
      if (tensor.role != TensorRole::kParameter) continue;
      for (int rank = 1; rank < plan_.layout.data; ++rank) {
        EXPECT_EQ(interpreter.get(rank, tensor.id), outcome.tensors[tensor.name])
            << tensor.name << " of rank " << rank;
      }
    }
    gather_sharded_state(lowered, interpreter, outcome);
    return outcome;
  }

 private:
  /// A server keeps the optimizer state of its shard only.
  void gather_sharded_state(const LoweredPlan& lowered, const StepInterpreter& interpreter,
                            Outcome& outcome) const {
    const Graph& graph = lowered.training.graph;
    for (const Task& task : lowered.program.tasks) {
      const auto* update = std::get_if<OpTask>(&task.payload);
      if (update == nullptr || update->shards.empty()) continue;
      for (std::size_t server = 0; server < update->shards.size(); ++server) {
        const ElementRange range = update->shards[server];
        for (TensorId id : graph.op(update->op).updates) {
          const Values values = interpreter.get(plan_.servers[server], id);
          std::copy(values.begin() + range.begin, values.begin() + range.end,
                    outcome.tensors[graph.tensor(id).name].begin() + range.begin);
        }
      }
    }
  }

  static bool starts(const Tensor& tensor) {
    return tensor.role == TensorRole::kParameter || tensor.role == TensorRole::kBuffer ||
           tensor.role == TensorRole::kOptimizerState;
  }
  std::int64_t first_sample(int rank, int micro) const {
    return (rank * plan_.accumulation + micro) * plan_.micro_batch;
  }
  std::vector<Values> batch(const Graph& graph, int step, int rank, int micro) const {
    std::vector<Values> tensors;
    for (TensorId id : graph.with_role(TensorRole::kInput)) {
      tensors.emplace_back();
      for (std::int64_t i = 0; i < plan_.micro_batch; ++i) {
        const Values sample = samples_.input(graph.tensor(id), step, first_sample(rank, micro) + i);
        tensors.back().insert(tensors.back().end(), sample.begin(), sample.end());
      }
    }
    return tensors;
  }
  StepScalars scalars(int step, int rank, int micro) const {
    StepScalars scalars;
    scalars.learning_rate = 0.05;
    scalars.loss_scale = 1.0 / static_cast<double>(plan_.global_batch);
    scalars.seed = 5;
    scalars.step = step;
    scalars.micro_index = micro;
    scalars.sample_offset = first_sample(rank, micro);
    return scalars;
  }

  const ModelGraph& model_;
  const Plan& plan_;
  Samples samples_;
  std::unique_ptr<Device> device_;
};

void expect_close(float actual, float expected, const std::string& what) {
  EXPECT_NEAR(actual, expected, 2e-5 + 2e-4 * std::abs(expected)) << what;
}

void expect_equal(const Outcome& actual, const Outcome& expected, const std::string& what) {
  ASSERT_EQ(actual.losses.size(), expected.losses.size()) << what;
  for (std::size_t step = 0; step < actual.losses.size(); ++step) {
    ASSERT_EQ(actual.losses[step].size(), expected.losses[step].size()) << what;
    for (std::size_t i = 0; i < actual.losses[step].size(); ++i) {
      expect_close(actual.losses[step][i], expected.losses[step][i], what + ": loss");
    }
  }
  ASSERT_EQ(actual.tensors.size(), expected.tensors.size()) << what;
  for (const auto& [name, values] : expected.tensors) {
    const auto found = actual.tensors.find(name);
    ASSERT_NE(found, actual.tensors.end()) << what << ": " << name;
    ASSERT_EQ(found->second.size(), values.size()) << what << ": " << name;
    for (std::size_t i = 0; i < values.size() && !::testing::Test::HasFailure(); ++i) {
      expect_close(found->second[i], values[i], what + ": " + name);
    }
  }
}

/// SGD: Adam divides by the root of a gradient that may be all rounding.
Plan with_sgd(Plan plan, std::uint64_t seed) {
  plan.optimizer = SgdAttrs{seed % 2 == 0 ? 0.9 : 0.0, 0.01, false};
  return plan;
}

class PassesEqualityTest : public ::testing::TestWithParam<SyncMethod> {};

TEST_P(PassesEqualityTest, EveryMethodTrainsTheSameParameters) {
  const ModelGraph model = pluto::testing::two_layers();
  for (const std::int64_t accumulation : {1, 3}) {
    const Plan plan = with_sgd(plan_with(model, GetParam(), 3, 2, accumulation), 0);
    const Equality equality(model, plan, 1);
    const Outcome expected = equality.untransformed();
    for (const NetworkPace pace : {NetworkPace::kEager, NetworkPace::kLazy}) {
      expect_equal(equality.lowered(pace), expected, to_text(GetParam()));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, PassesEqualityTest,
                         ::testing::Values(SyncMethod::kAllReduce, SyncMethod::kParameterServer,
                                           SyncMethod::kSufficientFactor),
                         [](const auto& param_info) {
                           std::string name;
                           for (const char c : std::string(to_text(param_info.param))) {
                             if (c != '_') name += c;
                           }
                           return name;
                         });

TEST(PlansEqualityTest, FusionKeepsAResidualBlock) {
  const ModelGraph model = pluto::testing::residual_block();
  const Plan plan = with_sgd(plan_with(model, SyncMethod::kAllReduce, 2, 3, 2), 0);
  const Equality equality(model, plan, 2);
  expect_equal(equality.lowered(NetworkPace::kLazy), equality.untransformed(), "residual block");
}

TEST(PlansEqualityTest, FusionKeepsAttentionOfSingleNodes) {
  const ModelGraph model = pluto::testing::small_gpt(2, true, false);
  const Plan plan = with_sgd(plan_with(model, SyncMethod::kAllReduce, 2, 2, 1), 0);
  const LoweredPlan lowered = lower(model, plan).value();
  EXPECT_EQ(std::count_if(lowered.training.graph.ops().begin(), lowered.training.graph.ops().end(),
                          [](const Op& op) { return op.kind == OpKind::kAttention; }),
            4);  // forward and backward
  const Equality equality(model, plan, 3);
  expect_equal(equality.lowered(NetworkPace::kLazy), equality.untransformed(), "attention");
}

TEST(PlansEqualityTest, RandomModelsUnderRandomPlans) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    const int ranks = 1 + static_cast<int>(seed % 3);
    const Plan plan = with_sgd(
        random_plan(model, seed, ranks, 2, 1 + static_cast<std::int64_t>(seed / 3 % 2)), seed);
    const Equality equality(model, plan, seed);
    const Outcome expected = equality.untransformed();
    const NetworkPace pace = seed % 4 < 2 ? NetworkPace::kEager : NetworkPace::kLazy;
    expect_equal(equality.lowered(pace), expected, "seed " + std::to_string(seed));
    if (HasFailure()) break;
  }
}

TEST(PlansEqualityTest, ReuseOfMemoryChangesNoBit) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    const Plan plan = random_plan(model, seed, 1 + static_cast<int>(seed % 3), 2, 2);
    const Equality equality(model, plan, seed);
    const Outcome reused = equality.lowered(NetworkPace::kEager);
    const Outcome apart = equality.lowered(NetworkPace::kLazy, {false});
    EXPECT_EQ(reused.losses, apart.losses) << seed;
    EXPECT_EQ(reused.tensors, apart.tensors) << seed;
  }
}

TEST(PlansEqualityTest, RanksAndMicroBatchesAreOneLargeBatch) {
  // Without batch statistics, three ranks of two micro-batches of two samples are one batch of
  // twelve.
  RandomModelOptions options;
  options.images = false;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const ModelGraph model = RandomModel::make(seed, options);
    const Plan parallel = with_sgd(random_plan(model, seed, 3, 2, 2), seed);
    const Plan large = with_sgd(pluto::testing::plan_for(model, 1, 12), seed);
    Outcome expected = Equality(model, large, seed).untransformed();
    const Outcome actual = Equality(model, parallel, seed).lowered(NetworkPace::kLazy);
    for (std::size_t step = 0; step < expected.losses.size(); ++step) {
      float mean = 0;
      for (float loss : actual.losses[step]) mean += loss / 6;
      expect_close(mean, expected.losses[step][0], "loss");
    }
    expected.losses = actual.losses;
    expect_equal(actual, expected, "seed " + std::to_string(seed));
    if (HasFailure()) break;
  }
}

TEST(PlansEqualityTest, ShardsAndStagingAreThoseOfTheRuntime) {
  for (const std::int64_t elements : {1, 7, 51, 1000003}) {
    for (const int shards : {1, 2, 3, 8, 4096}) {
      for (int shard = 0; shard < shards; shard += 1 + shards / 7) {
        const ElementRange mine = shard_range(elements, shard, shards);
        const ShardRange theirs = shard_of(elements, shard, shards);
        EXPECT_EQ(mine, (ElementRange{theirs.begin, theirs.end}));
      }
    }
  }
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    const int ranks = 1 + static_cast<int>(seed % 5);
    const Plan plan = random_plan(model, seed, ranks, 2, 1);
    const LoweredPlan lowered = lower(model, plan).value();
    Bytes needed;
    for (const Task& task : lowered.program.tasks) {
      const auto* collective = std::get_if<CollectiveTask>(&task.payload);
      if (collective == nullptr) continue;
      const std::int64_t elements = collective->bytes.value() / 4;
      if (collective->kind == CollectiveKind::kAllReduce) {
        needed = std::max(needed, all_reduce_staging(elements, ranks));
      } else if (collective->kind == CollectiveKind::kReduceScatter) {
        needed = std::max(needed, reduce_scatter_staging(elements, ranks, collective->servers));
      }
    }
    EXPECT_EQ(communication_staging(lowered.program), needed) << seed;
  }
}

}  // namespace
}  // namespace pluto
