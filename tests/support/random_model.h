#pragma once
// Small random models: every shape of wiring the passes and the memory plan must survive.

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/check.h"
#include "model/graph.h"

namespace pluto::testing {

struct RandomModelOptions {
  int nodes = 14;
  bool images = true;  ///< may start with convolutions, batch norms and residual additions
  bool tied = true;    ///< a linear weight may serve twice
  bool dropout = true;
};

/// A classifier of 5 classes. Same seed, same model. Every parameter is reached by the loss.
class RandomModel {
 public:
  static constexpr std::int64_t kClasses = 5;

  static ModelGraph make(std::uint64_t seed, const RandomModelOptions& options = {}) {
    RandomModel model(seed, options);
    return model.build();
  }

 private:
  struct Value {
    TensorId id;
    std::int64_t width = 0;
    bool used = false;
  };

  RandomModel(std::uint64_t seed, const RandomModelOptions& options)
      : options_(options), random_(seed) {
    model_.name = "random-" + std::to_string(seed);
  }

  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
  std::string fresh(const std::string& stem) { return stem + std::to_string(++count_); }
  Init normal() { return {Init::Kind::kNormal, 0.4}; }

  ModelGraph build() {
    model_.labels = builder_.input("labels", Shape{}, DType::kI32);
    if (options_.images && below(2) == 0) {
      add_images();
    } else {
      model_.inputs.push_back(builder_.input("features", Shape{{8}}));
      values_.push_back({model_.inputs.back(), 8});
      if (below(2) == 0) add_reshape(0);  // an alias of an input
    }
    for (int i = 0; i < options_.nodes; ++i) add_node();
    finish();
    auto graph = std::move(builder_).build();
    PLUTO_CHECK(graph.ok(), graph.ok() ? "" : graph.error().message.c_str());
    model_.graph = std::move(*graph);
    return std::move(model_);
  }

  TensorId batch_norm(TensorId x, std::int64_t channels) {
    const std::string name = fresh("norm");
    const Shape shape{{channels}};
    const TensorId gamma = builder_.parameter(name + ".gamma", shape, {Init::Kind::kOnes});
    const TensorId beta = builder_.parameter(name + ".beta", shape, {});
    const TensorType statistic{shape, DType::kF32, 0};
    const TensorId mean = builder_.tensor(name + ".running_mean", TensorRole::kBuffer, statistic);
    const TensorId variance =
        builder_.tensor(name + ".running_var", TensorRole::kBuffer, statistic, {Init::Kind::kOnes});
    return builder_.op(name, OpKind::kBatchNorm, OpPass::kForward, BatchNormAttrs{},
                       {x, gamma, beta}, {mean, variance})[0];
  }

  TensorId relu(TensorId x) {
    return builder_.forward(fresh("relu"), OpKind::kRelu, NoAttrs{}, {x});
  }

  void add_images() {
    constexpr std::int64_t kSide = 4, kChannels = 3;
    model_.inputs.push_back(builder_.input("images", Shape{{2, kSide, kSide}}));
    TensorId x = model_.inputs.back(), skip{};
    std::int64_t channels = 2;
    const std::size_t layers = 1 + below(4);
    for (std::size_t layer = 0; layer < layers; ++layer) {
      const std::string name = fresh("conv");
      ConvAttrs attrs;
      attrs.out_channels = kChannels;
      attrs.kernel_h = attrs.kernel_w = 3;
      attrs.pad_top = attrs.pad_left = attrs.pad_bottom = attrs.pad_right = 1;
      attrs.bias = below(2) == 0;
      std::vector<TensorId> operands = {
          x, builder_.parameter(name + ".weight", Shape{{kChannels, channels, 3, 3}}, normal())};
      if (attrs.bias)
        operands.push_back(builder_.parameter(name + ".bias", Shape{{kChannels}}, {}));
      x = builder_.forward(name, OpKind::kConv2d, attrs, operands);
      channels = kChannels;
      if (below(3) > 0) x = batch_norm(x, channels);
      if (below(2) == 0) x = relu(x);
      if (skip.valid() && below(2) == 0) {
        x = builder_.forward(fresh("residual"), OpKind::kAdd, AddAttrs{}, {x, skip});
        if (below(3) > 0) x = relu(x);
      }
      if (below(2) == 0) skip = x;
    }
    const std::int64_t width = channels * kSide * kSide;
    x = builder_.forward(fresh("flat"), OpKind::kReshape, ReshapeAttrs{{width}}, {x});
    values_.push_back({x, width});
  }

  void push(TensorId id, std::int64_t width) { values_.push_back({id, width}); }
  /// A value, the later the likelier; now used.
  std::size_t take() {
    const std::size_t n = values_.size();
    const std::size_t index = n - 1 - std::min(below(n), below(n));
    values_[index].used = true;
    return index;
  }
  /// Another value of the same width, or the same again.
  std::size_t partner(std::size_t of) {
    std::vector<std::size_t> fitting;
    for (std::size_t i = 0; i < values_.size(); ++i) {
      if (values_[i].width == values_[of].width) fitting.push_back(i);
    }
    const std::size_t index = fitting[below(fitting.size())];
    values_[index].used = true;
    return index;
  }

  TensorId linear(std::size_t from, std::int64_t outputs, bool may_tie) {
    const Value& x = values_[from];
    const std::string name = fresh("linear");
    TensorId weight{};
    if (may_tie && options_.tied && below(3) == 0) {
      for (const auto& [id, rows, columns] : weights_) {
        if (rows == outputs && columns == x.width) weight = id;
      }
    }
    if (!weight.valid()) {
      weight = builder_.parameter(name + ".weight", Shape{{outputs, x.width}}, normal());
      weights_.push_back({weight, outputs, x.width});
    }
    const LinearAttrs attrs{outputs, below(2) == 0};
    std::vector<TensorId> operands = {x.id, weight};
    if (attrs.bias) operands.push_back(builder_.parameter(name + ".bias", Shape{{outputs}}, {}));
    return builder_.forward(name, OpKind::kLinear, attrs, operands);
  }

  void add_reshape(std::size_t from) {
    const std::int64_t width = values_[from].width;
    values_[from].used = true;
    if (width % 2 != 0) return push(relu(values_[from].id), width);
    const TensorId folded = builder_.forward(fresh("fold"), OpKind::kReshape,
                                             ReshapeAttrs{{2, width / 2}}, {values_[from].id});
    const TensorId turned =
        below(2) == 0 ? folded
                      : builder_.forward(fresh("tanh"), OpKind::kTanh, NoAttrs{}, {folded});
    push(builder_.forward(fresh("unfold"), OpKind::kReshape, ReshapeAttrs{{width}}, {turned}),
         width);
  }

  void add_norm(std::size_t from) {
    const Value x = values_[from];
    const std::string name = fresh("layer_norm");
    const TensorId gamma =
        builder_.parameter(name + ".gamma", Shape{{x.width}}, {Init::Kind::kOnes});
    const TensorId beta = builder_.parameter(name + ".beta", Shape{{x.width}}, {});
    push(builder_.forward(name, OpKind::kLayerNorm, NormAttrs{}, {x.id, gamma, beta}), x.width);
  }

  void add_node() {
    constexpr std::int64_t kWidths[] = {6, 8, 12};
    const std::size_t from = take();
    const Value x = values_[from];
    const auto unary = [&](const std::string& stem, OpKind kind, OpAttrs attrs = NoAttrs{}) {
      push(builder_.forward(fresh(stem), kind, std::move(attrs), {x.id}), x.width);
    };
    switch (below(15)) {
      case 0:
      case 1:
      case 2: {
        const std::int64_t outputs = kWidths[below(3)];
        return push(linear(from, outputs, true), outputs);
      }
      case 3:
        return unary("relu", OpKind::kRelu);
      case 4:
        return unary("gelu", OpKind::kGelu);
      case 5:
        return unary("sigmoid", OpKind::kSigmoid);
      case 6:
        return unary("silu", OpKind::kSilu);
      case 7:
        if (!options_.dropout) return unary("tanh", OpKind::kTanh);
        return unary("dropout", OpKind::kDropout, DropoutAttrs{0.3, ++count_});
      case 8:
      case 9: {
        const TensorId other = values_[partner(from)].id;
        const TensorId sum =
            builder_.forward(fresh("add"), OpKind::kAdd, AddAttrs{}, {x.id, other});
        return push(below(2) == 0 ? relu(sum) : sum, x.width);
      }
      case 10: {
        const TensorId other = values_[partner(from)].id;
        return push(builder_.forward(fresh("mul"), OpKind::kMul, NoAttrs{}, {x.id, other}),
                    x.width);
      }
      case 11: {
        const Value other = values_[take()];
        if (x.width + other.width > 64) return unary("tanh", OpKind::kTanh);
        return push(
            builder_.forward(fresh("concat"), OpKind::kConcat, AxisAttrs{0}, {x.id, other.id}),
            x.width + other.width);
      }
      case 12: {
        if (x.width < 8) return unary("tanh", OpKind::kTanh);
        const SplitAttrs attrs{0, {2, x.width - 2}};
        const auto parts =
            builder_.op(fresh("split"), OpKind::kSplit, OpPass::kForward, attrs, {x.id});
        push(parts[0], 2);
        return push(parts[1], x.width - 2);
      }
      case 13:
        return add_reshape(from);
      default:
        return add_norm(from);
    }
  }

  /// Every loose end reaches the logits.
  void finish() {
    TensorId logits{};
    for (std::size_t i = 0; i < values_.size(); ++i) {
      if (values_[i].used) continue;
      const TensorId part = linear(i, kClasses, false);
      logits = logits.valid()
                   ? builder_.forward(fresh("logits"), OpKind::kAdd, AddAttrs{}, {logits, part})
                   : part;
    }
    model_.logits = logits;
    model_.loss =
        builder_.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {logits, model_.labels});
  }

  struct Weight {
    TensorId id;
    std::int64_t rows = 0, columns = 0;
  };

  RandomModelOptions options_;
  std::mt19937_64 random_;
  GraphBuilder builder_;
  ModelGraph model_;
  std::vector<Value> values_;
  std::vector<Weight> weights_;
  std::int64_t count_ = 0;
};

}  // namespace pluto::testing
