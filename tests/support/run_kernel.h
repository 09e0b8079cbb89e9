#pragma once
// Runs one kernel on plain vectors. Operands have exactly their size and outputs start as NaN, so
// that a sanitizer sees every step outside and a test every element left unwritten.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "base/check.h"
#include "model/op_schema.h"
#include "runtime/device.h"

namespace pluto::testing {

/// Numbers of any element type but the 16-bit ones, as float.
using Values = std::vector<float>;

/// A tensor's memory on a host device.
class HostTensor {
 public:
  HostTensor(const TensorType& type, std::int64_t micro_batch)
      : dtype_(type.dtype),
        count_(static_cast<std::size_t>(type.elements(micro_batch))),
        bytes_(static_cast<std::size_t>(type.bytes(micro_batch).value())),
        data_(new std::byte[bytes_]) {
    std::memset(data_.get(), 0xFF, bytes_);  // NaN as f32, -1 as i32
  }
  void* data() { return data_.get(); }
  void set(const Values& values) {
    PLUTO_CHECK(values.size() == count_, "as many values as the tensor has elements");
    for (std::size_t i = 0; i < count_; ++i) {
      if (dtype_ == DType::kF32) store(i, values[i]);
      if (dtype_ == DType::kI32) store(i, static_cast<std::int32_t>(values[i]));
      if (dtype_ == DType::kU8) store(i, static_cast<std::uint8_t>(values[i]));
    }
  }
  Values get() const {
    Values values(count_);
    for (std::size_t i = 0; i < count_; ++i) {
      if (dtype_ == DType::kF32) values[i] = load<float>(i);
      if (dtype_ == DType::kI32) values[i] = static_cast<float>(load<std::int32_t>(i));
      if (dtype_ == DType::kU8) values[i] = static_cast<float>(load<std::uint8_t>(i));
    }
    return values;
  }

 private:
  template <class T>
  void store(std::size_t i, T value) {
    std::memcpy(data_.get() + i * sizeof(T), &value, sizeof(T));
  }
  template <class T>
  T load(std::size_t i) const {
    T value;
    std::memcpy(&value, data_.get() + i * sizeof(T), sizeof(T));
    return value;
  }
  DType dtype_;
  std::size_t count_, bytes_;
  std::unique_ptr<std::byte[]> data_;
};

/// 64-byte aligned memory of exactly this size, filled with NaN.
class Workspace {
 public:
  explicit Workspace(Bytes size)
      : size_(static_cast<std::size_t>(size.value())),
        data_(::operator new (size_, std::align_val_t{64})) {
    std::memset(data_, 0xFF, size_);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  ~Workspace() { ::operator delete (data_, std::align_val_t{64}); }
  void* data() { return data_; }

 private:
  std::size_t size_;
  void* data_;
};

/// The request of an op whose output types come from its schema.
inline KernelRequest forward_request(OpKind kind, OpAttrs attrs, std::vector<TensorType> inputs,
                                     std::int64_t micro_batch,
                                     std::vector<TensorType> updates = {}) {
  auto outputs = schema_of(kind).infer(attrs, inputs);
  EXPECT_TRUE(outputs.ok()) << (outputs.ok() ? "" : outputs.error().message);
  return {{kind, OpPass::kForward, std::move(attrs), std::move(inputs),
           outputs.ok() ? *outputs : std::vector<TensorType>{}, micro_batch},
          std::move(updates)};
}

struct KernelOutcome {
  std::vector<Values> outputs, updates;
  std::string implementation;
};

/// Compiles and runs; a refusal fails the test and gives an empty outcome. `updates`: values
/// before.
inline KernelOutcome run_kernel(Device& device, const KernelRequest& request,
                                const std::vector<Values>& inputs,
                                const std::vector<Values>& updates = {},
                                const StepScalars& scalars = {}) {
  KernelOutcome outcome;
  auto kernel = device.compile(request);
  EXPECT_TRUE(kernel.ok()) << (kernel.ok() ? "" : kernel.error().message);
  if (!kernel.ok()) return outcome;
  std::vector<HostTensor> in, out, in_place;
  std::vector<const void*> in_pointers;
  std::vector<void*> out_pointers, update_pointers;
  const std::int64_t micro_batch = request.signature.micro_batch;
  PLUTO_CHECK(inputs.size() == request.signature.inputs.size(), "values for every input");
  PLUTO_CHECK(updates.size() == request.updates.size(), "values for every updated tensor");
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    in.emplace_back(request.signature.inputs[i], micro_batch).set(inputs[i]);
    in_pointers.push_back(in.back().data());
  }
  for (const TensorType& type : request.signature.outputs) {
    out_pointers.push_back(out.emplace_back(type, micro_batch).data());
  }
  for (std::size_t i = 0; i < updates.size(); ++i) {
    in_place.emplace_back(request.updates[i], micro_batch).set(updates[i]);
    update_pointers.push_back(in_place.back().data());
  }
  Workspace workspace((*kernel)->workspace());
  (*kernel)->run({in_pointers, out_pointers, update_pointers, workspace.data(), scalars});
  device.synchronize();
  for (const HostTensor& tensor : out) outcome.outputs.push_back(tensor.get());
  for (const HostTensor& tensor : in_place) outcome.updates.push_back(tensor.get());
  outcome.implementation = (*kernel)->implementation();
  return outcome;
}

/// A forward pass whose output types come from the schema.
inline KernelOutcome run_forward(Device& device, OpKind kind, const OpAttrs& attrs,
                                 const std::vector<TensorType>& types,
                                 const std::vector<Values>& inputs, std::int64_t micro_batch = 1,
                                 const StepScalars& scalars = {}) {
  return run_kernel(device, forward_request(kind, attrs, types, micro_batch), inputs, {}, scalars);
}

/// A backward pass.
inline KernelOutcome run_backward(Device& device, OpKind kind, OpPass pass, const OpAttrs& attrs,
                                  const std::vector<TensorType>& types,
                                  const std::vector<TensorType>& outputs,
                                  const std::vector<Values>& inputs, std::int64_t micro_batch = 1,
                                  const StepScalars& scalars = {}) {
  return run_kernel(device, {{kind, pass, attrs, types, outputs, micro_batch}, {}}, inputs, {},
                    scalars);
}

}  // namespace pluto::testing
