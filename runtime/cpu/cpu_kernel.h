#pragma once
// What every kernel of the CPU backend is made from.

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/result.h"
#include "runtime/cpu/isa/isa_kernels.h"
#include "runtime/device.h"
#include "runtime/kernel_table.h"

namespace pluto::cpu {

/// What the kernels of one device share.
struct Context {
  int threads = 1;
  const IsaKernels* isa = nullptr;
};

/// A kernel that is one function of its arguments.
using KernelBody = std::function<void(const KernelArguments&)>;
std::unique_ptr<Kernel> make_kernel(std::string implementation, Bytes workspace, KernelBody body);
/// "own:avx512".
std::unique_ptr<Kernel> make_kernel(const Context& context, Bytes workspace, KernelBody body);
std::unique_ptr<Kernel> make_kernel(const Context& context, KernelBody body);

template <class T = float>
const T* input(const KernelArguments& arguments, std::size_t index) {
  return static_cast<const T*>(arguments.inputs[index]);
}
template <class T = float>
T* output(const KernelArguments& arguments, std::size_t index) {
  return static_cast<T*>(arguments.outputs[index]);
}
template <class T = float>
T* update(const KernelArguments& arguments, std::size_t index) {
  return static_cast<T*>(arguments.updates[index]);
}

/// Elements of operand `type` at the micro-batch of the request.
inline std::int64_t elements(const KernelRequest& request, const TensorType& type) {
  return type.elements(request.signature.micro_batch);
}
/// Samples an operand holds (1 when it has no batch axis).
inline std::int64_t samples(const KernelRequest& request, const TensorType& type) {
  return type.batch_multiple == 0 ? 1 : type.batch_multiple * request.signature.micro_batch;
}
/// Whether all floating operands are f32; the fast kernels serve nothing else.
bool all_f32(const KernelRequest& request);

/// Rounded up to whole cache lines, so that parts of a workspace stay aligned.
inline std::int64_t aligned(std::int64_t bytes) { return (bytes + 63) / 64 * 64; }

using Factory = Result<std::unique_ptr<Kernel>> (*)(const KernelRequest&, const Context&);

/// Each adds the kernels of its file to the table.
struct Registrar {
  KernelTable& table;
  Context context;
  void add(OpKind kind, OpPass pass, Factory factory) {
    table.add(kind, pass, [factory, context = context](const KernelRequest& request) {
      return factory(request, context);
    });
  }
};
/// All fast kernels for a number of threads and one instruction set.
KernelTable make_cpu_kernels(const Context& context);

void add_conv_kernels(Registrar& registrar);
void add_linear_kernels(Registrar& registrar);
void add_pool_kernels(Registrar& registrar);
void add_batch_norm_kernels(Registrar& registrar);
void add_elementwise_kernels(Registrar& registrar);
void add_shape_kernels(Registrar& registrar);
void add_lrn_kernels(Registrar& registrar);
void add_row_norm_kernels(Registrar& registrar);
void add_attention_kernels(Registrar& registrar);
void add_lookup_kernels(Registrar& registrar);
void add_loss_kernels(Registrar& registrar);
void add_update_kernels(Registrar& registrar);

}  // namespace pluto::cpu
