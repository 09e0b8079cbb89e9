#include "costmodel/surface_fit.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace pluto {

namespace {

constexpr double kErrorScale = 0.1;  // relative errors beyond count linearly
constexpr int kIterations = 40;
constexpr double kStep = 1e-3;  // of logarithms, for differences

/// The unknowns: logarithms of the knobs but the floor, then of the floor of each source.
class Problem {
 public:
  Problem(std::span<const SurfaceSample> samples, const SurfaceFitOptions& options)
      : samples_(samples), options_(options) {
    for (const Knob knob : options.knobs) {
      if (knob == Knob::kFloor) {
        for (const auto& sample : samples) sources_ = std::max(sources_, sample.source + 1);
      } else {
        knobs_.push_back(knob);
      }
    }
    start_.resize(unknowns());
    least_.resize(unknowns());
    most_.resize(unknowns());
    for (Eigen::Index i = 0; i < unknowns(); ++i) {
      const Knob knob = is_floor(i) ? Knob::kFloor : knobs_[static_cast<std::size_t>(i)];
      const auto& range = range_of(knob);
      least_[i] = std::log(range.least);
      most_[i] = std::log(range.most);
      double start = options.start[knob];
      const auto source = static_cast<std::size_t>(i) - knobs_.size();
      if (is_floor(i) && source < options.floors.size()) start = options.floors[source];
      start_[i] = std::clamp(std::log(std::max(start, 1e-12)), least_[i], most_[i]);
    }
  }

  Eigen::Index unknowns() const { return static_cast<Eigen::Index>(knobs_.size()) + sources_; }
  Eigen::Index residuals() const { return static_cast<Eigen::Index>(samples_.size()); }
  const Eigen::VectorXd& start() const { return start_; }
  Eigen::VectorXd clamped(const Eigen::VectorXd& logs) const {
    return logs.cwiseMax(least_).cwiseMin(most_);
  }

  OpSurface surface(const Eigen::VectorXd& logs) const {
    OpSurface surface = options_.start;
    for (std::size_t i = 0; i < knobs_.size(); ++i) {
      surface[knobs_[i]] = std::exp(logs[static_cast<Eigen::Index>(i)]);
    }
    return surface;
  }
  double floor_of(const Eigen::VectorXd& logs, int source) const {
    return sources_ == 0 ? options_.start[Knob::kFloor]
                         : std::exp(logs[static_cast<Eigen::Index>(knobs_.size()) + source]);
  }

  // Without the floors, which differences of other knobs leave alone.
  Eigen::VectorXd bare_seconds(const Eigen::VectorXd& logs) const {
    OpSurface bare = surface(logs);
    bare[Knob::kFloor] = 0;
    Eigen::VectorXd seconds(residuals());
    for (Eigen::Index i = 0; i < residuals(); ++i) {
      const auto& sample = samples_[static_cast<std::size_t>(i)];
      seconds[i] = surface_seconds(sample.shape, sample.device, bare, Load::kSingle);
    }
    return seconds;
  }
  Eigen::VectorXd errors(const Eigen::VectorXd& bare, const Eigen::VectorXd& logs) const {
    Eigen::VectorXd result(residuals());
    for (Eigen::Index i = 0; i < residuals(); ++i) {
      const auto& sample = samples_[static_cast<std::size_t>(i)];
      result[i] = std::log((bare[i] + floor_of(logs, sample.source)) / sample.seconds);
    }
    return result;
  }
  double loss(const Eigen::VectorXd& errors, const Eigen::VectorXd& logs) const {
    double sum = 0;
    for (Eigen::Index i = 0; i < residuals(); ++i) {
      const double r = errors[i] / kErrorScale;
      sum += samples_[static_cast<std::size_t>(i)].weight * 2 * (std::sqrt(1 + r * r) - 1);
    }
    return sum + options_.prior * (logs - start_).squaredNorm() / (kErrorScale * kErrorScale);
  }
  Eigen::MatrixXd jacobian(const Eigen::VectorXd& bare, const Eigen::VectorXd& logs,
                           const Eigen::VectorXd& at) const {
    Eigen::MatrixXd result = Eigen::MatrixXd::Zero(residuals(), unknowns());
    for (Eigen::Index j = 0; j < unknowns(); ++j) {
      if (is_floor(j)) {
        const int source = static_cast<int>(j - static_cast<Eigen::Index>(knobs_.size()));
        for (Eigen::Index i = 0; i < residuals(); ++i) {
          if (samples_[static_cast<std::size_t>(i)].source != source) continue;
          const double floor = floor_of(logs, source);
          result(i, j) = floor / (bare[i] + floor);
        }
        continue;
      }
      const double step = logs[j] + kStep <= most_[j] ? kStep : -kStep;
      Eigen::VectorXd moved = logs;
      moved[j] += step;
      result.col(j) = (errors(bare_seconds(moved), moved) - at) / step;
    }
    return result;
  }
  Eigen::VectorXd weights(const Eigen::VectorXd& errors) const {
    Eigen::VectorXd result(residuals());
    for (Eigen::Index i = 0; i < residuals(); ++i) {
      const double r = errors[i] / kErrorScale;
      result[i] = samples_[static_cast<std::size_t>(i)].weight / std::sqrt(1 + r * r);
    }
    return result;
  }
  int sources() const { return sources_; }

 private:
  bool is_floor(Eigen::Index i) const { return i >= static_cast<Eigen::Index>(knobs_.size()); }

  std::span<const SurfaceSample> samples_;
  const SurfaceFitOptions& options_;
  std::vector<Knob> knobs_;
  int sources_ = 0;
  Eigen::VectorXd start_, least_, most_;
};

}  // namespace

SurfaceFit fit_surface(std::span<const SurfaceSample> samples, const SurfaceFitOptions& options) {
  PLUTO_CHECK(!samples.empty(), "a fit needs samples");
  const Problem problem(samples, options);
  Eigen::VectorXd logs = problem.start();
  Eigen::VectorXd bare = problem.bare_seconds(logs);
  Eigen::VectorXd errors = problem.errors(bare, logs);
  double loss = problem.loss(errors, logs);
  double damping = 1e-2;
  for (int iteration = 0; iteration < kIterations && problem.unknowns() > 0; ++iteration) {
    const Eigen::MatrixXd jacobian = problem.jacobian(bare, logs, errors);
    const Eigen::VectorXd weights = problem.weights(errors);
    Eigen::MatrixXd normal = jacobian.transpose() * weights.asDiagonal() * jacobian;
    normal.diagonal().array() += options.prior;
    const Eigen::VectorXd gradient = jacobian.transpose() * weights.asDiagonal() * errors +
                                     options.prior * (logs - problem.start());
    double gained = 0;
    for (; damping < 1e6 && gained == 0; damping *= 4) {
      Eigen::MatrixXd damped = normal;
      damped.diagonal() *= 1 + damping;
      const Eigen::VectorXd step = damped.ldlt().solve(gradient).cwiseMax(-1).cwiseMin(1);
      const Eigen::VectorXd next = problem.clamped(logs - step);
      const Eigen::VectorXd next_bare = problem.bare_seconds(next);
      const Eigen::VectorXd next_errors = problem.errors(next_bare, next);
      const double next_loss = problem.loss(next_errors, next);
      if (next_loss < loss) {
        gained = (loss - next_loss) / loss;
        logs = next;
        bare = next_bare;
        errors = next_errors;
        loss = next_loss;
        damping /= 16;
      }
    }
    if (gained < 1e-5) break;
  }
  SurfaceFit fit{problem.surface(logs), {}, loss};
  double least = std::numeric_limits<double>::infinity();
  for (int source = 0; source < problem.sources(); ++source) {
    const bool seen = std::any_of(samples.begin(), samples.end(),
                                  [&](const auto& sample) { return sample.source == source; });
    fit.floors.push_back(problem.floor_of(logs, source));
    if (seen) least = std::min(least, fit.floors.back());
  }
  if (problem.sources() > 0) fit.surface[Knob::kFloor] = least;
  return fit;
}

}  // namespace pluto
