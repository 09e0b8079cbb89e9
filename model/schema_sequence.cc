// softmax, attention, rotary, lstm, gru.
#include <fmt/format.h>

#include "model/schema_check.h"
#include "model/schema_families.h"
#include "model/schema_gradient.h"
#include "model/schema_work.h"

namespace pluto {
namespace {

using Types = std::vector<TensorType>;

// ---- softmax

Result<Types> infer_softmax(const OpAttrs&, std::span<const TensorType> inputs) {
  const Operands in(inputs, {"x"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  PLUTO_TRY(in.at_least_rank(0, 1, "..., D"));
  return Types{in[0]};
}

void gradient_softmax(GradientContext& context) {
  context.backward({context.dy(), context.output(0)}, {0});
}

// ---- attention

Result<Types> infer_attention(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& a = std::get<AttentionAttrs>(attrs);
  PLUTO_TRY(check_attr("heads", a.heads, 1));
  PLUTO_TRY(check_attr("kv_heads", a.kv_heads, 1, a.heads));
  if (a.heads % a.kv_heads != 0) {
    return invalid_input(fmt::format("kv_heads {} does not divide heads {}", a.kv_heads, a.heads));
  }
  const Operands in(inputs, {"q", "k", "v"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  PLUTO_TRY(in.rank(0, 2, "T, heads*d"));
  const Shape& q = in[0].shape;
  if (q[1] % a.heads != 0) return in.wrong(0, fmt::format("a width that {} heads divide", a.heads));
  // Of a part of the sequence: the keys and values of all of it.
  const bool whole = in[1].shape.rank() == 2 && in[1].shape[0] % q[0] == 0;
  const Shape key{{whole ? in[1].shape[0] : q[0], q[1] / a.heads * a.kv_heads}};
  PLUTO_TRY(in.activation(1, key, "T, kv_heads*d"));
  PLUTO_TRY(in.activation(2, key, "T, kv_heads*d"));
  return Types{in[0], statistic({{a.heads, q[0]}}, in[0].batch_multiple)};
}

// Forward: two products (q k' and p v) of 2 d FLOPs for each of heads * T * T pairs, and a softmax
// of 5 per pair with one for the scale. Backward: five products (the scores again, dv, dp, dq, dk)
// and 6 per pair (probabilities from lse 3, ds 3), besides the row sums of dy * y. Key/value heads
// shared by grouped queries save traffic, not FLOPs. Causal: half of the T * T pairs; the T / 2 of
// the diagonal's own half are left out, as in published counts. Queries of a part of the sequence
// see half of the keys on average (parts that are dealt out in pairs from both ends do exactly).
OpWork work_attention(OpPass pass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                      std::span<const TensorType> outputs, std::int64_t micro_batch) {
  const WorkOperands operands{pass, inputs, outputs, micro_batch};
  const auto& a = std::get<AttentionAttrs>(attrs);
  const TensorType& q = operands.input(operands.forward() ? 0 : 1);
  const double length = dim(q, 0), width = dim(q, 1);
  const double keys = dim(operands.input(operands.forward() ? 1 : 2), 0);
  const double samples = static_cast<double>(q.samples(micro_batch));
  // Per query position and key position: `width` is heads * d.
  const double pairs = samples * length * keys * (a.causal ? 0.5 : 1);
  const double heads = static_cast<double>(a.heads);
  if (operands.forward()) return operands.work(pairs * (2 * 2 * width + 6 * heads));
  return operands.work(pairs * (5 * 2 * width + 6 * heads) + 2 * operands.input_elements(0));
}

void gradient_attention(GradientContext& context) {
  context.backward({context.dy(), context.input(0), context.input(1), context.input(2),
                    context.output(0), context.output(1)},
                   {0, 1, 2});
}

// ---- rotary

Result<Types> infer_rotary(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& a = std::get<RotaryAttrs>(attrs);
  PLUTO_TRY(check_attr("heads", a.heads, 1));
  if (!(a.theta > 0)) return invalid_input(fmt::format("theta is {}, expected above 0", a.theta));
  const Operands in(inputs, {"x"});
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  PLUTO_TRY(in.rank(0, 2, "T, heads*d"));
  if (in[0].shape[1] % (2 * a.heads) != 0) {
    return in.wrong(0, fmt::format("a width that {} heads of even size divide", a.heads));
  }
  return Types{in[0]};
}

void gradient_rotary(GradientContext& context) { context.backward({context.dy()}, {0}); }

// ---- lstm, gru

struct RecurrentOperands {
  std::int64_t length, hidden;
};

Result<RecurrentOperands> check_recurrent(const RecurrentAttrs& a, const Operands& in,
                                          std::int64_t gates) {
  PLUTO_TRY(check_attr("hidden", a.hidden, 1));
  PLUTO_TRY(in.count());
  PLUTO_TRY(in.floating(0));
  PLUTO_TRY(in.rank(0, 2, "T,I"));
  const bool lstm = gates == 4;
  const char* layout = lstm ? "4*hidden, inputs" : "3*hidden, inputs";
  const char* inner = lstm ? "4*hidden, hidden" : "3*hidden, hidden";
  const char* bias = lstm ? "4*hidden" : "3*hidden";
  PLUTO_TRY(in.parameter(1, {{gates * a.hidden, in[0].shape[1]}}, layout));
  PLUTO_TRY(in.parameter(2, {{gates * a.hidden, a.hidden}}, inner));
  PLUTO_TRY(in.parameter(3, {{gates * a.hidden}}, bias));
  const std::size_t states = lstm ? 4 : 5;
  if (!lstm) PLUTO_TRY(in.parameter(4, {{gates * a.hidden}}, bias));
  for (std::size_t i = states; i < in.size(); ++i)
    PLUTO_TRY(in.activation(i, {{a.hidden}}, "hidden"));
  return RecurrentOperands{in[0].shape[0], a.hidden};
}

Result<Types> infer_lstm(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& a = std::get<RecurrentAttrs>(attrs);
  std::vector<const char*> names = {"x", "w_ih", "w_hh", "b"};
  if (a.initial_state) names.insert(names.end(), {"h0", "c0"});
  const Operands in(inputs, std::move(names));
  PLUTO_ASSIGN(const auto sizes, check_recurrent(a, in, 4));
  const auto output = [&](std::int64_t width) {
    return TensorType{{{sizes.length, width}}, in[0].dtype, in[0].batch_multiple};
  };
  return Types{output(sizes.hidden), output(4 * sizes.hidden), output(sizes.hidden)};
}

Result<Types> infer_gru(const OpAttrs& attrs, std::span<const TensorType> inputs) {
  const auto& a = std::get<RecurrentAttrs>(attrs);
  std::vector<const char*> names = {"x", "w_ih", "w_hh", "b_ih", "b_hh"};
  if (a.initial_state) names.push_back("h0");
  const Operands in(inputs, std::move(names));
  PLUTO_ASSIGN(const auto sizes, check_recurrent(a, in, 3));
  const auto output = [&](std::int64_t width) {
    return TensorType{{{sizes.length, width}}, in[0].dtype, in[0].batch_multiple};
  };
  return Types{output(sizes.hidden), output(4 * sizes.hidden)};
}

// Per step, with I inputs, H hidden, G gates: forward 2 G H (I + H) for the gate products; backward
// the same for the data (dx, dh) and again for the weights. Per hidden unit and step: LSTM forward
// 26 (sums and bias 8, three sigmoids 12, two tanh 2, cell 3, output 1), backward 30; GRU forward
// 23 (sums and biases 6 for r and z, 4 for n; sigmoids 8; tanh 1; blend 4), backward 28; both
// backward counts include the bias sums. The product with a zero initial state counts.
OpWork work_recurrent(OpPass pass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                      std::span<const TensorType> outputs, std::int64_t micro_batch, double gates,
                      double forward_per_unit, double backward_per_unit) {
  const WorkOperands operands{pass, inputs, outputs, micro_batch};
  const double hidden = static_cast<double>(std::get<RecurrentAttrs>(attrs).hidden);
  const TensorType& x = operands.input(operands.forward() ? 0 : 1);
  const double steps = dim(x, 0) * static_cast<double>(x.samples(micro_batch));
  const double products = 2 * gates * hidden * (last_dim(x) + hidden);
  if (operands.forward()) return operands.work(steps * (products + forward_per_unit * hidden));
  return operands.work(steps * (2 * products + backward_per_unit * hidden));
}

OpWork work_lstm(OpPass pass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                 std::span<const TensorType> outputs, std::int64_t micro_batch) {
  return work_recurrent(pass, attrs, inputs, outputs, micro_batch, 4, 26, 30);
}

OpWork work_gru(OpPass pass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                std::span<const TensorType> outputs, std::int64_t micro_batch) {
  return work_recurrent(pass, attrs, inputs, outputs, micro_batch, 3, 23, 28);
}

// Backward reads dy x w_ih w_hh, all outputs and the initial states; it writes one gradient per
// input.
void gradient_recurrent(GradientContext& context) {
  const Op& op = context.op();
  const std::size_t first_state = op.kind == OpKind::kLstm ? 4 : 5;
  std::vector<TensorId> inputs = {context.dy(), op.inputs[0], op.inputs[1], op.inputs[2]};
  inputs.insert(inputs.end(), op.outputs.begin(), op.outputs.end());
  inputs.insert(inputs.end(), op.inputs.begin() + static_cast<std::ptrdiff_t>(first_state),
                op.inputs.end());
  std::vector<std::size_t> of;
  for (std::size_t i = 0; i < op.inputs.size(); ++i) of.push_back(i);
  context.backward(std::move(inputs), of);
}

}  // namespace

std::vector<OpSchema> sequence_schemas() {
  // softmax per element: maximum, subtract, exp, sum, divide; backward: row sum of dy y 2,
  // subtract, multiply. rotary: two products and an add; its sines come from a table.
  return {
      {OpKind::kSoftmax, infer_softmax, per_element_work<5, 4>, gradient_rule<gradient_softmax>},
      {OpKind::kAttention, infer_attention, work_attention, gradient_rule<gradient_attention>},
      {OpKind::kRotary, infer_rotary, per_element_work<3, 3>, gradient_rule<gradient_rotary>},
      {OpKind::kLstm, infer_lstm, work_lstm, gradient_rule<gradient_recurrent>},
      {OpKind::kGru, infer_gru, work_gru, gradient_rule<gradient_recurrent>},
  };
}

}  // namespace pluto
