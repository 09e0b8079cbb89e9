#include "costmodel/surface_fit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace pluto {
namespace {

OpSurface truth() {
  OpSurface surface;
  surface[Knob::kPeak] = 0.7;
  surface[Knob::kDepth] = 60;
  surface[Knob::kTile] = 12;
  surface[Knob::kBandwidth] = 0.6;
  return surface;
}

// Products of many sizes on one device, timed by two harnesses with floors of 5 and 30 us; every
// tenth is wrong by a factor 3.
std::vector<SurfaceSample> samples(bool outliers) {
  std::vector<SurfaceSample> result;
  int i = 0;
  for (const double m : {16.0, 100.0, 512.0, 2000.0, 8192.0}) {
    for (const double n : {64.0, 700.0, 4096.0}) {
      for (const double k : {32.0, 256.0, 2048.0, 10000.0}) {
        SurfaceSample sample;
        sample.shape.op_class = OpClass::kGemm;
        sample.shape.products = {{m, n, k, 1, 4 * (m * k + k * n + m * n)}};
        sample.device = {1e13, 1e13, 5e11, 60, 4e6};
        sample.source = i % 2;
        sample.seconds = surface_seconds(sample.shape, sample.device, truth(), Load::kSingle) +
                         (sample.source == 0 ? 5e-6 : 30e-6);
        if (outliers && i % 10 == 3) sample.seconds *= 3;
        result.push_back(sample);
        ++i;
      }
    }
  }
  return result;
}

SurfaceFitOptions options() {
  SurfaceFitOptions options;
  options.knobs = {Knob::kPeak, Knob::kDepth, Knob::kTile, Knob::kBandwidth, Knob::kFloor};
  for (const Knob knob : options.knobs) options.start[knob] = range_of(knob).start;
  options.prior = 1e-4;
  return options;
}

TEST(SurfaceFit, FindsTheKnobsThatMadeTheTimes) {
  const auto fit = fit_surface(samples(false), options());
  EXPECT_NEAR(fit.surface[Knob::kPeak], 0.7, 0.02);
  EXPECT_NEAR(fit.surface[Knob::kDepth], 60, 4);
  EXPECT_NEAR(fit.surface[Knob::kTile], 12, 1.5);
  EXPECT_NEAR(fit.surface[Knob::kBandwidth], 0.6, 0.02);
  ASSERT_EQ(fit.floors.size(), 2U);
  EXPECT_NEAR(fit.floors[0], 5e-6, 3e-7);
  EXPECT_NEAR(fit.floors[1], 30e-6, 1e-6);
  EXPECT_EQ(fit.surface[Knob::kFloor], fit.floors[0]);  // the least
}

TEST(SurfaceFit, OutliersPullLittle) {
  const auto fit = fit_surface(samples(true), options());
  EXPECT_NEAR(fit.surface[Knob::kPeak], 0.7, 0.07);
  EXPECT_NEAR(fit.surface[Knob::kBandwidth], 0.6, 0.06);
}

TEST(SurfaceFit, AStrongPriorKeepsTheStart) {
  auto held = options();
  held.knobs = {Knob::kPeak};
  held.start = truth();
  held.start[Knob::kPeak] = 0.5;
  held.prior = 1e6;
  EXPECT_NEAR(fit_surface(samples(false), held).surface[Knob::kPeak], 0.5, 0.01);
  held.prior = 1e-4;
  EXPECT_GT(fit_surface(samples(false), held).surface[Knob::kPeak], 0.6);
}

TEST(SurfaceFit, WeightsCount) {
  auto both = samples(false);
  auto slow = samples(false);
  for (auto& sample : slow) sample.seconds *= 1.4, sample.weight = 1e-3;
  both.insert(both.end(), slow.begin(), slow.end());
  EXPECT_NEAR(fit_surface(both, options()).surface[Knob::kPeak], 0.7, 0.03);
}

TEST(SurfaceFit, KnobsStayInTheirRanges) {
  auto fast = samples(false);
  for (auto& sample : fast) sample.seconds /= 100;
  const auto fit = fit_surface(fast, options());
  EXPECT_LE(fit.surface[Knob::kPeak], range_of(Knob::kPeak).most * 1.0001);
  EXPECT_GE(fit.surface[Knob::kDepth], range_of(Knob::kDepth).least * 0.9999);
}

}  // namespace
}  // namespace pluto
