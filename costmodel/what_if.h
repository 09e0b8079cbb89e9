#pragma once
// The same plan in a world that is a little different: how far each assumption carries.

#include "costmodel/cost_source.h"
#include "costmodel/predictor.h"
#include "costmodel/transformer_predictor.h"

namespace pluto {

/// Multiples of what is believed; 1: as believed. All above zero.
struct WhatIf {
  double device_speed = 1;       ///< arithmetic and memory of every device
  double node_bandwidth = 1;     ///< of the links within a node
  double network_bandwidth = 1;  ///< of the links between nodes
  double price = 1;              ///< of an hour, on demand and spot
  double samples = 1;            ///< to the target
};

/// The plan with the links, prices and steps (rounded, at least 1) of that world.
Plan changed(const Plan& plan, const WhatIf& what_if);

/// Predicts the plan again, by the simulator.
/// Formula: predict() of changed(), every operator in 1 / device_speed of its time; a collective in
///   its time by `costs` (which may be measured) times what `datasheet` makes of the changed links,
///   as a ratio.
/// Valid for: small changes of what was measured. Ignores: that operators bound by launches gain
///   less from a faster device. Test: costmodel/what_if_test.cc.
/// Errors: those of predict().
Result<Prediction> predict_if(const ModelGraph& model, const Plan& plan, const CostSource& costs,
                              const CostSource& datasheet, const WhatIf& what_if);

/// The same by the closed form of transformers.
/// Formula: predict_transformer_plan() of changed(), the device's peaks and memory bandwidth times
///   device_speed. Errors: those of predict_transformer_plan().
Result<Prediction> predict_if(const TransformerShape& shape, const Plan& plan,
                              const TransformerEvidence& evidence, const WhatIf& what_if);

}  // namespace pluto
