#include "runtime/cpu/epilogue.h"

#include "runtime/cpu/parallel.h"

namespace pluto::cpu {
namespace {

Unary function_of(const IsaKernels& isa, Activation activation) {
  switch (activation) {
    case Activation::kRelu:
      return isa.relu;
    case Activation::kTanh:
      return isa.tanh;
    case Activation::kSigmoid:
      return isa.sigmoid;
    case Activation::kGelu:
      return isa.gelu;
    case Activation::kSilu:
      return isa.silu;
    case Activation::kNone:
      break;
  }
  return nullptr;
}

}  // namespace

Epilogue::Epilogue(const Context& context, Activation activation, bool bias)
    : context_(context),
      activation_(activation),
      bias_(bias),
      function_(function_of(*context.isa, activation)) {}

void Epilogue::rows(const KernelArguments& a, std::int64_t count, std::int64_t width) const {
  if (!bias_ && function_ == nullptr) return;
  float *z = output(a, operand()), *y = output(a, 0);
  parallel_rows(context_.threads, count, width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin * width; r < end * width; r += width) {
      if (bias_) context_.isa->accumulate(input(a, 2), z + r, width);
      if (function_ != nullptr) function_(z + r, y + r, width);
    }
  });
}

void Epilogue::planes(const KernelArguments& a, std::int64_t count, std::int64_t size,
                      std::int64_t channels) const {
  if (!bias_ && function_ == nullptr) return;
  float *z = output(a, operand()), *y = output(a, 0);
  const bool relu = activation_ == Activation::kRelu;
  parallel_rows(context_.threads, count, size, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      float* plane = z + i * size;
      if (bias_) context_.isa->affine(plane, 1, input(a, 2)[i % channels], relu, plane, size);
      if (function_ != nullptr && !(bias_ && relu)) function_(plane, y + i * size, size);
    }
  });
}

}  // namespace pluto::cpu
