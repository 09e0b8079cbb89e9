#pragma once
// What no job and no plan may say, whoever says it: a file, a flag or a search.

#include "plan/finding.h"
#include "plan/job.h"

namespace pluto {

/// Each checks one section; `path` is its name in the document.
Verdict check_data(const DataChoice& data, const std::string& path);
Verdict check_optimizer(const OptimizerAttrs& optimizer, const std::string& path);
Verdict check_learning_rate(const LearningRate& rate, const std::string& path);
Verdict check_evaluation(const Evaluation& evaluation, const std::string& path);
Verdict check_confidence(double confidence, const std::string& path);
Verdict check_seed(std::uint64_t seed, const std::string& path);
/// The whole job, in the order of its keys.
Verdict check_job(const TrainingJob& job);

}  // namespace pluto
