#include "runtime/cpu/conv.h"

namespace pluto::cpu {

// A 1x1 kernel costs oneDNN more in reorders than in arithmetic, unless the product would be a flat
// one (few rows, or the columns of a small plane); and its backward_data into few channels fills
// few lanes. bench/conv_ways prints what the rule gives away.
bool prefer_product(OpPass pass, const ConvSize& size) {
  const bool into_few =
      pass == OpPass::kBackwardData && size.attrs.groups == 1 && size.channels < 4;
  const bool pointwise = size.attrs.kernel_h == 1 && size.attrs.kernel_w == 1;
  if (!pointwise) return into_few;
  if (pass == OpPass::kBackwardWeight) return true;
  constexpr std::int64_t kSmallPlane = 14 * 14;
  const bool forward = pass == OpPass::kForward;
  const std::int64_t rows = forward ? size.group_outputs() : size.group_channels();
  const std::int64_t depth = forward ? size.group_channels() : size.group_outputs();
  return into_few || (rows >= depth && size.out_plane() >= kSmallPlane);
}

namespace {

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
  if (!prefer_product(s.pass, size)) {
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
