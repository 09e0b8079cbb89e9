#include "costmodel/transformer_design.h"

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>
#include <tuple>

#include "costmodel/transformer_layer_factor.h"

namespace pluto {

namespace {

using Eigen::Index;

constexpr double kNoise = 0.02;        // of ln(step)
constexpr double kSmallChange = 1e-3;  // of ln(constant), for the derivative
constexpr double kAlone = 0.02;        // weight of a plan's own variance beside the comparisons
constexpr std::size_t kUnknowns = kTransformerConstants + 4;

/// Derivatives of ln(step) by the unknowns it depends on, and their places among all.
struct Slopes {
  std::array<Index, kUnknowns> place{};
  std::array<double, kUnknowns> slope{};

  void set(std::size_t i, Index where, double value) {
    place[i] = where;
    slope[i] = value;
  }
  double product(const Eigen::MatrixXd& matrix) const {
    double sum = 0;
    for (std::size_t a = 0; a < kUnknowns; ++a) {
      for (std::size_t b = 0; b < kUnknowns; ++b) {
        sum += slope[a] * matrix(place[a], place[b]) * slope[b];
      }
    }
    return sum;
  }
  Eigen::VectorXd times(const Eigen::MatrixXd& matrix) const {
    Eigen::VectorXd result = Eigen::VectorXd::Zero(matrix.rows());
    for (std::size_t a = 0; a < kUnknowns; ++a) result += slope[a] * matrix.col(place[a]);
    return result;
  }
};

double log_step(const TransformerPoint& one, const TransformerCosts& costs) {
  const auto layer = layer_cost(one.shape, one.plan, one.cluster, costs);
  return std::log(
      predict_transformer(layer, one.shape, one.plan, one.cluster, costs).step().value());
}

/// All unknowns: the constants, then two for each tensor degree and each kind of layer.
class Unknowns {
 public:
  explicit Unknowns(const TransformerCosts& costs) : costs_(costs) {
    for (const double spread : costs.spread) variances_.push_back(spread * spread);
  }

  Slopes slopes(const TransformerPoint& one) {
    Slopes result;
    const double base = log_step(one, costs_);
    for (std::size_t c = 0; c < kTransformerConstants; ++c) {
      TransformerCosts moved = costs_;
      moved.value[c] *= std::exp(kSmallChange);
      result.set(c, static_cast<Index>(c), (log_step(one, moved) - base) / kSmallChange);
    }
    const LayerEffect effect = layer_effect(one.shape, one.plan, one.cluster, costs_);
    const double host = effect.share * effect.host_share;
    const Index degree = place_of(degrees_, effect.tensor, costs_.degree_share);
    const Index kernels = place_of(kernels_, effect.kernels, 1 - costs_.degree_share);
    result.set(kTransformerConstants, degree, effect.share);
    result.set(kTransformerConstants + 1, degree + 1, host);
    result.set(kTransformerConstants + 2, kernels, effect.share);
    result.set(kTransformerConstants + 3, kernels + 1, host);
    return result;
  }
  Eigen::MatrixXd covariance() const {
    return Eigen::Map<const Eigen::VectorXd>(variances_.data(),
                                             static_cast<Index>(variances_.size()))
        .asDiagonal();
  }

 private:
  template <class Places, class Key>
  Index place_of(Places& places, const Key& key, double share) {
    const auto [found, fresh] = places.try_emplace(key, static_cast<Index>(variances_.size()));
    if (fresh) {
      variances_.push_back(share * costs_.layer_spread * costs_.layer_spread);
      variances_.push_back(share * costs_.host_spread * costs_.host_spread);
    }
    return found->second;
  }

  const TransformerCosts& costs_;
  std::vector<double> variances_;
  std::map<int, Index> degrees_;
  std::map<std::string, Index> kernels_;
};

struct Compared {
  Slopes slopes;
  double time = 0;  ///< seconds per sample
};

/// What is to be known: the sum of the variances is the trace of covariance times this.
Eigen::MatrixXd interest_of(std::span<const TransformerPoint> points, const TransformerCosts& costs,
                            Unknowns& unknowns) {
  // The vocabulary is left out: it is padded where tensor ranks cut it.
  using Group = std::tuple<int, int, int, int, int, int>;
  std::map<Group, std::vector<Compared>> groups;
  for (const TransformerPoint& one : points) {
    const TransformerShape& shape = one.shape;
    groups[{shape.layers, shape.hidden, shape.heads, shape.ffn, shape.sequence, one.plan.devices()}]
        .push_back({unknowns.slopes(one), std::exp(log_step(one, costs)) / one.plan.global_batch});
  }
  const Index count = unknowns.covariance().rows();
  Eigen::MatrixXd interest = Eigen::MatrixXd::Zero(count, count);
  for (const auto& [key, plans] : groups) {
    const double fastest = std::ranges::min(plans, {}, &Compared::time).time;
    Eigen::VectorXd mean = Eigen::VectorXd::Zero(count);
    double weights = 0;
    for (const Compared& one : plans) {
      const double weight = std::pow(fastest / one.time, 2);
      weights += weight;
      for (std::size_t a = 0; a < kUnknowns; ++a) {
        const Index row = one.slopes.place[a];
        mean(row) += weight * one.slopes.slope[a];
        for (std::size_t b = 0; b < kUnknowns; ++b) {
          interest(row, one.slopes.place[b]) +=
              (1 + kAlone) * weight * one.slopes.slope[a] * one.slopes.slope[b];
        }
      }
    }
    interest -= mean * mean.transpose() / weights;
  }
  return interest;
}

}  // namespace

std::vector<std::size_t> choose_runs(std::span<const TransformerPoint> candidates,
                                     std::span<const TransformerPoint> compared,
                                     std::span<const TransformerPoint> measured, std::size_t count,
                                     const TransformerCosts& costs) {
  Unknowns unknowns(costs);
  std::vector<Slopes> runs, known;
  for (const TransformerPoint& one : candidates) runs.push_back(unknowns.slopes(one));
  for (const TransformerPoint& one : measured) known.push_back(unknowns.slopes(one));
  const Eigen::MatrixXd interest = interest_of(compared, costs, unknowns);
  Eigen::MatrixXd covariance = unknowns.covariance();
  for (const Slopes& one : known) {
    const Eigen::VectorXd along = one.times(covariance);
    covariance -= along * along.transpose() / (one.product(covariance) + kNoise * kNoise);
  }
  // covariance x interest x covariance, kept up to date: a run's gain is its product with it.
  Eigen::MatrixXd gains = covariance * interest * covariance;
  std::vector<std::size_t> chosen;
  std::vector<bool> taken(runs.size(), false);
  while (chosen.size() < std::min(count, runs.size())) {
    double most = -1;
    std::size_t next = 0;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      if (taken[i]) continue;
      const double gain = runs[i].product(gains) / (runs[i].product(covariance) + kNoise * kNoise);
      if (gain > most) {
        most = gain;
        next = i;
      }
    }
    chosen.push_back(next);
    taken[next] = true;
    const double variance = runs[next].product(covariance) + kNoise * kNoise;
    const Eigen::VectorXd along = runs[next].times(covariance);
    const Eigen::VectorXd across = runs[next].times(gains);
    gains += along * along.transpose() * (runs[next].product(gains) / (variance * variance)) -
             (along * across.transpose() + across * along.transpose()) / variance;
    covariance -= along * along.transpose() / variance;
  }
  return chosen;
}

}  // namespace pluto
