#pragma once
// What every reference kernel is made of: checked operands, sizes from types, and one loop. Private
// to runtime/reference.

#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "runtime/device.h"

namespace pluto::reference {

using Index = std::int64_t;
using KernelResult = Result<std::unique_ptr<Kernel>>;

/// A kernel that is one function of its arguments; implementation() is "reference".
std::unique_ptr<Kernel> loop_kernel(std::function<void(const KernelArguments&)> loop,
                                    Bytes workspace = Bytes(0));
/// Workspace of `count` doubles.
inline Bytes doubles(Index count) { return Bytes(count * static_cast<Index>(sizeof(double))); }

/// Checks the number and element types of operands, one letter each: f = f32, i = i32, * = any;
/// e.g. "fi" -> "ff". Errors: kInvalidInput for a wrong count, kUnsupported for an element type.
Result<void> expect_operands(const KernelRequest& request, std::string_view inputs,
                             std::string_view outputs, std::string_view updates = "");

/// The attributes of the request. Errors: kInvalidInput when they are of another kind.
template <class Attrs>
Result<Attrs> attributes(const KernelRequest& request) {
  if (const Attrs* attrs = std::get_if<Attrs>(&request.signature.attrs)) return *attrs;
  return invalid_input("the attributes are those of another op kind");
}

inline const TensorType& input_type(const KernelRequest& request, std::size_t i) {
  return request.signature.inputs[i];
}
inline const TensorType& output_type(const KernelRequest& request, std::size_t i) {
  return request.signature.outputs[i];
}
/// Elements of an operand at the request's micro-batch.
inline Index elements(const KernelRequest& request, const TensorType& type) {
  return type.elements(request.signature.micro_batch);
}
/// Samples an operand holds; 1 when it has no batch axis.
inline Index samples(const KernelRequest& request, const TensorType& type) {
  return type.samples(request.signature.micro_batch);
}

template <class T = float>
const T* in(const KernelArguments& arguments, std::size_t i) {
  return static_cast<const T*>(arguments.inputs[i]);
}
template <class T = float>
T* out(const KernelArguments& arguments, std::size_t i) {
  return static_cast<T*>(arguments.outputs[i]);
}
inline float* update(const KernelArguments& arguments, std::size_t i) {
  return static_cast<float*>(arguments.updates[i]);
}
inline double* scratch(const KernelArguments& arguments) {
  return static_cast<double*>(arguments.workspace);
}

/// Sum of a[i] * b[i].
template <class A, class B>
double dot(const A* a, const B* b, Index count) {
  double sum = 0;
  for (Index i = 0; i < count; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}
/// sum[i] += factor * values[i].
template <class T>
void add_scaled(double* sum, double factor, const T* values, Index count) {
  for (Index i = 0; i < count; ++i) sum[i] += factor * static_cast<double>(values[i]);
}
/// Rounds sums to f32.
inline void store(float* destination, const double* sums, Index count) {
  for (Index i = 0; i < count; ++i) destination[i] = static_cast<float>(sums[i]);
}
inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace pluto::reference
