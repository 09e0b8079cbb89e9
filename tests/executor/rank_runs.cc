#include "tests/executor/rank_runs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <thread>

#include "base/check.h"
#include "runtime/cpu/cpu_device.h"
#include "runtime/reference/reference_device.h"

namespace pluto::testing {

Plan tiny_plan(const ModelGraph& model, const TinyPlan& tiny) {
  Plan plan;
  plan.job = "tiny";
  plan.model.source = "tiny";
  plan.model_fingerprint = model.graph.fingerprint();
  plan.data.samples = plan.dataset_samples = tiny.samples;
  plan.cluster.instance.name = "local";
  plan.cluster.instance.node.devices = tiny.ranks;
  plan.cluster.instance.price = DollarsPerHour(1);
  plan.backend = "reference";
  plan.layout.data = tiny.ranks;
  plan.global_batch = tiny.global_batch;
  plan.accumulation = tiny.accumulation;
  plan.micro_batch = tiny.global_batch / tiny.ranks / tiny.accumulation;
  plan.steps = tiny.steps;
  plan.optimizer = tiny.optimizer;
  plan.learning_rate.peak = 0.1;
  plan.seed = 5;
  return plan;
}

void set_method(Plan& plan, const ModelGraph& model, SyncMethod method) {
  const auto order = gradient_order(model, plan);
  PLUTO_CHECK(order.ok(), order.ok() ? "" : order.error().message.c_str());
  plan.buckets.clear();
  plan.servers.clear();
  if (plan.layout.data == 1) return;
  BucketPlan chosen{method, {}}, rest{SyncMethod::kAllReduce, {}};
  for (const GradientInfo& gradient : *order) {
    const bool fits = method != SyncMethod::kSufficientFactor || gradient.sufficient_factors;
    (fits ? chosen : rest).parameters.push_back(gradient.name);
  }
  for (const BucketPlan& bucket : {chosen, rest}) {
    if (!bucket.parameters.empty()) plan.buckets.push_back(bucket);
  }
}

void mix_methods(Plan& plan, const ModelGraph& model) {
  const auto order = gradient_order(model, plan);
  PLUTO_CHECK(order.ok(), order.ok() ? "" : order.error().message.c_str());
  plan.buckets.clear();
  bool serve = true;
  for (const GradientInfo& gradient : *order) {
    SyncMethod method = SyncMethod::kSufficientFactor;
    if (!gradient.sufficient_factors) {
      method = serve ? SyncMethod::kParameterServer : SyncMethod::kAllReduce;
      serve = !serve;
    }
    plan.buckets.push_back({method, {gradient.name}});
  }
}

LoweredPlan lowered(const ModelGraph& model, const Plan& plan) {
  auto result = lower(model, plan);
  PLUTO_CHECK(result.ok(), result.ok() ? "" : result.error().message.c_str());
  return std::move(*result);
}

std::unique_ptr<Device> open_test_device(const std::string& backend) {
  return backend == "cpu" ? make_cpu_device(1) : make_reference_device();
}

DataSet tiny_data(const ModelGraph& model, const Plan& plan, bool with_test) {
  auto data = open_data(plan.data, model, plan.seed);
  PLUTO_CHECK(data.ok(), data.ok() ? "" : data.error().message.c_str());
  if (with_test) data->test = std::move(open_data(plan.data, model, plan.seed)->train);
  return std::move(*data);
}

std::vector<Result<RunReport>> run_ranks(const ModelGraph& model, const Plan& plan,
                                         const RunOptions& options,
                                         const std::function<void(RankSetup&)>& change) {
  const LoweredPlan program = lowered(model, plan);
  const int ranks = plan.layout.ranks();
  const auto communicators = make_in_process_communicators(ranks);
  std::vector<std::optional<Result<RunReport>>> reports(static_cast<std::size_t>(ranks));
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < ranks; ++rank) {
      threads.emplace_back([&, rank] {
        const auto at = static_cast<std::size_t>(rank);
        RankSetup setup;
        setup.device = open_test_device(plan.backend);
        setup.rank = rank;
        setup.options = options;
        setup.options.evaluate = false;
        setup.options.keep_parameters = true;
        if (change) change(setup);
        if (!setup.data.train) setup.data = tiny_data(model, plan, setup.options.evaluate);
        reports[at] = run_plan(plan, program, *setup.device, *communicators[at], setup.data, {},
                               setup.options, setup.sink);
      });
    }
  }
  std::vector<Result<RunReport>> results;
  for (auto& report : reports) results.push_back(std::move(*report));
  return results;
}

RunReport run_whole(const ModelGraph& model, const Plan& plan, const RunOptions& options,
                    const std::function<void(RankSetup&)>& change) {
  auto reports = run_ranks(model, plan, options, change);
  for (const auto& report : reports) {
    EXPECT_TRUE(report.ok()) << report.error().message;
    if (!report.ok()) return {};
    EXPECT_EQ(report->parameter_fingerprint, reports[0]->parameter_fingerprint)
        << "ranks end with different parameters";
  }
  return std::move(*reports[0]);
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size() || a.empty()) return INFINITY;
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    if (std::isnan(x) || std::isnan(y)) return INFINITY;
    largest = std::max(largest, std::abs(x - y) / (1 + std::abs(x)));
  }
  return largest;
}

}  // namespace pluto::testing
