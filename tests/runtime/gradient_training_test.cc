// Whole training graphs: what differentiate() wires together, run on the reference kernels, against
// differences of the loss.
#include <gtest/gtest.h>

#include <cmath>

#include "base/philox.h"
#include "model/passes/passes.h"
#include "model/training_graph.h"
#include "model/zoo.h"
#include "runtime/reference/reference_device.h"
#include "tests/support/graph_runner.h"
#include "tests/support/random_model.h"
#include "tests/support/small_models.h"

namespace pluto::testing {
namespace {

constexpr std::int64_t kBatch = 3;
constexpr double kTolerance = 1e-3;

/// Ids below the size of the table or the number of classes that read them; all else normal.
Values input_values(const Graph& graph, const Tensor& tensor, std::uint64_t seed) {
  std::int64_t ids = 1;
  for (const OpId reader : graph.consumers(tensor.id)) {
    const Op& op = graph.op(reader);
    if (const auto* embedding = std::get_if<EmbeddingAttrs>(&op.attrs)) ids = embedding->rows;
    if (op.kind == OpKind::kSoftmaxCrossEntropy)
      ids = graph.tensor(op.inputs[0]).type.shape.dims.back();
  }
  Values values(static_cast<std::size_t>(tensor.type.elements(kBatch)));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = tensor.type.dtype == DType::kI32
                    ? std::floor(philox_uniform(seed, 0, 0, i) * static_cast<float>(ids))
                    : philox_normal(seed, 0, 0, i);
  }
  return values;
}

/// Around where training starts, but with no parameter exactly 0 or 1.
Values parameter_values(const Tensor& tensor, std::uint64_t seed) {
  Values values(static_cast<std::size_t>(tensor.type.elements(1)));
  const float mean = tensor.init.kind == Init::Kind::kOnes ? 1 : 0;
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = mean + 0.2F * philox_normal(seed, 1, 0, i);
  return values;
}

/// A training graph with values, whose updates are left out.
class Trained {
 public:
  Trained(const TrainingGraph& training, Device& device)
      : training_(training), runner_(training.graph, device, kBatch) {
    std::uint64_t seed = 0;
    for (const Tensor& tensor : training.graph.tensors()) {
      if (tensor.role == TensorRole::kInput)
        runner_.set(tensor.id, input_values(training.graph, tensor, ++seed));
      if (tensor.role == TensorRole::kParameter)
        runner_.set(tensor.id, parameter_values(tensor, ++seed));
      if (tensor.role == TensorRole::kBuffer) {
        const float start = tensor.init.kind == Init::Kind::kOnes ? 1 : 0;
        runner_.set(tensor.id, Values(static_cast<std::size_t>(tensor.type.elements(1)), start));
      }
    }
  }

  void run(OpPhase last) {
    StepScalars scalars;
    scalars.loss_scale = 1.0 / kBatch;  // the gradient of the mean loss
    scalars.seed = 5;
    for (const Op& op : training_.graph.ops()) {
      if (training_.phase[op.id.index()] <= last) runner_.run(op.id, scalars);
    }
  }
  double loss() {
    run(OpPhase::kForward);
    return runner_.get(training_.loss)[0];
  }

  /// The slope of the loss along a random direction of unit length in one parameter: by its
  /// gradient and by differences.
  void compare_slopes(const TrainedParameter& trained) {
    const std::string& name = training_.graph.tensor(trained.parameter).name;
    const Values start = runner_.get(trained.parameter);
    Values direction(start.size());
    double length = 0;
    for (std::size_t i = 0; i < direction.size(); ++i) {
      direction[i] = philox_normal(trained.parameter.index(), 2, 0, i);
      length += double{direction[i]} * double{direction[i]};
    }
    double analytic = 0;
    const Values gradient = runner_.get(trained.gradient);
    for (std::size_t i = 0; i < direction.size(); ++i) {
      direction[i] = static_cast<float>(direction[i] / std::sqrt(length));
      analytic += double{direction[i]} * double{gradient[i]};
    }
    const auto moved = [&](double step) {
      Values values = start;
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] += static_cast<float>(step * direction[i]);
      runner_.set(trained.parameter, values);
      return loss();
    };
    // A kink of a relu inside a step spoils its difference, rounding spoils small steps: one step
    // of four must agree.
    double nearest = 0, difference = std::numeric_limits<double>::infinity();
    for (const double step : {1.0 / 128, 1.0 / 512, 1.0 / 2048, 1.0 / 8192}) {
      const double numeric =
          (8 * (moved(step) - moved(-step)) - (moved(2 * step) - moved(-2 * step))) / (12 * step);
      if (std::abs(numeric - analytic) >= difference) continue;
      nearest = numeric;
      difference = std::abs(numeric - analytic);
    }
    runner_.set(trained.parameter, start);
    EXPECT_NEAR(analytic, nearest, kTolerance * (1 + std::abs(nearest))) << name;
  }

 private:
  const TrainingGraph& training_;
  GraphRunner runner_;
};

void check(const ModelGraph& model) {
  const auto training = differentiate(model, SgdAttrs{});
  ASSERT_TRUE(training.ok()) << training.error().message;
  const auto device = make_reference_device();
  Trained trained(*training, *device);
  trained.run(OpPhase::kBackward);
  ASSERT_FALSE(training->trained.empty());
  for (const TrainedParameter& parameter : training->trained) trained.compare_slopes(parameter);
}

TEST(TrainingGradients, OfAPerceptron) { check(perceptron({5, 7, 6, 4})); }

TEST(TrainingGradients, OfAConvolutionalNetwork) { check(small_convnet(3, 4)); }

// Fan-out, residual additions, tied weights, concatenation, batch norm, dropout in every wiring.
TEST(TrainingGradients, OfRandomModels) {
  for (std::uint64_t seed = 0; seed < 25; ++seed) {
    SCOPED_TRACE(seed);
    check(RandomModel::make(seed));
  }
}

TEST(TrainingGradients, OfFusedRandomModels) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    SCOPED_TRACE(seed);
    const auto fused = fuse(RandomModel::make(seed));
    ASSERT_TRUE(fused.ok()) << fused.error().message;
    check(*fused);
  }
}

struct SmallModel {
  const char* name;
  ZooOptions options;
};

TEST(TrainingGradients, OfSmallZooModels) {
  ZooOptions words;
  words.sequence = 5, words.layers = 1, words.width_model = 8, words.heads = 2,
  words.vocabulary = 13;
  ZooOptions recurrent = words;
  recurrent.heads.reset();
  for (const auto& [name, options] :
       {SmallModel{"gpt2", words}, SmallModel{"bert-base", words}, SmallModel{"gpt-small", words},
        SmallModel{"lstm-lm", recurrent}, SmallModel{"gru-seq2seq", recurrent}}) {
    SCOPED_TRACE(name);
    const auto model = build_model(name, options);
    ASSERT_TRUE(model.ok()) << model.error().message;
    check(*model);
  }
}

// With the seeds above the loss falls: signs and scales of a whole step are right.
TEST(Training, LowersTheLoss) {
  for (const OptimizerAttrs& optimizer :
       {OptimizerAttrs{SgdAttrs{0.9, 0, false}}, OptimizerAttrs{AdamAttrs{}}}) {
    const auto training = differentiate(small_convnet(4, 3), optimizer);
    ASSERT_TRUE(training.ok()) << training.error().message;
    const auto device = make_reference_device();
    GraphRunner runner(training->graph, *device, kBatch);
    std::uint64_t seed = 0;
    for (const Tensor& tensor : training->graph.tensors()) {
      if (tensor.role == TensorRole::kInput)
        runner.set(tensor.id, input_values(training->graph, tensor, ++seed));
      if (tensor.role == TensorRole::kParameter)
        runner.set(tensor.id, parameter_values(tensor, ++seed));
      if (tensor.role == TensorRole::kOptimizerState) {
        runner.set(tensor.id, Values(static_cast<std::size_t>(tensor.type.elements(1)), 0));
      }
    }
    StepScalars scalars;
    scalars.loss_scale = 1.0 / kBatch;
    scalars.learning_rate = 0.01;
    double first = 0, last = 0;
    for (scalars.step = 0; scalars.step < 60; ++scalars.step) {
      runner.run(scalars);
      last = runner.get(training->loss)[0];
      if (scalars.step == 0) first = last;
    }
    EXPECT_LT(last, 0.7 * first);
  }
}

}  // namespace
}  // namespace pluto::testing
