#include <algorithm>
#include <cmath>
#include <utility>

#include "runtime/reference/kernels.h"
#include "runtime/reference/loop_kernel.h"

namespace pluto::reference {
namespace {

struct RecurrentSize {
  Index samples, length, inputs, hidden;
  bool reverse, initial_state;
  /// Position in the sequence of the s-th step taken.
  Index position(Index s) const { return reverse ? length - 1 - s : s; }
  /// Row of (samples * length) rows.
  Index row(Index n, Index s) const { return n * length + position(s); }
};

Result<RecurrentSize> recurrent_size(const KernelRequest& request, const TensorType& x) {
  PLUTO_ASSIGN(const RecurrentAttrs attrs, attributes<RecurrentAttrs>(request));
  return RecurrentSize{samples(request, x), x.shape[0],    x.shape[1],
                       attrs.hidden,        attrs.reverse, attrs.initial_state};
}

/// The state before step s of sample n: the one stored after the step before, the initial one, or
/// nullptr for zeros.
const float* state_before(const RecurrentSize& z, const float* stored, const float* initial,
                          Index n, Index s) {
  if (s > 0) return stored + z.row(n, s - 1) * z.hidden;
  return z.initial_state ? initial + n * z.hidden : nullptr;
}
double value(const float* state, Index h) { return state == nullptr ? 0.0 : double{state[h]}; }

/// sums[j] = bias[j] + w[j] . v for `rows` rows of width `width`; v may be nullptr for zeros.
void gate_sums(double* sums, const float* bias, const float* w, const float* v, Index rows,
               Index width) {
  for (Index j = 0; j < rows; ++j) {
    sums[j] = bias[j] + (v == nullptr ? 0.0 : dot(w + j * width, v, width));
  }
}

KernelResult lstm_forward(const KernelRequest& request) {
  PLUTO_ASSIGN(const RecurrentSize z, recurrent_size(request, input_type(request, 0)));
  PLUTO_TRY(expect_operands(request, z.initial_state ? "ffffff" : "ffff", "fff"));
  const Index hidden = z.hidden;
  const auto loop = [=](const KernelArguments& arguments) {
    const float* h0 = z.initial_state ? in(arguments, 4) : nullptr;
    const float* c0 = z.initial_state ? in(arguments, 5) : nullptr;
    double* sums = scratch(arguments);
    for (Index n = 0; n < z.samples; ++n) {
      for (Index s = 0; s < z.length; ++s) {
        const Index row = z.row(n, s);
        const float* h_before = state_before(z, out(arguments, 0), h0, n, s);
        const float* c_before = state_before(z, out(arguments, 2), c0, n, s);
        gate_sums(sums, in(arguments, 3), in(arguments, 1), in(arguments, 0) + row * z.inputs,
                  4 * hidden, z.inputs);
        if (h_before != nullptr) {
          for (Index j = 0; j < 4 * hidden; ++j) {
            sums[j] += dot(in(arguments, 2) + j * hidden, h_before, hidden);
          }
        }
        float* gates = out(arguments, 1) + row * 4 * hidden;
        for (Index h = 0; h < hidden; ++h) {
          const double i = sigmoid(sums[h]), f = sigmoid(sums[hidden + h]);
          const double g = std::tanh(sums[2 * hidden + h]), o = sigmoid(sums[3 * hidden + h]);
          const double c = f * value(c_before, h) + i * g;
          gates[h] = static_cast<float>(i);
          gates[hidden + h] = static_cast<float>(f);
          gates[2 * hidden + h] = static_cast<float>(g);
          gates[3 * hidden + h] = static_cast<float>(o);
          out(arguments, 2)[row * hidden + h] = static_cast<float>(c);
          out(arguments, 0)[row * hidden + h] = static_cast<float>(o * std::tanh(c));
        }
      }
    }
  };
  return loop_kernel(loop, doubles(4 * hidden));
}

/// Sums of weight gradients over samples and steps, and the gradients that flow from step to step,
/// all double.
struct Flow {
  double *dw_ih, *dw_hh, *db_ih, *db_hh;
  double *dh, *dc;                   // of the step before, arriving from the step after
  double *input_side, *hidden_side;  // gradients of the pre-activations
  double* row;                       // one row of dx
  static Index size(const RecurrentSize& z, Index gates) {
    return gates * z.hidden * (z.inputs + z.hidden + 4) + 2 * z.hidden +
           std::max(z.inputs, z.hidden);
  }
  Flow(const RecurrentSize& z, Index gates, double* memory) {
    const Index rows = gates * z.hidden;
    std::fill_n(memory, size(z, gates), 0.0);
    const auto take = [&memory](Index count) { return std::exchange(memory, memory + count); };
    dw_ih = take(rows * z.inputs);
    dw_hh = take(rows * z.hidden);
    db_ih = take(rows);
    db_hh = take(rows);
    input_side = take(rows);
    hidden_side = take(rows);
    dh = take(z.hidden);
    dc = take(z.hidden);
    row = take(std::max(z.inputs, z.hidden));
  }
  /// From the gradients of one step's pre-activations: adds to the weight gradients, writes dx, and
  /// adds to dh.
  void step(const RecurrentSize& z, Index gates, const float* w_ih, const float* w_hh,
            const float* x, const float* h_before, float* dx) {
    std::fill_n(row, z.inputs, 0.0);
    for (Index j = 0; j < gates * z.hidden; ++j) {
      add_scaled(row, input_side[j], w_ih + j * z.inputs, z.inputs);
      add_scaled(dh, hidden_side[j], w_hh + j * z.hidden, z.hidden);
      add_scaled(dw_ih + j * z.inputs, input_side[j], x, z.inputs);
      if (h_before != nullptr) add_scaled(dw_hh + j * z.hidden, hidden_side[j], h_before, z.hidden);
      db_ih[j] += input_side[j];
      db_hh[j] += hidden_side[j];
    }
    store(dx, row, z.inputs);
  }
};

KernelResult lstm_backward(const KernelRequest& request) {
  PLUTO_ASSIGN(const RecurrentSize z, recurrent_size(request, input_type(request, 1)));
  PLUTO_TRY(expect_operands(request, z.initial_state ? "fffffffff" : "fffffff",
                            z.initial_state ? "ffffff" : "ffff"));
  const Index hidden = z.hidden;
  const auto loop = [=](const KernelArguments& arguments) {
    const float* h0 = z.initial_state ? in(arguments, 7) : nullptr;
    const float* c0 = z.initial_state ? in(arguments, 8) : nullptr;
    Flow flow(z, 4, scratch(arguments));
    for (Index n = 0; n < z.samples; ++n) {
      std::fill_n(flow.dh, hidden, 0.0);
      std::fill_n(flow.dc, hidden, 0.0);
      for (Index s = z.length; s-- > 0;) {
        const Index row = z.row(n, s);
        const float* h_before = state_before(z, in(arguments, 4), h0, n, s);
        const float* c_before = state_before(z, in(arguments, 6), c0, n, s);
        const float* gates = in(arguments, 5) + row * 4 * hidden;
        for (Index h = 0; h < hidden; ++h) {
          const double i = gates[h], f = gates[hidden + h];
          const double g = gates[2 * hidden + h], o = gates[3 * hidden + h];
          const double t = std::tanh(double{in(arguments, 6)[row * hidden + h]});
          const double dh = in(arguments, 0)[row * hidden + h] + flow.dh[h];
          const double dc = flow.dc[h] + dh * o * (1 - t * t);
          flow.input_side[h] = dc * g * i * (1 - i);
          flow.input_side[hidden + h] = dc * value(c_before, h) * f * (1 - f);
          flow.input_side[2 * hidden + h] = dc * i * (1 - g * g);
          flow.input_side[3 * hidden + h] = dh * t * o * (1 - o);
          flow.dc[h] = dc * f;
          flow.dh[h] = 0;
        }
        std::copy_n(flow.input_side, 4 * hidden, flow.hidden_side);
        flow.step(z, 4, in(arguments, 2), in(arguments, 3), in(arguments, 1) + row * z.inputs,
                  h_before, out(arguments, 0) + row * z.inputs);
      }
      if (z.initial_state) {
        store(out(arguments, 4) + n * hidden, flow.dh, hidden);
        store(out(arguments, 5) + n * hidden, flow.dc, hidden);
      }
    }
    store(out(arguments, 1), flow.dw_ih, 4 * hidden * z.inputs);
    store(out(arguments, 2), flow.dw_hh, 4 * hidden * hidden);
    store(out(arguments, 3), flow.db_ih, 4 * hidden);
  };
  return loop_kernel(loop, doubles(Flow::size(z, 4)));
}

KernelResult gru_forward(const KernelRequest& request) {
  PLUTO_ASSIGN(const RecurrentSize z, recurrent_size(request, input_type(request, 0)));
  PLUTO_TRY(expect_operands(request, z.initial_state ? "ffffff" : "fffff", "ff"));
  const Index hidden = z.hidden;
  const auto loop = [=](const KernelArguments& arguments) {
    const float* h0 = z.initial_state ? in(arguments, 5) : nullptr;
    double* from_input = scratch(arguments);
    double* from_hidden = from_input + 3 * hidden;
    for (Index n = 0; n < z.samples; ++n) {
      for (Index s = 0; s < z.length; ++s) {
        const Index row = z.row(n, s);
        const float* h_before = state_before(z, out(arguments, 0), h0, n, s);
        gate_sums(from_input, in(arguments, 3), in(arguments, 1), in(arguments, 0) + row * z.inputs,
                  3 * hidden, z.inputs);
        gate_sums(from_hidden, in(arguments, 4), in(arguments, 2), h_before, 3 * hidden, hidden);
        float* gates = out(arguments, 1) + row * 4 * hidden;
        for (Index h = 0; h < hidden; ++h) {
          const double r = sigmoid(from_input[h] + from_hidden[h]);
          const double u = sigmoid(from_input[hidden + h] + from_hidden[hidden + h]);
          const double inner = from_hidden[2 * hidden + h];
          const double c = std::tanh(from_input[2 * hidden + h] + r * inner);
          gates[h] = static_cast<float>(r);
          gates[hidden + h] = static_cast<float>(u);
          gates[2 * hidden + h] = static_cast<float>(c);
          gates[3 * hidden + h] = static_cast<float>(inner);
          out(arguments, 0)[row * hidden + h] =
              static_cast<float>((1 - u) * c + u * value(h_before, h));
        }
      }
    }
  };
  return loop_kernel(loop, doubles(6 * hidden));
}

KernelResult gru_backward(const KernelRequest& request) {
  PLUTO_ASSIGN(const RecurrentSize z, recurrent_size(request, input_type(request, 1)));
  PLUTO_TRY(expect_operands(request, z.initial_state ? "fffffff" : "ffffff",
                            z.initial_state ? "ffffff" : "fffff"));
  const Index hidden = z.hidden;
  const auto loop = [=](const KernelArguments& arguments) {
    const float* h0 = z.initial_state ? in(arguments, 6) : nullptr;
    Flow flow(z, 3, scratch(arguments));
    for (Index n = 0; n < z.samples; ++n) {
      std::fill_n(flow.dh, hidden, 0.0);
      for (Index s = z.length; s-- > 0;) {
        const Index row = z.row(n, s);
        const float* h_before = state_before(z, in(arguments, 4), h0, n, s);
        const float* gates = in(arguments, 5) + row * 4 * hidden;
        for (Index h = 0; h < hidden; ++h) {
          const double r = gates[h], u = gates[hidden + h];
          const double c = gates[2 * hidden + h], inner = gates[3 * hidden + h];
          const double dh = in(arguments, 0)[row * hidden + h] + flow.dh[h];
          const double dc = dh * (1 - u) * (1 - c * c);
          const double du = dh * (value(h_before, h) - c) * u * (1 - u);
          const double dr = dc * inner * r * (1 - r);
          flow.input_side[h] = flow.hidden_side[h] = dr;
          flow.input_side[hidden + h] = flow.hidden_side[hidden + h] = du;
          flow.input_side[2 * hidden + h] = dc;
          flow.hidden_side[2 * hidden + h] = dc * r;
          flow.dh[h] = dh * u;
        }
        flow.step(z, 3, in(arguments, 2), in(arguments, 3), in(arguments, 1) + row * z.inputs,
                  h_before, out(arguments, 0) + row * z.inputs);
      }
      if (z.initial_state) store(out(arguments, 5) + n * hidden, flow.dh, hidden);
    }
    store(out(arguments, 1), flow.dw_ih, 3 * hidden * z.inputs);
    store(out(arguments, 2), flow.dw_hh, 3 * hidden * hidden);
    store(out(arguments, 3), flow.db_ih, 3 * hidden);
    store(out(arguments, 4), flow.db_hh, 3 * hidden);
  };
  return loop_kernel(loop, doubles(Flow::size(z, 3)));
}

}  // namespace

void add_recurrent_kernels(KernelTable& table) {
  table.add(OpKind::kLstm, OpPass::kForward, lstm_forward);
  table.add(OpKind::kLstm, OpPass::kBackward, lstm_backward);
  table.add(OpKind::kGru, OpPass::kForward, gru_forward);
  table.add(OpKind::kGru, OpPass::kBackward, gru_backward);
}

}  // namespace pluto::reference
