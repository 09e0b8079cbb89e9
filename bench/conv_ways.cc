// Both ways the CPU backend can compute a convolution, timed in turns on one thread, and what the
// rule that chooses between them gives away. Usage: conv_ways

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "base/statistics.h"
#include "base/text.h"
#include "runtime/cpu/conv.h"

namespace pluto::cpu {
namespace {

struct Shape {
  const char* where;
  std::int64_t batch, channels, side, outputs, kernel, stride, pad, groups;
};

// The convolutions of the models that bench/step_accuracy trains, and those that separate the ways.
constexpr Shape kShapes[] = {{"lenet conv1", 128, 1, 28, 6, 5, 1, 2, 1},
                             {"lenet conv2", 128, 6, 14, 16, 5, 1, 0, 1},
                             {"alexnet conv1", 16, 3, 224, 96, 11, 4, 2, 1},
                             {"alexnet conv2", 16, 96, 27, 256, 5, 1, 2, 2},
                             {"alexnet conv3", 16, 256, 13, 384, 3, 1, 1, 1},
                             {"resnet stem", 8, 3, 224, 64, 7, 2, 3, 1},
                             {"resnet 3x3", 8, 64, 56, 64, 3, 1, 1, 1},
                             {"resnet 3x3 /2", 8, 64, 56, 128, 3, 2, 1, 1},
                             {"resnet 3x3 last", 8, 512, 7, 512, 3, 1, 1, 1},
                             {"resnet 1x1 /2", 8, 64, 56, 128, 1, 2, 0, 1},
                             {"bottleneck in", 8, 256, 56, 64, 1, 1, 0, 1},
                             {"bottleneck out", 8, 64, 56, 256, 1, 1, 0, 1},
                             {"bottleneck last", 8, 2048, 7, 512, 1, 1, 0, 1},
                             {"depthwise", 8, 144, 56, 144, 3, 1, 1, 144}};

ConvSize size_of(const Shape& shape) {
  ConvAttrs attrs;
  attrs.out_channels = shape.outputs;
  attrs.kernel_h = attrs.kernel_w = shape.kernel;
  attrs.stride_h = attrs.stride_w = shape.stride;
  attrs.pad_top = attrs.pad_left = attrs.pad_bottom = attrs.pad_right = shape.pad;
  attrs.groups = shape.groups;
  attrs.bias = false;
  const std::int64_t out = (shape.side + 2 * shape.pad - shape.kernel) / shape.stride + 1;
  return {attrs, shape.batch, shape.channels, shape.side, shape.side, out, out};
}

/// Memory of one kernel: two operands in, one out, and its workspace.
struct Operands {
  std::vector<float> first, second, result;
  std::vector<std::byte> workspace;
};

double seconds_of(Kernel& kernel, Operands& operands) {
  const void* inputs[] = {operands.first.data(), operands.second.data()};
  void* outputs[] = {operands.result.data()};
  const auto start = std::chrono::steady_clock::now();
  kernel.run({inputs, outputs, {}, operands.workspace.data(), {}});
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int run() {
  const Context context{1, &isa_kernels()};
  std::vector<std::vector<std::string>> rows = {
      {"convolution", "pass", "oneDNN", "product", "chosen", "its time / the best"}};
  std::vector<double> losses;
  for (const Shape& shape : kShapes) {
    const ConvSize size = size_of(shape);
    const std::int64_t x = size.batch * size.channels * size.plane();
    const std::int64_t w =
        size.attrs.out_channels * size.group_channels() * shape.kernel * shape.kernel;
    const std::int64_t y = size.batch * size.attrs.out_channels * size.out_plane();
    const double flops =
        2.0 * static_cast<double>(y * size.group_channels() * shape.kernel * shape.kernel);
    for (const OpPass pass : {OpPass::kForward, OpPass::kBackwardData, OpPass::kBackwardWeight}) {
      auto product = make_gemm_conv(pass, size, context);
      auto onednn = make_onednn_conv(pass, size, context);
      const std::int64_t first = pass == OpPass::kForward ? x : y;
      const std::int64_t second = pass == OpPass::kBackwardWeight ? x : w;
      const std::int64_t result = pass == OpPass::kForward        ? y
                                  : pass == OpPass::kBackwardData ? x
                                                                  : w;
      Bytes workspace = product->workspace();
      if (onednn.ok()) workspace = std::max(workspace, (*onednn)->workspace());
      const auto filled = [](std::int64_t size) {
        return std::vector<float>(static_cast<std::size_t>(size), 0.5f);
      };
      Operands operands{filled(first), filled(second), filled(result),
                        std::vector<std::byte>(static_cast<std::size_t>(workspace.value()))};
      std::vector<double> times[2];
      for (int turn = 0; turn < 12; ++turn) {
        if (onednn.ok()) times[0].push_back(seconds_of(**onednn, operands));
        times[1].push_back(seconds_of(*product, operands));
      }
      const double of[2] = {onednn.ok() ? median(times[0]) : 0, median(times[1])};
      const int chosen = prefer_product(pass, size) || !onednn.ok() ? 1 : 0;
      const double best = onednn.ok() ? std::min(of[0], of[1]) : of[1];
      losses.push_back(of[chosen] / best);
      const auto rate = [&](double seconds) {
        return seconds > 0 ? fmt::format("{:.0f} GFLOP/s", flops / seconds / 1e9)
                           : std::string("-");
      };
      rows.push_back({shape.where, to_text(pass), rate(of[0]), rate(of[1]),
                      chosen == 1 ? "product" : "oneDNN", fmt::format("{:.2f}", losses.back())});
    }
  }
  std::fputs(format_table(rows).c_str(), stdout);
  std::printf("median %.2f, worst %.2f\n", median(losses),
              *std::max_element(losses.begin(), losses.end()));
  return 0;
}

}  // namespace
}  // namespace pluto::cpu

int main() { return pluto::cpu::run(); }
