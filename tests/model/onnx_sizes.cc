// Prints what the importer makes of ONNX files, for torchvision_export.py: one line per file,
// "<parameters> <multiply-adds per sample> <can be trained>", biases and scales not counted, or
// "refused: <message>".
#include <fmt/format.h>

#include "model/model_source.h"
#include "model/op_schema.h"
#include "model/training_graph.h"

int main(int argc, char** argv) {
  using namespace pluto;
  for (int i = 1; i < argc; ++i) {
    const auto imported = import_onnx(argv[i]);
    if (!imported) {
      fmt::print("refused: {}\n", imported.error().message);
      continue;
    }
    const Graph& graph = imported->model.graph;
    double products = 0;
    for (const Op& op : graph.ops()) {
      if (op.kind != OpKind::kConv2d && op.kind != OpKind::kLinear && op.kind != OpKind::kMatMul) {
        continue;
      }
      products += op_work(graph, op, 1).flops.value();
      const bool bias = op.kind != OpKind::kMatMul && op.inputs.size() > 2;
      const auto* product = std::get_if<MatMulAttrs>(&op.attrs);
      if (bias || (product && product->scale != 1)) {
        products -= static_cast<double>(graph.tensor(op.outputs[0]).type.shape.elements());
      }
    }
    const bool trained = imported->model.loss.valid() && differentiate(imported->model, {}).ok();
    fmt::print("{} {:.0f} {}\n", parameter_count(graph), products / 2, trained);
  }
  return 0;
}
