#pragma once
// A lawful plan, prediction and measurement of every kind, for tests that change one thing about
// them.

#include <vector>

#include "plan/measurement.h"
#include "plan/plan.h"
#include "plan/prediction.h"

namespace pluto::testing {

/// Four ranks on one node of eight, every optional field set, all three ways of synchronising.
inline Plan sample_plan() {
  Plan plan;
  plan.job = "fashion";
  plan.model.source = "lenet";
  plan.model.options.classes = 10;
  plan.model_fingerprint = 0xfedcba9876543210;
  plan.data = {"synthetic", std::nullopt, 60000, 2};
  plan.dataset_samples = 60000;
  InstanceType& instance = plan.cluster.instance;
  instance.name = "aws:p4d.24xlarge";
  instance.node.device = {
      "A100 SXM 40GB",
      DeviceKind::kGpu,
      Bytes(40'000'000'000),
      BytesPerSecond(1.555e12),
      {{DType::kF32, FlopsPerSecond(19.5e12)}, {DType::kBF16, FlopsPerSecond(312e12)}},
      {},
      0,
      {},
      {},
      {}};
  instance.node.devices = 8;
  instance.node.intra = {"NVLink3", Seconds(3.4e-6), BytesPerSecond(300e9), 1, 0};
  instance.node.network = {"400 Gb/s EFA", Seconds(20e-6), BytesPerSecond(50e9), 8, 0.25};
  instance.price = DollarsPerHour(21.957642);
  instance.spot_price = DollarsPerHour(8.5);
  instance.price_date = "2026-11-20";
  instance.source = "a price list";
  plan.cluster.nodes = 2;
  plan.backend = "cuda";
  plan.threads_per_rank = 4;
  plan.layout.data = 4;
  plan.global_batch = 256;
  plan.micro_batch = 32;
  plan.accumulation = 2;
  plan.steps = 703;
  plan.optimizer = SgdAttrs{0.9, 0.0005, true};
  plan.learning_rate = {0.1, ScheduleKind::kStep, 6000, {0.1, 0.01, 0.001}, {60000, 120000}};
  plan.rate_basis = RateBasis{RateRule::kGain, 64, 0.03, 0.08, 0.125};
  plan.buckets = {{SyncMethod::kAllReduce, {"fc2.bias", "fc2.weight"}},
                  {SyncMethod::kSufficientFactor, {"fc1.weight"}},
                  {SyncMethod::kParameterServer, {"conv1.weight"}}};
  plan.servers = {0, 2};
  plan.seed = 7;
  plan.budget = Dollars(120);
  plan.deadline = Seconds(21600);
  plan.confidence = 0.95;
  return plan;
}

/// Every field set.
inline RentalTerms sample_rental() {
  RentalTerms terms;
  terms.provisioning = Seconds(60);
  terms.boot = Seconds(240);
  terms.billing_step = Seconds(1);
  terms.billing_minimum = Seconds(60);
  terms.storage = BytesPerSecond(1e9);
  terms.storage_usd_per_gb_month = 0.023;
  terms.spot_price_spread = 0.1;
  terms.interruptions = {Seconds(5400), Seconds(3600), 0.3, Evidence::kCalibrated, "a trace"};
  terms.source = "a provider's terms";
  return terms;
}

inline Prediction sample_prediction() {
  Prediction prediction;
  prediction.step_time = {Seconds(0.010), Seconds(0.011), Seconds(0.0125)};
  prediction.terms = {{"compute", Seconds(0.008), 0.02, Evidence::kMeasured},
                      {"exposed_comm", Seconds(0.002), 0.1, Evidence::kInterpolated},
                      {"exposed_input", Seconds(0), 0, Evidence::kAssumed},
                      {"update", Seconds(0.001), 0.05, Evidence::kCalibrated}};
  prediction.memory = {Bytes(1), Bytes(2), Bytes(3), Bytes(4),
                       Bytes(5), Bytes(6), Bytes(7), Bytes(8)};
  prediction.process_overhead = Bytes(123456789);
  prediction.steps = 703;
  prediction.time_to_target = {Seconds(7.0), Seconds(7.7), Seconds(8.8)};
  prediction.price = {Dollars(0.04), Dollars(0.05), Dollars(0.06)};
  prediction.run_terms = {{"training", Seconds(6.7), Dollars(0.03), 0.1, Evidence::kInterpolated},
                          {"start_up", Seconds(1.0), Dollars(0.02), 0.5, Evidence::kAssumed}};
  prediction.p_deadline = 0.99;
  prediction.p_budget = 1.0;
  prediction.p_both = 0.985;
  prediction.watermark = 42;
  prediction.assumptions = {"reading is not measured"};
  return prediction;
}

inline RunContext sample_context() {
  return {"node1", "Intel Xeon", "cpu Xeon 2 threads oneDNN 2.6.3", "2026-11-20T08:00:00Z", 2};
}

inline OpMeasurement sample_op(std::int64_t micro_batch = 32) {
  OpSignature signature;
  signature.kind = OpKind::kRelu;
  signature.attrs = default_attrs(OpKind::kRelu);
  signature.inputs = {{Shape{{6, 28, 28}}, DType::kF32, 1}};
  signature.outputs = signature.inputs;
  signature.micro_batch = micro_batch;
  return {signature, "jit:avx512_core", {Seconds(1.25e-5), 0.013, 40}, Bytes(4096)};
}

/// Every field set to something that is not its default.
inline TransformerPlan sample_transformer_plan() {
  TransformerPlan plan;
  plan.data = 2;
  plan.tensor = 4;
  plan.pipeline = 2;
  plan.context = 2;
  plan.interleave = 3;
  plan.sequence_parallel = plan.overlap_data = plan.overlap_tensor = true;
  plan.shard = 1;
  plan.micro_batch = 4;
  plan.global_batch = 64;
  plan.recompute = Recompute::kSelective;
  plan.precision = TrainPrecision::kFp16;
  plan.attention = AttentionKernel::kFlash2;
  plan.gradient_bytes = 4;
  return plan;
}

/// One of every kind, all of sample_context().
inline std::vector<Measurement> sample_measurements() {
  const Timing timing{Seconds(0.00123456789012345), 0.015, 31};
  const RunContext context = sample_context();
  return {
      {context, sample_op()},
      {context, CollectiveMeasurement{CollectiveKind::kReduceScatter, Bytes(1 << 20), 4, "mpi",
                                      timing, 0.75}},
      {context, InputMeasurement{"fashion-mnist", Bytes(3140), timing}},
      {context, ProcessMeasurement{Bytes(91234304), 2}},
      {context, StepMeasurement{0xfedcba9876543210, 50, timing, Seconds(0.8e-3), Seconds(0.3e-3),
                                Seconds(0.1e-3), Seconds(0.05e-3), Bytes(1 << 24), Bytes(1 << 27)}},
      {context, ConvergencePoint{0xfedcba9876543210, 100, 6400, 0.456, 0.875}},
      {context, ConvergencePoint{0xfedcba9876543210, 150, 9600, 0.345, std::nullopt}},
      {context,
       TransformerStepMeasurement{TransformerShape::gpt(24, 2048, 16, 1024, 51200),
                                  sample_transformer_plan(), sample_plan().cluster, timing}}};
}

}  // namespace pluto::testing
