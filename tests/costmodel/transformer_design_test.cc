#include "costmodel/transformer_design.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "costmodel/transformer_layer_factor.h"
#include "plan/catalog.h"

namespace pluto {
namespace {

const std::string kData = PLUTO_SOURCE_DIR "/data";

class DesignTest : public ::testing::Test {
 protected:
  DesignTest() {
    const auto catalog = Catalog::load(kData + "/catalog").value();
    cluster_ = {catalog.instance("aws:p4d.24xlarge").value(), 1};
    costs_ = TransformerCostTable::load(kData + "/transformer.json")
                 .value()
                 .costs_for(cluster_.instance.node.device);
  }
  TransformerPoint point(int hidden, int tensor, int data, int micro_batch, int layers = 8) const {
    TransformerPoint one;
    one.shape = TransformerShape::gpt(layers, hidden, 16, 1024, 51200);
    one.plan.tensor = tensor;
    one.plan.data = data;
    one.plan.micro_batch = micro_batch;
    one.plan.global_batch = 32;
    one.cluster = cluster_;
    return one;
  }
  /// Ways to spread a model over four devices.
  std::vector<TransformerPoint> plans() const {
    std::vector<TransformerPoint> all;
    for (const int tensor : {1, 2, 4}) {
      for (const int micro_batch : {1, 2, 4, 8}) {
        all.push_back(point(1024, tensor, 4 / tensor, micro_batch));
      }
    }
    return all;
  }
  ClusterSpec cluster_;
  TransformerCosts costs_;
};

TEST_F(DesignTest, RunsAreDistinctAndNoMoreThanThereAre) {
  const auto all = plans();
  const auto chosen = choose_runs(all, all, {}, 100, costs_);
  EXPECT_EQ(std::set<std::size_t>(chosen.begin(), chosen.end()).size(), all.size());
  EXPECT_EQ(chosen.size(), all.size());
  EXPECT_TRUE(choose_runs({}, all, {}, 3, costs_).empty());
  EXPECT_EQ(choose_runs(all, {}, {}, 3, costs_).size(), 3U);
}

TEST_F(DesignTest, TheFirstRunsAreOfDifferentLayers) {
  // Two depths of every plan: the second says little that the first did not.
  auto all = plans();
  for (auto one : plans()) {
    one.shape.layers = 16;
    all.push_back(one);
  }
  std::set<std::string> kinds;
  for (const std::size_t i : choose_runs(all, all, {}, 6, costs_)) {
    kinds.insert(layer_kernels(all[i].shape, all[i].plan));
  }
  EXPECT_GE(kinds.size(), 5U);
}

TEST_F(DesignTest, WhatWasMeasuredIsNotAskedForAgain) {
  const auto all = plans();
  const std::size_t first = choose_runs(all, all, {}, 1, costs_).front();
  // The same layers with twice the depth were measured already, often.
  auto known = all[first];
  known.shape.layers *= 2;
  const std::vector<TransformerPoint> measured(5, known);
  EXPECT_NE(choose_runs(all, all, measured, 1, costs_).front(), first);
}

TEST_F(DesignTest, OnlyWhatTellsPlansApartIsWorthARun) {
  // One model is compared in two layouts, another only with itself: two equal plans.
  const std::vector<TransformerPoint> compared = {point(1024, 1, 4, 2), point(1024, 4, 1, 2),
                                                  point(2048, 2, 2, 4), point(2048, 2, 2, 4)};
  for (const std::size_t i : choose_runs(compared, compared, {}, 2, costs_)) EXPECT_LT(i, 2U);
}

TEST_F(DesignTest, PlansNearTheFastestCountMost) {
  // The third way is the least certain, waiting for its host, but many times slower than the
  // others.
  costs_.spread.fill(1e-9);
  auto slow = point(1024, 1, 1, 1);
  slow.plan.pipeline = 4;
  slow.plan.global_batch = 1;
  const std::vector<TransformerPoint> compared = {point(1024, 1, 4, 8), point(1024, 2, 2, 8), slow};
  EXPECT_NE(choose_runs(compared, compared, {}, 1, costs_).front(), 2U);
}

TEST_F(DesignTest, WaitingForTheHostIsWorthMoreRunsThanProducts) {
  // With the constants known, layers of large micro-batches are known better than small ones.
  costs_.spread.fill(1e-9);
  const std::vector<TransformerPoint> compared = {point(4096, 1, 4, 8), point(4096, 2, 2, 8),
                                                  point(1024, 1, 4, 1), point(1024, 2, 2, 1)};
  EXPECT_GE(choose_runs(compared, compared, {}, 1, costs_).front(), 2U);
  costs_.host_spread = 0;
  EXPECT_LT(choose_runs(compared, compared, {}, 1, costs_).front(), 2U);
}

}  // namespace
}  // namespace pluto
