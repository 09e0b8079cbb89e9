#include "executor/evaluation.h"

#include <gtest/gtest.h>

#include "executor/initial_values.h"
#include "runtime/reference/reference_device.h"
#include "tests/executor/executor_models.h"
#include "tests/executor/rank_runs.h"

namespace pluto {
namespace {

TEST(CountLargestTest, TheFirstOfEqualsWinsAndPaddingIsLeftOut) {
  const std::vector<float> logits = {1, 3, 2, /**/ 5, 5, 0, /**/ 0, 0, 1, /**/ 9, 0, 0};
  const std::vector<std::int32_t> labels = {1, 1, -1, 0};
  const Hits hits = count_largest(logits, labels);
  EXPECT_EQ(hits.counted, 3);
  EXPECT_EQ(hits.correct, 2);
  EXPECT_EQ(count_largest({}, {}).counted, 0);
}

TEST(CountSignsTest, TheSideOfZeroDecides) {
  const std::vector<float> logits = {2, -1, 0, -3}, targets = {1, 1, 0, 0};
  const Hits hits = count_signs(logits, targets);
  EXPECT_EQ(hits.counted, 4);
  EXPECT_EQ(hits.correct, 3);
}

/// Samples whose features are one-hot at a class and whose label is that class for `right` of
/// every 10.
class OneHot : public DataSource {
 public:
  OneHot(std::int64_t size, int right) : size_(size), right_(right) {}
  std::int64_t size() const override { return size_; }
  Bytes bytes_per_sample() const override { return Bytes(20); }
  void read(std::int64_t index, std::span<void* const> slots) const override {
    auto* x = static_cast<float*>(slots[0]);
    const auto hot = index % 3;
    for (int i = 0; i < 4; ++i) x[i] = i == hot ? 1.0F : 0.0F;
    *static_cast<std::int32_t*>(slots[1]) =
        static_cast<std::int32_t>(index % 10 < right_ ? hot : (hot + 1) % 3);
  }

 private:
  std::int64_t size_;
  int right_;
};

/// x(4) -> fc(3) with the identity as weight = logits.
ModelGraph identity_classifier() {
  GraphBuilder b;
  ModelGraph model;
  model.name = "identity";
  model.inputs = {b.input("x", {{4}})};
  model.labels = b.input("labels", {}, DType::kI32);
  const TensorId weight = b.parameter("weight", {{3, 4}}, {});
  model.logits = b.forward("fc", OpKind::kLinear, LinearAttrs{3, false}, {model.inputs[0], weight});
  model.loss =
      b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {model.logits, model.labels});
  return testing::finished(std::move(b), std::move(model));
}

TEST(EvaluationTest, AccuracyIsTheShareOfLabelsMet) {
  const ModelGraph model = identity_classifier();
  const Plan plan = testing::tiny_plan(model, {});
  const LoweredPlan program = testing::lowered(model, plan);
  const auto device = make_reference_device();
  auto code = StepCode::compile(program, {}, 0, *device, {});
  ASSERT_TRUE(code.ok());
  const std::vector<float> identity = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};
  const Place weight = code->place(*code->training().graph.find_tensor("weight"));
  device->copy_to_device(weight.data, identity.data(), weight.size);
  const auto alone = make_in_process_communicators(1);
  for (const std::int64_t size : {1, 11, 12, 13, 50}) {
    std::int64_t met = 0;
    for (std::int64_t i = 0; i < size; ++i) met += i % 10 < 7 ? 1 : 0;
    const auto accuracy = evaluate(*code, *device, *alone[0], OneHot(size, 7), {});
    ASSERT_TRUE(accuracy.ok());
    EXPECT_DOUBLE_EQ(accuracy->value(), static_cast<double>(met) / static_cast<double>(size));
  }
}

TEST(EvaluationTest, RegressionHasNoAccuracy) {
  GraphBuilder b;
  ModelGraph model;
  model.inputs = {b.input("x", {{4}})};
  model.labels = b.input("target", {{1}});
  const TensorId weight = b.parameter("weight", {{1, 4}}, {});
  model.logits = b.forward("fc", OpKind::kLinear, LinearAttrs{1, false}, {model.inputs[0], weight});
  model.loss = b.forward("loss", OpKind::kMse, NoAttrs{}, {model.logits, model.labels});
  model = testing::finished(std::move(b), std::move(model));
  const auto report =
      testing::run_whole(model, testing::tiny_plan(model, {}), {},
                         [](testing::RankSetup& setup) { setup.options.evaluate = true; });
  EXPECT_EQ(report.test_accuracy, std::nullopt);
  EXPECT_EQ(report.last_step, 6);
}

}  // namespace
}  // namespace pluto
