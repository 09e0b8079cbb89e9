// How good and how fast the ways to search are. Where stages begin: the greedy memory-first
// placement, annealing, the exact cuts by dynamic programming, and every cut, as the simulator sees
// their steps. And what a search that was stopped says it may have missed, against what it missed.
// "searchers quick": fewer cases.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "costmodel/pipeline_simulator.h"
#include "costmodel/sources.h"
#include "model/zoo.h"
#include "plan/catalog.h"
#include "plan/pipeline.h"
#include "planner/annealed_cuts.h"
#include "planner/cut_choice.h"
#include "planner/greedy_placement.h"
#include "planner/planner.h"

namespace pluto {
namespace {

const std::string kData = std::string(PLUTO_SOURCE_DIR) + "/data";
constexpr std::int64_t kAnnealed = 2000;  // evaluations
constexpr std::int64_t kEveryCut = 600;   // at most so many are tried
constexpr double kNothing = -1;           // no cuts that fit

template <class T>
T must(Result<T> result) {
  if (result.ok()) return std::move(result).value();
  fmt::print(stderr, "error: {}\n", result.error().message);
  std::exit(1);
}

/// Processor time of a call.
double seconds_of(const auto& call) {
  const std::clock_t start = std::clock();
  call();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

/// What one way to cut found.
struct Found {
  double step = kNothing;
  double seconds = 0;  ///< in the solver; of every cut: with the simulator
  std::int64_t evaluations = 0;
};

class Placements {
 public:
  Placements(const CostSource& costs, InstanceType instance)
      : costs_(costs), instance_(std::move(instance)) {}

  void print_header() const {
    fmt::print(
        "Stages of one micro-batch of 4 at a time, 8 of them, on {}. Step: over the best of the "
        "row. "
        "Time: in the solver, over dynamic programming's.\n",
        instance_.name);
    fmt::print(
        "{:<11}{:>4}{:>8} | {:>7}{:>6}{:>7} | {:>7}{:>6}{:>7} | {:>7}{:>9} | {:>7}{:>6}{:>8}\n",
        "model", "GPUs", "memory", "greedy", "evals", "time", "anneal", "evals", "time", "DP",
        "time", "every", "cuts", "time");
  }

  void compare(const std::string& name, int stages) {
    const ModelGraph model = must(build_model(name));
    Plan plan = plan_for(model, stages);
    const Found free = solved(model, plan, cut_stages, 1);
    if (free.step == kNothing) return;
    plan.pipeline = *must(cuts_by(cut_stages, model, plan, costs_));
    const double needed = fullest(model, plan);
    for (const double part : {0.0, 0.95, 0.85}) {
      if (part > 0) {
        plan.cluster.instance.node.device.memory = Bytes(static_cast<std::int64_t>(part * needed));
      }
      row(name, model, plan, part);
    }
  }

  void print_summary() const {
    for (std::size_t i = 0; i < 3; ++i) {
      const char* names[] = {"greedy", "annealing", "dynamic programming"};
      const Sum& sum = sums_[i];
      fmt::print(
          "{:<20} {:.4f} on average (geometric), {:.4f} at worst, nothing that fits in {} of {} "
          "rows\n",
          names[i], sum.rows == sum.none ? 1.0 : std::exp(sum.logs / (sum.rows - sum.none)),
          sum.worst, sum.none, sum.rows);
    }
  }

 private:
  struct Sum {
    double logs = 0, worst = 1;
    int rows = 0, none = 0;
  };

  Plan plan_for(const ModelGraph& model, int stages) const {
    Plan plan;
    plan.model.source = model.name;
    plan.model_fingerprint = model.graph.fingerprint();
    plan.data.samples = plan.dataset_samples = 1'000'000;
    plan.cluster = {instance_, 1};
    plan.backend = "cuda";
    plan.layout.pipeline = stages;
    plan.micro_batch = 4;
    plan.accumulation = 8;
    plan.global_batch = 32;
    plan.optimizer = AdamAttrs{};
    return plan;
  }

  double step_of(const ModelGraph& model, const Plan& plan) const {
    const auto pipeline = lower_pipeline(model, plan);
    if (!pipeline.ok()) return kNothing;
    const Bytes memory = plan.cluster.instance.node.device.memory;
    for (const PipelineStage& stage : pipeline->stages) {
      if (stage_memory(stage, {}).total() > memory) return kNothing;
    }
    return must(simulate(*pipeline, plan, costs_, {.timeline = false})).step().value();
  }

  double fullest(const ModelGraph& model, const Plan& plan) const {
    Bytes most;
    for (const PipelineStage& stage : must(lower_pipeline(model, plan)).stages) {
      most = std::max(most, stage_memory(stage, {}).total());
    }
    return static_cast<double>(most.value());
  }

  Found solved(const ModelGraph& model, Plan plan, const CutSolver& solver,
               std::int64_t evaluations) const {
    Found found;
    const CutSolver timed = [&](std::span<const ChainLayer> layers, const CutRules& rules) {
      std::optional<Result<std::optional<StageCuts>>> cuts;
      found.seconds += seconds_of([&] { cuts.emplace(solver(layers, rules)); });
      found.evaluations += evaluations;
      return *std::move(cuts);
    };
    const auto cuts = must(cuts_by(timed, model, plan, costs_));
    if (!cuts) return found;
    plan.pipeline = *cuts;
    found.step = step_of(model, plan);
    return found;
  }

  /// Every set of cuts through the simulator; nullopt: too many.
  std::optional<Found> every_cut(const ModelGraph& model, Plan plan) const {
    const ModelGraph forward = must(transformed(model, plan));
    const auto& ops = forward.graph.ops();
    const std::size_t count = ops.size(), cuts = static_cast<std::size_t>(plan.layout.pipeline) - 1;
    double ways = 1;
    for (std::size_t i = 0; i < cuts; ++i) {
      ways = ways * static_cast<double>(count - 1 - i) / static_cast<double>(i + 1);
    }
    if (ways > kEveryCut) return std::nullopt;
    Found found;
    std::vector<bool> taken(count - 1);
    std::fill(taken.begin(), taken.begin() + static_cast<std::ptrdiff_t>(cuts), true);
    found.seconds = seconds_of([&] {
      do {
        plan.pipeline.cuts.clear();
        for (std::size_t i = 0; i + 1 < count; ++i) {
          if (taken[i]) plan.pipeline.cuts.push_back(ops[i + 1].name);
        }
        ++found.evaluations;
        const double step = step_of(model, plan);
        if (step != kNothing && (found.step == kNothing || step < found.step)) found.step = step;
      } while (std::prev_permutation(taken.begin(), taken.end()));
    });
    return found;
  }

  void row(const std::string& name, const ModelGraph& model, const Plan& plan, double part) {
    const CutSolver annealed = [](std::span<const ChainLayer> layers, const CutRules& rules) {
      return anneal_cuts(layers, rules, {1, kAnnealed, {}});
    };
    const Found found[] = {solved(model, plan, place_greedily, 1),
                           solved(model, plan, annealed, kAnnealed),
                           solved(model, plan, cut_stages, 1)};
    const auto all = every_cut(model, plan);
    double best = all ? all->step : kNothing;
    for (const Found& one : found) {
      if (one.step != kNothing && (best == kNothing || one.step < best)) best = one.step;
    }
    for (std::size_t i = 0; best != kNothing && i < 3; ++i) {
      Sum& sum = sums_[i];
      ++sum.rows;
      if (found[i].step == kNothing) {
        ++sum.none;
      } else {
        sum.logs += std::log(found[i].step / best);
        sum.worst = std::max(sum.worst, found[i].step / best);
      }
    }
    const auto ratio = [&](const Found& one) {
      return one.step == kNothing ? std::string("none") : fmt::format("{:.3f}", one.step / best);
    };
    const double unit = std::max(found[2].seconds, 1e-9);
    fmt::print("{:<11}{:>4}{:>8} | {:>7}{:>6}{:>7.2f} | {:>7}{:>6}{:>7.1f} | {:>7}{:>6.0f} us |",
               name, plan.layout.pipeline, part == 0 ? "ample" : fmt::format("{:.2f}", part),
               ratio(found[0]), found[0].evaluations, found[0].seconds / unit, ratio(found[1]),
               found[1].evaluations, found[1].seconds / unit, ratio(found[2]), unit * 1e6);
    if (all) {
      fmt::print(" {:>7}{:>6}{:>8.0f}\n", ratio(*all), all->evaluations, all->seconds / unit);
    } else {
      fmt::print(" {:>7}\n", "many");
    }
    std::fflush(stdout);
  }

  const CostSource& costs_;
  const InstanceType instance_;
  Sum sums_[3];
};

/// A search over sixteen GPU instances, stopped after some parts of its work.
void gaps(const std::string& name, const std::vector<Candidate>& places, const CostSource& costs) {
  TrainingJob job;
  job.name = job.model.source = name;
  job.data.samples = 1'281'167;
  job.epochs = 40;
  job.optimizer = SgdAttrs{0.9, 0, false};
  job.global_batch = 1024;
  job.precision = TrainPrecision::kFp16;
  job.spot = SpotUse::kNever;
  const ModelGraph model = must(build_model(name));
  std::int64_t asked = 0, most = -1;
  const auto searched = [&] {
    asked = 0;
    return must(search(job, model, *job.data.samples, places, costs,
                       {false, [&] { return asked++ >= most && most >= 0; }}));
  };
  SearchResult whole;
  const double seconds = seconds_of([&] { whole = searched(); });
  const std::int64_t all = asked;
  const double best = whole.ranked.front().prediction.price.p50.value();
  fmt::print("{:<11} {} instances, {} cells, complete: {} plans, {:.2f} s, printed gap {:.2f} %\n",
             name, places.size(), whole.cells, whole.evaluated, seconds, 100 * whole.gap);
  for (const double part : {0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99}) {
    most = static_cast<std::int64_t>(part * static_cast<double>(all));
    const SearchResult stopped = searched();
    if (stopped.ranked.empty()) {
      fmt::print("  stopped at {:>3.0f} %: nothing priced yet\n", 100 * part);
      continue;
    }
    const double first = stopped.ranked.front().prediction.price.p50.value();
    fmt::print(
        "  stopped at {:>3.0f} %: {:>6} plans, printed gap {:>6.2f} %, really missed {:>5.2f} "
        "%{}\n",
        100 * part, stopped.evaluated, 100 * stopped.gap, 100 * (1 - best / first),
        first * (1 - stopped.gap) <= best * (1 + kNegligibleGain) ? "" : "  WRONG");
  }
}

int run(bool quick) {
  RooflineOptions options;
  options.surfaces_path = kData + "/op_surfaces.json";
  const auto costs = must(make_roofline_source(kData + "/efficiency.json", options));
  const Catalog catalog = must(Catalog::load(kData + "/catalog"));
  Placements placements(*costs, must(catalog.instance("aws:p4d.24xlarge")));
  placements.print_header();
  const std::vector<std::string> models =
      quick ? std::vector<std::string>{"lenet", "alexnet"}
            : std::vector<std::string>{"lenet",    "alexnet",  "vgg16", "googlenet",
                                       "resnet18", "resnet50", "gpt2"};
  for (const std::string& name : models) {
    for (const int stages : {2, 4, 8}) {
      if (quick && stages > 4) continue;
      placements.compare(name, stages);
    }
  }
  placements.print_summary();
  std::vector<Candidate> places;
  for (const InstanceType& instance : catalog.instances()) {
    const std::size_t limit = quick ? 2 : 16;
    if (instance.node.device.kind == DeviceKind::kGpu && places.size() < limit) {
      places.push_back({instance, quick ? 8 : 32, 1, "cuda"});
    }
  }
  fmt::print(
      "\nStopped searches (the least price): what may be missed, as printed, and what was.\n");
  for (const char* name : {"resnet50", "vgg16"}) {
    if (!quick || name == std::string_view("vgg16")) gaps(name, places, *costs);
  }
  return 0;
}

}  // namespace
}  // namespace pluto

int main(int argc, char** argv) {
  return pluto::run(argc > 1 && std::string_view(argv[1]) == "quick");
}
