#include "executor/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/reference/reference_device.h"
#include "tests/executor/executor_models.h"
#include "tests/executor/rank_runs.h"
#include "tests/executor/scratch_folder.h"

namespace pluto {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ScratchFolder;

/// Two blocks over memory of the test.
struct Memory {
  std::vector<float> parameters = {1, 2, 3, 4, 5}, momentum = {6, 7, 8, 9, 10};
  std::vector<StateBlock> blocks() {
    const auto place = [](std::vector<float>& values, std::size_t first, std::size_t count) {
      return Place{reinterpret_cast<std::byte*>(values.data() + first),
                   Bytes(static_cast<std::int64_t>(4 * count))};
    };
    // The places lie in another order than they are written in.
    return {{"parameters", {place(parameters, 2, 3), place(parameters, 0, 2)}, 11},
            {"optimizer_state_0", {place(momentum, 0, 5)}, 12}};
  }
};

CheckpointHeader header_at(std::int64_t step) {
  return {.trajectory = 77,
          .plan = 78,
          .model = 79,
          .step = step,
          .samples = 12 * step,
          .elapsed = 1.5,
          .interval_steps = 2,
          .interval_losses = {0.25, 0.5}};
}

class CheckpointTest : public ::testing::Test {
 protected:
  std::string write(std::int64_t step) {
    const auto path = write_checkpoint(folder_.path(), header_at(step), memory_.blocks(), *device_);
    EXPECT_TRUE(path.ok()) << path.error().message;
    return *path;
  }
  ScratchFolder folder_;
  Memory memory_;
  std::unique_ptr<Device> device_ = make_reference_device();
};

TEST_F(CheckpointTest, WhatIsReadIsWhatWasWritten) {
  const std::string path = write(42);
  EXPECT_EQ(path, folder_.path("step-42.ckpt"));
  Memory read{std::vector<float>(5), std::vector<float>(5)};
  const auto header = load_checkpoint(path, read.blocks(), *device_);
  ASSERT_TRUE(header.ok()) << header.error().message;
  EXPECT_EQ(*header, header_at(42));
  EXPECT_EQ(read.parameters, memory_.parameters);
  EXPECT_EQ(read.momentum, memory_.momentum);
  EXPECT_EQ(*verify_checkpoint(path), header_at(42));
  EXPECT_THAT(list_checkpoints(folder_.path()), ElementsAre(path)) << "and nothing temporary";
}

TEST_F(CheckpointTest, EveryDamagedByteIsFound) {
  const std::string path = write(1);
  const std::string whole = testing::read_bytes(path);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string bytes = whole;
    bytes[i] = static_cast<char>(bytes[i] ^ 0x10);
    testing::write_bytes(path, bytes);
    const auto header = verify_checkpoint(path);
    ASSERT_FALSE(header.ok()) << "byte " << i;
    ASSERT_EQ(header.error().code, ErrorCode::kInvalidInput);
    ASSERT_THAT(header.error().message, HasSubstr(path + ": offset "));
  }
}

TEST_F(CheckpointTest, EveryTruncationIsFound) {
  const std::string path = write(1);
  const std::string whole = testing::read_bytes(path);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    testing::write_bytes(path, whole.substr(0, size));
    ASSERT_FALSE(verify_checkpoint(path).ok()) << size << " bytes";
  }
  testing::write_bytes(path, whole + "x");
  EXPECT_THAT(verify_checkpoint(path).error().message, HasSubstr("bytes go on"));
}

TEST_F(CheckpointTest, BlocksOfAnotherModelAreRefused) {
  const std::string path = write(1);
  auto blocks = memory_.blocks();
  blocks[1].layout = 13;
  const auto other = load_checkpoint(path, blocks, *device_);
  ASSERT_FALSE(other.ok());
  EXPECT_THAT(other.error().message, HasSubstr("is not the optimizer_state_0"));
  blocks.pop_back();
  EXPECT_THAT(load_checkpoint(path, blocks, *device_).error().message,
              HasSubstr("2 blocks; this training has 1"));
}

TEST_F(CheckpointTest, ANewerVersionSaysSo) {
  const std::string path = write(1);
  std::string bytes = testing::read_bytes(path);
  bytes[8] = 2;
  testing::write_bytes(path, bytes);
  EXPECT_THAT(verify_checkpoint(path).error().message,
              HasSubstr("format version 2; this program reads 1"));
}

TEST_F(CheckpointTest, PruningKeepsTheLastTwoOfThisRun) {
  std::vector<std::string> own;
  write(900);  // of an older run
  for (const std::int64_t step : {5, 10, 100}) own.push_back(write(step));
  testing::write_bytes(folder_.path("step-x.ckpt"), "not ours");
  testing::write_bytes(folder_.path("notes.txt"), "not ours");
  prune_checkpoints(folder_.path(), own);
  EXPECT_THAT(list_checkpoints(folder_.path()), ElementsAre(own[2], own[1]));
  EXPECT_TRUE(std::filesystem::exists(folder_.path("step-x.ckpt")));
  EXPECT_TRUE(std::filesystem::exists(folder_.path("notes.txt")));
}

TEST_F(CheckpointTest, TheNewestWholeOneIsFound) {
  EXPECT_EQ(find_checkpoint(folder_.path("missing"), 77)->path, std::nullopt);
  const std::string old = write(9), newer = write(10);
  EXPECT_EQ(find_checkpoint(folder_.path(), 77)->path, newer);
  EXPECT_THAT(find_checkpoint(folder_.path(), 77)->warnings, IsEmpty());

  testing::write_bytes(newer, testing::read_bytes(newer).substr(0, 100));
  const auto fallen_back = find_checkpoint(folder_.path(), 77);
  EXPECT_EQ(fallen_back->path, old);
  EXPECT_THAT(fallen_back->warnings, ElementsAre("damaged checkpoint passed over: " + newer +
                                                 ": offset 100: the file ends early"));

  testing::write_bytes(old, "");
  const auto none = find_checkpoint(folder_.path(), 77);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, ErrorCode::kIo);
}

TEST_F(CheckpointTest, AnotherTrainingIsNamed) {
  write(9);
  const auto found = find_checkpoint(folder_.path(), 1);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::kInvalidInput);
  EXPECT_THAT(found.error().message, HasSubstr("step 9"));
}

TEST_F(CheckpointTest, AFolderThatIsAFileIsAnError) {
  testing::write_bytes(folder_.path("file"), "");
  const auto path =
      write_checkpoint(folder_.path("file/below"), header_at(1), memory_.blocks(), *device_);
  ASSERT_FALSE(path.ok());
  EXPECT_EQ(path.error().code, ErrorCode::kIo);
}

TEST(TrajectoryTest, OnlyWhatDecidesTheParametersCounts) {
  const ModelGraph model = testing::two_layers();
  const Plan plan = testing::tiny_plan(model, {});
  const std::uint64_t expected = trajectory_fingerprint(plan);
  testing::TinyPlan tiny;
  tiny.ranks = 3;
  tiny.accumulation = 2;
  Plan elsewhere = testing::tiny_plan(model, tiny);
  testing::set_method(elsewhere, model, SyncMethod::kParameterServer);
  elsewhere.servers = {1};
  elsewhere.backend = "cpu";
  elsewhere.budget = Dollars(3);
  elsewhere.data.readers = 4;
  EXPECT_EQ(trajectory_fingerprint(elsewhere), expected);

  const auto changed = [&](const std::function<void(Plan&)>& change) {
    Plan other = plan;
    change(other);
    return trajectory_fingerprint(other);
  };
  EXPECT_NE(changed([](Plan& p) { p.seed = 9; }), expected);
  EXPECT_NE(changed([](Plan& p) { p.global_batch = 24; }), expected);
  EXPECT_NE(changed([](Plan& p) { p.steps += 1; }), expected);
  EXPECT_NE(changed([](Plan& p) { p.optimizer = AdamAttrs{}; }), expected);
  EXPECT_NE(changed([](Plan& p) { p.learning_rate.peak = 1; }), expected);
  EXPECT_NE(changed([](Plan& p) { p.model_fingerprint += 1; }), expected);
  EXPECT_NE(changed([](Plan& p) { p.data.source = "fashion-mnist"; }), expected);
  EXPECT_NE(changed([](Plan& p) { p.dataset_samples += 1; }), expected);
}

}  // namespace
}  // namespace pluto
