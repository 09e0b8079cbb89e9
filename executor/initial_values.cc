#include "executor/initial_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/philox.h"

namespace pluto {

namespace {

constexpr std::uint32_t kInitialStep = 0xffffffff;

/// Elements written at a time, so that a large tensor costs no second copy of itself.
constexpr std::int64_t kPiece = 1 << 16;

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
    const Place place = code.place(*id);
    const std::int64_t elements = tensor.type.elements(1);
    for (std::int64_t begin = 0; begin < elements; begin += kPiece) {
      values.resize(static_cast<std::size_t>(std::min(kPiece, elements - begin)));
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = tensor.init.kind == Init::Kind::kOnes
                        ? 1.0F
                        : static_cast<float>(tensor.init.stddev) *
                              philox_normal(seed, own_stream, kInitialStep,
                                            static_cast<std::uint64_t>(begin) + i);
      }
      const Bytes size(static_cast<std::int64_t>(values.size() * sizeof(float)));
      device.copy_to_device(place.data + begin * std::int64_t{sizeof(float)}, values.data(), size);
    }
  }
  return {};
}

}  // namespace pluto
