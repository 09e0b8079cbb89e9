// A model cut into stages trains as the whole does: every stage in its own order on the reference
// backend, against the graph that autodiff alone made.

#include <gtest/gtest.h>

#include <random>

#include "model/zoo.h"
#include "runtime/reference/reference_device.h"
#include "tests/support/pipeline_interpreter.h"
#include "tests/support/random_model.h"
#include "tests/support/toy_models.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using pluto::testing::GraphRunner;
using pluto::testing::PipelineInterpreter;
using pluto::testing::RandomModel;
using pluto::testing::Values;

constexpr int kSteps = 2;

Values some_values(const Tensor& tensor, std::int64_t samples, std::uint64_t salt, int classes) {
  Values values(static_cast<std::size_t>(tensor.type.shape.elements() * samples));
  std::mt19937_64 random(salt * 977 + std::hash<std::string>()(tensor.name));
  for (float& value : values) {
    value = tensor.type.dtype == DType::kI32
                ? static_cast<float>(random() % static_cast<std::uint64_t>(classes))
                : static_cast<float>(random() % 2001) / 1000.0F - 1.0F;
  }
  return values;
}

Values start(const Tensor& tensor) {
  if (tensor.init.kind == Init::Kind::kNormal) {
    Values values = some_values(tensor, 1, 3, 1);
    for (float& value : values) value *= static_cast<float>(tensor.init.stddev);
    return values;
  }
  return Values(static_cast<std::size_t>(tensor.type.shape.elements()),
                tensor.init.kind == Init::Kind::kOnes ? 1.0F : 0.0F);
}

bool starts(const Tensor& tensor) {
  return is_persistent(tensor.role) && tensor.role != TensorRole::kGradient;
}

/// Changes of a plan of stages.
struct Change {
  Recompute recompute = Recompute::kNone;
  int data = 1;
  int shard = 0;
};

/// `accumulation`: micro-batches of each data rank.
void expect_equal(const ModelGraph& model, int stages, int interleave, int accumulation,
                  int classes, const Change& change = {}) {
  SCOPED_TRACE(model.name + ": " + std::to_string(stages) + " x " + std::to_string(interleave));
  Plan plan = pluto::testing::plan_for(model, 1, 2, accumulation);
  plan.fuse = true;
  plan.optimizer = SgdAttrs{0.9, 0, false};
  plan.cluster.nodes = stages * change.data;
  plan.layout.pipeline = stages;
  plan.layout.data = change.data;
  plan.global_batch *= change.data;
  plan.pipeline.interleave = interleave;
  plan.recompute = change.recompute;
  plan.shard = change.shard;
  if (change.data > 1) {
    plan.buckets.resize(2);  // the first parameters, and the others
    const auto order = gradient_order(model, plan).value();
    for (std::size_t i = 0; i < order.size(); ++i) {
      plan.buckets[i < order.size() / 3 ? 0 : 1].parameters.push_back(order[i].name);
    }
    for (BucketPlan& bucket : plan.buckets) {
      bucket.method = change.shard > 0 ? SyncMethod::kShard : SyncMethod::kAllReduce;
    }
  }
  const int micro_batches = accumulation * change.data;
  const auto pipeline = lower_pipeline(model, plan);
  ASSERT_TRUE(pipeline.ok()) << pipeline.error().message;
  ASSERT_EQ(pipeline->stages.size(), static_cast<std::size_t>(stages));
  const auto device = make_reference_device();
  const TrainingGraph whole = differentiate(model, plan.optimizer).value();
  GraphRunner one(whole.graph, *device, plan.micro_batch);
  PipelineInterpreter cut(*pipeline, *device, plan.micro_batch, accumulation, change.data);
  for (const Tensor& tensor : whole.graph.tensors()) {
    if (!starts(tensor)) continue;
    one.set(tensor.id, start(tensor));
    cut.set(tensor.name, start(tensor));
    // copies of tied parameters, and their optimizer state
    const std::string name = tensor.name;
    const auto state = name.rfind(".momentum");
    const std::string parameter = name.substr(0, state);
    for (int stage = 0; stage < stages; ++stage) {
      const std::string copy = parameter + ".stage" + std::to_string(stage);
      cut.set(state == std::string::npos ? copy : copy + ".momentum", start(tensor));
    }
  }
  const auto scalars = [&](int step, int micro) {
    StepScalars value;
    value.learning_rate = 0.05;
    value.loss_scale = 1.0 / static_cast<double>(plan.global_batch);
    value.seed = 5;
    value.step = step;
    value.micro_index = micro;
    value.sample_offset = micro * plan.micro_batch;
    return value;
  };
  for (int step = 0; step < kSteps; ++step) {
    const auto batch = [&](const Tensor& input, int micro) {
      return some_values(input, plan.micro_batch,
                         static_cast<std::uint64_t>(100 * step + micro + 7), classes);
    };
    std::vector<Values> sums(whole.trained.size());
    std::map<int, float> losses;
    for (int micro = 0; micro < micro_batches; ++micro) {
      for (TensorId id : whole.graph.with_role(TensorRole::kInput)) {
        one.set(id, batch(whole.graph.tensor(id), micro));
      }
      for (const Op& op : whole.graph.ops()) {
        if (whole.phase[op.id.index()] != OpPhase::kUpdate) one.run(op.id, scalars(step, micro));
      }
      losses[micro] = one.get(whole.loss)[0];
      for (std::size_t i = 0; i < sums.size(); ++i) {
        const Values gradient = one.get(whole.trained[i].gradient);
        sums[i].resize(gradient.size());
        for (std::size_t j = 0; j < gradient.size(); ++j) sums[i][j] += gradient[j];
      }
    }
    for (std::size_t i = 0; i < sums.size(); ++i) {
      one.set(whole.trained[i].gradient, sums[i]);
      one.run(whole.trained[i].update, scalars(step, 0));
    }
    const auto seen = cut.step(batch, [&](int micro) { return scalars(step, micro); });
    ASSERT_EQ(seen.size(), losses.size());
    for (const auto& [micro, loss] : losses) EXPECT_NEAR(seen.at(micro), loss, 1e-5);
  }
  for (const TrainedParameter& entry : whole.trained) {
    const std::string& name = whole.graph.tensor(entry.parameter).name;
    const Values expected = one.get(entry.parameter), got = cut.get(name);
    ASSERT_EQ(expected.size(), got.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(got[i], expected[i], 1e-5) << name << "[" << i << "]";
    }
  }
}

TEST(PipelineEquality, ResidualBlock) {
  expect_equal(pluto::testing::residual_block(), 2, 1, 4, 3);
  expect_equal(pluto::testing::residual_block(), 3, 2, 3, 3);
}

TEST(PipelineEquality, WeightsTiedAcrossStages) {
  expect_equal(pluto::testing::tied_layers(), 3, 1, 4, 3);
}

TEST(PipelineEquality, SmallTransformerWithTiedEmbedding) {
  ZooOptions options;
  options.layers = 4;
  options.width_model = 16;
  options.heads = 2;
  options.sequence = 6;
  options.vocabulary = 11;
  const auto model = build_model("gpt2", options);
  ASSERT_TRUE(model.ok()) << model.error().message;
  expect_equal(*model, 2, 1, 4, 11);
  expect_equal(*model, 4, 1, 3, 11);
  expect_equal(*model, 2, 2, 4, 11);
}

TEST(PipelineEquality, StagesRecomputeTheirOwn) {
  for (const auto how : {Recompute::kSelective, Recompute::kFull}) {
    expect_equal(pluto::testing::residual_block(), 2, 1, 4, 3, {.recompute = how});
    ZooOptions options;
    options.layers = 4;
    options.width_model = 16;
    options.heads = 2;
    options.sequence = 6;
    options.vocabulary = 11;
    const auto model = build_model("gpt2", options);
    ASSERT_TRUE(model.ok());
    expect_equal(*model, 2, 1, 4, 11, {.recompute = how});
    expect_equal(*model, 2, 2, 4, 11, {.recompute = how});
  }
}

// The distributed optimizer of Megatron-LM: each data rank of a stage updates its shard.
TEST(PipelineEquality, DataRanksOfAStageShareItsOptimizerState) {
  ZooOptions options;
  options.layers = 4;
  options.width_model = 16;
  options.heads = 2;
  options.sequence = 6;
  options.vocabulary = 11;
  const auto tied = build_model("gpt2", options);
  ASSERT_TRUE(tied.ok());
  for (const int data : {2, 3}) {
    for (const int shard : {0, 1}) {
      const Change change{.data = data, .shard = shard};
      expect_equal(pluto::testing::residual_block(), 2, 1, 4, 3, change);
      expect_equal(*tied, 2, 1, 3, 11, change);
      expect_equal(*tied, 2, 2, 2, 11, change);
    }
  }
}

TEST(PipelineEquality, RandomModels) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    testing::RandomModelOptions options;
    options.tied = false;
    const ModelGraph model = RandomModel::make(seed, options);
    const int stages = 2 + static_cast<int>(seed % 3);
    expect_equal(model, stages, 1, 1 + static_cast<int>(seed % 5), RandomModel::kClasses);
    expect_equal(model, 2, 2, 4, RandomModel::kClasses);
  }
}

}  // namespace
}  // namespace pluto
