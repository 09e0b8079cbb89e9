#pragma once
// The ways to compute a convolution of plain NCHW operands; conv.cc chooses.

#include "runtime/cpu/cpu_kernel.h"

namespace pluto::cpu {

struct ConvSize {
  ConvAttrs attrs;
  std::int64_t batch, channels, height, width, out_height, out_width;
  std::int64_t group_channels() const { return channels / attrs.groups; }
  std::int64_t group_outputs() const { return attrs.out_channels / attrs.groups; }
  std::int64_t plane() const { return height * width; }
  std::int64_t out_plane() const { return out_height * out_width; }
};

/// oneDNN in its blocked layouts, with reorders of the operands around it. Errors: kUnsupported
/// when oneDNN has no direct kernel for the sizes (its GEMM and reference ones allocate while they
/// run).
Result<std::unique_ptr<Kernel>> make_onednn_conv(OpPass pass, const ConvSize& size,
                                                 const Context& context);
/// A matrix product per sample and group on the windows written out as columns (im2col); 1x1
/// kernels without stride and padding need no columns.
std::unique_ptr<Kernel> make_gemm_conv(OpPass pass, const ConvSize& size, const Context& context);

/// Whether conv.cc takes the product where oneDNN could serve as well.
bool prefer_product(OpPass pass, const ConvSize& size);

}  // namespace pluto::cpu
