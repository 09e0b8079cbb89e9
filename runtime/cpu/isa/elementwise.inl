// Element-wise loops. No restrict: an output may be its own input. Comparisons keep NaN.

static void exp_range(const float* x, float* y, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) y[i] = vector_exp(x[i]);
}

static void relu(const float* x, float* y, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) y[i] = x[i] < 0 ? 0.0f : x[i];
}

static void relu_backward(const float* dy, const float* y, float* dx, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) dx[i] = y[i] > 0 ? dy[i] : 0.0f;
}

// gelu(x) = x/2 (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3), which is x sigmoid(2u).
// Source: Hendrycks and Gimpel 2016, section 2.
constexpr float kGeluScale = 0.7978845608f, kGeluCubic = 0.044715f;

static void gelu(const float* x, float* y, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float v = x[i];
    const float u = kGeluScale * (v + kGeluCubic * v * v * v);
    y[i] = v * vector_sigmoid(2.0f * u);
  }
}

static void gelu_backward(const float* dy, const float* x, float* dx, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float v = x[i];
    const float u = kGeluScale * (v + kGeluCubic * v * v * v);
    const float du = kGeluScale * (1.0f + 3.0f * kGeluCubic * v * v);
    const float s = vector_sigmoid(2.0f * u);
    dx[i] = dy[i] * (s + 2.0f * v * s * (1.0f - s) * du);
  }
}

static void silu(const float* x, float* y, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) y[i] = x[i] * vector_sigmoid(x[i]);
}

static void silu_backward(const float* dy, const float* x, float* dx, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float s = vector_sigmoid(x[i]);
    dx[i] = dy[i] * (s + x[i] * s * (1.0f - s));
  }
}

static void sigmoid(const float* x, float* y, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) y[i] = vector_sigmoid(x[i]);
}

static void sigmoid_backward(const float* dy, const float* y, float* dx, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) dx[i] = dy[i] * y[i] * (1.0f - y[i]);
}

static void tanh_range(const float* x, float* y, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) y[i] = vector_tanh(x[i]);
}

static void tanh_backward(const float* dy, const float* y, float* dx, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) dx[i] = dy[i] * (1.0f - y[i] * y[i]);
}

static void add(const float* a, const float* b, float* y, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}

static void add_relu(const float* a, const float* b, float* y, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float s = a[i] + b[i];
    y[i] = s < 0 ? 0.0f : s;
  }
}

static void mul(const float* a, const float* b, float* y, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) y[i] = a[i] * b[i];
}

static void scale(const float* x, float factor, float* y, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) y[i] = x[i] * factor;
}

static void accumulate(const float* x, float* sum, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) sum[i] += x[i];
}

static void sgd(const SgdStep& step, const float* gradient, float* weight, float* velocity,
                std::int64_t n) {
  const float rate = step.learning_rate, momentum = step.momentum, decay = step.weight_decay;
  if (velocity == nullptr) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) weight[i] -= rate * (gradient[i] + decay * weight[i]);
  } else if (step.nesterov) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) {
      const float g = gradient[i] + decay * weight[i];
      const float v = momentum * velocity[i] + g;
      velocity[i] = v;
      weight[i] -= rate * (g + momentum * v);
    }
  } else {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) {
      const float v = momentum * velocity[i] + (gradient[i] + decay * weight[i]);
      velocity[i] = v;
      weight[i] -= rate * v;
    }
  }
}

static void adam(const AdamStep& step, const float* gradient, float* weight, float* mean,
                 float* variance, std::int64_t n) {
  const float rate = step.learning_rate, beta1 = step.beta1, beta2 = step.beta2,
              epsilon = step.epsilon;
  const float correction1 = step.correction1, correction2 = step.correction2;
  const float coupled = step.decoupled ? 0.0f : step.weight_decay;
  const float shrink = step.decoupled ? 1.0f - rate * step.weight_decay : 1.0f;
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float g = gradient[i] + coupled * weight[i];
    const float m = beta1 * mean[i] + (1.0f - beta1) * g;
    const float v = beta2 * variance[i] + (1.0f - beta2) * g * g;
    mean[i] = m;
    variance[i] = v;
    const float divisor = __builtin_sqrtf(v * correction2) + epsilon;
    weight[i] = weight[i] * shrink - rate * (m * correction1) / divisor;
  }
}
