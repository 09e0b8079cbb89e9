#include "runtime/cpu/conv.h"

namespace pluto::cpu {
namespace {

// Which way? Small kernels cost more in reorders than in arithmetic; oneDNN's backward_data into
// few channels fills few lanes. Measured on one core of an AVX-512 Xeon (oneDNN 2.6, batch 32,
// GFLOP/s of a peak near 180): oneDNN blocked with its reorders / oneDNN on plain NCHW / the
// product here, for forward, backward_data, backward_weight:
//   3x3, 256 -> 256 at 13x13   170 / 127 / -     173 / 109 / -     159 / 126 / -
//   3x3, 64 -> 64 at 56x56     160 / 93 / -      148 / 67 / -      140 / 68 / -
//   5x5, 6 -> 16 at 14x14      150 / 33 / -      59 / 28 / -       59 / 29 / -
//   1x1, 256 -> 64 at 56x56    78 / 160 / @@     89 / 123 / @@     70 / 113 / @@
bool prefer_gemm(OpPass pass, const ConvSize& size) {
  const bool pointwise = size.attrs.kernel_h == 1 && size.attrs.kernel_w == 1;
  return pointwise || (pass == OpPass::kBackwardData && size.group_channels() < 4);
}

Result<std::unique_ptr<Kernel>> make_conv(const KernelRequest& request, const Context& context) {
  const OpSignature& s = request.signature;
  if (!all_f32(request)) return unsupported("convolution of types other than f32");
  // x and y among the operands of the pass.
  const TensorType& x = s.pass == OpPass::kForward        ? s.inputs[0]
                        : s.pass == OpPass::kBackwardData ? s.outputs[0]
                                                          : s.inputs[1];
  const TensorType& y = s.pass == OpPass::kForward ? s.outputs[0] : s.inputs[0];
  const ConvSize size{std::get<ConvAttrs>(s.attrs),
                      samples(request, x),
                      x.shape[0],
                      x.shape[1],
                      x.shape[2],
                      y.shape[1],
                      y.shape[2]};
  if (!prefer_gemm(s.pass, size)) {
    auto kernel = make_onednn_conv(s.pass, size, context);
    if (kernel.ok()) return kernel;
  }
  return make_gemm_conv(s.pass, size, context);
}

}  // namespace

void add_conv_kernels(Registrar& registrar) {
  for (OpPass pass : {OpPass::kForward, OpPass::kBackwardData, OpPass::kBackwardWeight}) {
    registrar.add(OpKind::kConv2d, pass, make_conv);
  }
}

}  // namespace pluto::cpu
