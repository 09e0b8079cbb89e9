#pragma once
// Parts of a step against published measurements: collectives, operators, whole models on one
// device.

#include "costmodel/validation.h"

namespace pluto {

/// Collectives of NCCL in one node, by the shipped constants (nccl.json).
/// Errors, of all three: those of the readers.
Result<std::vector<ValidatedRow>> validate_collectives(const std::string& data_folder);

/// A table of single operators (measured_ops.h), by the shipped surfaces as a kernel that runs
/// alone has them. At most kMostOperators rows, in equal steps through the table. Of a harness that
/// waits for each operator only those of kLeastWaited or longer: the rest is its own waiting.
Result<std::vector<ValidatedRow>> validate_operators(const std::string& data_folder,
                                                     const std::string& table);
inline constexpr std::size_t kMostOperators = 4000;
inline constexpr double kLeastWaited = 100e-6;  ///< seconds

/// Transformers in f32 on one device, forward or forward and backward, as sums of their operators
/// with attention written out. Left out: models the zoo does not have, compiled runs, and GPT-3 XL,
/// whose times are twice those of OPT-1.3B with the same published sizes.
Result<std::vector<ValidatedRow>> validate_whole_models(const std::string& data_folder);

}  // namespace pluto
