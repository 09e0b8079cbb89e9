#include "executor/initial_values.h"

#include <fmt/format.h>

#include <vector>

#include "base/check.h"
#include "base/philox.h"

namespace pluto {

namespace {
constexpr std::uint32_t kInitialStep = 0xffffffff;
}  // namespace

Result<void> set_initial_values(const StepCode& code, std::uint64_t seed, Device& device) {
  const Graph& model = code.training().model.graph;
  std::uint32_t stream = 0;
  std::vector<float> values;
  for (const Tensor& tensor : model.tensors()) {
    if (tensor.role != TensorRole::kParameter && tensor.role != TensorRole::kBuffer) continue;
    const auto id = code.training().graph.find_tensor(tensor.name);
    PLUTO_CHECK(id.has_value(), "passes keep the names of parameters and buffers");
    const std::uint32_t own_stream = stream++;
    if (tensor.init.kind == Init::Kind::kZeros) continue;
    if (tensor.type.dtype != DType::kF32) {
      return unsupported(fmt::format("{} holds {}; the executor trains f32", tensor.name,
                                     to_text(tensor.type.dtype)));
    }
    values.resize(static_cast<std::size_t>(tensor.type.elements(1)));
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = tensor.init.kind == Init::Kind::kOnes
                      ? 1.0F
                      : static_cast<float>(tensor.init.stddev) *
                            philox_normal(seed, own_stream, kInitialStep, i);
    }
    const Place place = code.place(*id);
    device.copy_to_device(place.data, values.data(), place.size);
  }
  return {};
}

}  // namespace pluto
