#include "model/schema_work.h"

namespace pluto {
namespace {

const TensorType& at(std::span<const TensorType> types, std::size_t i) {
  static const TensorType missing{{}, DType::kF32, 0};
  return i < types.size() ? types[i] : missing;
}

}  // namespace

const TensorType& WorkOperands::input(std::size_t i) const { return at(inputs, i); }
const TensorType& WorkOperands::output(std::size_t i) const { return at(outputs, i); }

double WorkOperands::input_elements(std::size_t i) const {
  return static_cast<double>(input(i).elements(micro_batch));
}

double WorkOperands::output_elements(std::size_t i) const {
  return static_cast<double>(output(i).elements(micro_batch));
}

OpWork WorkOperands::work(double flops) const {
  OpWork work;
  work.flops = Flops(flops);
  for (const TensorType& type : inputs) work.read += type.bytes(micro_batch);
  for (const TensorType& type : outputs) work.written += type.bytes(micro_batch);
  return work;
}

double dim(const TensorType& type, std::size_t axis) {
  return axis < type.shape.rank() ? static_cast<double>(type.shape[axis]) : 1;
}

double last_dim(const TensorType& type) {
  return type.shape.dims.empty() ? 1 : static_cast<double>(type.shape.dims.back());
}

}  // namespace pluto
