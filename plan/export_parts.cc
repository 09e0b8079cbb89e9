#include "plan/export_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/fingerprint.h"

namespace pluto {
namespace {

std::string layout_line(const Plan& plan) {
  std::string text = fmt::format("data {}", plan.layout.data);
  const auto degree = [&](const char* name, int value) {
    if (value > 1) text += fmt::format(", {} {}", name, value);
  };
  degree("tensor", plan.layout.tensor);
  degree("pipeline", plan.layout.pipeline);
  degree("chunks per stage", plan.pipeline.interleave);
  degree("context", plan.layout.context);
  degree("experts over", plan.expert);
  if (plan.sequence_parallel) text += ", sequence parallel";
  if (plan.shard > 0) text += fmt::format(", ZeRO {}", plan.shard);
  if (plan.recompute != Recompute::kNone)
    text += fmt::format(", recompute {}", to_text(plan.recompute));
  return text;
}

std::string step_line(const Exported& e) {
  const auto& planned = e.facts.planned_step;
  const auto& exported = e.facts.exported_step;
  if (!planned || !exported) return "step: not predicted";
  if (e.projection.dropped.empty()) return fmt::format("step: {} predicted", to_text(*exported));
  return fmt::format("step: {} predicted as planned, {} as exported", to_text(*planned),
                     to_text(*exported));
}

}  // namespace

LaunchSize launch_size(const Plan& plan) {
  const int devices = std::max(1, plan.cluster.instance.node.devices);
  const int ranks = plan.layout.ranks();
  if (ranks <= devices) return {1, ranks};
  return {(ranks + devices - 1) / devices, devices};
}

bool on_gpus(const Plan& plan) { return plan.backend == "cuda"; }

std::string label_of(const Plan& plan) {
  constexpr std::size_t kMost = 40;
  std::string label;
  for (const char c : plan.job) {
    const auto byte = static_cast<unsigned char>(c);
    const bool keeps = byte < 0x80 && std::isalnum(byte) != 0;
    if (keeps) {
      label += static_cast<char>(std::tolower(byte));
    } else if (!label.empty() && label.back() != '-') {
      label += '-';
    }
  }
  label = label.substr(0, kMost);
  while (!label.empty() && label.back() == '-') label.pop_back();
  const bool named = !label.empty() && std::isalpha(static_cast<unsigned char>(label.front())) != 0;
  return named ? label : label.empty() ? "pluto" : "pluto-" + label;
}

Result<std::vector<std::string>> hosts_of(const Exported& e) {
  const int nodes = launch_size(e.plan()).nodes;
  const auto& given = e.facts.hosts;
  if (given.empty() && nodes == 1) return std::vector<std::string>{"localhost"};
  if (given.empty()) {
    std::vector<std::string> made;
    for (int node = 0; node < nodes; ++node) made.push_back(fmt::format("node-{}", node));
    return made;
  }
  if (given.size() != static_cast<std::size_t>(nodes)) {
    return invalid_input(fmt::format("--hosts: {} names for {} nodes", given.size(), nodes),
                         "name every node that trains once");
  }
  return given;
}

std::int64_t bucket_elements(const Projection& projection) {
  constexpr std::int64_t kElement = 4;
  return std::max<std::int64_t>(1, projection.buckets.bytes / kElement);
}

std::string wire_of(const Plan& plan) {
  return to_text(plan.buckets.empty() ? DType::kF32 : plan.buckets.front().wire);
}

std::string nccl_algorithm(const Plan& plan) {
  const bool tree = on_gpus(plan) && !plan.buckets.empty() &&
                    plan.buckets.front().algorithm == CollectiveAlgorithm::kTree;
  return tree ? "Tree" : "";
}

std::vector<std::string> about(const Exported& e, const std::string& versions) {
  const Plan& plan = e.plan();
  const LaunchSize size = launch_size(plan);
  std::vector<std::string> lines = {
      fmt::format("{}: plan {} for {}, made by pluto-plan export", plan.job,
                  to_hex(e.facts.planned), to_text(e.target)),
      "for " + versions,
      fmt::format("carries: {} x {} ranks, {}, {}", size.nodes, size.ranks_per_node,
                  layout_line(plan), to_text(plan.precision)),
      fmt::format("batch: {} = {} data x {} micro-batch x {} accumulation; {} steps",
                  plan.global_batch, plan.layout.data, plan.micro_batch, plan.accumulation,
                  plan.steps),
      step_line(e)};
  for (const Gap& gap : e.projection.dropped) {
    lines.push_back(fmt::format("cannot express: {} = {}; left out", gap.field, gap.value));
  }
  if (e.projection.dropped.empty()) lines.emplace_back("expresses all of the plan it is made from");
  if (e.target.trainer != ExportTarget::kMpi) {
    std::string left =
        fmt::format("left to your script: the model, {} readers per rank", plan.data.readers);
    if (e.target.trainer != ExportTarget::kMegatron) {
      if (e.facts.shape) left += fmt::format(", attention as {}", to_text(plan.attention));
      if (plan.checkpoint_every > 0) {
        left += fmt::format(", a checkpoint every {} steps", plan.checkpoint_every);
      }
    }
    if (plan.evaluation.samples > 0) {
      left += fmt::format(", evaluation on {} samples", plan.evaluation.samples);
    }
    lines.push_back(left);
  }
  if (plan.budget)
    lines.push_back(fmt::format("budget: {}, watched by nobody here", to_text(*plan.budget)));
  return lines;
}

ShellScript node_script(const Exported& e, const std::string& versions) {
  ShellScript script(about(e, versions));
  script.line("here=\"$(cd \"$(dirname \"${BASH_SOURCE[0]}\")\" && pwd)\"");
  script.line("export PYTHONPATH=\"$here${PYTHONPATH:+:$PYTHONPATH}\"");
  script.set("OMP_NUM_THREADS", std::to_string(e.plan().threads_per_rank));
  const std::string algorithm = nccl_algorithm(e.plan());
  if (!algorithm.empty()) script.set("NCCL_ALGO", algorithm);
  return script;
}

void add_rendezvous(ShellScript& script, const LaunchSize& size) {
  if (size.nodes == 1) return;
  script.line(": \"${MASTER_ADDR:?the first node, by a name that every node knows}\"");
  script.line(": \"${NODE_RANK:?0 on the first node, then 1, 2, ...}\"");
  script.line("MASTER_PORT=\"${MASTER_PORT:-29500}\"");
}

std::vector<ShellWord> torchrun_words(const Exported& e) {
  const LaunchSize size = launch_size(e.plan());
  // Underscores: old and new versions read them.
  std::vector<ShellWord> words = {"exec", "torchrun", fmt::format("--nnodes={}", size.nodes),
                                  fmt::format("--nproc_per_node={}", size.ranks_per_node)};
  if (size.nodes == 1) {
    words.emplace_back("--standalone");
  } else {
    words.emplace_back("--rdzv_backend=c10d");
    words.push_back(ShellWord::expression("--rdzv_endpoint=\"$MASTER_ADDR:$MASTER_PORT\""));
    words.push_back(ShellWord::expression(
        "--rdzv_conf=\"is_host=$([ \"$NODE_RANK\" = 0 ] && echo 1 || echo 0)\""));
    words.emplace_back("--rdzv_id=" + label_of(e.plan()));
  }
  // Fewer nodes would be another batch.
  words.emplace_back("--max_restarts=0");
  return words;
}

}  // namespace pluto
