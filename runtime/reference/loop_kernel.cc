#include "runtime/reference/loop_kernel.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

namespace pluto::reference {
namespace {

class LoopKernel final : public Kernel {
 public:
  LoopKernel(std::function<void(const KernelArguments&)> loop, Bytes workspace)
      : loop_(std::move(loop)), workspace_(workspace) {}
  void run(const KernelArguments& arguments) override { loop_(arguments); }
  Bytes workspace() const override { return workspace_; }
  std::string implementation() const override { return "reference"; }

 private:
  std::function<void(const KernelArguments&)> loop_;
  Bytes workspace_;
};

Result<void> expect_types(const char* role, const std::vector<TensorType>& types,
                          std::string_view letters) {
  if (types.size() != letters.size()) {
    return invalid_input(
        fmt::format("{} {} operands, expected {}", types.size(), role, letters.size()));
  }
  for (std::size_t i = 0; i < types.size(); ++i) {
    const DType wanted = letters[i] == 'i' ? DType::kI32 : DType::kF32;
    if (letters[i] != '*' && types[i].dtype != wanted) {
      return unsupported(fmt::format("{} operand {} is {}, these kernels take {}", role, i,
                                     to_text(types[i].dtype), to_text(wanted)));
    }
  }
  return {};
}

}  // namespace

std::unique_ptr<Kernel> loop_kernel(std::function<void(const KernelArguments&)> loop,
                                    Bytes workspace) {
  return std::make_unique<LoopKernel>(std::move(loop), workspace);
}

Result<void> expect_operands(const KernelRequest& request, std::string_view inputs,
                             std::string_view outputs, std::string_view updates) {
  PLUTO_TRY(expect_types("input", request.signature.inputs, inputs));
  PLUTO_TRY(expect_types("output", request.signature.outputs, outputs));
  return expect_types("updated", request.updates, updates);
}

}  // namespace pluto::reference
