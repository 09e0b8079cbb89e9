#include "plan/job_document.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

TrainingJob job_of(const char* yaml) {
  const auto document = parse_yaml(yaml, "job.yaml");
  EXPECT_TRUE(document.ok());
  auto job = job_from_value(*document, "job.yaml", 0);
  EXPECT_TRUE(job.ok()) << (job.ok() ? "" : job.error().message);
  return std::move(job).value();
}

/// Read, written, read and written again: what is written says all that was read.
void expect_same_again(const char* yaml) {
  const Value first = to_value(job_of(yaml));
  const auto again = job_from_value(first, "job.json", 0);
  ASSERT_TRUE(again.ok()) << again.error().message << "\n" << to_json(first);
  EXPECT_EQ(to_value(*again), first);
}

TEST(JobDocumentTest, IsTheDocumentItCouldHaveBeenReadFrom) {
  expect_same_again(
      "name: a\nmodel: {name: lenet}\ntarget: {epochs: 3}\nbatch: {global: 128}\n"
      "data: {source: fashion-mnist}\n");
  expect_same_again(
      "name: b\nmodel: {name: resnet50, classes: 10}\ntarget: {metric: accuracy, value: 0.759}\n"
      "data: {source: synthetic, samples: 1000, readers: 4, queue: 0, stored_bytes: 110000,\n"
      "  seconds_per_sample: 0.002, storage_bytes_per_s: 5.0e8}\n"
      "budget: 120\ndeadline: 90m\nconfidence: 0.95\nminimize: time\nprecision: bf16\n"
      "optimizer: {name: momentum, weight_decay: 0.0001}\nbatch: {max: 8192, micro: 32}\n"
      "learning_rate: {peak: 0.1, at_batch: 256, rule: lars, schedule: cosine, warmup_samples: 9}\n"
      "convergence: {source: resnet}\nsync: {allow: [all_reduce]}\n"
      "cluster: {instances: [\"aws:p3*\"], min_ranks: 2, max_ranks: 16, spot: only,\n"
      "  local_price_per_hour: 0.5}\n"
      "evaluation: {samples: 100, every: 10}\ncheckpoint_every: 50\nseed: 7\n");
  expect_same_again(
      "name: c\nmodel: {name: lenet}\ntarget: {steps: 10}\nbatch: {global: 64}\n"
      "data: {source: synthetic, samples: 1000}\noptimizer: {name: adamw, beta1: 0.8}\n"
      "learning_rate: {steps: \"0.1;5;0.01;8;0.001\"}\nconvergence: {critical_batch: 900, "
      "exponent: 1.2}\n");
}

TEST(JobDocumentTest, WhatIsChosenIsLeftOut) {
  const Value value =
      to_value(job_of("model: {name: lenet}\ntarget: {epochs: 3}\nbatch: {global: 128}\n"
                      "data: {source: fashion-mnist}\n"));
  EXPECT_EQ(value.find("data")->find("readers"), nullptr);
  EXPECT_EQ(value.find("learning_rate")->find("warmup_samples"), nullptr);
  EXPECT_EQ(value.find("batch")->find("micro"), nullptr);
  EXPECT_EQ(value.find("budget"), nullptr);
}

}  // namespace
}  // namespace pluto
