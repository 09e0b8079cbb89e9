// How many predictions a second one core makes: closed form, simulated again (a lowered plan under
// another number of ranks), and from the model on (lowered and simulated). And what lowering holds
// in memory for 8 devices and for 4,096.

#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <string>

#include "costmodel/pipeline_simulator.h"
#include "costmodel/predictor.h"
#include "costmodel/sources.h"
#include "costmodel/transformer.h"
#include "model/zoo.h"
#include "plan/catalog.h"

namespace pluto {
namespace {

const std::string kData = std::string(PLUTO_SOURCE_DIR) + "/data";

/// Calls a second, over about a second.
double rate_of(const std::function<void()>& call) {
  using Clock = std::chrono::steady_clock;
  int calls = 0;
  const auto start = Clock::now();
  double elapsed = 0;
  do {
    call();
    ++calls;
    elapsed = std::chrono::duration<double>(Clock::now() - start).count();
  } while (elapsed < 1);
  return calls / elapsed;
}

double resident_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

template <class T>
T must(Result<T> result) {
  if (result.ok()) return std::move(result).value();
  fmt::print(stderr, "error: {}\n", result.error().message);
  std::exit(1);
}

Plan plan_for(const ModelGraph& model, const InstanceType& instance, int data, int tensor,
              int pipeline, std::int64_t micro_batch, std::int64_t accumulation) {
  Plan plan;
  plan.model.source = model.name;
  plan.model_fingerprint = model.graph.fingerprint();
  plan.data.samples = plan.dataset_samples = 1'000'000;
  const int devices = instance.node.devices;
  plan.cluster = {instance, (data * tensor * pipeline + devices - 1) / devices};
  plan.backend = "cuda";
  plan.layout.data = data;
  plan.layout.tensor = tensor;
  plan.layout.pipeline = pipeline;
  plan.sequence_parallel = tensor > 1;
  plan.precision = TrainPrecision::kBf16;
  plan.micro_batch = micro_batch;
  plan.accumulation = accumulation;
  plan.global_batch = data * micro_batch * accumulation;
  plan.optimizer = AdamAttrs{};
  if (data > 1) {
    BucketPlan bucket;
    std::int64_t bytes = 0;
    for (const GradientInfo& gradient : must(gradient_order(model, plan))) {
      bucket.parameters.push_back(gradient.name);
      bytes += gradient.bytes.value();
      if (bytes < 25 << 20) continue;
      plan.buckets.push_back(std::exchange(bucket, {}));
      bytes = 0;
    }
    if (!bucket.parameters.empty()) plan.buckets.push_back(std::move(bucket));
  }
  return plan;
}

void line(const std::string& what, const Plan& plan, const ModelGraph& model,
          const CostSource& costs) {
  const SimulateOptions times{.timeline = false};
  double again = 0, whole = 0;
  Seconds step;
  if (plan.layout.pipeline > 1) {
    const LoweredPipeline lowered = must(lower_pipeline(model, plan));
    step = must(simulate(lowered, plan, costs, times)).step();
    again = rate_of([&] { must(simulate(lowered, plan, costs, times)); });
    whole = rate_of([&] { must(predict(model, plan, costs)); });
  } else {
    const LoweredPlan lowered = must(lower(model, plan));
    step = must(simulate(lowered, plan.cluster, plan.data, costs, times)).step();
    again = rate_of([&] { must(simulate(lowered, plan.cluster, plan.data, costs, times)); });
    whole = rate_of([&] { must(predict(model, plan, costs)); });
  }
  fmt::print("{:<28} {:>6} {:>12} {:>14.0f} {:>14.1f} {:>10.0f}\n", what, plan.layout.ranks(),
             to_text(step), again, whole, resident_mib());
}

/// The same plan by the closed form, layer costs kept from one prediction to the next.
void closed_form(const Plan& plan, const TransformerCosts& costs) {
  const TransformerShape shape = TransformerShape::gpt(96, 12288, 96, 2048, 51200);
  TransformerPlan closed;
  closed.data = plan.layout.data;
  closed.tensor = plan.layout.tensor;
  closed.pipeline = plan.layout.pipeline;
  closed.sequence_parallel = plan.sequence_parallel;
  closed.micro_batch = static_cast<int>(plan.micro_batch);
  closed.global_batch = static_cast<int>(plan.global_batch);
  closed.attention = plan.attention;
  closed.gradient_bytes = 4;
  closed.overlap_data = true;
  const TransformerLayerCost layer = layer_cost(shape, closed, plan.cluster, costs);
  TransformerStep step;
  const double rate = rate_of([&] {
    for (int i = 0; i < 1000; ++i) {
      step = predict_transformer(layer, shape, closed, plan.cluster, costs);
    }
  });
  fmt::print("{:<28} {:>6} {:>12} {:>14.0f} a second\n", "  in closed form", plan.layout.ranks(),
             to_text(step.step()), 1000 * rate);
}

int run() {
  const Catalog catalog = must(Catalog::load(kData + "/catalog"));
  RooflineOptions options;
  options.surfaces_path = kData + "/op_surfaces.json";
  const auto costs = must(make_roofline_source(kData + "/efficiency.json", options));
  const InstanceType instance = must(catalog.instance("aws:p4d.24xlarge"));
  fmt::print("{:<28} {:>6} {:>12} {:>14} {:>14} {:>10}\n", "model and layout", "ranks", "step",
             "simulated/s", "predicted/s", "MiB so far");
  const ModelGraph resnet = must(build_model("resnet50"));
  for (const int data : {8, 64, 512, 1024}) {
    line("resnet50 data", plan_for(resnet, instance, data, 1, 1, 64, 1), resnet, *costs);
  }
  const TransformerCostTable table = must(TransformerCostTable::load(kData + "/transformer.json"));
  ZooOptions gpt3;
  gpt3.layers = 96;
  gpt3.width_model = 12288;
  gpt3.heads = 96;
  gpt3.sequence = 2048;
  gpt3.vocabulary = 51200;
  const ModelGraph model = must(build_model("gpt2", gpt3));
  for (const int devices : {64, 512, 4096}) {
    const Plan plan = plan_for(model, instance, devices / 64, 8, 8, 1, 64);
    line("gpt3-175b tensor 8 pipeline 8", plan, model, *costs);
    closed_form(plan, table.costs_for(instance.node.device));
  }
  return 0;
}

}  // namespace
}  // namespace pluto

int main() { return pluto::run(); }
