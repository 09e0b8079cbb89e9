#pragma once
// The cases that other planners ship or publish, solved with ours.

#include <string>
#include <vector>

#include "base/result.h"

namespace pluto::bench {

/// One case. Times are seconds of one core.
struct PeerCase {
  std::string name;
  double seconds = 0;                ///< ours: input in memory to answer
  double their_seconds = 0;          ///< theirs, on a 2-core machine like this one
  double objective = 0;              ///< what we reach ...
  double their_objective = 0;        ///< ... and they; less is better
  std::string reference = "theirs";  ///< whose their_objective is
  std::string unit;                  ///< of the objective
  std::string note;
};

/// Narayanan et al. 2019: stages of DenseNet-121 on 4 machines of 4 GPUs. `folder`: data/measured.
/// Errors: kNotFound, kInvalidInput.
Result<std::vector<PeerCase>> pipedream_cases(const std::string& folder);
/// Tarnawski et al. 2021: stages, data and tensor degrees and recompute of BERT-32 on up to 2,048
/// GPUs.
Result<std::vector<PeerCase>> piper_cases(const std::string& folder);
/// Miao et al. 2022 (Galvatron 2): a strategy per layer of Llama-2-7B on 8 GPUs.
Result<std::vector<PeerCase>> galvatron_cases(const std::string& folder);

/// Isaev et al. 2023 (Calculon): every way it knows to run GPT-3 175B on 1,024 A100, priced by our
/// closed form: its answer is our own price of every one of them.
Result<std::vector<PeerCase>> calculon_cases(const std::string& folder);

/// Processor time of a call.
double cpu_seconds();

}  // namespace pluto::bench
