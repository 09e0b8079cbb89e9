#include "planner/closed_form_seed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "planner/best_first.h"
#include "tests/support/planner_cases.h"

namespace pluto {
namespace {

using testing::candidate;
using testing::perceptron;
using testing::small_job;

constexpr double kCriticalBatch = 2000;

/// Cells of one instance type whose steps take b B / n and no more.
class LinearSpace final : public PlanSpace {
 public:
  LinearSpace(InstanceType instance, double per_sample)
      : instance_(std::move(instance)), per_sample_(per_sample) {
    for (int ranks = 1; ranks <= 64; ranks *= 2) {
      for (std::int64_t batch = 64; batch <= 8192; batch *= 2) {
        const double samples = 1e6 * (1 + static_cast<double>(batch) / kCriticalBatch);
        const double steps = samples / static_cast<double>(batch);
        cells_.push_back({&instance_, ranks, batch, static_cast<std::int64_t>(steps)});
      }
    }
  }
  std::size_t cells() const override { return cells_.size(); }
  Result<std::optional<CellBound>> bound(std::size_t cell) override {
    const CellPlace& at = cells_[cell];
    const Seconds time(per_sample_ * static_cast<double>(at.steps * at.batch) / at.ranks);
    return std::optional(CellBound{time, instance_.price * time * at.ranks});
  }
  Result<std::optional<RankedPlan>> best(std::size_t cell, const std::function<bool()>&) override {
    priced.push_back(cell);
    return std::optional<RankedPlan>();
  }
  Result<std::optional<RankedPlan>> plain(const RankedPlan&) override {
    return std::optional<RankedPlan>();
  }
  Result<std::optional<RankedPlan>> lightest(const std::function<bool()>&) override {
    return std::optional<RankedPlan>();
  }
  std::optional<CellPlace> place(std::size_t cell) const override { return cells_[cell]; }
  Bytes gradient_bytes() const override { return Bytes(1'000'000); }
  std::int64_t evaluated() const override { return 0; }
  Rejections rejections() const override { return {}; }

  std::vector<BoundedCell> bounded() {
    std::vector<BoundedCell> all;
    for (std::size_t i = 0; i < cells_.size(); ++i) all.push_back({i, *bound(i).value()});
    return all;
  }
  std::vector<std::size_t> priced;

 private:
  InstanceType instance_;
  double per_sample_;
  std::vector<CellPlace> cells_;
};

TrainingJob job_with_law(double critical_batch) {
  TrainingJob job = small_job(1);
  job.global_batch.reset();
  job.samples_law = SamplesLaw{};
  job.samples_law->kind = LawKind::kStated;
  job.samples_law->critical_batch = critical_batch;
  return job;
}

TEST(ClosedFormSeedTest, IsTheClosedFormOfTheDeadline) {
  LinearSpace space(candidate("a", 64, 2).instance, 0.01);
  TrainingJob job = job_with_law(kCriticalBatch);
  job.deadline = Seconds(2000);
  const auto seed = closed_form_seed(job, space, space.bounded());
  ASSERT_TRUE(seed.has_value());
  const ClosedFormChoice& choice = seed->choice;
  EXPECT_EQ(choice.instance, "a");
  EXPECT_NEAR(choice.job.per_sample.value(), 0.01, 1e-12);
  EXPECT_LE(choice.plan.time, *job.deadline);
  EXPECT_EQ(choice.plan.devices, fewest_devices(choice.job, *job.deadline)->devices);
  const auto fewer = closed_form_at(choice.job, choice.plan.devices - 1);
  EXPECT_GT(fewer->time, *job.deadline);
  // No other cell is nearer.
  const auto away = [&](std::size_t cell) {
    const auto at = *space.place(cell);
    return std::abs(std::log(at.ranks / static_cast<double>(choice.plan.devices))) +
           std::abs(std::log(static_cast<double>(at.batch) / choice.plan.batch));
  };
  for (std::size_t i = 0; i < space.cells(); ++i) EXPECT_GE(away(i), away(seed->cell));
}

TEST(ClosedFormSeedTest, WithoutADeadlineTheCheapestIsOneDevice) {
  LinearSpace space(candidate("a", 64, 2).instance, 0.01);
  TrainingJob job = job_with_law(kCriticalBatch);
  EXPECT_EQ(closed_form_seed(job, space, space.bounded())->choice.plan.devices, 1);
  job.minimize = Objective::kTime;
  EXPECT_EQ(closed_form_seed(job, space, space.bounded())->choice.plan.devices, 64);
  job.deadline = Seconds(1e-3);
  EXPECT_FALSE(closed_form_seed(job, space, space.bounded()).has_value());
}

TEST(ClosedFormSeedTest, AFixedBatchStaysWhereItIs) {
  LinearSpace space(candidate("a", 64, 2).instance, 0.01);
  TrainingJob job = small_job(512);
  std::vector<BoundedCell> cells;
  for (const BoundedCell& one : space.bounded()) {
    if (space.place(one.cell)->batch == 512) cells.push_back(one);
  }
  job.deadline = Seconds(3000);
  const auto seed = closed_form_seed(job, space, cells);
  ASSERT_TRUE(seed.has_value());
  EXPECT_NEAR(seed->choice.plan.batch, 512, 1e-6);
  EXPECT_LE(seed->choice.plan.time, *job.deadline);
}

TEST(ClosedFormSeedTest, ThatCellIsPricedFirst) {
  LinearSpace space(candidate("a", 64, 2).instance, 0.01);
  TrainingJob job = job_with_law(kCriticalBatch);
  job.deadline = Seconds(2000);
  const std::size_t wanted = closed_form_seed(job, space, space.bounded())->cell;
  const auto result = best_first(job, space, false, {});
  ASSERT_TRUE(result.ok());
  ASSERT_FALSE(space.priced.empty());
  EXPECT_EQ(space.priced.front(), wanted);
  EXPECT_EQ(std::set(space.priced.begin(), space.priced.end()).size(), space.priced.size())
      << "and once";
  ASSERT_TRUE(result->closed_form.has_value());
}

}  // namespace
}  // namespace pluto
