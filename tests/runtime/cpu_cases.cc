#include "tests/runtime/cpu_cases.h"

#include <cstring>
#include <functional>
#include <map>
#include <tuple>

#include "base/check.h"
#include "base/fingerprint.h"
#include "base/philox.h"
#include "model/training_graph.h"
#include "runtime/reference/reference_device.h"
#include "tests/support/run_kernel.h"

namespace pluto::testing {
namespace {

constexpr const char* kAccumulateCase = "Accumulate";  // autodiff makes no such node

using Bytes_ = std::vector<std::byte>;
using Dims = std::vector<std::int64_t>;

/// Builds the op under test. `x(dims)` is data that wants a gradient.
class Scene {
 public:
  /// Behind a linear layer, so that backward nodes produce its gradient.
  TensorId x(Dims dims) {
    const std::string name = "x" + std::to_string(count_++);
    const std::int64_t width = dims.back();
    const TensorId raw = b.input(name, {std::move(dims)});
    const TensorId w = b.parameter(name + ".w", {{width, width}}, {});
    return b.forward(name + ".mix", OpKind::kLinear, LinearAttrs{width, false}, {raw, w});
  }
  TensorId parameter(Dims dims) {
    return b.parameter("p" + std::to_string(count_++), {std::move(dims)}, {});
  }
  TensorId buffer(Dims dims) {
    return b.tensor("positive" + std::to_string(count_++), TensorRole::kBuffer,
                    {{std::move(dims)}, DType::kF32, 0});
  }
  /// Whole numbers from -1 to limit - 1.
  TensorId ids(Dims dims, int limit) {
    return b.input("ids" + std::to_string(count_++) + "." + std::to_string(limit),
                   {std::move(dims)}, DType::kI32);
  }
  TensorId op(OpKind kind, OpAttrs attrs, std::vector<TensorId> inputs,
              std::vector<TensorId> updates = {}) {
    return b.op("op" + std::to_string(count_++), kind, OpPass::kForward, std::move(attrs),
                std::move(inputs), std::move(updates))[0];
  }
  GraphBuilder b;
  bool is_loss = false;

 private:
  int count_ = 0;
};

struct Case {
  std::string name;
  std::int64_t batch;
  std::function<TensorId(Scene&)> build;
  OptimizerAttrs optimizer = SgdAttrs{};
};

ConvAttrs conv(std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t pad,
               std::int64_t groups = 1, bool bias = false) {
  ConvAttrs a;
  a.out_channels = out;
  a.kernel_h = a.kernel_w = kernel;
  a.stride_h = a.stride_w = stride;
  a.pad_top = a.pad_left = a.pad_bottom = a.pad_right = pad;
  a.groups = groups;
  a.bias = bias;
  return a;
}
std::function<TensorId(Scene&)> convolve(Dims x, ConvAttrs a) {
  return [=](Scene& s) {
    std::vector<TensorId> inputs = {
        s.x(x), s.parameter({a.out_channels, x[0] / a.groups, a.kernel_h, a.kernel_w})};
    if (a.bias) inputs.push_back(s.parameter({a.out_channels}));
    return s.op(OpKind::kConv2d, a, inputs);
  };
}
std::function<TensorId(Scene&)> linear(Dims x, std::int64_t out, bool bias,
                                       Activation activation = Activation::kNone) {
  return [=](Scene& s) {
    std::vector<TensorId> inputs = {s.x(x), s.parameter({out, x.back()})};
    if (bias) inputs.push_back(s.parameter({out}));
    return s.op(OpKind::kLinear, LinearAttrs{out, bias, activation}, inputs);
  };
}
std::function<TensorId(Scene&)> unary(OpKind kind, OpAttrs attrs, Dims x) {
  return [=](Scene& s) { return s.op(kind, attrs, {s.x(x)}); };
}
std::function<TensorId(Scene&)> binary(OpKind kind, OpAttrs attrs, Dims x) {
  return [=](Scene& s) { return s.op(kind, attrs, {s.x(x), s.x(x)}); };
}
std::function<TensorId(Scene&)> batch_norm(Dims x, bool relu) {
  return [=](Scene& s) {
    const Dims c = {x[0]};
    return s.op(OpKind::kBatchNorm, BatchNormAttrs{1e-5, 0.1, relu},
                {s.x(x), s.parameter(c), s.parameter(c)}, {s.buffer(c), s.buffer(c)});
  };
}
std::function<TensorId(Scene&)> batch_norm_of_sum(Dims x) {
  return [=](Scene& s) {
    const Dims c = {x[0]};
    return s.op(OpKind::kBatchNorm, BatchNormAttrs{1e-5, 0.1, true, true},
                {s.x(x), s.parameter(c), s.parameter(c), s.x(x)}, {s.buffer(c), s.buffer(c)});
  };
}
std::function<TensorId(Scene&)> cross_entropy(Dims logits) {
  return [=](Scene& s) {
    s.is_loss = true;
    const TensorId x = s.x(logits);
    return s.op(
        OpKind::kSoftmaxCrossEntropy, NoAttrs{},
        {x, s.ids(Dims(logits.begin(), logits.end() - 1), static_cast<int>(logits.back()))});
  };
}
PoolAttrs pool(std::int64_t kernel, std::int64_t stride, std::int64_t pad, bool ceil,
               bool count_pad) {
  PoolAttrs a;
  a.kernel_h = a.kernel_w = kernel;
  a.stride_h = a.stride_w = stride;
  a.pad_top = a.pad_left = a.pad_bottom = a.pad_right = pad;
  a.ceil_mode = ceil;
  a.count_include_pad = count_pad;
  return a;
}

std::vector<Case> make_cases() {
  std::vector<Case> cases;
  const auto add = [&](std::string name, std::int64_t batch, std::function<TensorId(Scene&)> build,
                       OptimizerAttrs optimizer = SgdAttrs{}) {
    cases.push_back({std::move(name), batch, std::move(build), optimizer});
  };
  ConvAttrs uneven = conv(5, 3, 2, 0, 1, true);
  uneven.pad_top = 2, uneven.pad_right = 1, uneven.stride_w = 1, uneven.dilation_h = 2,
  uneven.kernel_w = 4;
  add("ConvPlain", 1, convolve({3, 8, 9}, conv(7, 3, 1, 1, 1, true)));
  add("ConvFirstLayer", 3, convolve({3, 23, 19}, conv(16, 7, 2, 3)));
  add("ConvUneven", 3, convolve({4, 11, 9}, uneven), SgdAttrs{0.9, 1e-3, true});
  add("ConvGroups", 3, convolve({8, 7, 7}, conv(12, 5, 1, 2, 4, true)), SgdAttrs{0.9, 1e-3, false});
  add("ConvDepthwise", 3, convolve({19, 9, 10}, conv(19, 3, 2, 1, 19, true)));
  add("ConvWide", 1, convolve({32, 14, 14}, conv(48, 3, 1, 1)));
  add("ConvPointwise", 3, convolve({33, 7, 5}, conv(18, 1, 1, 0, 1, true)));
  add("ConvPointwiseStride", 1, convolve({16, 14, 14}, conv(32, 1, 2, 0)));
  add("ConvPointwiseGroups", 1, convolve({8, 6, 6}, conv(16, 1, 1, 0, 2)));
  add("LinearBatch1", 1, linear({37}, 11, true));
  add("LinearBatch3", 3, linear({700}, 50, true), AdamAttrs{});
  add("LinearSequence", 3, linear({5, 24}, 17, false), AdamAttrs{0.9, 0.99, 1e-6, 0.01, true});
  add("LinearTall", 1, linear({130, 65}, 96, true), AdamAttrs{0.9, 0.99, 1e-6, 0.01, false});
  // Every function behind each way to compute a convolution, and behind a linear layer.
  for (const auto& [function, name] :
       std::map<Activation, std::string>{{Activation::kRelu, "Relu"},
                                         {Activation::kTanh, "Tanh"},
                                         {Activation::kSigmoid, "Sigmoid"},
                                         {Activation::kGelu, "Gelu"},
                                         {Activation::kSilu, "Silu"}}) {
    const auto with = [&, function = function](ConvAttrs attrs) {
      attrs.activation = function;
      return attrs;
    };
    add("Conv" + name, 3, convolve({16, 9, 8}, with(conv(16, 3, 1, 1, 1, true))));
    add("ConvUneven" + name, 3, convolve({4, 11, 9}, with(uneven)));
    add("ConvPointwise" + name, 3, convolve({20, 15, 15}, with(conv(24, 1, 1, 0))));
    add("ConvPointwiseBias" + name, 3, convolve({20, 15, 15}, with(conv(24, 1, 1, 0, 1, true))));
    add("Linear" + name, 3, linear({5, 24}, 17, true, function));
    add("LinearNoBias" + name, 3, linear({24}, 33, false, function));
  }
  add("MaxPool", 3, unary(OpKind::kMaxPool, pool(3, 2, 1, false, true), {5, 13, 17}));
  add("MaxPoolCeil", 1, unary(OpKind::kMaxPool, pool(2, 2, 0, true, true), {5, 13, 35}));
  add("MaxPoolOverlap", 1, unary(OpKind::kMaxPool, pool(3, 1, 1, false, true), {2, 9, 40}));
  add("MaxPoolSparse", 1, unary(OpKind::kMaxPool, pool(2, 3, 0, false, true), {2, 9, 50}));
  add("AvgPool", 3, unary(OpKind::kAvgPool, pool(3, 2, 1, true, true), {3, 12, 11}));
  add("AvgPoolNoPad", 1, unary(OpKind::kAvgPool, pool(3, 2, 1, true, false), {3, 12, 11}));
  add("GlobalAvgPool", 3, unary(OpKind::kGlobalAvgPool, NoAttrs{}, {5, 7, 7}));
  add("BatchNorm", 3, batch_norm({6, 7, 9}, false));
  add("BatchNormRelu", 3, batch_norm({6, 33, 9}, true));
  add("BatchNormSumRelu", 3, batch_norm_of_sum({6, 33, 9}));
  add("BatchNormFlat", 3, batch_norm({21}, true));
  for (const auto& [kind, name] : std::map<OpKind, std::string>{{OpKind::kRelu, "Relu"},
                                                                {OpKind::kGelu, "Gelu"},
                                                                {OpKind::kSilu, "Silu"},
                                                                {OpKind::kSigmoid, "Sigmoid"},
                                                                {OpKind::kTanh, "Tanh"}}) {
    add(name, 3, unary(kind, NoAttrs{}, {7, 19}));
  }
  add("Add", 3, binary(OpKind::kAdd, AddAttrs{}, {7, 19}));
  add("AddRelu", 1, binary(OpKind::kAdd, AddAttrs{true}, {7, 19}));
  add("Mul", 3, binary(OpKind::kMul, NoAttrs{}, {7, 19}));
  add("Reshape", 3, unary(OpKind::kReshape, ReshapeAttrs{{19, 7}}, {7, 19}));
  add("Softmax", 3, unary(OpKind::kSoftmax, NoAttrs{}, {7, 37}));
  add("CrossEntropy", 3, cross_entropy({10}));
  add("CrossEntropySequence", 3, cross_entropy({6, 33}));
  for (const auto& [a_t, b_t, name] :
       std::vector<std::tuple<bool, bool, std::string>>{{false, false, "MatMul"},
                                                        {true, false, "MatMulAt"},
                                                        {false, true, "MatMulBt"},
                                                        {true, true, "MatMulBoth"}}) {
    const Dims a = a_t ? Dims{2, 40, 19} : Dims{2, 19, 40},
               b = b_t ? Dims{2, 33, 40} : Dims{2, 40, 33};
    add(name, 3, [=](Scene& s) {
      return s.op(OpKind::kMatMul, MatMulAttrs{a_t, b_t, 0.5}, {s.x(a), s.x(b)});
    });
  }
  add("MatMulLarge", 1, [](Scene& s) {
    return s.op(OpKind::kMatMul, MatMulAttrs{}, {s.x({130, 150}), s.x({150, 101})});
  });
  add("Lrn", 3, unary(OpKind::kLrn, LrnAttrs{5, 0.1, 0.75, 2}, {11, 18, 17}));
  add("LrnEven", 1, unary(OpKind::kLrn, LrnAttrs{4, 0.3, 0.5, 1}, {7, 3, 3}));
  add("LayerNorm", 3, [](Scene& s) {
    return s.op(OpKind::kLayerNorm, NormAttrs{},
                {s.x({7, 37}), s.parameter({37}), s.parameter({37})});
  });
  add("LayerNormLong", 3, [](Scene& s) {
    return s.op(OpKind::kLayerNorm, NormAttrs{},
                {s.x({300, 64}), s.parameter({64}), s.parameter({64})});
  });
  add("RmsNorm", 3, [](Scene& s) {
    return s.op(OpKind::kRmsNorm, NormAttrs{1e-3}, {s.x({7, 37}), s.parameter({37})});
  });
  add("RmsNormLong", 3, [](Scene& s) {
    return s.op(OpKind::kRmsNorm, NormAttrs{}, {s.x({300, 64}), s.parameter({64})});
  });
  add("Dropout", 3, unary(OpKind::kDropout, DropoutAttrs{0.3, 9}, {7, 43}));
  add("DropoutLong", 1, unary(OpKind::kDropout, DropoutAttrs{0.1, 2}, {600, 61}));
  add("PositionAdd", 3, [](Scene& s) {
    return s.op(OpKind::kPositionAdd, NoAttrs{}, {s.x({7, 19}), s.parameter({9, 19})});
  });
  add("Concat", 3, [](Scene& s) {
    return s.op(OpKind::kConcat, AxisAttrs{0}, {s.x({2, 5, 3}), s.x({4, 5, 3}), s.x({1, 5, 3})});
  });
  add("ConcatLast", 3, [](Scene& s) {
    return s.op(OpKind::kConcat, AxisAttrs{1}, {s.x({5, 3}), s.x({5, 4})});
  });
  add("Split", 3, [](Scene& s) {
    const std::vector<TensorId> parts =
        s.b.op("split", OpKind::kSplit, OpPass::kForward, SplitAttrs{1, {4, 4, 3}}, {s.x({5, 11})});
    return s.op(OpKind::kConcat, AxisAttrs{1},
                {parts[2], s.op(OpKind::kMul, NoAttrs{}, {parts[0], parts[1]})});
  });
  add("Slice", 3, unary(OpKind::kSlice, SliceAttrs{0, 2, 3}, {7, 5}));
  add("SliceLast", 1, unary(OpKind::kSlice, SliceAttrs{1, 1, 3}, {7, 5}));
  add("TransposeMatrix", 3, unary(OpKind::kTranspose, TransposeAttrs{{1, 0}}, {37, 21}));
  add("TransposeHeads", 3, unary(OpKind::kTranspose, TransposeAttrs{{1, 0, 2}}, {7, 4, 9}));
  add("TransposeReverse", 1, unary(OpKind::kTranspose, TransposeAttrs{{3, 2, 1, 0}}, {3, 4, 5, 6}));
  add("TransposeCycle", 3, unary(OpKind::kTranspose, TransposeAttrs{{2, 0, 1}}, {3, 1, 6}));
  add("TransposeNothing", 3, unary(OpKind::kTranspose, TransposeAttrs{{0, 1}}, {3, 6}));
  const auto attention = [](std::int64_t t, std::int64_t heads, std::int64_t kv, std::int64_t d,
                            bool causal) {
    return [=](Scene& s) {
      return s.op(OpKind::kAttention, AttentionAttrs{heads, kv, causal},
                  {s.x({t, heads * d}), s.x({t, kv * d}), s.x({t, kv * d})});
    };
  };
  add("Attention", 3, attention(9, 2, 2, 5, false));
  add("AttentionCausal", 3, attention(70, 3, 3, 8, true));
  add("AttentionGrouped", 1, attention(37, 4, 2, 16, true));
  add("AttentionLong", 1, attention(300, 1, 1, 32, true));
  add("Rotary", 3, unary(OpKind::kRotary, RotaryAttrs{3, 100}, {11, 42}));
  const auto embed = [](OpKind kind, Dims ids) {
    return [=](Scene& s) {
      return s.op(kind, EmbeddingAttrs{13, 21}, {s.ids(ids, 13), s.parameter({13, 21})});
    };
  };
  add("Embedding", 3, embed(OpKind::kEmbedding, {8}));
  add("EmbeddingOne", 3, embed(OpKind::kEmbedding, {}));
  add("EmbeddingBag", 3, embed(OpKind::kEmbeddingBag, {5}));
  add("Mse", 3, unary(OpKind::kReshape, ReshapeAttrs{{500, 3}}, {1500}));
  add("Bce", 3, [](Scene& s) {
    s.is_loss = true;
    return s.op(OpKind::kBceWithLogits, NoAttrs{},
                {s.x({70, 20}), s.b.input("target", {{70, 20}})});
  });
  for (const std::string to : {"f16", "bf16"}) {
    add("Cast" + to, 3, [=](Scene& s) {
      return s.op(OpKind::kCast, CastAttrs{"f32"},
                  {s.op(OpKind::kCast, CastAttrs{to}, {s.x({7, 19})})});
    });
  }
  return cases;
}

const std::map<std::string, Case>& cases() {
  static const std::map<std::string, Case> by_name = [] {
    std::map<std::string, Case> all;
    for (Case& one : make_cases()) all.emplace(one.name, one);
    return all;
  }();
  return by_name;
}

Bytes_ initial_values(const Tensor& tensor, std::int64_t batch) {
  const std::int64_t count = tensor.type.elements(batch);
  Bytes_ bytes(static_cast<std::size_t>(tensor.type.bytes(batch).value()));
  const std::uint64_t seed = Fingerprint().add(tensor.name).value();
  const bool positive =
      tensor.role == TensorRole::kBuffer || tensor.role == TensorRole::kOptimizerState;
  for (std::int64_t i = 0; i < count; ++i) {
    const float uniform = philox_uniform(seed, 0, 0, static_cast<std::uint64_t>(i));
    if (tensor.type.dtype == DType::kI32) {
      const int limit = std::stoi(tensor.name.substr(tensor.name.find('.') + 1));
      const std::int32_t id =
          static_cast<std::int32_t>(uniform * static_cast<float>(limit + 1)) - 1;
      std::memcpy(bytes.data() + i * 4, &id, 4);
    } else {
      const float value = positive ? uniform + 0.5f : 2 * uniform - 1;
      std::memcpy(bytes.data() + i * 4, &value, 4);
    }
  }
  return bytes;
}

}  // namespace

const std::vector<std::string>& cpu_case_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const auto& [name, test] : cases()) all.push_back(name);
    all.push_back(kAccumulateCase);
    return all;
  }();
  return names;
}

StepScalars cpu_case_scalars(bool training) {
  StepScalars scalars;
  scalars.learning_rate = 0.05;
  scalars.loss_scale = 0.25;
  scalars.seed = 77;
  scalars.step = 3;
  scalars.sample_offset = 5;
  scalars.micro_index = training ? 0 : 1;
  scalars.training = training;
  return scalars;
}

std::vector<CpuNode> accumulate_nodes() {
  const TensorType type{{{37, 11}}, DType::kF32, 0};
  CpuNode node;
  node.name = "accumulate";
  node.request = {{OpKind::kAccumulate, OpPass::kForward, NoAttrs{}, {type}, {}, 3}, {type}};
  Tensor tensor;
  tensor.type = type;
  node.inputs = {initial_values(tensor, 3)};
  tensor.name = "sum";
  node.updates = {initial_values(tensor, 3)};
  return {node};
}

std::vector<CpuNode> cpu_nodes(const std::string& case_name) {
  if (case_name == kAccumulateCase) return accumulate_nodes();
  const Case& test = cases().at(case_name);
  Scene scene;
  ModelGraph model;
  model.name = case_name;
  const TensorId y = test.build(scene);
  model.logits = y;
  model.loss = y;
  if (!scene.is_loss) {
    model.labels = scene.b.input("target", scene.b.type(y).shape);
    model.loss = scene.b.forward("loss", OpKind::kMse, NoAttrs{}, {y, model.labels});
  }
  auto graph = std::move(scene.b).build();
  PLUTO_CHECK(graph.ok(), graph.ok() ? "" : graph.error().message.c_str());
  model.graph = *graph;
  auto training = differentiate(model, test.optimizer);
  PLUTO_CHECK(training.ok(), training.ok() ? "" : training.error().message.c_str());

  const Graph& g = training->graph;
  std::vector<Bytes_> values;
  for (const Tensor& tensor : g.tensors()) {
    values.push_back(tensor.producer
                         ? Bytes_(static_cast<std::size_t>(tensor.type.bytes(test.batch).value()))
                         : initial_values(tensor, test.batch));
  }
  const auto device = make_reference_device();
  std::vector<CpuNode> nodes;
  for (const Op& op : g.ops()) {
    CpuNode node;
    node.name = op.name;
    node.request.signature = signature_of(g, op, test.batch);
    for (TensorId id : op.updates) node.request.updates.push_back(g.tensor(id).type);
    node.may_overwrite = may_overwrite(g, op);
    std::vector<const void*> inputs;
    std::vector<void*> outputs, updates;
    for (TensorId id : op.inputs) {
      node.inputs.push_back(values[id.index()]);
      inputs.push_back(values[id.index()].data());
    }
    for (TensorId id : op.updates) {
      node.updates.push_back(values[id.index()]);
      updates.push_back(values[id.index()].data());
    }
    for (TensorId id : op.outputs) outputs.push_back(values[id.index()].data());
    auto kernel = device->compile(node.request);
    PLUTO_CHECK(kernel.ok(), kernel.ok() ? "" : kernel.error().message.c_str());
    Workspace workspace((*kernel)->workspace());
    (*kernel)->run({inputs, outputs, updates, workspace.data(), cpu_case_scalars(true)});
    nodes.push_back(std::move(node));
  }
  return nodes;
}

}  // namespace pluto::testing
