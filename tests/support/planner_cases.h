#pragma once
// Jobs, places and random costs for planner tests.

#include <random>
#include <string>

#include "costmodel/collective_time.h"
#include "costmodel/signature_key.h"
#include "planner/planner.h"
#include "tests/support/small_models.h"
#include "tests/support/table_costs.h"

namespace pluto::testing {

inline TrainingJob small_job(std::int64_t global_batch) {
  TrainingJob job;
  job.name = "small";
  job.model.source = "small";
  job.data.samples = 10'000;
  job.epochs = 2;
  job.global_batch = global_batch;
  return job;
}

inline Candidate candidate(const std::string& name, int max_ranks, double price, int devices = 1,
                           double alpha = 1e-6, double bandwidth = 1e9) {
  Candidate one;
  one.instance = test_cluster(1, devices, alpha, bandwidth).instance;
  one.instance.name = name;
  one.instance.price = DollarsPerHour(price);
  one.max_ranks = max_ranks;
  return one;
}

/// Each op costs between 0 and `largest` seconds, by chance but always the same; collectives follow
/// the closed forms, `slower` times.
inline TableCosts random_costs(std::uint64_t salt, double largest, double slower) {
  TableCosts costs;
  costs.op_seconds = [=](const OpSignature& op) {
    const auto key = key_of(op);
    std::mt19937_64 random(key.family ^ salt ^ (static_cast<std::uint64_t>(key.batch) << 20));
    return largest * std::uniform_real_distribution<double>(0, 1)(random);
  };
  costs.collective_seconds = [=](const CollectiveCall& call, const ClusterSpec& cluster) {
    return slower * collective_time(call, cluster).total().value();
  };
  return costs;
}

}  // namespace pluto::testing
