#include "executor/prefetcher.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>

namespace pluto {
namespace {

/// Sample i is {i, i}, label -i.
class Counting : public DataSource {
 public:
  std::int64_t size() const override { return 50; }
  Bytes bytes_per_sample() const override { return Bytes(12); }
  void read(std::int64_t index, std::span<void* const> slots) const override {
    auto* pair = static_cast<std::int32_t*>(slots[0]);
    pair[0] = pair[1] = static_cast<std::int32_t>(index);
    *static_cast<std::int32_t*>(slots[1]) = -static_cast<std::int32_t>(index);
    ++reads;
  }
  mutable std::atomic<std::int64_t> reads = 0;
};

struct Sets {
  std::vector<std::int32_t> pairs, labels;
  std::int64_t micro_batch;
  explicit Sets(std::int64_t size)
      : pairs(static_cast<std::size_t>(4 * size)),
        labels(static_cast<std::size_t>(2 * size)),
        micro_batch(size) {}
  std::vector<InputSlot> slots() {
    const auto at = [](std::vector<std::int32_t>& values, std::int64_t i) {
      return reinterpret_cast<std::byte*>(values.data() + i);
    };
    return {{{at(pairs, 0), at(pairs, 2 * micro_batch)}, 8},
            {{at(labels, 0), at(labels, micro_batch)}, 4}};
  }
};

double no_time() { return 0; }

TEST(BatchScheduleTest, RanksAndMicroBatchesPartTheGlobalBatch) {
  for (const int ranks : {1, 2, 3}) {
    for (const int accumulation : {1, 2}) {
      std::vector<int> seen(2 * 12);
      for (int rank = 0; rank < ranks; ++rank) {
        const BatchSchedule schedule{12, 12 / ranks / accumulation, accumulation, ranks, rank, 3,
                                     5};
        EXPECT_EQ(schedule.micro_batches(), 2 * accumulation);
        for (std::int64_t number = 0; number < schedule.micro_batches(); ++number) {
          for (std::int64_t i = 0; i < schedule.micro_batch; ++i) {
            ++seen[static_cast<std::size_t>(schedule.position(number) + i - 3 * 12)];
          }
          EXPECT_EQ(schedule.position(number) % 12, schedule.sample_offset(number));
        }
      }
      EXPECT_EQ(seen, std::vector<int>(24, 1)) << ranks << " ranks x " << accumulation;
    }
  }
}

TEST(PrefetcherTest, EveryMicroBatchHoldsItsSamples) {
  for (const int readers : {1, 2, 5}) {
    const Counting source;
    const SampleOrder order(50, 3);
    const BatchSchedule schedule{14, 7, 1, 2, 1, 2, 22};
    Sets sets(7);
    const std::function<double()> clock = no_time;
    Prefetcher prefetcher(source, order, schedule, sets.slots(), readers, clock);
    for (std::int64_t number = 0; number < 20; ++number) {
      prefetcher.acquire(number);
      for (std::int64_t i = 0; i < 7; ++i) {
        const auto expected = static_cast<std::int32_t>(order.index((2 + number) * 14 + 7 + i));
        const auto at = static_cast<std::size_t>(number % 2 * 7 + i);
        ASSERT_EQ(sets.pairs[2 * at], expected) << readers << " readers, batch " << number;
        ASSERT_EQ(sets.pairs[2 * at + 1], expected);
        ASSERT_EQ(sets.labels[at], -expected);
      }
      prefetcher.release(number);
    }
    EXPECT_EQ(source.reads, 20 * 7) << "it reads what the run needs and no more";
  }
}

TEST(PrefetcherTest, ASetIsNotTouchedBeforeItsRelease) {
  const Counting source;
  const SampleOrder order(50, 3);
  const BatchSchedule schedule{4, 4, 1, 1, 0, 0, 10};
  Sets sets(4);
  const std::function<double()> clock = no_time;
  Prefetcher prefetcher(source, order, schedule, sets.slots(), 2, clock);
  prefetcher.acquire(0);
  prefetcher.acquire(1);  // both sets are full now: nobody may read on
  EXPECT_EQ(source.reads, 8);
  prefetcher.release(0);
  prefetcher.acquire(2);
  EXPECT_EQ(source.reads, 12);
}

TEST(PrefetcherTest, ItCanBeLeftInTheMiddle) {
  const Counting source;
  const SampleOrder order(50, 3);
  const BatchSchedule schedule{4, 4, 1, 1, 0, 0, 1000};
  Sets sets(4);
  const std::function<double()> clock = no_time;
  Prefetcher prefetcher(source, order, schedule, sets.slots(), 3, clock);
  prefetcher.acquire(0);
}

TEST(PrefetcherTest, TimesAreThoseOfTheReading) {
  const Counting source;
  const SampleOrder order(50, 3);
  const BatchSchedule schedule{4, 4, 1, 1, 0, 0, 2};
  Sets sets(4);
  std::atomic<int> ticks = 0;
  const std::function<double()> clock = [&] { return static_cast<double>(ticks++); };
  Prefetcher prefetcher(source, order, schedule, sets.slots(), 1, clock);
  const auto first = prefetcher.acquire(0), second = prefetcher.acquire(1);
  EXPECT_EQ(first.start, 0);
  EXPECT_EQ(first.end, 1);
  EXPECT_EQ(second.start, 2);
  EXPECT_EQ(second.end, 3);
}

}  // namespace
}  // namespace pluto
