// How long a search takes, start-up included: GPT-3 175B over the whole catalog, ResNet-50 with a
// budget and a deadline, and every plan of GPT-3 on 1,024 GPUs priced one by one, against the
// search of the same space. One thread.

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "costmodel/sources.h"
#include "costmodel/transformer_graph.h"
#include "costmodel/transformer_memory.h"
#include "model/zoo.h"
#include "plan/catalog.h"
#include "planner/planner.h"

namespace pluto {
namespace {

const std::string kData = std::string(PLUTO_SOURCE_DIR) + "/data";

template <class T>
T must(Result<T> result) {
  if (result.ok()) return std::move(result).value();
  fmt::print(stderr, "error: {}\n", result.error().message);
  std::exit(1);
}

class Watch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void print(const char* what, double seconds, const SearchResult& result) {
  const auto& first = result.ranked.front();
  fmt::print("{:<44} {:>8.2f} s {:>10} plans {:>10.0f}/s   {} x {}, {} tensor x {} pipeline\n",
             what, seconds, result.evaluated, static_cast<double>(result.evaluated) / seconds,
             first.plan.cluster.nodes, first.plan.cluster.instance.name, first.plan.layout.tensor,
             first.plan.layout.pipeline);
}

TrainingJob gpt3_job() {
  TrainingJob job;
  job.name = "gpt3";
  job.model.source = "gpt2";
  job.model.options.layers = 96;
  job.model.options.width_model = 12288;
  job.model.options.heads = 96;
  job.model.options.sequence = 2048;
  job.model.options.vocabulary = 51200;
  job.data.samples = 1'000'000;
  job.target_samples = 600'000;
  job.optimizer = AdamAttrs{};
  job.global_batch = 1536;
  job.precision = TrainPrecision::kBf16;
  return job;
}

std::vector<TransformerPlace> places_of(const std::vector<InstanceType>& instances, int ranks) {
  const auto table = must(TransformerCostTable::load(kData + "/transformer.json"));
  std::vector<TransformerPlace> places;
  for (const InstanceType& instance : instances) {
    if (instance.node.device.kind != DeviceKind::kGpu) continue;
    places.push_back({{instance, ranks, 1, "cuda"},
                      must(transformer_evidence({}, instance.node.device, table))});
  }
  return places;
}

void whole_catalog() {
  const Watch watch;
  TrainingJob job = gpt3_job();
  job.min_ranks = 64;
  job.max_ranks = 4096;
  job.deadline = Seconds(30 * 86400);
  job.budget = Dollars(3e6);
  const ModelGraph model = must(build_model(job.model.source, job.model.options));
  const TransformerShape shape = must(transformer_shape(model));
  const Catalog catalog = must(Catalog::load(kData + "/catalog"));
  const auto places = places_of(catalog.instances(), 4096);
  const auto result = must(search(job, model, shape, 1'000'000, places, {}));
  print(fmt::format("GPT-3 175B, 64..4096 GPUs of {} instances", places.size()).c_str(),
        watch.seconds(), result);
}

void convolutional() {
  const Watch watch;
  TrainingJob job;
  job.name = job.model.source = "resnet50";
  job.data.samples = 1'281'167;
  job.epochs = 40;
  job.optimizer = SgdAttrs{0.9, 0, false};
  job.global_batch = 2048;
  job.precision = TrainPrecision::kFp16;
  job.budget = Dollars(500);
  job.deadline = Seconds(12 * 3600);
  const ModelGraph model = must(build_model(job.model.source));
  const Catalog catalog = must(Catalog::load(kData + "/catalog"));
  std::vector<Candidate> candidates;
  for (const InstanceType& instance : catalog.instances()) {
    if (instance.node.device.kind == DeviceKind::kGpu) {
      candidates.push_back({instance, 64, 1, "cuda"});
    }
  }
  RooflineOptions options;
  options.surfaces_path = kData + "/op_surfaces.json";
  const auto costs = must(make_roofline_source(kData + "/efficiency.json", options));
  const auto result = must(search(job, model, 1'281'167, candidates, *costs, {}));
  print(fmt::format("ResNet-50, 1..64 GPUs of {} instances", candidates.size()).c_str(),
        watch.seconds(), result);
}

/// Every plan of 1,024 ranks, no bound used. Returns the fastest step that fits.
double every_plan(const TrainingJob& job, const TransformerShape& shape,
                  const TransformerPlace& place, std::int64_t& priced) {
  const int ranks = 1024, batch = static_cast<int>(*job.global_batch);
  const ClusterSpec cluster{place.candidate.instance,
                            ranks / place.candidate.instance.node.devices};
  const Bytes memory = cluster.instance.node.device.memory;
  double least = 1e300;
  for (int flags = 0; flags < 3 * 2 * 2 * 5; ++flags) {
    TransformerPlan plan;
    plan.precision = job.precision;
    plan.attention = job.attention;
    plan.overlap_data = true;
    plan.gradient_bytes = 4;
    plan.recompute = static_cast<Recompute>(flags % 3);
    plan.sequence_parallel = flags / 3 % 2 == 1;
    const bool gathered = flags / 6 % 2 == 1;
    plan.context = 1 << flags / 12;
    for (plan.tensor = 1; plan.tensor <= shape.heads; ++plan.tensor) {
      if (shape.heads % plan.tensor != 0 || (plan.sequence_parallel && plan.tensor == 1)) continue;
      for (plan.micro_batch = 1; plan.micro_batch <= batch; ++plan.micro_batch) {
        if (batch % plan.micro_batch != 0 || ranks % (plan.tensor * plan.context) != 0) continue;
        plan.data = plan.pipeline = plan.interleave = 1;
        plan.global_batch = plan.micro_batch;
        plan.shard = gathered ? 3 : 0;
        const auto layer = layer_cost(shape, plan, cluster, place.evidence.costs);
        plan.global_batch = batch;
        const int outer = ranks / plan.tensor / plan.context;
        for (plan.pipeline = 1; plan.pipeline <= shape.layers; ++plan.pipeline) {
          if (outer % plan.pipeline != 0) continue;
          plan.data = outer / plan.pipeline;
          if (batch % plan.data != 0 || batch / plan.data % plan.micro_batch != 0) continue;
          const int micro_batches = batch / plan.data / plan.micro_batch;
          for (plan.interleave = 1; plan.interleave * plan.pipeline <= shape.layers;
               ++plan.interleave) {
            if (plan.interleave > 1 && (plan.pipeline == 1 || micro_batches % plan.pipeline != 0 ||
                                        shape.layers % (plan.pipeline * plan.interleave) != 0)) {
              continue;
            }
            const int most = plan.data * plan.context == 1 ? 0 : plan.pipeline > 1 ? 1 : 2;
            for (int shard = gathered ? 3 : 0; shard <= (gathered ? 3 : most); ++shard) {
              if (gathered && most < 2) continue;
              plan.shard = shard;
              ++priced;
              const double step =
                  predict_transformer(layer, shape, plan, cluster, place.evidence.costs)
                      .step()
                      .value();
              if (fullest_stage(shape, plan).reserved() <= memory) least = std::min(least, step);
            }
          }
        }
      }
    }
  }
  return least;
}

void peers_case() {
  TrainingJob job = gpt3_job();
  job.ranks = 1024;
  const ModelGraph model = must(build_model(job.model.source, job.model.options));
  const TransformerShape shape = must(transformer_shape(model));
  const Catalog catalog = must(Catalog::load(kData + "/catalog"));
  InstanceType dgx = must(catalog.instance("aws:p4d.24xlarge"));
  dgx.name = "8 A100 80GB";
  dgx.node.device = must(catalog.device("A100 SXM 80GB"));
  const auto places = places_of({dgx}, 1024);
  const Watch watch;
  const auto found = must(search(job, model, shape, 1'000'000, places, {}));
  print("GPT-3 175B on 1,024 A100, searched", watch.seconds(), found);
  const Watch all;
  std::int64_t priced = 0;
  const double least = every_plan(job, shape, places.front(), priced);
  const double seconds = all.seconds(), rate = static_cast<double>(priced) / seconds;
  fmt::print("{:<44} {:>8.2f} s {:>10} plans {:>10.0f}/s   the search's step is {:.4f} of theirs\n",
             "  every plan priced, nothing left out", seconds, priced, rate,
             found.ranked.front().prediction.step_time.p50.value() / least);
}

}  // namespace
}  // namespace pluto

int main() {
  pluto::whole_catalog();
  pluto::convolutional();
  pluto::peers_case();
  return 0;
}
