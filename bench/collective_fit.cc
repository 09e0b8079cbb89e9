#include "bench/collective_fit.h"

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <set>

namespace pluto::bench {

namespace {

using Rows = std::vector<const CollectiveRow*>;

/// Smaller calls tell base and step.
constexpr std::int64_t kSmall = 1 << 18;

/// A number of the table that is fitted on a logarithmic scale.
struct Knob {
  std::function<void(double)> set;
  double start = 1;
  double most = 1e300;  ///< larger values stand for it
};

Knob knob(double& number, double start, double most = 1e300) {
  return {[&number](double value) { number = value; }, start, most};
}
Knob knob(Seconds& time, double start_us) {
  return {[&time](double value) { time = Seconds(value * 1e-6); }, start_us, 1e300};
}

class Fit {
 public:
  Fit(const NcclTable& table, Rows rows, std::vector<Knob> knobs, std::function<void()> tie)
      : table_(table), rows_(std::move(rows)), knobs_(std::move(knobs)), tie_(std::move(tie)) {
    std::map<std::string, double> count;
    for (const auto* row : rows_) ++count[row->system];
    for (const auto* row : rows_) weights_.push_back(std::pow(count[row->system], -0.25));
  }

  void run() {
    if (rows_.empty()) return;
    const auto size = static_cast<Eigen::Index>(knobs_.size());
    Eigen::VectorXd at(size);
    for (Eigen::Index i = 0; i < size; ++i) at(i) = std::log(knobs_[std::size_t(i)].start);
    const Eigen::VectorXd start = at;
    Eigen::VectorXd residuals = errors(at);
    double best = cost(residuals, at - start), damping = 1e-2;
    for (int round = 0; round < 80 && damping < 1e8; ++round) {
      Eigen::MatrixXd jacobian(residuals.size(), size);
      constexpr double kStep = 1e-4;
      for (Eigen::Index i = 0; i < size; ++i) {
        Eigen::VectorXd moved = at;
        moved(i) -= kStep;  // downwards: knobs start at their upper bound
        jacobian.col(i) = (residuals - errors(moved)) / kStep;
      }
      // Weights of the loss that grows linearly beyond kSoft.
      Eigen::VectorXd loss = (1 + (residuals / kSoft).array().square()).rsqrt();
      Eigen::MatrixXd normal = jacobian.transpose() * loss.asDiagonal() * jacobian;
      normal.diagonal().array() += pull();
      const Eigen::VectorXd slope =
          jacobian.transpose() * loss.asDiagonal() * residuals + pull() * (at - start);
      double gain = 0;
      while (damping < 1e8) {
        Eigen::MatrixXd damped = normal;
        damped.diagonal() *= 1 + damping;
        const Eigen::VectorXd step = damped.ldlt().solve(-slope).cwiseMax(-0.5).cwiseMin(0.5);
        const Eigen::VectorXd next =
            (at + step).array().max(start.array() - 3).min(start.array() + 3).matrix();
        const Eigen::VectorXd then = errors(next);
        const double value = cost(then, next - start);
        if (value < best) {
          gain = best - value;
          at = next, residuals = then, best = value;
          damping = std::max(1e-6, damping / 5);
          break;
        }
        damping *= 5;
      }
      if (gain < 1e-7 * best) break;
    }
    errors(at);  // leaves the best values in the table
  }

 private:
  static constexpr double kSoft = 0.03;
  double pull() const { return std::pow(0.02 * 0.03, 2) * static_cast<double>(rows_.size()); }

  Eigen::VectorXd errors(const Eigen::VectorXd& at) const {
    for (std::size_t i = 0; i < knobs_.size(); ++i) {
      knobs_[i].set(std::min(std::exp(at(Eigen::Index(i))), knobs_[i].most));
    }
    tie_();
    Eigen::VectorXd result(static_cast<Eigen::Index>(rows_.size()));
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const auto& row = *rows_[i];
      const double predicted = nccl_time(row.call, row.cluster, table_).time.value();
      result(Eigen::Index(i)) = weights_[i] * std::log(predicted / row.seconds);
    }
    return result;
  }
  double cost(const Eigen::VectorXd& residuals, const Eigen::VectorXd& moved) const {
    const Eigen::ArrayXd scaled = (residuals / kSoft).array().square();
    return kSoft * kSoft * ((1 + scaled).sqrt() - 1).sum() + pull() * moved.squaredNorm() / 2;
  }

  const NcclTable& table_;
  Rows rows_;
  std::vector<Knob> knobs_;
  std::function<void()> tie_;
  std::vector<double> weights_;
};

double log_mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += std::log(value);
  return std::exp(sum / static_cast<double>(values.size()));
}

}  // namespace

NcclTable fit_nccl(NcclTable table, std::span<const CollectiveRow* const> all) {
  const std::vector<std::string> generations = {"NVLink2", "NVLink3", "NVLink4", "NVLink5"};
  Rows rings, pcie, pairs;
  std::set<std::string> seen, seen_small;
  for (const auto* row : all) {
    const bool exchange = row->call.kind == CollectiveKind::kAllToAll;
    if (row->link == "PCIe") {
      if (!exchange) pcie.push_back(row);
      continue;
    }
    (exchange ? pairs : rings).push_back(row);
    if (exchange) continue;
    seen.insert(row->link);
    if (row->call.bytes.value() < kSmall) seen_small.insert(row->link);
  }

  auto& [ll, ll128, simple] = table.protocols;
  std::vector<Knob> knobs = {knob(ll.bandwidth, 0.25),   knob(ll128.start, 2.4),
                             knob(ll128.steps, 1.2),     knob(ll128.bandwidth, 0.7, 1),
                             knob(simple.start, 20),     knob(simple.steps, 2.5),
                             knob(table.nvls_start, 30), knob(table.own_copy, 0.8)};
  for (const auto& name : generations) {
    auto& link = table.links.at(name);
    link.base = Seconds(7e-6), link.step = Seconds(1e-6), link.bandwidth = 1, link.local = 0.45;
    if (link.nvls > 0) link.nvls = 0.6;
    if (!seen.contains(name)) continue;
    if (seen_small.contains(name)) {
      knobs.push_back(knob(link.base, 7));
      knobs.push_back(knob(link.step, 1));
    }
    knobs.push_back(knob(link.bandwidth, 1, 1));
    knobs.push_back(knob(link.local, 0.45));
    if (link.nvls > 0) knobs.push_back(knob(link.nvls, 0.6, 1));
  }
  const auto from_others = [&table](const std::set<std::string>& others, NcclLink& link,
                                    bool latency_only) {
    std::vector<double> base, step, bandwidth, local;
    for (const auto& name : others) {
      const auto& other = table.links.at(name);
      base.push_back(other.base.value()), step.push_back(other.step.value());
      bandwidth.push_back(other.bandwidth), local.push_back(other.local);
    }
    if (base.empty()) return;
    link.base = Seconds(log_mean(base)), link.step = Seconds(log_mean(step));
    if (latency_only) return;
    link.bandwidth = log_mean(bandwidth), link.local = log_mean(local);
  };
  const auto tie = [&] {
    for (const auto& name : generations) {
      auto& link = table.links.at(name);
      if (!seen.contains(name)) from_others(seen, link, false);
      if (!seen_small.contains(name)) from_others(seen_small, link, true);
    }
  };
  Fit(table, rings, knobs, tie).run();

  auto& bus = table.links.at("PCIe");
  from_others(seen, bus, false);
  bus.local = 0;  // a GPU's own side is a hundred times faster
  std::vector<Knob> bus_knobs = {knob(bus.bandwidth, 0.5, 1)};
  const auto small = [](const CollectiveRow* row) { return row->call.bytes.value() < kSmall; };
  if (std::ranges::any_of(pcie, small)) {
    bus_knobs.push_back(knob(bus.base, 6));
    bus_knobs.push_back(knob(bus.step, 1.5));
  }
  Fit(table, pcie, bus_knobs, [] {}).run();

  auto& apart = table.pairs;
  const Knob rate{[&](double value) { apart.ll_rate = BytesPerSecond(value * 1e9); }, 20, 1e300};
  Fit(table, pairs,
      {knob(apart.start, 2), knob(apart.simple_start, 8), rate, knob(apart.bandwidth, 0.9, 1),
       knob(table.own_copy_pairs, 1)},
      [] {})
      .run();
  return table;
}

}  // namespace pluto::bench
