#pragma once
// Matrix products on several threads.

#include <vector>

#include "runtime/cpu/cpu_kernel.h"

namespace pluto::cpu {

/// `count` products of one shape, their operands `step` elements apart. c_step 0: c is the sum of
/// all.
struct GemmBatch {
  GemmShape shape;
  std::int64_t count = 1;
  std::int64_t a_step = 0, b_step = 0, c_step = 0;
};

/// A batch of products cut into parts, one per thread. Fixed when made, so results are too.
class Gemm {
 public:
  Gemm(const Context& context, const GemmBatch& batch);
  Bytes workspace() const { return Bytes(workspace_); }
  void run(const float* a, const float* b, float* c, void* workspace) const;

 private:
  struct Part {
    GemmBatch batch;
    std::int64_t a, b, c;    // offsets in elements
    std::int64_t workspace;  // offset in bytes
  };
  void add_part(const GemmBatch& batch, std::int64_t a, std::int64_t b, std::int64_t c);

  const IsaKernels* isa_;
  std::vector<Part> parts_;
  std::int64_t workspace_ = 0;
};

}  // namespace pluto::cpu
