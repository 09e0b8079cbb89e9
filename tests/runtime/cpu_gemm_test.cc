// The matrix product of every instruction set against three loops.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/philox.h"
#include "runtime/cpu/gemm.h"

namespace pluto::cpu {
namespace {

std::vector<float> random_values(std::int64_t count, std::uint32_t stream) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = 2 * philox_uniform(1, stream, 0, i) - 1;
  return values;
}

struct AlignedFloats {
  explicit AlignedFloats(Bytes size)
      : data(::operator new (static_cast<std::size_t>(size.value()) + 1, std::align_val_t{64})) {}
  AlignedFloats(const AlignedFloats&) = delete;
  AlignedFloats& operator=(const AlignedFloats&) = delete;
  ~AlignedFloats() { ::operator delete (data, std::align_val_t{64}); }
  void* data;
};

void three_loops(const GemmBatch& batch, const std::vector<float>& a, const std::vector<float>& b,
                 std::vector<float>& c) {
  const GemmShape& s = batch.shape;
  for (std::int64_t i = 0; i < s.rows; ++i) {
    for (std::int64_t j = 0; j < s.columns; ++j) {
      double over_batch = 0;
      for (std::int64_t n = 0; n < batch.count; ++n) {
        double sum = 0;
        for (std::int64_t k = 0; k < s.depth; ++k) {
          sum +=
              double{a[static_cast<std::size_t>(n * batch.a_step + i * s.a_row + k * s.a_column)]} *
              double{b[static_cast<std::size_t>(n * batch.b_step + k * s.b_row + j * s.b_column)]};
        }
        over_batch = batch.c_step == 0 ? over_batch + sum : sum;
        float& to = c[static_cast<std::size_t>(n * batch.c_step + i * s.c_row + j)];
        if (batch.c_step != 0 || n + 1 == batch.count) {
          to = static_cast<float>((s.accumulate ? double{to} : 0.0) + s.scale * over_batch);
        }
      }
    }
  }
}

/// All elements of c, those between its rows too, which must stay as they were.
double worst_error(const IsaKernels& isa, int threads, const GemmBatch& batch) {
  const GemmShape& s = batch.shape;
  const std::int64_t a_size =
      (batch.count - 1) * batch.a_step + (s.rows - 1) * s.a_row + (s.depth - 1) * s.a_column + 1;
  const std::int64_t b_size =
      (batch.count - 1) * batch.b_step + (s.depth - 1) * s.b_row + (s.columns - 1) * s.b_column + 1;
  const std::int64_t c_size = (batch.count - 1) * batch.c_step + s.rows * s.c_row;
  const std::vector<float> a = random_values(a_size, 1), b = random_values(b_size, 2);
  std::vector<float> expected = random_values(c_size, 3), actual = expected;
  three_loops(batch, a, b, expected);
  const Gemm gemm({threads, &isa}, batch);
  AlignedFloats workspace(gemm.workspace());
  gemm.run(a.data(), b.data(), actual.data(), workspace.data);
  double worst = 0;
  for (std::size_t i = 0; i < actual.size(); ++i)
    worst = std::max(worst, std::abs(double{actual[i]} - double{expected[i]}));
  return worst / std::sqrt(static_cast<double>(s.depth * batch.count));
}

constexpr double kTolerance = 4e-6;  // times the square root of the depth

class GemmTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    isa_ = find_isa_kernels(GetParam());
    if (isa_ == nullptr) GTEST_SKIP() << "this processor has no " << GetParam();
  }
  const IsaKernels* isa_ = nullptr;
};

TEST_P(GemmTest, EqualsThreeLoopsAtOddSizes) {
  // Around the tile, panel and block sizes of every set; few rows, few columns, little depth.
  const std::vector<std::int64_t> few = {1, 3, 4, 5, 8, 11, 12, 13, 24, 31, 32, 33};
  std::uint32_t draw = 0;
  for (std::int64_t rows : {1, 3, 7, 8, 12, 15, 17, 33, 97, 205}) {
    for (std::int64_t columns : {1, 5, 16, 24, 31, 32, 33, 70, 129}) {
      const std::int64_t depth = few[draw++ % few.size()];
      for (bool a_transposed : {false, true}) {
        for (bool b_transposed : {false, true}) {
          GemmShape s{rows,
                      columns,
                      depth,
                      a_transposed ? 1 : depth,
                      a_transposed ? rows : 1,
                      b_transposed ? 1 : columns,
                      b_transposed ? depth : 1,
                      columns};
          s.accumulate = draw % 2 == 0;
          s.scale = 0.5f;
          EXPECT_LT(worst_error(*isa_, 1, {s}), kTolerance)
              << rows << " x " << columns << " x " << depth << " transposed " << a_transposed
              << b_transposed;
        }
      }
    }
  }
}

TEST_P(GemmTest, EqualsThreeLoopsOverSeveralBlocks) {
  for (bool accumulate : {false, true}) {
    GemmShape packed{250, 150, 900, 900, 1, 150, 1, 150};
    packed.accumulate = accumulate;
    GemmShape direct{40, 300, 500, 500, 1, 300, 1, 300};
    direct.accumulate = accumulate;
    GemmShape transposed{40, 70, 4500, 4500, 1, 1, 4500, 70};
    transposed.accumulate = accumulate;
    GemmShape wide{110, 1000, 20, 1, 110, 1000, 1, 1000};
    wide.accumulate = accumulate;
    for (const GemmShape& s : {packed, direct, transposed, wide}) {
      EXPECT_LT(worst_error(*isa_, 1, {s}), kTolerance)
          << s.rows << " x " << s.columns << " x " << s.depth;
    }
  }
}

TEST_P(GemmTest, LeavesGapsBetweenRowsAlone) {
  const GemmShape s{30, 17, 9, 20, 1, 40, 1, 50};
  EXPECT_LT(worst_error(*isa_, 1, {s}), kTolerance);
  const GemmShape few{5, 60, 9, 20, 1, 1, 33, 75};
  EXPECT_LT(worst_error(*isa_, 1, {few}), kTolerance);
}

TEST_P(GemmTest, SumsOrRepeatsOverABatch) {
  const GemmShape s{20, 30, 40, 40, 1, 30, 1, 30};
  EXPECT_LT(worst_error(*isa_, 1, {s, 5, 800, 1200, 600}), kTolerance);
  EXPECT_LT(worst_error(*isa_, 1, {s, 5, 800, 1200, 0}), kTolerance);
  EXPECT_LT(worst_error(*isa_, 1, {s, 5, 0, 1200, 600}), kTolerance) << "one left factor for all";
}

#if !defined(__SANITIZE_THREAD__)  // libgomp synchronises in ways the sanitizer does not see
TEST_P(GemmTest, ThreadsShareRowsColumnsOrTheBatch) {
  const GemmShape tall{500, 100, 100, 100, 1, 100, 1, 100},
      flat{50, 1000, 100, 100, 1, 1000, 1, 1000};
  EXPECT_LT(worst_error(*isa_, 3, {tall}), kTolerance);
  EXPECT_LT(worst_error(*isa_, 3, {flat}), kTolerance);
  EXPECT_LT(worst_error(*isa_, 3, {tall, 4, 50000, 10000, 50000}), kTolerance);
  EXPECT_LT(worst_error(*isa_, 3, {tall, 4, 50000, 10000, 0}), kTolerance);
}
#endif

INSTANTIATE_TEST_SUITE_P(Sets, GemmTest, ::testing::Values("avx512", "avx2", "baseline"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace pluto::cpu
