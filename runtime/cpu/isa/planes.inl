// Loops over one plane or row of contiguous values: sums, normalisation, pooling.

static float sum(const float* x, std::int64_t n) {
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t i = 0; i < n; ++i) total += x[i];
  return total;
}

static float squares(const float* x, float mean, std::int64_t n) {
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t i = 0; i < n; ++i) total += (x[i] - mean) * (x[i] - mean);
  return total;
}

static void affine(const float* x, float scale, float shift, bool relu, float* y, std::int64_t n) {
  const float floor = relu ? 0.0f : -__builtin_inff();
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float v = x[i] * scale + shift;
    y[i] = v < floor ? floor : v;
  }
}

static void norm_sums(const float* dy, const float* x, const float* y, float mean, float* sums,
                      std::int64_t n) {
  float total = 0, product = 0;
  if (y == nullptr) {
#pragma omp simd reduction(+ : total, product)
    for (std::int64_t i = 0; i < n; ++i) {
      total += dy[i];
      product += dy[i] * (x[i] - mean);
    }
  } else {
#pragma omp simd reduction(+ : total, product)
    for (std::int64_t i = 0; i < n; ++i) {
      const float d = y[i] <= 0 ? 0.0f : dy[i];
      total += d;
      product += d * (x[i] - mean);
    }
  }
  sums[0] = total;
  sums[1] = product;
}

static void norm_backward(const float* dy, const float* x, const float* y, float a, float b,
                          float c, float* dx, std::int64_t n) {
  if (y == nullptr) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) dx[i] = a * dy[i] + (b * x[i] + c);
  } else {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) dx[i] = a * (y[i] <= 0 ? 0.0f : dy[i]) + (b * x[i] + c);
  }
}

// Outputs [begin, end) along one axis whose input at kernel offset k lies inside the axis.
struct Inside {
  std::int64_t begin, end;
};
PLUTO_INLINE Inside inside(std::int64_t size, std::int64_t out, std::int64_t stride,
                           std::int64_t offset) {
  const std::int64_t begin = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
  std::int64_t end = size - offset <= 0 ? 0 : (size - offset + stride - 1) / stride;
  if (end > out) end = out;
  return {begin < end ? begin : end, end};
}

static void max_pool(const PoolPlane& p, const float* __restrict x, float* __restrict y,
                     std::int32_t* __restrict argmax) {
  const std::int64_t stride = p.stride_w;
  for (std::int64_t oh = 0; oh < p.out_height; ++oh) {
    float* best = y + oh * p.out_width;
    std::int32_t* where = argmax + oh * p.out_width;
    for (std::int64_t i = 0; i < p.out_width; ++i) {
      best[i] = -__builtin_inff();
      where[i] = -1;
    }
    for (std::int64_t kh = 0; kh < p.kernel_h; ++kh) {
      const std::int64_t h = oh * p.stride_h - p.pad_top + kh;
      if (h < 0 || h >= p.height) continue;
      for (std::int64_t kw = 0; kw < p.kernel_w; ++kw) {
        const std::int64_t offset = kw - p.pad_left;
        const Inside range = inside(p.width, p.out_width, stride, offset);
        const float* row = x + h * p.width + offset;
        const std::int32_t base = static_cast<std::int32_t>(h * p.width + offset);
        // The first element counts even at -infinity; a NaN wins, so that a diverged run shows.
#define PLUTO_MAX_POOL_ROW(STRIDE)                                                   \
  _Pragma("omp simd") for (std::int64_t i = range.begin; i < range.end; ++i) {       \
    const float value = row[i * (STRIDE)];                                           \
    const bool better = (!(value <= best[i]) && best[i] == best[i]) || where[i] < 0; \
    best[i] = better ? value : best[i];                                              \
    where[i] = better ? base + static_cast<std::int32_t>(i * (STRIDE)) : where[i];   \
  }
        if (stride == 1) {
          PLUTO_MAX_POOL_ROW(1)
        } else if (stride == 2) {
          PLUTO_MAX_POOL_ROW(2)
        } else {
          PLUTO_MAX_POOL_ROW(stride)
        }
#undef PLUTO_MAX_POOL_ROW
      }
    }
  }
}

// 1 / elements of the window: those in the plane, or those in the padded plane.
PLUTO_INLINE std::int64_t window(std::int64_t o, std::int64_t stride, std::int64_t kernel,
                                 std::int64_t before, std::int64_t after, std::int64_t size,
                                 bool with_padding) {
  std::int64_t begin = o * stride - before, end = begin + kernel;
  const std::int64_t low = with_padding ? -before : 0, high = with_padding ? size + after : size;
  begin = begin < low ? low : begin;
  end = end > high ? high : end;
  return end - begin;
}
PLUTO_INLINE float window_weight(const PoolPlane& p, std::int64_t rows, std::int64_t ow) {
  const std::int64_t columns =
      window(ow, p.stride_w, p.kernel_w, p.pad_left, p.pad_right, p.width, p.count_include_pad);
  const std::int64_t elements = rows * columns;
  return elements > 0 ? 1.0f / static_cast<float>(elements) : 0.0f;
}

static void avg_pool(const PoolPlane& p, const float* __restrict x, float* __restrict y) {
  const std::int64_t stride = p.stride_w;
  for (std::int64_t oh = 0; oh < p.out_height; ++oh) {
    float* total = y + oh * p.out_width;
    for (std::int64_t i = 0; i < p.out_width; ++i) total[i] = 0;
    for (std::int64_t kh = 0; kh < p.kernel_h; ++kh) {
      const std::int64_t h = oh * p.stride_h - p.pad_top + kh;
      if (h < 0 || h >= p.height) continue;
      for (std::int64_t kw = 0; kw < p.kernel_w; ++kw) {
        const Inside range = inside(p.width, p.out_width, stride, kw - p.pad_left);
        const float* row = x + h * p.width + kw - p.pad_left;
#pragma omp simd
        for (std::int64_t i = range.begin; i < range.end; ++i) total[i] += row[i * stride];
      }
    }
    const std::int64_t rows =
        window(oh, p.stride_h, p.kernel_h, p.pad_top, p.pad_bottom, p.height, p.count_include_pad);
    for (std::int64_t i = 0; i < p.out_width; ++i) total[i] *= window_weight(p, rows, i);
  }
}

static void avg_pool_backward(const PoolPlane& p, const float* __restrict dy,
                              float* __restrict dx) {
  const std::int64_t stride = p.stride_w;
  for (std::int64_t oh = 0; oh < p.out_height; ++oh) {
    const std::int64_t rows =
        window(oh, p.stride_h, p.kernel_h, p.pad_top, p.pad_bottom, p.height, p.count_include_pad);
    for (std::int64_t kh = 0; kh < p.kernel_h; ++kh) {
      const std::int64_t h = oh * p.stride_h - p.pad_top + kh;
      if (h < 0 || h >= p.height) continue;
      for (std::int64_t kw = 0; kw < p.kernel_w; ++kw) {
        const Inside range = inside(p.width, p.out_width, stride, kw - p.pad_left);
        float* row = dx + h * p.width + kw - p.pad_left;
        const float* gradient = dy + oh * p.out_width;
        for (std::int64_t i = range.begin; i < range.end; ++i) {
          row[i * stride] += gradient[i] * window_weight(p, rows, i);
        }
      }
    }
  }
}
