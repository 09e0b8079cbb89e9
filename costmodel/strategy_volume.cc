#include "costmodel/strategy_volume.h"

#include <algorithm>
#include <unordered_set>

namespace pluto {

NodeVolume parameter_server_volume(const MatrixExchange& exchange) {
  const double matrix = exchange.rows * exchange.columns;
  const double workers = exchange.workers, servers = exchange.servers;
  return {2 * workers * matrix / servers, 2 * matrix,
          2 * matrix * (workers + servers - 2) / servers};
}

NodeVolume sufficient_factor_volume(const MatrixExchange& exchange) {
  const double factors = exchange.samples * (exchange.rows + exchange.columns);
  return {.worker = 2 * (exchange.workers - 1) * factors};
}

NodeVolume adam_volume(const MatrixExchange& exchange) {
  const double matrix = exchange.rows * exchange.columns;
  const double factors = exchange.samples * (exchange.rows + exchange.columns);
  return {exchange.workers * (matrix + factors), matrix + factors,
          (exchange.workers - 1) * (matrix + factors)};
}

Bytes data_parallel_bytes(const Graph& graph, int devices) {
  if (devices <= 1) return Bytes(0);
  Bytes gradients;
  for (const auto id : graph.with_role(TensorRole::kParameter)) {
    gradients += graph.tensor(id).type.bytes(1);
  }
  return gradients * std::int64_t{2 * devices};
}

Bytes hybrid_parallel_bytes(const Graph& graph, int devices, std::int64_t global_batch) {
  if (devices <= 1) return Bytes(0);
  std::unordered_set<std::size_t> sharded;
  Bytes features;
  for (const auto& op : graph.ops()) {
    if (op.kind != OpKind::kLinear) continue;
    for (const auto input : op.inputs) {
      const auto& tensor = graph.tensor(input);
      if (tensor.role == TensorRole::kParameter) {
        sharded.insert(input.index());
      } else if (features.value() == 0) {
        features = tensor.type.bytes(global_batch);
      }
    }
  }
  Bytes gradients;
  for (const auto id : graph.with_role(TensorRole::kParameter)) {
    if (!sharded.contains(id.index())) gradients += graph.tensor(id).type.bytes(1);
  }
  return gradients * std::int64_t{2 * devices} + features;
}

}  // namespace pluto
