// Loops over one row: softmax, normalisation, attention, losses.

static float dot(const float* a, const float* b, std::int64_t n) {
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t i = 0; i < n; ++i) total += a[i] * b[i];
  return total;
}

static float softmax(const float* x, float* y, float* max, std::int64_t n) {
  float top = x[0];
#pragma omp simd reduction(max : top)
  for (std::int64_t i = 0; i < n; ++i) top = x[i] > top ? x[i] : top;
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t i = 0; i < n; ++i) {
    const float e = vector_exp(x[i] - top);
    y[i] = e;
    total += e;
  }
  const float inverse = 1.0f / total;
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) y[i] *= inverse;
  *max = top;
  return total;
}

static void softmax_backward(const float* dy, const float* y, float* dx, std::int64_t n) {
  const float mean = dot(dy, y, n);
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) dx[i] = y[i] * (dy[i] - mean);
}

static void attention_slopes(const float* scores, const float* dp, float lse, float mean,
                             float scale, float* p, float* ds, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float weight = vector_exp(scores[i] - lse);
    p[i] = weight;
    ds[i] = weight * (dp[i] - mean) * scale;
  }
}

static void normalise(const float* x, float mean, float inv_std, const float* gamma,
                      const float* beta, float* y, std::int64_t n) {
  if (beta == nullptr) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) y[i] = gamma[i] * ((x[i] - mean) * inv_std);
  } else {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) y[i] = gamma[i] * ((x[i] - mean) * inv_std) + beta[i];
  }
}

static void normalise_backward(const float* dy, const float* x, float mean, float inv_std,
                               const float* gamma, bool centred, float* dx, float* dgamma,
                               float* dbeta, std::int64_t n) {
  float total = 0, product = 0;
#pragma omp simd reduction(+ : total, product)
  for (std::int64_t i = 0; i < n; ++i) {
    const float g = dy[i] * gamma[i], normal = (x[i] - mean) * inv_std;
    total += g;
    product += g * normal;
    dgamma[i] += dy[i] * normal;
  }
  if (dbeta != nullptr) accumulate(dy, dbeta, n);
  const float share = 1.0f / static_cast<float>(n);
  const float mean_g = centred ? total * share : 0.0f, mean_product = product * share;
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float normal = (x[i] - mean) * inv_std;
    dx[i] = inv_std * (dy[i] * gamma[i] - mean_g - normal * mean_product);
  }
}

static void rotate(const float* low, const float* high, const float* cosine, const float* sine,
                   float sign, float* to_low, float* to_high, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float a = low[i], b = high[i], s = sign * sine[i];
    to_low[i] = a * cosine[i] - b * s;
    to_high[i] = b * cosine[i] + a * s;
  }
}

static float squared_error(const float* x, const float* target, std::int64_t n) {
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t i = 0; i < n; ++i) total += (x[i] - target[i]) * (x[i] - target[i]);
  return total;
}
static void squared_error_slope(const float* x, const float* target, float scale, float* dx,
                                std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) dx[i] = 2.0f * scale * (x[i] - target[i]);
}

static float bce(const float* x, const float* target, std::int64_t n) {
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t i = 0; i < n; ++i) {
    const float size = x[i] < 0 ? -x[i] : x[i], positive = x[i] < 0 ? 0.0f : x[i];
    total += positive - x[i] * target[i] + vector_log1p_unit(vector_exp(-size));
  }
  return total;
}
static void bce_slope(const float* x, const float* target, float scale, float* dx, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) dx[i] = scale * (vector_sigmoid(x[i]) - target[i]);
}

static void lrn_power(const float* x, const float* scale, float beta, float* y, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) y[i] = x[i] * vector_exp(-beta * vector_log(scale[i]));
}
static void lrn_slopes(const float* dy, const float* y, const float* scale, float* ratio,
                       std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) ratio[i] = dy[i] * y[i] / scale[i];
}
static void lrn_gradient(const float* dy, const float* x, const float* scale, const float* sums,
                         float beta, float weight, float* dx, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    dx[i] = dy[i] * vector_exp(-beta * vector_log(scale[i])) - weight * x[i] * sums[i];
  }
}
static void accumulate_squares(const float* x, float weight, float* sum, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) sum[i] += weight * x[i] * x[i];
}
