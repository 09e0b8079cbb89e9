#pragma once
// How long a checkpoint stops the step.

#include <optional>

#include "base/units.h"
#include "plan/memory_plan.h"
#include "plan/plan.h"

namespace pluto {

/// Bytes of parameters, optimizer state and buffers of the whole model: those of a rank times the
/// ranks that hold different parts, tensor x pipeline, and data with ZeRO.
Bytes checkpoint_bytes(const Plan& plan, const MemoryBreakdown& rank);

/// Time to write one checkpoint; nullopt when neither the plan's data nor the terms of a rented
/// node say what the storage gives a node.
/// Formula: t = M / (W B): M as checkpoint_bytes(), W the nodes that hold parts and write them side
/// by side, B the storage bandwidth of a node. Valid for: writing while the step waits, which the
/// bundled executor does. Ignores: latency and what a file system keeps in memory. Source:
/// arithmetic; the sharded layout of Rajbhandari et al. 2020. Test:
/// costmodel/checkpoint_time_test.cc.
std::optional<Seconds> checkpoint_time(const Plan& plan, const MemoryBreakdown& rank);

}  // namespace pluto
