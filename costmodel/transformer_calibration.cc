#include "costmodel/transformer_calibration.h"

#include <fmt/format.h>

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/statistics.h"

namespace pluto {

namespace {

constexpr int kMostIterations = 60;
constexpr double kOtherSteps = 0.06;  // spread of steps that the points do not resemble
constexpr double kStepSize = 1e-4;    // of ln(constant), for the derivatives
constexpr auto kCount = static_cast<Eigen::Index>(kTransformerConstants);

TransformerCosts at(const TransformerCosts& prior, const Eigen::VectorXd& shift) {
  TransformerCosts costs = prior;
  for (std::size_t c = 0; c < kTransformerConstants; ++c) {
    costs.value[c] *= std::exp(shift(static_cast<Eigen::Index>(c)));
  }
  return costs;
}

class Problem {
 public:
  Problem(std::span<const TransformerPoint> points, const TransformerCosts& prior, double noise)
      : points_(points), prior_(prior), noise_(noise) {}

  /// ln(predicted / measured) of every point.
  Eigen::VectorXd errors(const Eigen::VectorXd& shift) const {
    const TransformerCosts costs = at(prior_, shift);
    Eigen::VectorXd result(static_cast<Eigen::Index>(points_.size()));
    for (std::size_t i = 0; i < points_.size(); ++i) {
      const auto& one = points_[i];
      const auto layer = layer_cost(one.shape, one.plan, one.cluster, costs);
      const auto step = predict_transformer(layer, one.shape, one.plan, one.cluster, costs);
      result(static_cast<Eigen::Index>(i)) = std::log(step.step() / one.step);
    }
    return result;
  }
  Eigen::MatrixXd slopes(const Eigen::VectorXd& shift) const {
    Eigen::MatrixXd result(static_cast<Eigen::Index>(points_.size()), kCount);
    for (Eigen::Index c = 0; c < kCount; ++c) {
      Eigen::VectorXd up = shift;
      Eigen::VectorXd down = shift;
      up(c) += kStepSize;
      down(c) -= kStepSize;
      result.col(c) = (errors(up) - errors(down)) / (2 * kStepSize);
    }
    return result;
  }
  double objective(const Eigen::VectorXd& errors, const Eigen::VectorXd& shift) const {
    double sum = 0;
    for (const double error : errors) sum += std::log1p(error * error / (noise_ * noise_));
    for (Eigen::Index c = 0; c < kCount; ++c) {
      const double pull = shift(c) / prior_.spread[static_cast<std::size_t>(c)];
      sum += pull * pull;
    }
    return sum;
  }
  /// Cauchy: a point counts 1 / (1 + (error / noise)^2).
  Eigen::VectorXd weights(const Eigen::VectorXd& errors) const {
    return (1 + (errors.array() / noise_).square()).inverse() / (noise_ * noise_);
  }
  Eigen::VectorXd pulls() const {
    Eigen::VectorXd result(kCount);
    for (Eigen::Index c = 0; c < kCount; ++c) {
      result(c) = std::pow(prior_.spread[static_cast<std::size_t>(c)], -2);
    }
    return result;
  }

 private:
  std::span<const TransformerPoint> points_;
  const TransformerCosts& prior_;
  double noise_;
};

double median_error(const Eigen::VectorXd& errors) {
  std::vector<double> sizes;
  for (const double error : errors) sizes.push_back(std::abs(std::expm1(error)));
  return median(sizes);
}

}  // namespace

Result<TransformerCalibration> calibrate_transformer(std::span<const TransformerPoint> points,
                                                     const TransformerCosts& prior, double noise) {
  if (points.empty()) {
    return invalid_input("no measured step to calibrate with", "give at least one");
  }
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (!(points[i].step.value() > 0)) {
      return invalid_input(
          fmt::format("step {} took {} s, must be positive", i + 1, points[i].step.value()));
    }
    PLUTO_TRY_AT(fmt::format("step {}", i + 1),
                 predict_transformer(points[i].shape, points[i].plan, points[i].cluster, prior));
  }
  const Problem problem(points, prior, noise);
  const Eigen::VectorXd pulls = problem.pulls();
  Eigen::VectorXd shift = Eigen::VectorXd::Zero(kCount);
  Eigen::VectorXd errors = problem.errors(shift);
  double best = problem.objective(errors, shift);

  TransformerCalibration result;
  result.points = static_cast<int>(points.size());
  result.before = median_error(errors);
  Eigen::MatrixXd normal;
  double damping = 1e-3;
  for (; result.iterations < kMostIterations; ++result.iterations) {
    const Eigen::MatrixXd slopes = problem.slopes(shift);
    const Eigen::VectorXd weights = problem.weights(errors);
    normal = slopes.transpose() * weights.asDiagonal() * slopes;
    normal.diagonal() += pulls;
    const Eigen::VectorXd gradient =
        slopes.transpose() * weights.cwiseProduct(errors) + pulls.cwiseProduct(shift);
    bool better = false;
    double gain = 0;
    while (!better && damping < 1e8) {
      Eigen::MatrixXd damped = normal;
      damped.diagonal() += damping * normal.diagonal();
      const Eigen::VectorXd next = shift - damped.ldlt().solve(gradient);
      const Eigen::VectorXd next_errors = problem.errors(next);
      const double value = problem.objective(next_errors, next);
      better = value < best;
      if (better) {
        gain = best - value;
        shift = next;
        errors = next_errors;
        best = value;
      }
      damping *= better ? 0.3 : 5;
    }
    if (!better || gain < 1e-7 * (1 + best)) break;
  }
  result.costs = at(prior, shift);
  const Eigen::MatrixXd covariance = normal.inverse();
  for (Eigen::Index c = 0; c < kCount; ++c) {
    result.costs.spread[static_cast<std::size_t>(c)] = std::sqrt(covariance(c, c));
  }
  result.after = median_error(errors);
  // 1.4826 times the median deviation is a robust standard deviation; few points flatter it, and
  // steps unlike them err more than they do.
  const double robust = 1.4826 * result.after * (1 + 10.0 / result.points);
  result.costs.step_spread = std::min(std::hypot(robust, kOtherSteps), prior.step_spread);
  return result;
}

}  // namespace pluto
