#include <algorithm>
#include <cmath>

#include "runtime/reference/kernels.h"
#include "runtime/reference/loop_kernel.h"

namespace pluto::reference {
namespace {

// The scalar is written last: it may share memory with operand 0.

struct Positions {
  Index count, classes, per_sample;
};
Positions positions_of(const KernelRequest& request, const TensorType& logits) {
  const Index classes = logits.shape.dims.back();
  return {elements(request, logits) / classes, classes, logits.shape.elements() / classes};
}

KernelResult cross_entropy_forward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "fi", "ff"));
  const Positions size = positions_of(request, input_type(request, 0));
  return loop_kernel([size](const KernelArguments& arguments) {
    double loss = 0;
    for (Index r = 0; r < size.count; ++r) {
      const float* x = in(arguments, 0) + r * size.classes;
      float* p = out(arguments, 1) + r * size.classes;
      const double largest = *std::max_element(x, x + size.classes);
      double sum = 0;
      for (Index i = 0; i < size.classes; ++i) sum += std::exp(x[i] - largest);
      const Index label = in<std::int32_t>(arguments, 1)[r];
      if (label >= 0 && label < size.classes) loss += std::log(sum) + largest - x[label];
      for (Index i = 0; i < size.classes; ++i)
        p[i] = static_cast<float>(std::exp(x[i] - largest) / sum);
    }
    out(arguments, 0)[0] = static_cast<float>(loss / static_cast<double>(size.count));
  });
}

/// The label's place among the columns of the rank; outside them where another rank has it.
Index own_label(Index label, const Positions& size, const KernelArguments& arguments) {
  return label - arguments.scalars.tensor_part * size.classes;
}

/// Per position: log of the sum of exp over the own columns, and the logit of the label or 0.
KernelResult softmax_terms(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "fi", "f"));
  const Positions size = positions_of(request, input_type(request, 0));
  return loop_kernel([size](const KernelArguments& arguments) {
    for (Index r = 0; r < size.count; ++r) {
      const float* x = in(arguments, 0) + r * size.classes;
      float* terms = out(arguments, 0) + 2 * r;
      const double largest = *std::max_element(x, x + size.classes);
      double sum = 0;
      for (Index i = 0; i < size.classes; ++i) sum += std::exp(x[i] - largest);
      const Index label = own_label(in<std::int32_t>(arguments, 1)[r], size, arguments);
      terms[0] = static_cast<float>(std::log(sum) + largest);
      terms[1] = label >= 0 && label < size.classes ? x[label] : 0.0F;
    }
  });
}

KernelResult split_cross_entropy_forward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "fif", "ff"));
  const Positions size = positions_of(request, input_type(request, 0));
  const Index ranks = input_type(request, 2).shape.dims.back() / 2;
  return loop_kernel([=](const KernelArguments& arguments) {
    double loss = 0;
    for (Index r = 0; r < size.count; ++r) {
      const float* x = in(arguments, 0) + r * size.classes;
      const float* terms = in(arguments, 2) + r * 2 * ranks;
      float* p = out(arguments, 1) + r * size.classes;
      double largest = terms[0], sum = 0, chosen = 0;
      for (Index k = 1; k < ranks; ++k) largest = std::max(largest, double{terms[2 * k]});
      for (Index k = 0; k < ranks; ++k) {
        sum += std::exp(terms[2 * k] - largest);
        chosen += terms[2 * k + 1];
      }
      const double all = std::log(sum) + largest;
      const Index label = in<std::int32_t>(arguments, 1)[r];
      if (label >= 0 && label < size.classes * ranks) loss += all - chosen;
      for (Index i = 0; i < size.classes; ++i) p[i] = static_cast<float>(std::exp(x[i] - all));
    }
    out(arguments, 0)[0] = static_cast<float>(loss / static_cast<double>(size.count));
  });
}

/// `split`: the probabilities are those of the rank's columns.
template <bool kSplit>
KernelResult cross_entropy_backward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "fi", "f"));
  const Positions size = positions_of(request, input_type(request, 0));
  return loop_kernel([size](const KernelArguments& arguments) {
    const double scale = arguments.scalars.loss_scale / static_cast<double>(size.per_sample);
    for (Index r = 0; r < size.count; ++r) {
      const float* p = in(arguments, 0) + r * size.classes;
      float* dx = out(arguments, 0) + r * size.classes;
      const Index given = in<std::int32_t>(arguments, 1)[r];
      const Index label = kSplit ? own_label(given, size, arguments) : given;
      const bool counts = given >= 0 && (kSplit || given < size.classes);
      for (Index i = 0; i < size.classes; ++i) {
        const double difference = p[i] - (i == label ? 1.0 : 0.0);
        dx[i] = counts ? static_cast<float>(difference * scale) : 0.0F;
      }
    }
  });
}

/// Of one element: x and target.
using ElementLoss = double (*)(double x, double target);

double squared_error(double x, double target) { return (x - target) * (x - target); }
double squared_error_slope(double x, double target) { return 2 * (x - target); }
double bce(double x, double target) {
  return std::max(x, 0.0) - x * target + std::log1p(std::exp(-std::abs(x)));
}
double bce_slope(double x, double target) { return sigmoid(x) - target; }

template <ElementLoss kLoss>
KernelResult element_loss_forward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "ff", "f"));
  const Index count = elements(request, input_type(request, 0));
  return loop_kernel([count](const KernelArguments& arguments) {
    double sum = 0;
    for (Index i = 0; i < count; ++i) sum += kLoss(in(arguments, 0)[i], in(arguments, 1)[i]);
    out(arguments, 0)[0] = static_cast<float>(sum / static_cast<double>(count));
  });
}

template <ElementLoss kSlope>
KernelResult element_loss_backward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "ff", "f"));
  const Index count = elements(request, input_type(request, 0));
  const Index per_sample = input_type(request, 0).shape.elements();
  return loop_kernel([=](const KernelArguments& arguments) {
    const double scale = arguments.scalars.loss_scale / static_cast<double>(per_sample);
    for (Index i = 0; i < count; ++i) {
      out(arguments, 0)[i] =
          static_cast<float>(scale * kSlope(in(arguments, 0)[i], in(arguments, 1)[i]));
    }
  });
}

}  // namespace

void add_loss_kernels(KernelTable& table) {
  table.add(OpKind::kSoftmaxCrossEntropy, OpPass::kForward, cross_entropy_forward);
  table.add(OpKind::kSoftmaxCrossEntropy, OpPass::kBackward, cross_entropy_backward<false>);
  table.add(OpKind::kSoftmaxTerms, OpPass::kForward, softmax_terms);
  table.add(OpKind::kSplitCrossEntropy, OpPass::kForward, split_cross_entropy_forward);
  table.add(OpKind::kSplitCrossEntropy, OpPass::kBackward, cross_entropy_backward<true>);
  table.add(OpKind::kBceWithLogits, OpPass::kForward, element_loss_forward<bce>);
  table.add(OpKind::kBceWithLogits, OpPass::kBackward, element_loss_backward<bce_slope>);
  table.add(OpKind::kMse, OpPass::kForward, element_loss_forward<squared_error>);
  table.add(OpKind::kMse, OpPass::kBackward, element_loss_backward<squared_error_slope>);
}

}  // namespace pluto::reference
