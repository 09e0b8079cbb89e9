#include "plan/job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// 2026-11-20T08:00Z
constexpr double kNow = 1795161600;

Result<TrainingJob> read(const std::string& yaml) {
  PLUTO_ASSIGN(const Value document, parse_yaml(yaml, "job.yaml"));
  return job_from_value(document, "job.yaml", kNow);
}

constexpr const char* kWhole = R"(name: fashion
model: {name: lenet, channels: 1, height: 28, width: 28, classes: 10}
data: {source: fashion-mnist, path: /data/fashion, samples: 5000, readers: 2}
target: {epochs: 1.5}
budget: 120
deadline: 2026-11-20T14:30:00Z
confidence: 0.95
precision: bf16
attention: scores
minimize: risk
optimizer: {name: adamw, beta1: 0.8, beta2: 0.99, epsilon: 1.0e-7, weight_decay: 0.01}
batch: {global: auto, max: 4096, micro: 16}
learning_rate:
  peak: 0.003
  at_batch: 256
  rule: lamb
  schedule: cosine
  warmup_samples: 5000
sync: {allow: [sufficient_factor, all_reduce]}
cluster:
  instances: [local, "aws:p4d.24xlarge"]
  max_ranks: 16
  local_price_per_hour: 0.4
  spot: only
evaluation: {samples: 1000, every: 50}
convergence: {source: auto, critical_batch: 2000, exponent: 1.2}
seed: 7
)";

TEST(JobTest, EveryKeyIsRead) {
  const auto job = read(kWhole);
  ASSERT_TRUE(job.ok()) << job.error().message;
  EXPECT_EQ(job->name, "fashion");
  EXPECT_EQ(job->model.source, "lenet");
  ZooOptions options;
  options.channels = 1;
  options.height = options.width = 28;
  options.classes = 10;
  EXPECT_EQ(job->model.options, options);
  EXPECT_EQ(job->data, (DataChoice{"fashion-mnist", "/data/fashion", 5000, 2}));
  EXPECT_EQ(job->epochs, 1.5);
  EXPECT_EQ(job->precision, TrainPrecision::kBf16);
  EXPECT_EQ(job->attention, AttentionKernel::kScores);
  EXPECT_EQ(job->budget, Dollars(120));
  EXPECT_EQ(job->deadline, Seconds(6.5 * 3600));
  EXPECT_EQ(job->confidence, 0.95);
  EXPECT_EQ(job->minimize, Objective::kRisk);
  EXPECT_EQ(std::get<AdamAttrs>(job->optimizer), (AdamAttrs{0.8, 0.99, 1e-7, 0.01, true}));
  EXPECT_EQ(job->spot, SpotUse::kOnly);
  EXPECT_EQ(job->evaluation, (Evaluation{1000, 50}));
  EXPECT_EQ(job->global_batch, std::nullopt);
  EXPECT_EQ(job->max_global_batch, 4096);
  EXPECT_EQ(job->micro_batch, 16);
  EXPECT_EQ(job->learning_rate, (LearningRate{0.003, ScheduleKind::kCosine, 5000, {}, {}}));
  EXPECT_EQ(job->learning_rate_batch, 256);
  EXPECT_EQ(job->allowed_sync,
            (std::vector<SyncMethod>{SyncMethod::kSufficientFactor, SyncMethod::kAllReduce}));
  EXPECT_EQ(job->instances, (std::vector<std::string>{"local", "aws:p4d.24xlarge"}));
  EXPECT_EQ(job->ranks, std::nullopt);
  EXPECT_EQ(job->max_ranks, 16);
  EXPECT_EQ(job->local_price, DollarsPerHour(0.4));
  EXPECT_EQ(job->rate_rule, RateRule::kLamb);
  EXPECT_EQ(job->convergence, (ConvergenceChoice{"auto", 2000, 1.2, {}, {}}));
  EXPECT_EQ(job->seed, 7U);
}

constexpr const char* kShort = R"(model: {name: lenet}
data: {source: fashion-mnist}
target: {steps: 100}
batch: {global: 64}
)";

TEST(JobTest, WhatIsLeftOutHasDocumentedDefaults) {
  const auto job = read(kShort);
  ASSERT_TRUE(job.ok()) << job.error().message;
  EXPECT_EQ(job->name, "job") << "the name of the file";
  EXPECT_EQ(job->data.readers, 1);
  EXPECT_EQ(job->data.samples, std::nullopt);
  EXPECT_EQ(job->target_steps, 100);
  EXPECT_EQ(job->budget, std::nullopt);
  EXPECT_EQ(job->deadline, std::nullopt);
  EXPECT_EQ(job->confidence, 0.9);
  EXPECT_EQ(job->minimize, Objective::kCost);
  EXPECT_EQ(std::get<SgdAttrs>(job->optimizer), SgdAttrs{});
  EXPECT_EQ(job->learning_rate, (LearningRate{0.1, ScheduleKind::kConstant, 0, {}, {}}));
  EXPECT_EQ(job->allowed_sync.size(), 3U);
  EXPECT_EQ(job->instances, std::vector<std::string>{"local"});
  EXPECT_EQ(job->seed, 1U);
}

TEST(JobTest, ASchedulesStepsAreRatesAndEpochsByTurns) {
  const auto job = read(std::string(kShort) +
                        "learning_rate: {steps: \"0.1;5;3.2;30;0.32;60;0.032;80;0.0032\"}\n");
  ASSERT_TRUE(job.ok()) << job.error().message;
  EXPECT_EQ(job->learning_rate.schedule, ScheduleKind::kStep);
  EXPECT_EQ(job->learning_rate.rates, (std::vector<double>{0.1, 3.2, 0.32, 0.032, 0.0032}));
  EXPECT_EQ(job->learning_rate.peak, 0.1);
  EXPECT_EQ(job->step_epochs, (std::vector<double>{5, 30, 60, 80}));
}

TEST(JobTest, ABatchCanBeChosenByAnyKnowledgeOfConvergence) {
  const std::string job =
      "model: {name: lenet}\ndata: {source: fashion-mnist}\ntarget: {epochs: 1}\n"
      "batch: {global: auto, max: 512}\nlearning_rate: {at_batch: 64}\n";
  for (const char* known :
       {"{source: auto}", "{source: fixed}", "{source: resnet}", "{source: points.csv}",
        "{noise_scale: 900, noise_scale_batch: 64}", "{critical_batch: 9}"}) {
    const auto read_job = read(job + "convergence: " + known + "\n");
    EXPECT_TRUE(read_job.ok()) << known << ": " << read_job.error().message;
  }
  EXPECT_FALSE(read(job + "convergence: {}\n").ok());
}

TEST(JobTest, OptimizersHaveTheirOwnDefaults) {
  const auto momentum = read(std::string(kShort) + "optimizer: {name: momentum, nesterov: true}\n");
  ASSERT_TRUE(momentum.ok()) << momentum.error().message;
  EXPECT_EQ(std::get<SgdAttrs>(momentum->optimizer), (SgdAttrs{0.9, 0, true}));
  EXPECT_EQ(momentum->learning_rate.peak, 0.1);
  const auto adam = read(std::string(kShort) + "optimizer: {name: adam}\n");
  ASSERT_TRUE(adam.ok()) << adam.error().message;
  EXPECT_EQ(std::get<AdamAttrs>(adam->optimizer), AdamAttrs{});
  EXPECT_EQ(adam->learning_rate.peak, 0.001);
}

TEST(JobTest, PeakOfAStepScheduleIsItsFirstRate) {
  const auto job =
      read(std::string(kShort) +
           "learning_rate: {schedule: step, rates: [0.2, 0.02], boundaries: [1000]}\n");
  ASSERT_TRUE(job.ok()) << job.error().message;
  EXPECT_EQ(job->learning_rate, (LearningRate{0.2, ScheduleKind::kStep, 0, {0.2, 0.02}, {1000}}));
}

struct Malformed {
  const char* text;
  const char* message;  ///< beginning of the error
  const char* help;     ///< part of it
};

// Each is appended to kShort and so begins in line 5, or replaces it.
TEST(JobTest, LocalStepsAreAllowedByNameOnly) {
  const auto allowed = [](const std::string& list) {
    const auto job = read(std::string(kShort) + "sync: {allow: [" + list + "]}\n");
    EXPECT_TRUE(job.ok()) << job.error().message;
    return job->local_allowed;
  };
  EXPECT_FALSE(allowed("all_reduce"));
  EXPECT_TRUE(allowed("all_reduce, local_sgd"));
}

TEST(JobTest, ImpossibleValuesSayWhereWhatAndTheFix) {
  const Malformed cases[] = {
      {"budget: 0", "job.yaml:5: budget: must be above zero, is 0", "budget: 120"},
      {"budget: -5", "job.yaml:5: budget: must be above zero, is -5", "budget: 120"},
      {"budget: cheap", "job.yaml:5: budget: \"cheap\": expected a number", ""},
      {"bugdet: 5", "job.yaml:5: bugdet: unknown key", "did you mean \"budget\"?"},
      {"deadline: 600", "job.yaml:5: deadline: 600 has no unit", "600s"},
      {"deadline: soon", "job.yaml:5: deadline: \"soon\": expected a number and one of", "1.5h"},
      {"deadline: 2026-11-19T08:00Z", "job.yaml:5: deadline: \"2026-11-19T08:00Z\" is in the past",
       "later time"},
      {"deadline: 2026-12-01T08:00", "job.yaml:5: deadline: \"2026-12-01T08:00\": the time zone",
       "Z is UTC"},
      {"confidence: 0.4", "job.yaml:5: confidence: must be between 0.5 and 0.999, is 0.4", "0.9"},
      {"confidence: 1", "job.yaml:5: confidence: must be between 0.5 and 0.999, is 1", "0.9"},
      {"minimize: costs", "job.yaml:5: minimize: unknown objective \"costs\"",
       "did you mean \"cost\"?"},
      {"optimizer: {name: adma}", "job.yaml:5: optimizer.name: unknown optimizer \"adma\"",
       "did you mean \"adam\"?"},
      {"optimizer: {momentum: 0.9}", "job.yaml:5: optimizer.name: missing", "name"},
      {"optimizer: {name: sgd, momentum: 1}", "job.yaml:5: optimizer.momentum: must be at least 0",
       "0.9"},
      {"optimizer: {name: sgd, nesterov: true}", "job.yaml:5: optimizer.nesterov: needs a momentum",
       "momentum: 0.9"},
      {"optimizer: {name: sgd, beta1: 0.9}", "job.yaml:5: optimizer.beta1: has no meaning for sgd",
       "remove"},
      {"optimizer: {name: adam, momentum: 0.9}",
       "job.yaml:5: optimizer.momentum: has no meaning for adam", "remove"},
      {"optimizer: {name: adam, epsilon: 0}", "job.yaml:5: optimizer.epsilon: must be above zero",
       "1.0e-8"},
      {"optimizer: {name: adam, weight_decay: -1}",
       "job.yaml:5: optimizer.weight_decay: must not be negative, is -1", "0.01"},
      {"learning_rate: {peak: 0}", "job.yaml:5: learning_rate.peak: must be above zero", "0.1"},
      {"learning_rate: {peak: -0.1}", "job.yaml:5: learning_rate.peak: must be above zero", "0.1"},
      {"learning_rate: {schedule: cosin}",
       "job.yaml:5: learning_rate.schedule: unknown schedule \"cosin\"", "cosine"},
      {"learning_rate: {warmup_samples: -1}",
       "job.yaml:5: learning_rate.warmup_samples: must not be negative", "50000"},
      {"learning_rate: {rates: [0.1]}",
       "job.yaml:5: learning_rate.rates: has no meaning for the constant schedule",
       "schedule: step"},
      {"learning_rate: {schedule: step}", "job.yaml:5: learning_rate.boundaries: is missing",
       "rates: [0.1, 0.01]"},
      {"learning_rate: {schedule: step, rates: [0.1], boundaries: [10]}",
       "job.yaml:5: learning_rate.rates: has 1 entries, but 1 boundaries separate 2 rates",
       "one rate more"},
      {"learning_rate: {schedule: step, rates: [0.1, -0.01], boundaries: [10]}",
       "job.yaml:5: learning_rate.rates[1]: must not be negative, is -0.01", ""},
      {"learning_rate: {schedule: step, rates: [0.3, 0.2, 0.1], boundaries: [10, 10]}",
       "job.yaml:5: learning_rate.boundaries[1]: must be above 10, is 10", "rising order"},
      {"learning_rate: {schedule: step, rates: [0.3, 0.2], boundaries: [0]}",
       "job.yaml:5: learning_rate.boundaries[0]: must be above 0, is 0", "rising order"},
      {"learning_rate: {schedule: step, peak: 1, rates: [0.3, 0.2], boundaries: [5]}",
       "job.yaml:5: learning_rate.peak: is 1, but the first rate is 0.3", "leave peak out"},
      {"learning_rate: {schedule: step, rates: [0.3, fast], boundaries: [5]}",
       "job.yaml:5: learning_rate.rates: expected a list of numbers", ""},
      {"learning_rate: {at_batch: 0}", "job.yaml:5: learning_rate.at_batch: must be at least 1",
       "256"},
      {"sync: {allow: []}", "job.yaml:5: sync.allow: names no method", "all_reduce"},
      {"sync: {allow: [local_sgd]}", "job.yaml:5: sync.allow: names no method", "all_reduce"},
      {"sync: {allow: [all_reduc]}", "job.yaml:5: sync.allow: ", "all_reduce"},
      {"sync: {allow: [none]}", "job.yaml:5: sync.allow[0]: \"none\" synchronises nothing",
       "all_reduce"},
      {"sync: {allow: [all_reduce, all_reduce]}",
       "job.yaml:5: sync.allow[1]: \"all_reduce\" is there twice", "remove"},
      {"sync: {allow: all_reduce}", "job.yaml:5: sync.allow: \"all_reduce\": expected an array",
       ""},
      {"sync: {allowed: [all_reduce]}", "job.yaml:5: sync.allowed: unknown key", "allow"},
      {"cluster: {instances: []}", "job.yaml:5: cluster.instances: is empty", "[local]"},
      {"cluster: {instances: [local, local]}",
       "job.yaml:5: cluster.instances[1]: \"local\" is there twice", "remove"},
      {"cluster: {instances: [3]}", "job.yaml:5: cluster.instances: entry 1: expected a string",
       ""},
      {"cluster: {ranks: 0}", "job.yaml:5: cluster.ranks: must be at least 1, is 0", "ranks: 2"},
      {"cluster: {ranks: 9999999999}", "job.yaml:5: cluster.ranks: 9999999999 is out of range", ""},
      {"cluster: {ranks: 2, max_ranks: 4}", "job.yaml:5: cluster.max_ranks: has no meaning",
       "remove"},
      {"cluster: {local_price_per_hour: -1}",
       "job.yaml:5: cluster.local_price_per_hour: must not be negative", "0.40"},
      {"convergence: {critical_batch: 0}",
       "job.yaml:5: convergence.critical_batch: must be above zero", "2000"},
      {"convergence: {source: resnet, critical_batch: 10}",
       "job.yaml:5: convergence.critical_batch: has no meaning beside source: resnet", "remove"},
      {"convergence: {critical_batch: 10, noise_scale: 5, noise_scale_batch: 2}",
       "job.yaml:5: convergence.noise_scale: has no meaning beside critical_batch", "remove"},
      {"convergence: {exponent: 1.1}", "job.yaml:5: convergence.exponent: belongs to a critical",
       "critical_batch"},
      {"convergence: {critical_batch: 10, exponent: 0}",
       "job.yaml:5: convergence.exponent: must be above zero", "1.1"},
      {"convergence: {noise_scale: 5}", "job.yaml:5: convergence.noise_scale_batch: is missing",
       "belong together"},
      {"convergence: {noise_scale_batch: 5}", "job.yaml:5: convergence.noise_scale: is missing",
       "belong together"},
      {"convergence: {noise: 5}", "job.yaml:5: convergence.noise: unknown key", "noise_scale"},
      {"learning_rate: {rule: cube}", "job.yaml:5: learning_rate.rule: unknown rule", "lars"},
      {"learning_rate: {rule: gain}", "job.yaml:5: learning_rate.rule: \"gain\" needs to know",
       "critical_batch"},
      {"learning_rate: {steps: \"0.1;5\"}",
       "job.yaml:5: learning_rate.steps: \"0.1;5\" never changes the rate", "by turns"},
      {"learning_rate: {steps: \"0.1;5;0.01;9\"}",
       "job.yaml:5: learning_rate.steps: \"0.1;5;0.01;9\" ends with an epoch", "by turns"},
      {"learning_rate: {steps: \"0.1;five;0.01\"}",
       "job.yaml:5: learning_rate.steps: entry 2: \"five\" is no number", "by turns"},
      {"learning_rate: {steps: \"0.1;5;0.01;5;0.1\"}",
       "job.yaml:5: learning_rate.steps: epoch 5 does not come after 5", "rising"},
      {"learning_rate: {steps: \"0;5;0.01\"}",
       "job.yaml:5: learning_rate.steps: the first rate must be above zero", "rising"},
      {"learning_rate: {steps: \"0.1;5;-1\"}",
       "job.yaml:5: learning_rate.steps: a rate must not be negative", "rising"},
      {"learning_rate: {peak: 1, steps: \"0.1;5;0.01\"}",
       "job.yaml:5: learning_rate.peak: has no meaning beside steps", "remove"},
      {"seed: -1", "job.yaml:5: seed: must not be negative", "seed: 1"},
      {"seed: 1.5", "job.yaml:5: seed: 1.5: expected a whole number", ""},
      {"name: [a]", "job.yaml:5: name: expected a string", ""},
      {"precision: half", "job.yaml:5: precision: unknown precision \"half\"", "bf16"},
      {"attention: fast", "job.yaml:5: attention: unknown way to run attention", "flash"},
      {"colour: red", "job.yaml:5: colour: unknown key", "known keys"},
      {"budget: 1\nbudget: 2", "job.yaml:6: ", ""},
  };
  for (const Malformed& bad : cases) {
    SCOPED_TRACE(bad.text);
    const auto job = read(std::string(kShort) + bad.text + "\n");
    ASSERT_FALSE(job.ok());
    EXPECT_EQ(job.error().code, ErrorCode::kInvalidInput);
    EXPECT_THAT(job.error().message, StartsWith(bad.message));
    EXPECT_THAT(job.error().help, HasSubstr(bad.help));
  }
}

TEST(JobTest, SectionsThatContradictThemselvesAreRefused) {
  const std::string model = "model: {name: lenet}\n";
  const std::string data = "data: {source: fashion-mnist}\n";
  const std::string target = "target: {epochs: 1}\n";
  const std::string batch = "batch: {global: 64}\n";
  const struct {
    std::string text;
    const char* message;
    const char* help;
  } cases[] = {
      {data + target + batch, "job.yaml:1: model: has neither name nor file", "lenet"},
      {"model: {name: lenett}\n" + data + target + batch,
       "job.yaml:1: model.name: unknown model \"lenett\"", "did you mean \"lenet\"?"},
      {"model: {name: lenet, file: a.onnx}\n" + data + target + batch,
       "job.yaml:1: model.file: has no meaning beside name", "name or the file"},
      {"model: {name: lenet, height: 0}\n" + data + target + batch,
       "job.yaml:1: model.height: must be at least 1, is 0", "leave it out"},
      {"model: lenet\n" + data + target + batch, "job.yaml:1: model: \"lenet\": expected an object",
       ""},
      {model + data + batch, "job.yaml:1: target: does not say how long to train", "epochs: 3"},
      {model + data + "target: {}\n" + batch, "job.yaml:3: target: does not say how long",
       "epochs"},
      {model + data + "target: {epochs: 1, steps: 2}\n" + batch,
       "job.yaml:3: target: says how long to train more than once", "exactly one"},
      {model + data + "target: {epochs: 0}\n" + batch,
       "job.yaml:3: target.epochs: must be above zero", "epochs: 3"},
      {model + data + "target: {epochs: -1}\n" + batch,
       "job.yaml:3: target.epochs: must be above zero, is -1", "epochs: 3"},
      {model + data + "target: {samples: 0}\n" + batch,
       "job.yaml:3: target.samples: must be at least 1", "600000"},
      {model + data + "target: {steps: 0}\n" + batch,
       "job.yaml:3: target.steps: must be at least 1", "1000"},
      {model + data + target + "batch: {global: 0}\n",
       "job.yaml:4: batch.global: must be at least 1, is 0", "256"},
      {model + data + target + "batch: {global: many}\n",
       "job.yaml:4: batch.global: \"many\": expected a whole number or auto", ""},
      {model + data + target + "batch: {global: 64, micro: 0}\n",
       "job.yaml:4: batch.micro: must be at least 1", "32"},
      {model + data + target + "batch: {global: 64, micro: 128}\n",
       "job.yaml:4: batch.micro: is 128, more than the global batch of 64", "accumulation"},
      {model + data + target + "batch: {global: 64, max: 128}\n",
       "job.yaml:4: batch.max: has no meaning beside a fixed global batch", "global: auto"},
      {model + data + target, "job.yaml:1: batch.global: is to be chosen, but nothing says",
       "critical_batch"},
      {model + data + target + "batch: {global: auto}\nconvergence: {critical_batch: 100}\n",
       "job.yaml:4: batch.max: is missing, and the global batch is to be chosen", "8192"},
      {model + data + target + "batch: {max: 512}\nconvergence: {critical_batch: 100}\n",
       "job.yaml:1: learning_rate.at_batch: is missing, and the global batch is to be chosen",
       "at_batch: 256"},
      {model + "data: {source: synthetic}\n" + target + batch,
       "job.yaml:2: data.samples: is missing: synthetic data has no size", "60000"},
      {model + "data: {source: synthetic, samples: 10, path: x}\n" + target + batch,
       "job.yaml:2: data.path: has no meaning for synthetic data", "remove"},
      {model + "data: {source: fashion_mnist}\n" + target + batch,
       "job.yaml:2: data.source: unknown data source \"fashion_mnist\"",
       "did you mean \"fashion-mnist\"?"},
      {model + "data: {source: fashion-mnist, readers: 0}\n" + target + batch,
       "job.yaml:2: data.readers: must be at least 1", "2"},
      {"", "job.yaml", ""},
      {"- a\n- b\n", "job.yaml:1: expected an object, found an array", ""},
      {"model: {name: lenet\n", "job.yaml:", ""},
  };
  for (const auto& bad : cases) {
    SCOPED_TRACE(bad.text);
    const auto job = read(bad.text);
    ASSERT_FALSE(job.ok());
    EXPECT_EQ(job.error().code, ErrorCode::kInvalidInput);
    EXPECT_THAT(job.error().message, StartsWith(bad.message));
    EXPECT_THAT(job.error().help, HasSubstr(bad.help));
  }
}

TEST(JobTest, AMetricNeedsAValueAndRunsThatReachedIt) {
  const std::string lenet =
      "model: {name: lenet}\nbatch: {global: 64}\ndata: {source: fashion-mnist}\n";
  const auto half = read(lenet + "target: {metric: accuracy}\n");
  ASSERT_FALSE(half.ok());
  EXPECT_THAT(half.error().message, StartsWith("job.yaml:4: target.value: is missing"));
  const auto alone = read(lenet + "target: {metric: accuracy, value: 0.9}\n");
  ASSERT_FALSE(alone.ok());
  EXPECT_THAT(alone.error().message, HasSubstr("target.metric: needs runs that reached it"));
  EXPECT_THAT(alone.error().help, HasSubstr("epochs, samples or steps"));
  const auto job =
      read(lenet + "target: {metric: accuracy, value: 0.9}\nconvergence: {source: p.csv}\n");
  ASSERT_TRUE(job.ok()) << job.error().message;
  EXPECT_EQ(job->target_metric, (TargetMetric{"accuracy", 0.9}));
  EXPECT_FALSE(job->epochs.has_value());
}

TEST(JobTest, ReadersAndWarmUpAreChosenUnlessStated) {
  const std::string start = "model: {name: lenet}\nbatch: {global: 64}\ntarget: {epochs: 1}\n";
  const auto none = read(start + "data: {source: fashion-mnist}\n");
  EXPECT_TRUE(none->readers_chosen && none->warmup_chosen);
  const auto stated = read(start +
                           "data: {source: fashion-mnist, readers: 1}\n"
                           "learning_rate: {warmup_samples: 0}\n");
  EXPECT_FALSE(stated->readers_chosen || stated->warmup_chosen);
  const auto chosen = read(start +
                           "data: {source: fashion-mnist, readers: auto}\n"
                           "learning_rate: {warmup_samples: auto}\n");
  EXPECT_TRUE(chosen->readers_chosen && chosen->warmup_chosen);
}

TEST(JobTest, ReadsFilesAndTakesTheirNameAndFolder) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.write("mine.yaml",
                                        "model: {file: nets/a.onnx}\n"
                                        "data: {source: fashion-mnist, path: images}\n"
                                        "target: {epochs: 1}\nbatch: {global: 8}\n");
  const auto job = read_job(path, kNow);
  ASSERT_TRUE(job.ok()) << job.error().message;
  EXPECT_EQ(job->name, "mine");
  EXPECT_EQ(job->model.source, folder.file("nets/a.onnx"));
  EXPECT_EQ(job->data.path, folder.file("images"));

  const std::string absolute = folder.write("other.json", R"({"model": {"file": "/nets/a.onnx"},
    "data": {"source": "fashion-mnist"}, "target": {"epochs": 1}, "batch": {"global": 8}})");
  const auto other = read_job(absolute, kNow);
  ASSERT_TRUE(other.ok()) << other.error().message;
  EXPECT_EQ(other->model.source, "/nets/a.onnx");
  EXPECT_EQ(read_job(folder.file("none.yaml"), kNow).error().code, ErrorCode::kNotFound);
}

TEST(JobTest, ExampleJobsAreLawful) {
  int examples = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(PLUTO_SOURCE_DIR) + "/data/jobs")) {
    const auto job = read_job(entry.path().string(), kNow);
    EXPECT_TRUE(job.ok()) << job.error().message;
    ++examples;
  }
  EXPECT_GE(examples, 1);
}

TEST(JobTest, NamesOfBuiltInModelsAreNoPaths) {
  const testing::TemporaryFolder folder;
  const auto job = read_job(folder.write("job.yaml", kShort), kNow);
  ASSERT_TRUE(job.ok()) << job.error().message;
  EXPECT_EQ(job->model.source, "lenet");
}

TEST(JobTest, DeadlineIsADurationOrATime) {
  EXPECT_EQ(*parse_deadline("10m", kNow), Seconds(600));
  EXPECT_EQ(*parse_deadline("2026-11-20T08:00:01Z", kNow), Seconds(1));
  EXPECT_FALSE(parse_deadline("2026-11-20T08:00:00Z", kNow).ok()) << "now is too late";
  EXPECT_FALSE(parse_deadline("0s", kNow).ok());
}

TEST(JobTest, WordsOfObjectivesReadBack) {
  for (const auto objective : {Objective::kCost, Objective::kTime, Objective::kRisk}) {
    EXPECT_EQ(*parse_objective(to_text(objective)), objective);
  }
}

}  // namespace
}  // namespace pluto
