#include "tests/runtime/gradient_cases.h"

#include <algorithm>
#include <cmath>

#include "base/fingerprint.h"
#include "base/philox.h"

namespace pluto::testing {
namespace {

CaseOperand data(std::string name, std::vector<std::int64_t> dims, Fill fill = Fill::kPlain) {
  return {std::move(name), {std::move(dims)}, 1, fill};
}
CaseOperand parameter(std::string name, std::vector<std::int64_t> dims, Fill fill = Fill::kPlain) {
  return {std::move(name), {std::move(dims)}, 0, fill};
}
CaseOperand ids(std::string name, std::vector<std::int64_t> dims, int low, int high) {
  return {std::move(name), {std::move(dims)}, 1, Fill::kIds, low, high};
}

/// Collects cases; the backward nodes of one have its kind and attributes unless it says otherwise.
class Cases {
 public:
  GradientCase& add(std::string name, OpKind kind, OpAttrs attrs, std::vector<CaseOperand> inputs,
                    std::vector<std::string> outputs = {"y"}) {
    cases_.push_back(
        {std::move(name), kind, std::move(attrs), std::move(inputs), std::move(outputs), {}, {}});
    return cases_.back();
  }
  void node(OpPass pass, std::vector<std::string> inputs, std::vector<std::string> outputs) {
    GradientCase& test = cases_.back();
    node(test.kind, pass, test.attrs, std::move(inputs), std::move(outputs));
  }
  void node(OpKind kind, OpPass pass, OpAttrs attrs, std::vector<std::string> inputs,
            std::vector<std::string> outputs) {
    cases_.back().backward.push_back(
        {pass, std::move(inputs), std::move(outputs), kind, std::move(attrs)});
  }
  std::vector<GradientCase> take() { return std::move(cases_); }

 private:
  std::vector<GradientCase> cases_;
};

constexpr OpPass kForward = OpPass::kForward;
constexpr OpPass kBackward = OpPass::kBackward;
constexpr OpPass kData = OpPass::kBackwardData;
constexpr OpPass kWeight = OpPass::kBackwardWeight;

void add_dense(Cases& cases) {
  const auto conv = [&](const std::string& name, ConvAttrs attrs, std::int64_t channels) {
    std::vector<CaseOperand> inputs = {data("x", {channels, 6, 5}),
                                       parameter("w", {attrs.out_channels, channels / attrs.groups,
                                                       attrs.kernel_h, attrs.kernel_w})};
    if (attrs.bias) inputs.push_back(parameter("b", {attrs.out_channels}));
    cases.add(name, OpKind::kConv2d, attrs, std::move(inputs));
    cases.node(kWeight, {"dy", "x"},
               attrs.bias ? std::vector<std::string>{"dw", "db"} : std::vector<std::string>{"dw"});
    cases.node(kData, {"dy", "w"}, {"dx"});
  };
  ConvAttrs attrs;
  attrs.out_channels = 4;
  attrs.kernel_h = attrs.kernel_w = 3;
  attrs.bias = true;
  conv("conv_plain", attrs, 2);
  attrs.bias = false;
  attrs.stride_h = 2, attrs.stride_w = 3;
  attrs.pad_top = 2, attrs.pad_left = 1, attrs.pad_right = 2;
  conv("conv_stride_and_uneven_padding", attrs, 2);
  attrs.groups = 2, attrs.bias = true;
  attrs.kernel_w = 2, attrs.dilation_h = 2, attrs.stride_w = 1;
  conv("conv_groups_and_dilation", attrs, 4);
  attrs.groups = 4;
  conv("conv_depthwise", attrs, 4);

  cases.add("linear", OpKind::kLinear, LinearAttrs{3, true},
            {data("x", {2, 5}), parameter("w", {3, 5}), parameter("b", {3})});
  cases.node(kWeight, {"dy", "x"}, {"dw", "db"});
  cases.node(kData, {"dy", "w"}, {"dx"});
  cases.add("linear_without_bias", OpKind::kLinear, LinearAttrs{3, false},
            {data("x", {5}), parameter("w", {3, 5})});
  cases.node(kWeight, {"dy", "x"}, {"dw"});
  cases.node(kData, {"dy", "w"}, {"dx"});

  // Behind a product: the gradient passes a node of the function's own kind first.
  const auto through = [&](Activation function) {
    const char* read = keeps_operand(function) ? "z" : "y";
    cases.node(kind_of(function), kBackward, NoAttrs{}, {"dy", read}, {"dy"});
  };
  for (const Activation function : {Activation::kTanh, Activation::kGelu, Activation::kSigmoid}) {
    cases.add(std::string("linear_") + to_text(function), OpKind::kLinear,
              LinearAttrs{3, true, function},
              {data("x", {2, 5}), parameter("w", {3, 5}), parameter("b", {3})},
              keeps_operand(function) ? std::vector<std::string>{"y", "z"}
                                      : std::vector<std::string>{"y"});
    through(function);
    cases.node(OpKind::kLinear, kWeight, LinearAttrs{3, true}, {"dy", "x"}, {"dw", "db"});
    cases.node(OpKind::kLinear, kData, LinearAttrs{3, true}, {"dy", "w"}, {"dx"});
  }
  ConvAttrs plain;
  plain.out_channels = 4;
  plain.kernel_h = plain.kernel_w = 3;
  plain.bias = true;
  for (const Activation function : {Activation::kRelu, Activation::kSilu}) {
    ConvAttrs fused = plain;
    fused.activation = function;
    // Small weights and a bias away from 0: no result is about to change its sign.
    cases.add(std::string("conv_") + to_text(function), OpKind::kConv2d, fused,
              {data("x", {2, 6, 5}, Fill::kSmall), parameter("w", {4, 2, 3, 3}, Fill::kSmall),
               parameter("b", {4}, Fill::kAwayFrom0)},
              keeps_operand(function) ? std::vector<std::string>{"y", "z"}
                                      : std::vector<std::string>{"y"});
    through(function);
    cases.node(OpKind::kConv2d, kWeight, plain, {"dy", "x"}, {"dw", "db"});
    cases.node(OpKind::kConv2d, kData, plain, {"dy", "w"}, {"dx"});
  }

  // y = s a b: da = s dy b', db = s a' dy.
  const auto scaled = [](bool a, bool b) { return MatMulAttrs{a, b, 0.7}; };
  cases.add("matmul", OpKind::kMatMul, scaled(false, false),
            {data("a", {2, 3, 4}), data("b", {2, 4, 5})});
  cases.node(OpKind::kMatMul, kForward, scaled(false, true), {"dy", "b"}, {"da"});
  cases.node(OpKind::kMatMul, kForward, scaled(true, false), {"a", "dy"}, {"db"});
  cases.add("matmul_transposed", OpKind::kMatMul, scaled(true, true),
            {data("a", {4, 3}), data("b", {5, 4})});
  cases.node(OpKind::kMatMul, kForward, scaled(true, true), {"b", "dy"}, {"da"});
  cases.node(OpKind::kMatMul, kForward, scaled(true, true), {"dy", "a"}, {"db"});

  // With these values no token is about to change its experts.
  cases
      .add("moe_ffn", OpKind::kMoeFfn, MoeAttrs{4, 2, 3},
           {data("x", {3, 4}), parameter("router", {4, 4}), parameter("gate", {4, 3, 4}),
            parameter("up", {4, 3, 4}), parameter("down", {4, 4, 3})})
      .salt = 1;
  cases.node(kBackward, {"dy", "x", "router", "gate", "up", "down"},
             {"dx", "drouter", "dgate", "dup", "ddown"});
}

void add_pools(Cases& cases) {
  PoolAttrs pool;
  pool.kernel_h = 3, pool.kernel_w = 2, pool.stride_h = 2, pool.stride_w = 1;
  pool.pad_top = 1, pool.pad_bottom = 1, pool.pad_left = 1;
  cases.add("max_pool", OpKind::kMaxPool, pool, {data("x", {2, 6, 5}, Fill::kSpread)},
            {"y", "argmax"});
  cases.node(kBackward, {"dy", "argmax"}, {"dx"});
  cases.add("avg_pool", OpKind::kAvgPool, pool, {data("x", {2, 6, 5})});
  cases.node(kBackward, {"dy"}, {"dx"});
  pool.count_include_pad = false;
  pool.ceil_mode = true;
  pool.stride_w = 2;
  cases.add("avg_pool_exact_count", OpKind::kAvgPool, pool, {data("x", {2, 6, 6})});
  cases.node(kBackward, {"dy"}, {"dx"});
  cases.add("global_avg_pool", OpKind::kGlobalAvgPool, NoAttrs{}, {data("x", {3, 2, 4})});
  cases.node(kBackward, {"dy"}, {"dx"});
}

void add_norms(Cases& cases) {
  const std::vector<CaseOperand> operands = {
      data("x", {3, 2, 3}), parameter("gamma", {3}, Fill::kAwayFrom0), parameter("beta", {3})};
  const std::vector<CaseOperand> running = {parameter("mean", {3}),
                                            parameter("var", {3}, Fill::kPositive)};
  cases.add("batch_norm", OpKind::kBatchNorm, BatchNormAttrs{}, operands, {"y", "m", "s"}).updates =
      running;
  cases.node(kBackward, {"dy", "x", "gamma", "m", "s"}, {"dx", "dgamma", "dbeta"});
  // Small gamma and beta away from 0: the sign of y is that of beta, also for shifted x.
  cases
      .add("batch_norm_relu", OpKind::kBatchNorm, BatchNormAttrs{1e-5, 0.1, true},
           {data("x", {4, 2, 3}), parameter("gamma", {4}, Fill::kSmall),
            parameter("beta", {4}, Fill::kAwayFrom0)},
           {"y", "m", "s"})
      .updates = {parameter("mean", {4}), parameter("var", {4}, Fill::kPositive)};
  cases.node(kBackward, {"dy", "x", "gamma", "m", "s", "y"}, {"dx", "dgamma", "dbeta"});
  cases
      .add("batch_norm_add_relu", OpKind::kBatchNorm, BatchNormAttrs{1e-5, 0.1, true, true},
           {data("x", {4, 2, 3}), parameter("gamma", {4}, Fill::kSmall),
            parameter("beta", {4}, Fill::kAwayFrom0), data("residual", {4, 2, 3}, Fill::kSmall)},
           {"y", "m", "s"})
      .updates = {parameter("mean", {4}), parameter("var", {4}, Fill::kPositive)};
  cases.node(kBackward, {"dy", "x", "gamma", "m", "s", "y"},
             {"dx", "dgamma", "dbeta", "dresidual"});
  for (const std::int64_t size : {3, 4}) {
    cases.add("lrn_" + std::to_string(size), OpKind::kLrn, LrnAttrs{size, 0.9, 0.75, 1},
              {data("x", {5, 2, 2})}, {"y", "scale"});
    cases.node(kBackward, {"dy", "x", "y", "scale"}, {"dx"});
  }
  cases.add("layer_norm", OpKind::kLayerNorm, NormAttrs{},
            {data("x", {3, 6}), parameter("gamma", {6}), parameter("beta", {6})}, {"y", "m", "s"});
  cases.node(kBackward, {"dy", "x", "gamma", "m", "s"}, {"dx", "dgamma", "dbeta"});
  cases.add("rms_norm", OpKind::kRmsNorm, NormAttrs{}, {data("x", {3, 6}), parameter("gamma", {6})},
            {"y", "s"});
  cases.node(kBackward, {"dy", "x", "gamma", "s"}, {"dx", "dgamma"});
}

void add_elementwise(Cases& cases) {
  for (const OpKind kind : {OpKind::kRelu, OpKind::kSigmoid, OpKind::kTanh}) {
    cases.add(to_text(kind), kind, NoAttrs{}, {data("x", {7}, Fill::kAwayFrom0)});
    cases.node(kBackward, {"dy", "y"}, {"dx"});
  }
  for (const OpKind kind : {OpKind::kGelu, OpKind::kSilu}) {
    cases.add(to_text(kind), kind, NoAttrs{}, {data("x", {7})});
    cases.node(kBackward, {"dy", "x"}, {"dx"});
  }
  cases.add("dropout", OpKind::kDropout, DropoutAttrs{0.4, 3}, {data("x", {3, 4})});
  cases.node(kBackward, {"dy"}, {"dx"});
  cases.add("mul", OpKind::kMul, NoAttrs{}, {data("a", {5}), data("b", {5})});
  cases.node(kBackward, {"dy", "a", "b"}, {"da", "db"});
  // dy goes to both: an identity as node.
  cases.add("add", OpKind::kAdd, AddAttrs{}, {data("a", {5}), data("b", {5})});
  for (const char* gradient : {"da", "db"}) {
    cases.node(OpKind::kReshape, kForward, ReshapeAttrs{{5}}, {"dy"}, {gradient});
  }
  cases.add("add_relu", OpKind::kAdd, AddAttrs{true},
            {data("a", {9}, Fill::kAwayFrom0), data("b", {9}, Fill::kSmall)});
  for (const char* gradient : {"da", "db"}) {
    cases.node(OpKind::kRelu, kBackward, NoAttrs{}, {"dy", "y"}, {gradient});
  }
  cases.add("position_add", OpKind::kPositionAdd, NoAttrs{},
            {data("x", {2, 3}), parameter("table", {4, 3})});
  cases.node(kWeight, {"dy"}, {"dtable"});
  cases.node(OpKind::kReshape, kForward, ReshapeAttrs{{2, 3}}, {"dy"}, {"dx"});
}

void add_shapes(Cases& cases) {
  cases.add("concat", OpKind::kConcat, AxisAttrs{1},
            {data("x0", {2, 1, 2}), data("x1", {2, 3, 2}), data("x2", {2, 2, 2})});
  cases.node(OpKind::kSplit, kForward, SplitAttrs{1, {1, 3, 2}}, {"dy"}, {"dx0", "dx1", "dx2"});
  // Only the first output is used: the gradient is zero elsewhere.
  cases.add("split", OpKind::kSplit, SplitAttrs{0, {2, 3}}, {data("x", {5, 2})}, {"y", "y1"});
  cases.node(OpKind::kSlice, kBackward, SliceAttrs{0, 0, 2}, {"dy"}, {"dx"});
  cases.add("slice", OpKind::kSlice, SliceAttrs{1, 1, 2}, {data("x", {3, 4, 2})});
  cases.node(kBackward, {"dy"}, {"dx"});
  cases.add("reshape", OpKind::kReshape, ReshapeAttrs{{3, 2}}, {data("x", {2, 3})});
  cases.node(OpKind::kReshape, kForward, ReshapeAttrs{{2, 3}}, {"dy"}, {"dx"});
  cases.add("transpose", OpKind::kTranspose, TransposeAttrs{{2, 0, 1}}, {data("x", {2, 3, 4})});
  cases.node(OpKind::kTranspose, kForward, TransposeAttrs{{1, 2, 0}}, {"dy"}, {"dx"});
}

void add_sequences(Cases& cases) {
  cases.add("softmax", OpKind::kSoftmax, NoAttrs{}, {data("x", {3, 5})});
  cases.node(kBackward, {"dy", "y"}, {"dx"});
  for (const bool causal : {false, true}) {
    cases.add(causal ? "attention_causal_grouped" : "attention", OpKind::kAttention,
              AttentionAttrs{4, causal ? 2 : 4, causal},
              {data("q", {3, 8}), data("k", {3, causal ? 4 : 8}), data("v", {3, causal ? 4 : 8})},
              {"y", "lse"});
    cases.node(kBackward, {"dy", "q", "k", "v", "y", "lse"}, {"dq", "dk", "dv"});
  }
  cases.add("rotary", OpKind::kRotary, RotaryAttrs{2, 100}, {data("x", {4, 8})});
  cases.node(kBackward, {"dy"}, {"dx"});
  for (const bool reverse : {false, true}) {
    // With an initial state in the reversed case.
    const RecurrentAttrs attrs{3, reverse, reverse};
    std::vector<CaseOperand> lstm = {data("x", {4, 2}), parameter("w_ih", {12, 2}),
                                     parameter("w_hh", {12, 3}), parameter("b", {12})};
    std::vector<std::string> from = {"dy", "x", "w_ih", "w_hh", "y", "gates", "cells"};
    std::vector<std::string> to = {"dx", "dw_ih", "dw_hh", "db"};
    if (reverse) {
      for (const char* state : {"h0", "c0"}) {
        lstm.push_back(data(state, {3}));
        from.push_back(state);
        to.push_back(std::string("d") + state);
      }
    }
    cases.add(reverse ? "lstm_reverse_with_state" : "lstm", OpKind::kLstm, attrs, lstm,
              {"y", "gates", "cells"});
    cases.node(kBackward, from, to);
    std::vector<CaseOperand> gru = {data("x", {4, 2}), parameter("w_ih", {9, 2}),
                                    parameter("w_hh", {9, 3}), parameter("b_ih", {9}),
                                    parameter("b_hh", {9})};
    from = {"dy", "x", "w_ih", "w_hh", "y", "gates"};
    to = {"dx", "dw_ih", "dw_hh", "db_ih", "db_hh"};
    if (reverse) {
      gru.push_back(data("h0", {3}));
      from.push_back("h0");
      to.push_back("dh0");
    }
    cases.add(reverse ? "gru_reverse_with_state" : "gru", OpKind::kGru, attrs, gru, {"y", "gates"});
    cases.node(kBackward, from, to);
  }
}

void add_lookups_and_losses(Cases& cases) {
  // Ids from -1 to one past the end: some rows twice, some outside.
  cases.add("embedding", OpKind::kEmbedding, EmbeddingAttrs{4, 3},
            {ids("ids", {5}, -1, 4), parameter("table", {4, 3})});
  cases.node(kWeight, {"dy", "ids"}, {"dtable"});
  cases.add("embedding_bag", OpKind::kEmbeddingBag, EmbeddingAttrs{4, 3},
            {ids("ids", {6}, -1, 4), parameter("table", {4, 3})});
  cases.node(kWeight, {"dy", "ids"}, {"dtable"});
  cases.add("cosine_similarity", OpKind::kCosineSimilarity, ScaleAttrs{2.5},
            {data("q", {4}), data("d", {3, 4})}, {"y", "norms"});
  cases.node(kBackward, {"dy", "q", "d", "y", "norms"}, {"dq", "dd"});

  cases
      .add("softmax_cross_entropy", OpKind::kSoftmaxCrossEntropy, NoAttrs{},
           {data("logits", {4, 5}), ids("labels", {4}, -1, 4)}, {"loss", "probabilities"})
      .loss = true;
  cases.node(kBackward, {"probabilities", "labels"}, {"dlogits"});
  for (const OpKind kind : {OpKind::kBceWithLogits, OpKind::kMse}) {
    cases.add(to_text(kind), kind, NoAttrs{}, {data("x", {6}), data("target", {6})}, {"loss"})
        .loss = true;
    cases.node(kBackward, {"x", "target"}, {"dx"});
  }
  cases.add("cast", OpKind::kCast, CastAttrs{"f32"}, {data("x", {5})});
  cases.node(OpKind::kCast, kForward, CastAttrs{"f32"}, {"dy"}, {"dx"});
}

std::uint64_t seed_of(const GradientCase& test, const std::string& operand) {
  return Fingerprint().add(test.name).add(operand).value() + static_cast<std::uint64_t>(test.salt);
}

}  // namespace

const std::vector<GradientCase>& gradient_cases() {
  static const std::vector<GradientCase> kCases = [] {
    Cases cases;
    add_dense(cases);
    add_pools(cases);
    add_norms(cases);
    add_elementwise(cases);
    add_shapes(cases);
    add_sequences(cases);
    add_lookups_and_losses(cases);
    return cases.take();
  }();
  return kCases;
}

StepScalars case_scalars() {
  StepScalars scalars;
  scalars.loss_scale = 0.25;
  scalars.seed = 7;
  scalars.step = 3;
  scalars.sample_offset = 4;
  return scalars;
}

TensorType type_of(const CaseOperand& operand) {
  return {operand.shape, operand.fill == Fill::kIds ? DType::kI32 : DType::kF32,
          operand.batch_multiple};
}

Values values_of(const GradientCase& test, const CaseOperand& operand) {
  const std::uint64_t seed = seed_of(test, operand.name);
  Values values(static_cast<std::size_t>(type_of(operand).elements(kCaseBatch)));
  std::vector<std::pair<float, float>> order;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float u = philox_uniform(seed, 0, 0, i), v = philox_uniform(seed, 1, 0, i);
    switch (operand.fill) {
      case Fill::kPlain:
        values[i] = 2 * u - 1;
        break;
      case Fill::kAwayFrom0:
        values[i] = (0.5F + 0.5F * u) * (v < 0.5F ? -1.0F : 1.0F);
        break;
      case Fill::kPositive:
        values[i] = 0.5F + u;
        break;
      case Fill::kSmall:
        values[i] = 0.4F * u - 0.2F;
        break;
      case Fill::kIds:
        values[i] = std::floor(static_cast<float>(operand.low) +
                               u * static_cast<float>(operand.high - operand.low + 1));
        break;
      case Fill::kSpread:
        values[i] = 0.25F * static_cast<float>(i) - 4;
        std::swap(values[i], values[static_cast<std::size_t>(u * static_cast<float>(i + 1))]);
        break;
    }
  }
  return values;
}

KernelRequest request_of(const GradientCase& test) {
  std::vector<TensorType> inputs, updates;
  for (const CaseOperand& operand : test.inputs) inputs.push_back(type_of(operand));
  for (const CaseOperand& operand : test.updates) updates.push_back(type_of(operand));
  return forward_request(test.kind, test.attrs, inputs, kCaseBatch, updates);
}

Values cotangent_of(const GradientCase& test) {
  const TensorType type = request_of(test).signature.outputs.at(0);
  Values values(static_cast<std::size_t>(type.elements(kCaseBatch)));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = 2 * philox_uniform(seed_of(test, "dy"), 0, 0, i) - 1;
  }
  return values;
}

std::vector<double> numeric_gradient(Device& device, const GradientCase& test,
                                     const std::string& operand) {
  const KernelRequest request = request_of(test);
  std::vector<Values> inputs, updates;
  std::size_t which = 0;
  for (const CaseOperand& input : test.inputs) {
    if (input.name == operand) which = inputs.size();
    inputs.push_back(values_of(test, input));
  }
  for (const CaseOperand& update : test.updates) updates.push_back(values_of(test, update));
  const Values weights =
      test.loss
          ? Values{static_cast<float>(case_scalars().loss_scale * static_cast<double>(kCaseBatch))}
          : cotangent_of(test);

  // f at the operand's value plus `shift`, and how far the f32 value really moved.
  const auto evaluate = [&](std::size_t element, double shift) {
    const float before = inputs[which][element];
    inputs[which][element] = static_cast<float>(before + shift);
    const KernelOutcome outcome = run_kernel(device, request, inputs, updates, case_scalars());
    inputs[which][element] = before;
    double sum = 0;
    for (std::size_t i = 0; i < weights.size(); ++i)
      sum += double{weights[i]} * double{outcome.outputs.at(0)[i]};
    return sum;
  };
  // A power of two near the rounding of values below 2, so that the shifted values are exact
  // enough.
  constexpr double kStep = 1.0 / 32;
  std::vector<double> gradient(inputs[which].size());
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    const double near = evaluate(i, kStep) - evaluate(i, -kStep);
    const double far = evaluate(i, 2 * kStep) - evaluate(i, -2 * kStep);
    gradient[i] = (8 * near - far) / (12 * kStep);
  }
  return gradient;
}

double worst_difference(const Values& analytic, const std::vector<double>& numeric) {
  if (analytic.size() != numeric.size()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (std::size_t i = 0; i < numeric.size(); ++i) {
    const double difference =
        std::abs(double{analytic[i]} - numeric[i]) / (1 + std::abs(numeric[i]));
    // A NaN counts as infinitely wrong.
    worst = difference <= worst      ? worst
            : std::isnan(difference) ? std::numeric_limits<double>::infinity()
                                     : difference;
  }
  return worst;
}

}  // namespace pluto::testing
