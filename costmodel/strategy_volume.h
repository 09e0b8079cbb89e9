#pragma once
// How much a training strategy moves in one step, as the papers that introduced it count: for
// comparison with their tables. What the planner prices are the collectives of a StepProgram.

#include "base/units.h"
#include "model/graph.h"

namespace pluto {

/// Parameters (not bytes) that cross the network interface of a node in one step, both directions
/// added, by what runs on the node.
struct NodeVolume {
  double server = 0, worker = 0, both = 0;
};
/// A weight matrix of M x N on P1 workers with K samples each and P2 servers.
struct MatrixExchange {
  double rows = 0, columns = 0;  ///< M, N
  double samples = 0;            ///< K
  double workers = 1;            ///< P1
  double servers = 1;            ///< P2
};

/// Parameter server, the matrix spread evenly over the servers.
/// Formula: server 2 P1 M N / P2; worker 2 M N; both 2 M N (P1 + P2 - 2) / P2.
/// Source: Zhang et al. 2017 (Poseidon), table 1. Valid for: one server per node, P2 <= P1 when on
/// the same nodes. Ignores: messages, biases. Test: costmodel/strategy_volume_test.cc.
NodeVolume parameter_server_volume(const MatrixExchange& exchange);

/// Sufficient factors from every worker to every other; there are no servers.
/// Formula: worker 2 K (P1 - 1) (M + N). Source, valid for, test: as above.
NodeVolume sufficient_factor_volume(const MatrixExchange& exchange);

/// Factors to the server that holds the matrix, the matrix back (as in project Adam).
/// Formula: server P1 M N + P1 K (M + N); worker K (M + N) + M N; both (P1 - 1) (M N + K M + K N).
/// Source, test: as above. Valid for: the whole matrix on one server, whose node is the busiest.
NodeVolume adam_volume(const MatrixExchange& exchange);

/// Bytes all devices move in one data-parallel step.
/// Formula: 2 P G, G the bytes of the gradients of all parameters: each device sends its own and
/// takes the sum. One device: 0. Source: reproduces the table of the system Pluto is named after
/// (AlexNet on 2, 4, 8 GPUs: 930, 1861, 3722 MiB). Ignores: (P-1)/P of a ring.
/// Test: costmodel/strategy_volume_test.cc.
Bytes data_parallel_bytes(const Graph& graph, int devices);

/// Bytes all devices move in one step when convolutions are data parallel and the linear layers are
/// sharded over the devices.
/// Formula: 2 P G_conv + B F, G_conv the bytes of the gradients outside linear layers, F the bytes
/// per sample of the features that enter the first linear layer, B the global batch. One device: 0.
/// Source: reproduces the same table (54, 89, 161 MiB at batch 512). Ignores: the gradient of the
/// features on its way back, and the exchanges behind the first linear layer.
/// Precondition: the graph has a linear layer, else as data_parallel_bytes.
/// Test: costmodel/strategy_volume_test.cc.
Bytes hybrid_parallel_bytes(const Graph& graph, int devices, std::int64_t global_batch);

}  // namespace pluto
