#pragma once
// Which short runs of transformers to measure: those after which plans can be told apart.

#include <cstddef>
#include <span>
#include <vector>

#include "costmodel/transformer_calibration.h"
#include "costmodel/transformer_costs.h"

namespace pluto {

/// Indices of `count` of the `candidates` (fewer if there are fewer), in the order to measure them,
/// given what `measured` steps tell already. `compared` are the plans that shall be told apart; no
/// step's time is used, only its prediction.
/// Formula: ln step = slopes x ln constants + s (u_t + q v_t + u_k + q v_k) + noise 0.02, a normal
///   prior on all of them: `costs.spread`, and the spreads of LayerFactors. Each next run is the
///   one that lowers most the sum over `compared` of w times the variance of x - m and, a fiftieth
///   of that, of x: x a plan's ln step, m the weighted mean of the plans of the same model on as
///   many devices, w = (time per sample of the fastest of them / its own)^2.
/// Source: ours; greedy Bayesian design for a linear model (Chaloner and Verdinelli 1995), for what
///   a ranking needs: an error that all plans share ranks nothing wrongly, one among the fastest
///   does.
/// Valid for: one kind of device. Ignores: what a run costs.
/// Test: costmodel/transformer_design_test.cc.
/// Precondition: points that predict_transformer() accepts.
std::vector<std::size_t> choose_runs(std::span<const TransformerPoint> candidates,
                                     std::span<const TransformerPoint> compared,
                                     std::span<const TransformerPoint> measured, std::size_t count,
                                     const TransformerCosts& costs);

}  // namespace pluto
