#pragma once
// The constants of the NCCL model that fit a choice of measured collectives best.

#include <span>

#include "costmodel/collective_points.h"

namespace pluto::bench {

/// Fits what the table calls fitted, from the same start whatever the rows: protocols and links of
/// NVLink by all kinds but all_to_all, then PCIe's start, step and bandwidth, then the pairs by
/// all_to_all. Minimises sum w s(log predicted / measured) + a weak pull to the start, s linear
/// from 3 % on, by Levenberg-Marquardt; a system weighs as the root of its rows. Links without
/// calls below 256 KiB take base and step from the others, links without rows all.
NcclTable fit_nccl(NcclTable table, std::span<const CollectiveRow* const> rows);

}  // namespace pluto::bench
