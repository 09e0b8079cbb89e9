// Matrix product on operands of any strides, after Goto and van de Geijn 2008, "Anatomy of
// high-performance matrix multiplication": a panel of B stays in the L2 and a panel of A in the L1
// while a tile of C is summed in registers. Operands used once or twice only are read where they
// lie.

typedef float Vec __attribute__((vector_size(4 * PLUTO_LANES), aligned(4), may_alias));
typedef float Quad __attribute__((vector_size(16), aligned(4), may_alias));

constexpr std::int64_t kLanes = PLUTO_LANES;
constexpr bool kManyRegisters = kLanes == 16;  // 32 of them
// A tile of C: 24 of 32 registers or 12 of 16.
constexpr std::int64_t kTileRows = kManyRegisters ? 12 : 4;
constexpr std::int64_t kTileVectors = kManyRegisters ? 2 : 3;
constexpr std::int64_t kTileColumns = kTileVectors * kLanes;
// The same registers as one column of vectors, for narrow C.
constexpr std::int64_t kTallRows = kTileRows * kTileVectors;

constexpr std::int64_t kBlockDepth = 384;                  // a panel of A: 18 KiB
constexpr std::int64_t kBlockRows = kTileRows * 16;        // a block of A: 288 KiB
constexpr std::int64_t kBlockColumns = kTileColumns * 24;  // a block of B: 1.1 MiB
constexpr std::int64_t kDirectDepth = 128;                 // rows of B read where they lie
constexpr std::int64_t kTransposedDepth = 4096;            // a panel of few rows: 512 KiB
constexpr std::int64_t kFewRows = 96;

PLUTO_INLINE Vec load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
PLUTO_INLINE void store(float* p, Vec v) { *reinterpret_cast<Vec*>(p) = v; }
PLUTO_INLINE std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
PLUTO_INLINE std::int64_t rounded(std::int64_t n, std::int64_t unit) {
  return (n + unit - 1) / unit * unit;
}

// to[j][i] = line i, element j.
PLUTO_INLINE void transpose_quad(const float* line0, const float* line1, const float* line2,
                                 const float* line3, float* to, std::int64_t to_stride) {
  const Quad a = *reinterpret_cast<const Quad*>(line0), b = *reinterpret_cast<const Quad*>(line1);
  const Quad c = *reinterpret_cast<const Quad*>(line2), d = *reinterpret_cast<const Quad*>(line3);
  const Quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const Quad ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Quad cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Quad cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  *reinterpret_cast<Quad*>(to) = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
  *reinterpret_cast<Quad*>(to + to_stride) = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
  *reinterpret_cast<Quad*>(to + 2 * to_stride) =
      __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
  *reinterpret_cast<Quad*>(to + 3 * to_stride) =
      __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

// Packs `lines` x `depth` of an operand into panels of kPanel lines: to[panel][k][line]. Missing
// lines of the last panel repeat the last line: their products are never stored. Strides are in
// elements.
template <std::int64_t kPanel>
static void pack(const float* from, std::int64_t line_stride, std::int64_t depth_stride,
                 std::int64_t lines, std::int64_t depth, float* __restrict to) {
  for (std::int64_t first = 0; first < lines; first += kPanel, to += kPanel * depth) {
    const std::int64_t count = least(kPanel, lines - first);
    const float* source = from + first * line_stride;
    if (line_stride == 1 && count == kPanel) {
      for (std::int64_t k = 0; k < depth; ++k) {
        const float* row = source + k * depth_stride;
        float* target = to + k * kPanel;
#pragma omp simd
        for (std::int64_t i = 0; i < kPanel; ++i) target[i] = row[i];
      }
      continue;
    }
    for (std::int64_t i = 0; i < kPanel; i += 4) {
      const float* line[4];
      for (std::int64_t j = 0; j < 4; ++j) line[j] = source + least(i + j, count - 1) * line_stride;
      std::int64_t k = 0;
      if (depth_stride == 1) {
        for (; k + 4 <= depth; k += 4) {
          transpose_quad(line[0] + k, line[1] + k, line[2] + k, line[3] + k, to + k * kPanel + i,
                         kPanel);
        }
      }
      for (; k < depth; ++k) {
        for (std::int64_t j = 0; j < 4; ++j) to[k * kPanel + i + j] = line[j][k * depth_stride];
      }
    }
  }
}

// kRows x (kVectors * kLanes) sums over `depth` of a[row][k] b[k][column], with any strides of a.
template <std::int64_t kRows, std::int64_t kVectors>
struct Tile {
  Vec sum[kRows][kVectors];
};
template <std::int64_t kRows, std::int64_t kVectors>
PLUTO_INLINE void multiply_tile(std::int64_t depth, const float* a, std::int64_t a_row,
                                std::int64_t a_depth, const float* b, std::int64_t b_depth,
                                Tile<kRows, kVectors>& tile) {
  Vec sum[kRows][kVectors];
#pragma GCC unroll 24
  for (std::int64_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (std::int64_t j = 0; j < kVectors; ++j) sum[i][j] = Vec{};
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    Vec row[kVectors];
#pragma GCC unroll 4
    for (std::int64_t j = 0; j < kVectors; ++j) row[j] = load(b + j * kLanes);
#pragma GCC unroll 24
    for (std::int64_t i = 0; i < kRows; ++i) {
      const float factor = a[i * a_row];
#pragma GCC unroll 4
      for (std::int64_t j = 0; j < kVectors; ++j) sum[i][j] += factor * row[j];
    }
    a += a_depth;
    b += b_depth;
  }
#pragma GCC unroll 24
  for (std::int64_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (std::int64_t j = 0; j < kVectors; ++j) tile.sum[i][j] = sum[i][j];
  }
}

PLUTO_INLINE void put(float* c, Vec sum, bool add) { store(c, add ? load(c) + sum : sum); }

// Where the factors of A come from: in place, or packed in panels of kTileRows rows from row
// `first` on.
struct Left {
  const float* data;
  bool packed;
  std::int64_t first;
};

// Rows [begin, end) and the first `columns` columns of a tile of c = or += scale * a b.
template <std::int64_t kRows>
static void tile_of_c(const GemmShape& g, std::int64_t depth, const float* a, std::int64_t a_row,
                      std::int64_t a_depth, const float* b, std::int64_t b_depth,
                      std::int64_t begin, std::int64_t end, std::int64_t columns, bool add,
                      float* c) {
  Tile<kRows, kTileVectors> tile;
  multiply_tile(depth, a, a_row, a_depth, b, b_depth, tile);
  if (end - begin == kRows && columns == kTileColumns) {
#pragma GCC unroll 24
    for (std::int64_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (std::int64_t j = 0; j < kTileVectors; ++j) {
        put(c + i * g.c_row + j * kLanes, tile.sum[i][j] * g.scale, add);
      }
    }
    return;
  }
  const Tile<kRows, kTileVectors> in_memory = tile;  // indexed by variables: not in registers
  for (std::int64_t i = begin; i < end; ++i) {
    const float* sums = reinterpret_cast<const float*>(&in_memory.sum[i][0]);
    float* to = c + i * g.c_row;
    for (std::int64_t j = 0; j < columns; ++j)
      to[j] = add ? to[j] + sums[j] * g.scale : sums[j] * g.scale;
  }
}

// The tile of c from row `row` on. In place a short last tile reaches back over rows that are done,
// so that it never reads behind A; packed panels are filled up instead.
static void tile_at(const GemmShape& g, std::int64_t row, std::int64_t depth, const Left& a,
                    const float* b, std::int64_t b_depth, std::int64_t columns, bool add,
                    float* c) {
  const std::int64_t left = g.rows - row;
  const std::int64_t size = left > 8 || kTileRows < 8 ? kTileRows : left > 4 ? 8 : 4;
  const std::int64_t first = a.packed || left >= size ? row : g.rows - size;
  const std::int64_t begin = row - first, end = a.packed ? least(left, size) : size;
  const float* from = a.packed ? a.data + (row - a.first) * depth : a.data + first * g.a_row;
  const std::int64_t a_row = a.packed ? 1 : g.a_row, a_depth = a.packed ? kTileRows : 1;
  float* to = c + first * g.c_row;
  if (size == kTileRows) {
    tile_of_c<kTileRows>(g, depth, from, a_row, a_depth, b, b_depth, begin, end, columns, add, to);
  } else if (size == 8) {
    tile_of_c<8>(g, depth, from, a_row, a_depth, b, b_depth, begin, end, columns, add, to);
  } else {
    tile_of_c<4>(g, depth, from, a_row, a_depth, b, b_depth, begin, end, columns, add, to);
  }
}

// Factors of A are read one by one, so rows that lie in a row need no packing.
PLUTO_INLINE bool pack_a(const GemmShape& g) { return g.a_column != 1 || g.rows < kTileRows; }

// B has so few uses that packing it does not pay: whole panels of it are read in place, in strips
// of few rows so that the processor follows their addresses.
static void gemm_direct_b(const GemmShape& g, const float* a, const float* b, float* c,
                          float* workspace) {
  float* packed_b = workspace + rounded(kFewRows, kTileRows) * kDirectDepth;
  for (std::int64_t k = 0; k < g.depth; k += kDirectDepth) {
    const std::int64_t depth = least(kDirectDepth, g.depth - k);
    const bool add = g.accumulate || k > 0;
    Left left{a + k * g.a_column, pack_a(g), 0};
    if (left.packed) {
      pack<kTileRows>(left.data, g.a_row, g.a_column, g.rows, depth, workspace);
      left.data = workspace;
    }
    for (std::int64_t j = 0; j < g.columns; j += kTileColumns) {
      const std::int64_t columns = least(kTileColumns, g.columns - j);
      const float* panel = b + k * g.b_row + j;
      std::int64_t stride = g.b_row;
      if (columns < kTileColumns) {
        pack<kTileColumns>(panel, 1, g.b_row, columns, depth, packed_b);
        panel = packed_b;
        stride = kTileColumns;
      } else {
        for (std::int64_t p = 0; p < depth; ++p) {
          __builtin_prefetch(panel + p * stride + 2 * kTileColumns);
          __builtin_prefetch(panel + p * stride + 3 * kTileColumns - 1);
        }
      }
      for (std::int64_t i = 0; i < g.rows; i += kTileRows) {
        tile_at(g, i, depth, left, panel, stride, columns, add, c + j);
      }
    }
  }
}

// Few rows of C and B transposed: c^T = B^T a^T, whose factors from B are read one by one where
// they lie.
template <std::int64_t kRows, std::int64_t kVectors>
static void gemm_transposed(const GemmShape& g, const float* a, const float* b, float* c,
                            float* workspace) {
  constexpr std::int64_t kColumns = kVectors * kLanes;
  for (std::int64_t k = 0; k < g.depth; k += kTransposedDepth) {
    const std::int64_t depth = least(kTransposedDepth, g.depth - k);
    const bool add = g.accumulate || k > 0;
    pack<kColumns>(a + k * g.a_column, g.a_row, g.a_column, g.rows, depth, workspace);
    for (std::int64_t n = 0; n < g.columns; n += kRows) {
      const std::int64_t first = least(n, g.columns > kRows ? g.columns - kRows : 0);
      const std::int64_t count = least(kRows, g.columns);
      for (std::int64_t m = 0; m < g.rows; m += kColumns) {
        Tile<kRows, kVectors> tile;
        multiply_tile(depth, b + first * g.b_column + k * g.b_row, g.b_column, g.b_row,
                      workspace + m * depth, kColumns, tile);
        const float* sums = reinterpret_cast<const float*>(tile.sum);
        for (std::int64_t i = 0; i < least(kColumns, g.rows - m); ++i) {
          float* to = c + (m + i) * g.c_row + first;
          for (std::int64_t j = n - first; j < count; ++j) {
            const float value = sums[j * kColumns + i] * g.scale;
            to[j] = add ? to[j] + value : value;
          }
        }
      }
    }
  }
}

static void gemm_packed(const GemmShape& g, const float* a, const float* b, float* c,
                        float* workspace) {
  float* packed_b =
      workspace + least(kBlockRows, rounded(g.rows, kTileRows)) * least(kBlockDepth, g.depth);
  for (std::int64_t column = 0; column < g.columns; column += kBlockColumns) {
    const std::int64_t columns = least(kBlockColumns, g.columns - column);
    for (std::int64_t k = 0; k < g.depth; k += kBlockDepth) {
      const std::int64_t depth = least(kBlockDepth, g.depth - k);
      const bool add = g.accumulate || k > 0;
      pack<kTileColumns>(b + k * g.b_row + column * g.b_column, g.b_column, g.b_row, columns, depth,
                         packed_b);
      for (std::int64_t row = 0; row < g.rows; row += kBlockRows) {
        const std::int64_t rows = least(kBlockRows, g.rows - row);
        Left left{a + k * g.a_column, pack_a(g), row};
        if (left.packed) {
          pack<kTileRows>(left.data + row * g.a_row, g.a_row, g.a_column, rows, depth, workspace);
          left.data = workspace;
        }
        for (std::int64_t i = row; i < row + rows; i += kTileRows) {
          for (std::int64_t j = 0; j < columns; j += kTileColumns) {
            tile_at(g, i, depth, left, packed_b + j * depth, kTileColumns,
                    least(kTileColumns, columns - j), add, c + column + j);
          }
        }
      }
    }
  }
}

enum class GemmWay { kPacked, kDirectB, kTransposed, kTransposedTall };
static GemmWay gemm_way(const GemmShape& g) {
  if (g.rows > kFewRows) return GemmWay::kPacked;
  if (g.b_column == 1) return GemmWay::kDirectB;
  if (g.b_row == 1 && g.columns >= kTallRows)
    return g.rows <= kLanes ? GemmWay::kTransposedTall : GemmWay::kTransposed;
  return GemmWay::kPacked;
}

static std::int64_t gemm_workspace(const GemmShape& g) {
  switch (gemm_way(g)) {
    case GemmWay::kDirectB:
      return (rounded(kFewRows, kTileRows) + kTileColumns) * kDirectDepth;
    case GemmWay::kTransposed:
    case GemmWay::kTransposedTall:
      return rounded(g.rows, kTileColumns) * least(kTransposedDepth, g.depth);
    default:
      return (least(kBlockRows, rounded(g.rows, kTileRows)) +
              least(kBlockColumns, rounded(g.columns, kTileColumns))) *
             least(kBlockDepth, g.depth);
  }
}

static void gemm(const GemmShape& g, const float* a, const float* b, float* c, float* workspace) {
  switch (gemm_way(g)) {
    case GemmWay::kDirectB:
      return gemm_direct_b(g, a, b, c, workspace);
    case GemmWay::kTransposed:
      return gemm_transposed<kTileRows, kTileVectors>(g, a, b, c, workspace);
    case GemmWay::kTransposedTall:
      return gemm_transposed<kTallRows, 1>(g, a, b, c, workspace);
    default:
      return gemm_packed(g, a, b, c, workspace);
  }
}
