#include "runtime/cpu/gemm.h"

#include <algorithm>

#include "runtime/cpu/parallel.h"

namespace pluto::cpu {
namespace {

// Multiply-adds that are worth a thread: some 10 us.
constexpr std::int64_t kMultiplyAddsPerThread = 1 << 20;
// Borders between threads are multiples of it, so that only the last part has odd tiles.
constexpr std::int64_t kUnit = 96;

}  // namespace

Gemm::Gemm(const Context& context, const GemmBatch& batch) : isa_(context.isa) {
  const GemmShape& s = batch.shape;
  const std::int64_t work = batch.count * s.rows * s.columns * s.depth;
  const std::int64_t threads =
      std::clamp<std::int64_t>(work / kMultiplyAddsPerThread, 1, context.threads);
  const bool by_count = batch.c_step != 0 && batch.count >= threads;
  const bool by_rows = !by_count && s.rows >= s.columns;
  const std::int64_t size = by_count ? batch.count : by_rows ? s.rows : s.columns;
  const auto border = [&](std::int64_t part) {
    if (part == threads) return size;
    return by_count ? size * part / threads : size * part / threads / kUnit * kUnit;
  };
  for (std::int64_t part = 0; part < threads; ++part) {
    const std::int64_t begin = border(part), length = border(part + 1) - begin;
    if (length == 0) continue;
    GemmBatch piece = batch;
    if (by_count) {
      piece.count = length;
      add_part(piece, begin * batch.a_step, begin * batch.b_step, begin * batch.c_step);
    } else if (by_rows) {
      piece.shape.rows = length;
      add_part(piece, begin * s.a_row, 0, begin * s.c_row);
    } else {
      piece.shape.columns = length;
      add_part(piece, 0, begin * s.b_column, begin);
    }
  }
}

void Gemm::add_part(const GemmBatch& batch, std::int64_t a, std::int64_t b, std::int64_t c) {
  parts_.push_back({batch, a, b, c, workspace_});
  workspace_ +=
      aligned(isa_->gemm_workspace(batch.shape) * static_cast<std::int64_t>(sizeof(float)));
}

void Gemm::run(const float* a, const float* b, float* c, void* workspace) const {
  const std::int64_t count = static_cast<std::int64_t>(parts_.size());
  parallel_for(static_cast<int>(count), count, 1, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const Part& part = parts_[static_cast<std::size_t>(i)];
      GemmShape shape = part.batch.shape;
      float* scratch = reinterpret_cast<float*>(static_cast<char*>(workspace) + part.workspace);
      for (std::int64_t n = 0; n < part.batch.count; ++n) {
        isa_->gemm(shape, a + part.a + n * part.batch.a_step, b + part.b + n * part.batch.b_step,
                   c + part.c + n * part.batch.c_step, scratch);
        if (part.batch.c_step == 0) shape.accumulate = true;
      }
    }
  });
}

}  // namespace pluto::cpu
