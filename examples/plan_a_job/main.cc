// Plans a training job with the library, without a job file, a database or a command line:
// ResNet-50 on ImageNet for at most 200 dollars and 6 hours. Prints what to rent.

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "costmodel/sources.h"
#include "model/zoo.h"
#include "plan/catalog.h"
#include "planner/planner.h"

namespace {

using namespace pluto;  // NOLINT: a program of one file

TrainingJob resnet_on_imagenet() {
  TrainingJob job;
  job.name = "resnet50-imagenet";
  job.model.source = "resnet50";
  job.data.samples = 1'281'167;
  job.epochs = 40;
  job.global_batch = 1024;
  job.learning_rate.peak = 0.1;
  job.learning_rate_batch = 256;
  job.precision = TrainPrecision::kFp16;
  job.budget = Dollars(200);
  job.deadline = Seconds(6 * 3600);
  return job;
}

template <class Q>
std::string with_p90(const Interval<Q>& interval) {
  return to_text(interval.p50) + " (" + to_text(interval.p90) + ")";
}

void print_row(const std::vector<std::string>& cells) {
  for (const std::string& cell : cells) std::printf("%-22s", cell.c_str());
  std::printf("\n");
}

void print(const RankedPlan& ranked) {
  const Plan& plan = ranked.plan;
  const Prediction& p = ranked.prediction;
  print_row({std::to_string(plan.cluster.nodes) + " x " + plan.cluster.instance.name,
             std::to_string(plan.layout.ranks()), std::to_string(plan.global_batch),
             to_text(p.step_time.p50), with_p90(p.time_to_target), with_p90(p.price)});
}

/// The errors of the library travel in Result; the macros of base/result.h pass them on.
Result<int> plan_job(const std::string& data) {
  const TrainingJob job = resnet_on_imagenet();
  PLUTO_TRY(validate(job));
  PLUTO_ASSIGN(const ModelGraph model, build_model(job.model.source, job.model.options));
  PLUTO_ASSIGN(const Catalog catalog, Catalog::load(data + "/catalog"));
  std::vector<Candidate> candidates;
  for (const char* name : {"aws:g5.48xlarge", "aws:p3dn.24xlarge", "aws:p4d.24xlarge"}) {
    PLUTO_ASSIGN(InstanceType instance, catalog.instance(name));
    candidates.push_back({.instance = std::move(instance), .max_ranks = 16, .backend = "cuda"});
  }
  PLUTO_ASSIGN(const auto costs,
               make_roofline_source(data + "/efficiency.json",
                                    {.surfaces_path = data + "/op_surfaces.json"}));
  PLUTO_ASSIGN(const SearchResult result,
               search(job, model, *job.data.samples, candidates, *costs, {}));

  print_row({"nodes x instance", "ranks", "batch", "step", "time p50 (p90)", "price p50 (p90)"});
  for (const RankedPlan& ranked : result.ranked) print(ranked);
  for (const std::string& reason : explain(job, result)) std::printf("%s\n", reason.c_str());
  return result.termination == Termination::kFeasible ? 0 : 3;
}

}  // namespace

int main(int argc, char** argv) {
  const Result<int> status = plan_job(argc > 1 ? argv[1] : DATA_FOLDER);
  if (status.ok()) return *status;
  std::fprintf(stderr, "error: %s\n%s\n", status.error().message.c_str(),
               status.error().help.c_str());
  return 2;
}
