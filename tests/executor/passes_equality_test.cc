// Every pass keeps what is trained: lowered plans on planned memory against the untransformed graph
// on memory without plan, on the reference backend.

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include "plan/task_emitter.h"
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
  /// hand. With local steps every rank adds its own only, and the parameters of all are averaged at
  /// the end.
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

  /// Through every pass the plan asks for. Also checks that ranks agree on the parameters.
  Outcome lowered(NetworkPace pace, const MemoryOptions& options = {}) const {
    return run(lower(model_, plan_).value(), pace, kSteps, options);
  }
  /// Of a plan that somebody else lowered.
  Outcome run(const LoweredPlan& lowered, NetworkPace pace, int steps,
              const MemoryOptions& options = {}) const {
    const Graph& graph = lowered.training.graph;
    StepInterpreter interpreter(lowered, plan_, *device_, options);
    for (int rank = 0; rank < interpreter.processes(); ++rank) {
      for (const Tensor& tensor : graph.tensors()) {
        if (starts(tensor)) interpreter.set(rank, tensor.id, samples_.start(tensor));
        if (!tensor.name.ends_with(".anchor")) continue;
        const std::string parameter = tensor.name.substr(0, tensor.name.size() - 7);
        interpreter.set(rank, tensor.id,
                        samples_.start(graph.tensor(*graph.find_tensor(parameter))));
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

 private:
  bool local() const { return plan_.local.steps > 1; }
  void update(const TrainingGraph& training, GraphRunner& runner, const std::vector<Values>& sums,
              int step) const {
    for (std::size_t i = 0; i < sums.size(); ++i) {
      runner.set(training.trained[i].gradient, sums[i]);
      runner.run(training.trained[i].update, scalars(step, 0, 0));
    }
  }

  /// A server keeps the optimizer state of its shard only.
  void gather_sharded_state(const LoweredPlan& lowered, const StepInterpreter& interpreter,
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
        outcome.tensors[graph.tensor(id).name] = interpreter.get(
            interpreter.owner_process(static_cast<std::size_t>(*update->server)), id);
      }
    }
  }
  /// Not where a rank has only its shard, or its shard in more bits than the others.
  bool ranks_agree() const {
    if (plan_.shard == 3) return false;
    return std::all_of(plan_.buckets.begin(), plan_.buckets.end(), [](const BucketPlan& bucket) {
      return bucket.wire == DType::kF32 || bucket.method == SyncMethod::kAllReduce ||
             bucket.method == SyncMethod::kSufficientFactor;
    });
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
    scalars.loss_scale = loss_scale_ / static_cast<double>(plan_.global_batch);
    if (local()) scalars.loss_scale *= plan_.layout.data;
    scalars.seed = 5;
    scalars.step = step;
    scalars.micro_index = micro;
    scalars.sample_offset = first_sample(rank, micro);
    return scalars;
  }

 public:
  double loss_scale_ = 1;

 private:
  const ModelGraph& model_;
  const Plan& plan_;
  Samples samples_;
  std::unique_ptr<Device> device_;
};

/// `rounding`: of numbers that travelled in 16 bits.
void expect_close(float actual, float expected, const std::string& what, double rounding = 0) {
  EXPECT_NEAR(actual, expected, 2e-5 + rounding + 2e-4 * std::abs(expected)) << what;
}

void expect_equal(const Outcome& actual, const Outcome& expected, const std::string& what,
                  double rounding = 0) {
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

/// A way to synchronise: changes a plan of three ranks in one bucket.
struct Strategy {
  std::string name;
  SyncMethod method;
  std::function<void(Plan&)> change;
  double rounding = 0;
};

void with_own_servers(Plan& plan) {
  plan.server_nodes = 2;
  plan.cluster.nodes += 2;
  plan.servers = {plan.layout.data, plan.layout.data + 1};
}
void in_chunks(Plan& plan) {
  for (BucketPlan& bucket : plan.buckets) bucket.chunks = 4;
}
void on_wire(Plan& plan, DType wire) {
  for (BucketPlan& bucket : plan.buckets) bucket.wire = wire;
}
void sharded(Plan& plan, int stage) {
  plan.shard = stage;
  plan.servers.clear();
}

std::vector<Strategy> strategies() {
  constexpr double kF16 = 2e-3, kBF16 = 1.6e-2;
  std::vector<Strategy> all;
  for (const SyncMethod method : {SyncMethod::kAllReduce, SyncMethod::kParameterServer,
                                  SyncMethod::kSufficientFactor, SyncMethod::kFactorServer}) {
    const std::string name = to_text(method);
    const bool served =
        method == SyncMethod::kParameterServer || method == SyncMethod::kFactorServer;
    all.push_back({name, method, [](Plan&) {}});
    all.push_back({name + " in chunks", method, in_chunks});
    all.push_back({name + " with priority", method, [](Plan& plan) { plan.priority = true; }});
    all.push_back({name + " f16", method, [](Plan& plan) { on_wire(plan, DType::kF16); }, kF16});
    all.push_back({name + " bf16", method, [](Plan& plan) { on_wire(plan, DType::kBF16); }, kBF16});
    all.push_back({name + " f16 in chunks with priority", method,
                   [](Plan& plan) {
                     on_wire(plan, DType::kF16);
                     in_chunks(plan);
                     plan.priority = true;
                   },
                   kF16});
    if (!served) continue;
    all.push_back({name + " apart", method, with_own_servers});
    all.push_back({name + " apart in chunks", method, [method](Plan& plan) {
                     with_own_servers(plan);
                     in_chunks(plan);
                     plan.priority = method == SyncMethod::kParameterServer;  // refused of factors
                   }});
    all.push_back({name + " apart f16 in chunks", method,
                   [](Plan& plan) {
                     with_own_servers(plan);
                     in_chunks(plan);
                     on_wire(plan, DType::kF16);
                   },
                   kF16});
  }
  for (const int stage : {1, 2, 3}) {
    const std::string name = "shard " + std::to_string(stage);
    all.push_back({name, SyncMethod::kShard, [stage](Plan& plan) { sharded(plan, stage); }});
    all.push_back({name + " in chunks", SyncMethod::kShard, [stage](Plan& plan) {
                     sharded(plan, stage);
                     in_chunks(plan);
                     plan.priority = stage == 1;  // refused above
                   }});
  }
  all.push_back({"shard 1 f16", SyncMethod::kShard,
                 [](Plan& plan) {
                   sharded(plan, 1);
                   on_wire(plan, DType::kF16);
                 },
                 kF16});
  return all;
}

TEST(StrategiesEqualityTest, EveryWayTrainsTheSameParameters) {
  const ModelGraph model = pluto::testing::two_layers();
  for (const Strategy& strategy : strategies()) {
    for (const std::int64_t accumulation : {1, 3}) {
      for (const bool layers : {false, true}) {
        Plan plan = with_sgd(plan_with(model, strategy.method, 3, 2, accumulation), 0);
        if (layers) {
          const BucketPlan all = plan.buckets.front();
          plan.buckets = {all, all};
          plan.buckets[0].parameters = {all.parameters[0], all.parameters[1]};
          plan.buckets[1].parameters = {all.parameters[2], all.parameters[3]};
        }
        strategy.change(plan);
        if (strategy.method == SyncMethod::kFactorServer && plan.server_nodes > 0 &&
            accumulation > 1) {
          EXPECT_EQ(lower(model, plan).error().code, ErrorCode::kUnsupported) << strategy.name;
          continue;
        }
        const Equality equality(model, plan, 1);
        const Outcome expected = equality.untransformed();
        for (const NetworkPace pace : {NetworkPace::kEager, NetworkPace::kLazy}) {
          expect_equal(equality.lowered(pace), expected, strategy.name, strategy.rounding);
        }
        if (HasFailure()) return;
      }
    }
  }
}

TEST(StrategiesEqualityTest, EveryWayTrainsTheSameWithRecompute) {
  const ModelGraph model = pluto::testing::residual_block();
  for (const Strategy& strategy : strategies()) {
    // Convolutions have no factors.
    if (strategy.method == SyncMethod::kSufficientFactor ||
        strategy.method == SyncMethod::kFactorServer) {
      continue;
    }
    Plan plan = with_sgd(plan_with(model, strategy.method, 3, 2, 1), 0);
    plan.recompute = Recompute::kSelective;
    strategy.change(plan);
    const auto lowered = lower(model, plan);
    ASSERT_TRUE(lowered.ok()) << strategy.name << ": " << lowered.error().message;
    const auto ops = lowered->training.graph.ops();
    EXPECT_TRUE(std::any_of(ops.begin(), ops.end(), [](const Op& op) {
      return op.name.ends_with(".recompute");
    })) << strategy.name;
    const Equality equality(model, plan, 1);
    expect_equal(equality.run(*lowered, NetworkPace::kLazy, kSteps), equality.untransformed(),
                 strategy.name, strategy.rounding);
    if (HasFailure()) return;
  }
}

/// Parameters alone: ranks keep optimizer states of their own.
Outcome parameters_of(Outcome outcome, const ModelGraph& model) {
  std::erase_if(outcome.tensors, [&](const auto& entry) {
    const auto id = model.graph.find_tensor(entry.first);
    return !id || model.graph.tensor(*id).role != TensorRole::kParameter;
  });
  return outcome;
}

TEST(LocalStepsTest, EndWithTheMeanOfWhatRanksLearntAlone) {
  const ModelGraph model = pluto::testing::two_layers();
  for (const std::int64_t accumulation : {1, 2}) {
    Plan plan = with_sgd(plan_with(model, SyncMethod::kAllReduce, 3, 2, accumulation), 0);
    plan.local.steps = kSteps;
    plan.buckets.front().chunks = 2;
    const Equality equality(model, plan, 3);
    const Outcome expected = parameters_of(equality.untransformed(), model);
    for (const NetworkPace pace : {NetworkPace::kEager, NetworkPace::kLazy}) {
      expect_equal(parameters_of(equality.lowered(pace), model), expected, "local steps");
    }
  }
}

/// The plan with an average in every step, which no plan asks for: it would be synchronous.
LoweredPlan averaged_each_step(const ModelGraph& model, const Plan& plan, double momentum) {
  const TrainingGraph training = unsynchronized(model, plan).value();
  Bucket bucket;
  for (const TrainedParameter& trained : training.trained) {
    bucket.parameters.push_back(trained.parameter);
  }
  LoweredPlan lowered;
  lowered.training =
      average_parameters(training, std::vector{bucket}, plan.layout.data, momentum).value();
  lowered.program = emit_tasks(lowered.training, plan);
  return lowered;
}

TEST(LocalStepsTest, OneLocalStepIsSynchronousTraining) {
  const ModelGraph model = pluto::testing::two_layers();
  for (const std::uint64_t seed : {0, 1}) {  // with and without momentum
    const Plan plan = with_sgd(plan_with(model, SyncMethod::kAllReduce, 3, 2, 2), seed);
    Equality equality(model, plan, 4);
    const Outcome expected = parameters_of(equality.untransformed(), model);
    equality.loss_scale_ = plan.layout.data;
    const LoweredPlan local = averaged_each_step(model, plan, 0);
    expect_equal(parameters_of(equality.run(local, NetworkPace::kLazy, kSteps), model), expected,
                 "one local step");
  }
}

TEST(LocalStepsTest, BlockMomentumCarriesTheAveragedUpdateOn) {
  const ModelGraph model = pluto::testing::two_layers();
  Plan plan = plan_with(model, SyncMethod::kAllReduce, 3, 2);
  plan.optimizer = SgdAttrs{};
  Equality equality(model, plan, 5);
  equality.loss_scale_ = plan.layout.data;
  const LoweredPlan plain = averaged_each_step(model, plan, 0);
  const LoweredPlan carried = averaged_each_step(model, plan, 0.5);
  const auto weights = [&](const LoweredPlan& lowered, int steps) {
    return equality.run(lowered, NetworkPace::kEager, steps).tensors.at("fc1.weight");
  };
  // The first average is the plain one; the second goes half the first update further.
  const Values start = weights(plain, 0), one = weights(plain, 1), two = weights(plain, 2);
  const Values first = weights(carried, 1), second = weights(carried, 2);
  double moved = 0;
  for (std::size_t i = 0; i < start.size(); ++i) {
    expect_close(first[i], one[i], "first average");
    expect_close(second[i], two[i] + 0.5F * (one[i] - start[i]), "second average");
    moved += std::abs(one[i] - start[i]);
  }
  EXPECT_GT(moved, 1e-3);
}

TEST(StrategiesEqualityTest, ShardsOfRandomModelsTrainTheSameParameters) {
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    Plan plan = with_sgd(plan_with(model, SyncMethod::kShard, 2, 2, 1 + seed % 2), seed);
    sharded(plan, 1 + static_cast<int>(seed % 3));
    const Equality equality(model, plan, seed);
    expect_equal(equality.lowered(seed % 4 < 2 ? NetworkPace::kEager : NetworkPace::kLazy),
                 equality.untransformed(), "seed " + std::to_string(seed));
    if (HasFailure()) break;
  }
}

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
