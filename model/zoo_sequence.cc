#include <fmt/format.h>

#include <cmath>

#include "model/zoo_blocks.h"
#include "model/zoo_families.h"

namespace pluto {

namespace {

/// The four (LSTM) or three (GRU) gates' weights of one layer, uniform-like scale 1/sqrt(hidden).
struct GateWeights {
  TensorId input, hidden;
};
GateWeights gate_weights(Net& net, const std::string& name, std::int64_t gates, std::int64_t in,
                         std::int64_t hidden) {
  const Init init{Init::Kind::kNormal, 1 / std::sqrt(3.0 * static_cast<double>(hidden))};
  return {net.builder().parameter(name + ".w_ih", Shape{{gates * hidden, in}}, init),
          net.builder().parameter(name + ".w_hh", Shape{{gates * hidden, hidden}}, init)};
}

TensorId lstm(Net& net, const std::string& name, TensorId x, std::int64_t in, std::int64_t hidden) {
  const GateWeights w = gate_weights(net, name, 4, in, hidden);
  const TensorId bias = net.builder().parameter(name + ".b", Shape{{4 * hidden}}, {});
  return net.builder().forward(name, OpKind::kLstm, RecurrentAttrs{hidden, false, false},
                               {x, w.input, w.hidden, bias});
}

TensorId gru(Net& net, const std::string& name, TensorId x, std::int64_t in, std::int64_t hidden,
             const TensorId* initial) {
  const GateWeights w = gate_weights(net, name, 3, in, hidden);
  const TensorId b_ih = net.builder().parameter(name + ".b_ih", Shape{{3 * hidden}}, {});
  const TensorId b_hh = net.builder().parameter(name + ".b_hh", Shape{{3 * hidden}}, {});
  std::vector<TensorId> operands = {x, w.input, w.hidden, b_ih, b_hh};
  if (initial) operands.push_back(*initial);
  return net.builder().forward(
      name, OpKind::kGru, RecurrentAttrs{hidden, false, initial != nullptr}, std::move(operands));
}

}  // namespace

Result<ModelGraph> build_lstm_lm(const ZooOptions& options) {
  const std::int64_t sequence = options.sequence.value_or(35),
                     width = options.width_model.value_or(650);
  const std::int64_t vocabulary = options.vocabulary.value_or(10000),
                     layers = options.layers.value_or(2);
  constexpr double kDropout = 0.5, kStddev = 0.05;
  Net net("lstm-lm");
  TensorId x = net.embedding("embed", net.ids("tokens", sequence),
                             net.table("embedding", vocabulary, width, kStddev));
  x = net.dropout("drop0", x, kDropout);
  for (std::int64_t layer = 1; layer <= layers; ++layer) {
    x = net.dropout(fmt::format("drop{}", layer),
                    lstm(net, fmt::format("lstm{}", layer), x, width, width), kDropout);
  }
  x = net.linear("head", x, vocabulary, kStddev);
  return std::move(net).finish_classifier(x);
}

Result<ModelGraph> build_gru_seq2seq(const ZooOptions& options) {
  const std::int64_t sequence = options.sequence.value_or(30),
                     width = options.width_model.value_or(512);
  const std::int64_t vocabulary = options.vocabulary.value_or(30000);
  constexpr double kStddev = 0.05;
  Net net("gru-seq2seq");
  GraphBuilder& b = net.builder();
  const TensorId source = net.ids("source", sequence), target = net.ids("target", sequence);
  const TensorId encoded =
      gru(net, "encoder",
          net.embedding("embed_source", source,
                        net.table("source_embedding", vocabulary, width, kStddev)),
          width, width, nullptr);
  const TensorId last =
      b.forward("encoder_last", OpKind::kSlice, SliceAttrs{0, sequence - 1, 1}, {encoded});
  const TensorId state = net.reshape("encoder_state", last, {width});
  const TensorId decoded =
      gru(net, "decoder",
          net.embedding("embed_target", target,
                        net.table("target_embedding", vocabulary, width, kStddev)),
          width, width, &state);
  // Dot-product attention over the encoder's states (Luong et al. 2015, section 3.1).
  const TensorId scores =
      b.forward("scores", OpKind::kMatMul, MatMulAttrs{false, true, 1.0}, {decoded, encoded});
  const TensorId weights = net.unary("attention", OpKind::kSoftmax, scores);
  const TensorId context =
      b.forward("context", OpKind::kMatMul, MatMulAttrs{false, false, 1.0}, {weights, encoded});
  TensorId x = net.concat("joined", {context, decoded}, 1);
  x = net.unary("attended", OpKind::kTanh, net.linear("combine", x, width, kStddev, false));
  x = net.linear("head", x, vocabulary, kStddev);
  return std::move(net).finish_classifier(x);
}

}  // namespace pluto
