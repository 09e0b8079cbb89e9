#include "runtime/cpu/cpu_kernel.h"

namespace pluto::cpu {
namespace {

class FunctionKernel final : public Kernel {
 public:
  FunctionKernel(std::string implementation, Bytes workspace, KernelBody body)
      : implementation_(std::move(implementation)), workspace_(workspace), body_(std::move(body)) {}
  void run(const KernelArguments& arguments) override { body_(arguments); }
  Bytes workspace() const override { return workspace_; }
  std::string implementation() const override { return implementation_; }

 private:
  std::string implementation_;
  Bytes workspace_;
  KernelBody body_;
};

bool floating_is_f32(const std::vector<TensorType>& types) {
  for (const TensorType& type : types) {
    if (type.dtype != DType::kF32 && type.dtype != DType::kI32) return false;
  }
  return true;
}

}  // namespace

std::unique_ptr<Kernel> make_kernel(std::string implementation, Bytes workspace, KernelBody body) {
  return std::make_unique<FunctionKernel>(std::move(implementation), workspace, std::move(body));
}

std::unique_ptr<Kernel> make_kernel(const Context& context, Bytes workspace, KernelBody body) {
  return make_kernel(std::string("own:") + context.isa->name, workspace, std::move(body));
}

std::unique_ptr<Kernel> make_kernel(const Context& context, KernelBody body) {
  return make_kernel(context, Bytes(0), std::move(body));
}

KernelTable make_cpu_kernels(const Context& context) {
  KernelTable table;
  Registrar registrar{table, context};
  add_conv_kernels(registrar);
  add_linear_kernels(registrar);
  add_pool_kernels(registrar);
  add_batch_norm_kernels(registrar);
  add_elementwise_kernels(registrar);
  add_shape_kernels(registrar);
  add_lrn_kernels(registrar);
  add_row_norm_kernels(registrar);
  add_attention_kernels(registrar);
  add_lookup_kernels(registrar);
  add_loss_kernels(registrar);
  add_update_kernels(registrar);
  return table;
}

bool all_f32(const KernelRequest& request) {
  return floating_is_f32(request.signature.inputs) && floating_is_f32(request.signature.outputs) &&
         floating_is_f32(request.updates);
}

}  // namespace pluto::cpu
