#include <algorithm>
#include <cmath>

#include "runtime/reference/kernels.h"
#include "runtime/reference/loop_kernel.h"

namespace pluto::reference {
namespace {

/// `outputs` rows of y, each the sum of `bag` rows of the table. Of a part of a table the ids begin
/// with those of the rank's first row.
struct Bags {
  Index outputs, bag, rows, width;
  bool part;
  Index first_id(const KernelArguments& arguments) const {
    return part ? arguments.scalars.tensor_part * rows : 0;
  }
};

/// `bag`: the ids of one output; 1 for embedding.
Result<Bags> bags_of(const KernelRequest& request, const TensorType& ids, const TensorType& table) {
  const Index bag = request.signature.kind == OpKind::kEmbeddingBag ? ids.shape[0] : 1;
  PLUTO_ASSIGN(const EmbeddingAttrs attrs, attributes<EmbeddingAttrs>(request));
  return Bags{elements(request, ids) / bag, bag, table.shape[0], table.shape[1], attrs.part};
}

KernelResult lookup_forward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "if", "f"));
  PLUTO_ASSIGN(const Bags bags, bags_of(request, input_type(request, 0), input_type(request, 1)));
  const auto loop = [bags](const KernelArguments& arguments) {
    double* sums = scratch(arguments);
    for (Index o = 0; o < bags.outputs; ++o) {
      std::fill_n(sums, bags.width, 0.0);
      for (Index i = o * bags.bag; i < (o + 1) * bags.bag; ++i) {
        const Index id = in<std::int32_t>(arguments, 0)[i] - bags.first_id(arguments);
        if (id < 0 || id >= bags.rows) continue;
        add_scaled(sums, 1, in(arguments, 1) + id * bags.width, bags.width);
      }
      store(out(arguments, 0) + o * bags.width, sums, bags.width);
    }
  };
  return loop_kernel(loop, doubles(bags.width));
}

/// Sums in f32: a table of doubles beside a vocabulary is not cheap.
KernelResult lookup_backward_weight(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "fi", "f"));
  PLUTO_ASSIGN(const Bags bags, bags_of(request, input_type(request, 1), output_type(request, 0)));
  return loop_kernel([bags](const KernelArguments& arguments) {
    std::fill_n(out(arguments, 0), bags.rows * bags.width, 0.0F);
    for (Index i = 0; i < bags.outputs * bags.bag; ++i) {
      const Index id = in<std::int32_t>(arguments, 1)[i] - bags.first_id(arguments);
      if (id < 0 || id >= bags.rows) continue;
      const float* dy = in(arguments, 0) + i / bags.bag * bags.width;
      float* dtable = out(arguments, 0) + id * bags.width;
      for (Index d = 0; d < bags.width; ++d) dtable[d] += dy[d];
    }
  });
}

struct CosineSize {
  Index samples, documents, width;
  double scale;
};
Result<CosineSize> cosine_size(const KernelRequest& request, const TensorType& d) {
  PLUTO_ASSIGN(const ScaleAttrs attrs, attributes<ScaleAttrs>(request));
  return CosineSize{samples(request, d), d.shape[0], d.shape[1], attrs.scale};
}

/// y_j = scale * q.d_j / (|q| |d_j|), 0 when either is the zero vector.
KernelResult cosine_forward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "ff", "ff"));
  PLUTO_ASSIGN(const CosineSize size, cosine_size(request, input_type(request, 1)));
  return loop_kernel([size](const KernelArguments& arguments) {
    for (Index n = 0; n < size.samples; ++n) {
      const float* q = in(arguments, 0) + n * size.width;
      float* norms = out(arguments, 1) + n * (size.documents + 1);
      const double q_norm = std::sqrt(dot(q, q, size.width));
      norms[0] = static_cast<float>(q_norm);
      for (Index j = 0; j < size.documents; ++j) {
        const float* d = in(arguments, 1) + (n * size.documents + j) * size.width;
        const double d_norm = std::sqrt(dot(d, d, size.width));
        const double product = q_norm * d_norm;
        norms[j + 1] = static_cast<float>(d_norm);
        out(arguments, 0)[n * size.documents + j] =
            static_cast<float>(product > 0 ? size.scale * dot(q, d, size.width) / product : 0.0);
      }
    }
  });
}

/// dq = sum of dy_j (scale d_j / (|q||d_j|) - y_j q / |q|^2); dd_j = dy_j (scale q / (|q||d_j|) -
/// y_j d_j / |d_j|^2).
KernelResult cosine_backward(const KernelRequest& request) {
  PLUTO_TRY(expect_operands(request, "fffff", "ff"));
  PLUTO_ASSIGN(const CosineSize size, cosine_size(request, input_type(request, 2)));
  const auto loop = [size](const KernelArguments& arguments) {
    double* dq = scratch(arguments);
    for (Index n = 0; n < size.samples; ++n) {
      const float* q = in(arguments, 1) + n * size.width;
      const float* norms = in(arguments, 4) + n * (size.documents + 1);
      std::fill_n(dq, size.width, 0.0);
      for (Index j = 0; j < size.documents; ++j) {
        const Index at = n * size.documents + j;
        const float* d = in(arguments, 2) + at * size.width;
        float* dd = out(arguments, 1) + at * size.width;
        const double q_norm = norms[0], d_norm = norms[j + 1];
        if (!(q_norm * d_norm > 0)) {
          std::fill_n(dd, size.width, 0.0F);
          continue;
        }
        const double dy = in(arguments, 0)[at], y = in(arguments, 3)[at];
        const double across = size.scale / (q_norm * d_norm);
        add_scaled(dq, dy * across, d, size.width);
        add_scaled(dq, -dy * y / (q_norm * q_norm), q, size.width);
        for (Index i = 0; i < size.width; ++i) {
          dd[i] = static_cast<float>(dy * (across * q[i] - y * d[i] / (d_norm * d_norm)));
        }
      }
      store(out(arguments, 0) + n * size.width, dq, size.width);
    }
  };
  return loop_kernel(loop, doubles(size.width));
}

}  // namespace

void add_lookup_kernels(KernelTable& table) {
  table.add(OpKind::kEmbedding, OpPass::kForward, lookup_forward);
  table.add(OpKind::kEmbedding, OpPass::kBackwardWeight, lookup_backward_weight);
  table.add(OpKind::kEmbeddingBag, OpPass::kForward, lookup_forward);
  table.add(OpKind::kEmbeddingBag, OpPass::kBackwardWeight, lookup_backward_weight);
  table.add(OpKind::kCosineSimilarity, OpPass::kForward, cosine_forward);
  table.add(OpKind::kCosineSimilarity, OpPass::kBackward, cosine_backward);
}

}  // namespace pluto::reference
