// Prints what the importer makes of ONNX files, for torchvision_export.py: one line per file,
// "<parameters> <multiply-adds per sample> <can be trained>", biases and scales not counted, or
// "refused: <message>".
#include <fmt/format.h>

#include "model/model_source.h"
#include "model/multiply_adds.h"
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
    const bool trained = imported->model.loss.valid() && differentiate(imported->model, {}).ok();
    fmt::print("{} {:.0f} {}\n", parameter_count(graph), multiply_adds(graph), trained);
  }
  return 0;
}
