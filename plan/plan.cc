#include "plan/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "base/fingerprint.h"
#include "plan/job_rules.h"
#include "plan/plan_rules.h"
#include "plan/words.h"

namespace pluto {
namespace {

Verdict at_least_one(const std::string& path, std::int64_t value) {
  if (value >= 1) return std::nullopt;
  return Finding{path, fmt::format("must be at least 1, is {}", value), {}};
}

Verdict check_link(const LinkSpec& link, const std::string& path) {
  PLUTO_REFUSE(must_not_be_negative(path + ".alpha_s", link.alpha.value(), {}));
  PLUTO_REFUSE(must_not_be_negative(path + ".bandwidth_bytes_per_s", link.bandwidth.value(), {}));
  PLUTO_REFUSE(at_least_one(path + ".shared_by", link.shared_by));
  PLUTO_REFUSE(at_least_one(path + ".interfaces", link.interfaces));
  if (link.cpu_share >= 0 && link.cpu_share <= 1) return std::nullopt;
  return Finding{path + ".cpu_share", fmt::format("must be in [0, 1], is {}", link.cpu_share), {}};
}

Verdict check_group(const InstanceType& instance, int nodes, const std::string& group) {
  const NodeSpec& node = instance.node;
  const std::string path = group + ".instance.node";
  PLUTO_REFUSE(at_least_one(group + ".nodes", nodes));
  PLUTO_REFUSE(at_least_one(path + ".devices", node.devices));
  PLUTO_REFUSE(must_not_be_negative(path + ".cores", node.cores, "leave it out when unknown"));
  PLUTO_REFUSE(must_not_be_negative(path + ".device.memory_bytes",
                                    static_cast<double>(node.device.memory.value()), {}));
  PLUTO_REFUSE(must_not_be_negative(path + ".device.memory_bandwidth_bytes_per_s",
                                    node.device.memory_bandwidth.value(), {}));
  for (const auto& [dtype, flops] : node.device.peak) {
    PLUTO_REFUSE(
        must_be_positive(fmt::format("{}.device.peak_flops_per_s.{}", path, to_text(dtype)),
                         flops.value(), "leave it out when the device does not have it"));
  }
  PLUTO_REFUSE(must_not_be_negative(path + ".device.multiprocessors", node.device.multiprocessors,
                                    "leave it out when it is unknown"));
  PLUTO_REFUSE(must_not_be_negative(path + ".device.cache_bytes",
                                    static_cast<double>(node.device.cache.value()),
                                    "leave it out when it is unknown"));
  for (const auto& [name, flops] : {std::pair("tf32_flops_per_s", node.device.tf32_peak),
                                    std::pair("f8_flops_per_s", node.device.f8_peak)}) {
    if (!flops) continue;
    PLUTO_REFUSE(must_be_positive(fmt::format("{}.device.{}", path, name), flops->value(),
                                  "leave it out when the device does not have it"));
  }
  PLUTO_REFUSE(check_link(node.intra, path + ".intra"));
  PLUTO_REFUSE(check_link(node.network, path + ".network"));
  PLUTO_REFUSE(
      must_not_be_negative(group + ".instance.price_usd_per_hour", instance.price.value(), {}));
  if (!instance.spot_price) return std::nullopt;
  return must_not_be_negative(group + ".instance.spot_usd_per_hour", instance.spot_price->value(),
                              {});
}

Verdict check_cluster(const Plan& plan) {
  PLUTO_REFUSE(check_group(plan.cluster.instance, plan.cluster.nodes, "cluster"));
  for (std::size_t i = 0; i < plan.cluster.more.size(); ++i) {
    const NodeGroup& group = plan.cluster.more[i];
    PLUTO_REFUSE(check_group(group.instance, group.nodes, fmt::format("cluster.more[{}]", i)));
  }
  if (!plan.cluster.more.empty() && plan.server_nodes > 0) {
    return Finding{"cluster.more", "and nodes that only serve do not go together",
                   "servers: ranks that train"};
  }
  return std::nullopt;
}

Verdict check_layout(const Plan& plan) {
  PLUTO_REFUSE(at_least_one("layout.data", plan.layout.data));
  PLUTO_REFUSE(at_least_one("layout.tensor", plan.layout.tensor));
  PLUTO_REFUSE(at_least_one("layout.pipeline", plan.layout.pipeline));
  PLUTO_REFUSE(at_least_one("layout.context", plan.layout.context));
  // In double: the product of three large degrees does not fit an int.
  const double ranks = static_cast<double>(plan.layout.data) * plan.layout.tensor *
                       plan.layout.pipeline * plan.layout.context;
  double devices = static_cast<double>(plan.cluster.nodes - plan.server_nodes) *
                   plan.cluster.instance.node.devices;
  for (const NodeGroup& group : plan.cluster.more) {
    devices += static_cast<double>(group.nodes) * group.instance.node.devices;
  }
  if (ranks > devices) {
    return Finding{"layout", fmt::format("{} ranks on {} devices", ranks, devices),
                   "use more nodes or lower degrees"};
  }
  return std::nullopt;
}

Verdict check_pipeline(const Plan& plan) {
  PLUTO_REFUSE(at_least_one("pipeline.interleave", plan.pipeline.interleave));
  if (plan.layout.pipeline == 1) {
    if (plan.pipeline == PipelinePlan{}) return std::nullopt;
    return Finding{"pipeline", "is for plans with layout.pipeline above 1", {}};
  }
  const std::size_t cuts = plan.pipeline.cuts.size();
  const auto chunks = static_cast<std::int64_t>(plan.layout.pipeline) * plan.pipeline.interleave;
  if (cuts != 0 && static_cast<std::int64_t>(cuts) != chunks - 1) {
    return Finding{"pipeline.cuts",
                   fmt::format("{} cuts do not make {} chunks of {} stages", cuts, chunks,
                               plan.layout.pipeline),
                   "name the first node of every chunk but the first, or none"};
  }
  if (plan.pipeline.interleave > 1 && plan.accumulation % plan.layout.pipeline != 0) {
    return Finding{
        "pipeline.interleave",
        fmt::format("{} micro-batches are no multiple of {} stages", plan.accumulation,
                    plan.layout.pipeline),
        "interleaved stages take micro-batches in groups of as many as there are stages"};
  }
  return std::nullopt;
}

Verdict check_strategies(const Plan& plan) {
  PLUTO_REFUSE(check_pipeline(plan));
  PLUTO_REFUSE(at_least_one("expert", plan.expert));
  if (plan.layout.data % plan.expert != 0) {
    return Finding{
        "expert", fmt::format("{} data ranks are no multiple of {}", plan.layout.data, plan.expert),
        "spread experts over a divisor of the data ranks"};
  }
  if (plan.sequence_parallel && plan.layout.tensor == 1) {
    return Finding{"sequence_parallel", "there is one tensor rank",
                   "it needs layout.tensor above 1"};
  }
  if (plan.shard < 0 || plan.shard > 3) {
    return Finding{"shard", fmt::format("is {}", plan.shard), "the stages of ZeRO are 0 to 3"};
  }
  PLUTO_REFUSE(at_least_one("local.steps", plan.local.steps));
  if (!(plan.local.block_momentum >= 0 && plan.local.block_momentum < 1)) {
    return Finding{"local.block_momentum",
                   fmt::format("must be in [0, 1), is {}", plan.local.block_momentum),
                   {}};
  }
  if (plan.local.synchronous_samples < 0) {
    return Finding{"local.synchronous_samples", "must not be negative", {}};
  }
  if (plan.local.steps > 1 && plan.shard > 0) {
    return Finding{"local.steps", "ranks that update alone need all of the state", "shard: 0"};
  }
  if (plan.server_nodes < 0 || plan.server_nodes >= plan.cluster.nodes) {
    return Finding{"server_nodes",
                   fmt::format("{} of {} nodes serve", plan.server_nodes, plan.cluster.nodes),
                   "leave nodes to train"};
  }
  return std::nullopt;
}

Verdict check_batch(const Plan& plan) {
  PLUTO_REFUSE(at_least_one("global_batch", plan.global_batch));
  PLUTO_REFUSE(at_least_one("micro_batch", plan.micro_batch));
  PLUTO_REFUSE(at_least_one("accumulation", plan.accumulation));
  const double product = static_cast<double>(plan.layout.data) *
                         static_cast<double>(plan.micro_batch) *
                         static_cast<double>(plan.accumulation);
  if (product != static_cast<double>(plan.global_batch)) {
    return Finding{
        "global_batch",
        fmt::format("{} is not data ranks x micro_batch x accumulation = {} x {} x {}",
                    plan.global_batch, plan.layout.data, plan.micro_batch, plan.accumulation),
        {}};
  }
  PLUTO_REFUSE(must_not_be_negative("convergence.spread", plan.convergence.spread, {}));
  return at_least_one("steps", plan.steps);
}

Verdict check_servers(const Plan& plan) {
  std::set<int> seen;
  const int first = plan.server_nodes > 0 ? plan.layout.ranks() : 0;
  const int last = plan.server_nodes > 0
                       ? first + plan.server_nodes * plan.cluster.instance.node.devices
                       : plan.layout.ranks();
  for (std::size_t i = 0; i < plan.servers.size(); ++i) {
    const std::string path = fmt::format("servers[{}]", i);
    const int rank = plan.servers[i];
    if (rank < first || rank >= last) {
      if (plan.server_nodes == 0) {
        return Finding{path, fmt::format("{} is none of {} ranks", rank, last), {}};
      }
      return Finding{path,
                     fmt::format("{} is none of {} to {}, the ranks of {} server nodes", rank,
                                 first, last - 1, plan.server_nodes),
                     {}};
    }
    if (!seen.insert(rank).second) return Finding{path, fmt::format("{} is there twice", rank), {}};
  }
  return std::nullopt;
}

Verdict check_buckets(const Plan& plan) {
  // Context ranks have the same parameters, as data ranks.
  const bool alone = plan.layout.data == 1 && plan.layout.context == 1;
  if (alone && !plan.buckets.empty()) {
    return Finding{"buckets", "must be empty: one data-parallel rank synchronises nothing", {}};
  }
  if (!alone && plan.buckets.empty() && plan.sharded.empty()) {
    return Finding{"buckets",
                   fmt::format("is empty, but {} data-parallel ranks need one gradient",
                               plan.layout.data * plan.layout.context),
                   {}};
  }
  std::set<std::string> seen;
  for (std::size_t i = 0; i < plan.buckets.size(); ++i) {
    const BucketPlan& bucket = plan.buckets[i];
    const std::string path = fmt::format("buckets[{}]", i);
    if (bucket.method == SyncMethod::kNone) {
      return Finding{path + ".method", "\"none\" synchronises nothing", {}};
    }
    const bool served =
        bucket.method == SyncMethod::kParameterServer || bucket.method == SyncMethod::kFactorServer;
    if (served && plan.servers.empty()) {
      return Finding{path + ".method",
                     fmt::format("is {}, but the plan has no servers", to_text(bucket.method)),
                     {}};
    }
    if ((plan.shard > 0) != (bucket.method == SyncMethod::kShard)) {
      return Finding{path + ".method",
                     fmt::format("is {} with shard {}", to_text(bucket.method), plan.shard),
                     "shard above 0 and method shard go together"};
    }
    PLUTO_REFUSE(at_least_one(path + ".chunks", bucket.chunks));
    if (!is_floating(bucket.wire)) {
      return Finding{path + ".wire", fmt::format("is {}", to_text(bucket.wire)),
                     "one of f32, f16, bf16"};
    }
    if (bucket.parameters.empty()) return Finding{path + ".parameters", "is empty", {}};
    for (std::size_t j = 0; j < bucket.parameters.size(); ++j) {
      if (seen.insert(bucket.parameters[j]).second) continue;
      return Finding{fmt::format("{}.parameters[{}]", path, j),
                     fmt::format("\"{}\" is in two places", bucket.parameters[j]),
                     {}};
    }
  }
  return check_servers(plan);
}

Verdict check_backend(const Plan& plan) {
  const std::vector<std::string> known = {"reference", "cpu", "cuda"};
  if (std::find(known.begin(), known.end(), plan.backend) == known.end()) {
    const Error error = unknown_word("backend", plan.backend, known);
    return Finding{"backend", error.message, error.help};
  }
  return at_least_one("threads_per_rank", plan.threads_per_rank);
}

Verdict check_spot(const Plan& plan) {
  if (!plan.on_demand_after) return std::nullopt;
  if (plan.cluster.market != Market::kSpot) {
    return Finding{"on_demand_after", "is for plans on spot nodes",
                   "remove it, or write cluster.market: spot"};
  }
  if (!plan.deadline) {
    return Finding{"on_demand_after", "is a fraction of a deadline, and there is none",
                   "remove it, or give deadline_s"};
  }
  if (*plan.on_demand_after > 0 && *plan.on_demand_after < 1) return std::nullopt;
  return Finding{"on_demand_after",
                 fmt::format("must be between 0 and 1, is {}", *plan.on_demand_after),
                 "a fraction of the deadline, for example 0.75"};
}

}  // namespace

Verdict check_plan(const Plan& plan) {
  if (plan.model.source.empty()) return Finding{"model.source", "is empty", {}};
  PLUTO_REFUSE(check_data(plan.data, "data"));
  PLUTO_REFUSE(at_least_one("dataset_samples", plan.dataset_samples));
  PLUTO_REFUSE(check_cluster(plan));
  PLUTO_REFUSE(check_backend(plan));
  PLUTO_REFUSE(check_layout(plan));
  PLUTO_REFUSE(check_strategies(plan));
  PLUTO_REFUSE(check_batch(plan));
  PLUTO_REFUSE(check_optimizer(plan.optimizer, "optimizer"));
  PLUTO_REFUSE(check_learning_rate(plan.learning_rate, "learning_rate"));
  PLUTO_REFUSE(check_buckets(plan));
  PLUTO_REFUSE(
      must_not_be_negative("checkpoint_every", static_cast<double>(plan.checkpoint_every), {}));
  PLUTO_REFUSE(check_evaluation(plan.evaluation, "evaluation"));
  PLUTO_REFUSE(check_seed(plan.seed, "seed"));
  if (plan.budget) PLUTO_REFUSE(must_be_positive("budget_usd", plan.budget->value(), {}));
  if (plan.deadline) PLUTO_REFUSE(must_be_positive("deadline_s", plan.deadline->value(), {}));
  PLUTO_REFUSE(check_spot(plan));
  return check_confidence(plan.confidence, "confidence");
}

Result<void> validate(const Plan& plan) {
  if (const Verdict verdict = check_plan(plan)) return to_error(*verdict);
  return {};
}

std::uint64_t fingerprint(const Plan& plan) { return Fingerprint().add(to_json(plan)).value(); }

Result<std::uint64_t> parse_fingerprint(std::string_view text) {
  std::uint64_t value = 0;
  bool whole = text.size() == 16;
  for (const char c : text) {
    const std::string_view digits = "0123456789abcdef";
    const std::size_t digit = digits.find(c);
    whole = whole && digit != std::string_view::npos;
    value = 16 * value + digit;
  }
  if (whole) return value;
  return invalid_input(fmt::format("\"{}\": expected 16 digits of 0-9 and a-f", text));
}

}  // namespace pluto
