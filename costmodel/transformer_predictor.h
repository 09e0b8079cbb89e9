#pragma once
// A plan of a transformer on GPUs -> what it takes, by the closed form.

#include "base/result.h"
#include "costmodel/transformer_evidence.h"
#include "costmodel/transformer_memory.h"
#include "plan/plan.h"
#include "plan/prediction.h"

namespace pluto {

/// Bytes per element in which frameworks keep and send gradients by default.
inline constexpr int kTransformerGradientBytes = 4;

/// The plan in the closed form's words. What a Plan does not say is what frameworks do by default:
/// gradients are kept and sent in 32 bits and their exchange overlaps with backward;
/// tensor-parallel collectives are not overlapped. Buckets are not read. Errors: kUnsupported for
/// sizes beyond an int, expert parallelism, local steps, server nodes and nodes of several types.
Result<TransformerPlan> transformer_plan(const Plan& plan);

/// A prediction and what only transformers on GPUs have.
struct PredictedTransformer {
  /// Terms: compute, tensor_comm, pipeline_comm, data_comm, bubble, update, fixed. Memory: of the
  /// fullest device, gathered parameters as communication, what the framework holds besides as
  /// process_overhead.
  Prediction prediction;
  Bytes allocated, reserved;  ///< by the framework on the fullest device
  bool fits = false;          ///< reserved is within the device's memory
  double mfu = 0;             ///< model FLOPs over time, ranks and the peak of the precision
};

/// Pure. Errors: those of transformer_plan(), check() and predict_transformer().
Result<PredictedTransformer> predict_transformer_plan(const TransformerShape& shape,
                                                      const Plan& plan,
                                                      const TransformerEvidence& evidence);

}  // namespace pluto
