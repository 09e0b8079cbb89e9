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

Verdict check_cluster(const Plan& plan) {
  const ClusterSpec& cluster = plan.cluster;
  const NodeSpec& node = cluster.instance.node;
  const std::string path = "cluster.instance.node";
  PLUTO_REFUSE(at_least_one("cluster.nodes", cluster.nodes));
  PLUTO_REFUSE(at_least_one(path + ".devices", node.devices));
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
  PLUTO_REFUSE(must_not_be_negative("cluster.instance.price_usd_per_hour",
                                    cluster.instance.price.value(), {}));
  if (!cluster.instance.spot_price) return std::nullopt;
  return must_not_be_negative("cluster.instance.spot_usd_per_hour",
                              cluster.instance.spot_price->value(), {});
}

Verdict check_layout(const Plan& plan) {
  PLUTO_REFUSE(at_least_one("layout.data", plan.layout.data));
  PLUTO_REFUSE(at_least_one("layout.tensor", plan.layout.tensor));
  PLUTO_REFUSE(at_least_one("layout.pipeline", plan.layout.pipeline));
  // In double: the product of three large degrees does not fit an int.
  const double ranks =
      static_cast<double>(plan.layout.data) * plan.layout.tensor * plan.layout.pipeline;
  const double devices =
      static_cast<double>(plan.cluster.nodes) * plan.cluster.instance.node.devices;
  if (ranks > devices) {
    return Finding{"layout", fmt::format("{} ranks on {} devices", ranks, devices),
                   "use more nodes or lower degrees"};
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
  return at_least_one("steps", plan.steps);
}

Verdict check_servers(const Plan& plan) {
  std::set<int> seen;
  for (std::size_t i = 0; i < plan.servers.size(); ++i) {
    const std::string path = fmt::format("servers[{}]", i);
    const int rank = plan.servers[i];
    if (rank < 0 || rank >= plan.layout.ranks()) {
      return Finding{path, fmt::format("{} is none of {} ranks", rank, plan.layout.ranks()), {}};
    }
    if (!seen.insert(rank).second) return Finding{path, fmt::format("{} is there twice", rank), {}};
  }
  return std::nullopt;
}

Verdict check_buckets(const Plan& plan) {
  if (plan.layout.data == 1 && !plan.buckets.empty()) {
    return Finding{"buckets", "must be empty: one data-parallel rank synchronises nothing", {}};
  }
  if (plan.layout.data > 1 && plan.buckets.empty()) {
    return Finding{
        "buckets",
        fmt::format("is empty, but {} data-parallel ranks need one gradient", plan.layout.data),
        {}};
  }
  std::set<std::string> seen;
  for (std::size_t i = 0; i < plan.buckets.size(); ++i) {
    const BucketPlan& bucket = plan.buckets[i];
    const std::string path = fmt::format("buckets[{}]", i);
    if (bucket.method == SyncMethod::kNone) {
      return Finding{path + ".method", "\"none\" synchronises nothing", {}};
    }
    if (bucket.method == SyncMethod::kParameterServer && plan.servers.empty()) {
      return Finding{path + ".method", "is parameter_server, but the plan has no servers", {}};
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

}  // namespace

Verdict check_plan(const Plan& plan) {
  if (plan.model.source.empty()) return Finding{"model.source", "is empty", {}};
  PLUTO_REFUSE(check_data(plan.data, "data"));
  PLUTO_REFUSE(at_least_one("dataset_samples", plan.dataset_samples));
  PLUTO_REFUSE(check_cluster(plan));
  PLUTO_REFUSE(check_backend(plan));
  PLUTO_REFUSE(check_layout(plan));
  PLUTO_REFUSE(check_batch(plan));
  PLUTO_REFUSE(check_optimizer(plan.optimizer, "optimizer"));
  PLUTO_REFUSE(check_learning_rate(plan.learning_rate, "learning_rate"));
  PLUTO_REFUSE(check_buckets(plan));
  PLUTO_REFUSE(check_seed(plan.seed, "seed"));
  if (plan.budget) PLUTO_REFUSE(must_be_positive("budget_usd", plan.budget->value(), {}));
  if (plan.deadline) PLUTO_REFUSE(must_be_positive("deadline_s", plan.deadline->value(), {}));
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
