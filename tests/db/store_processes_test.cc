// Several processes on one database: writing at the same time, and dying while writing.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <vector>

#include "db/store.h"
#include "tests/support/sample_documents.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

// Runs `work` in a process of its own, which ends with what it returns.
pid_t start(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  return child;
}

Measurement numbered(const std::string& writer, std::int64_t number) {
  Measurement measurement{testing::sample_context(), testing::sample_op(number + 1)};
  measurement.context.host = writer;
  return measurement;
}

std::int64_t number_of(const Measurement& measurement) {
  return std::get<OpMeasurement>(measurement.what).signature.micro_batch - 1;
}

TEST(StoreProcessesTest, ConcurrentWritersLoseNothing) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("profiles.db");
  constexpr int kWriters = 4;
  constexpr int kRows = 50;
  std::vector<pid_t> children;
  for (int writer = 0; writer < kWriters; ++writer) {
    // The file does not exist yet: they also create it at the same time.
    children.push_back(start([&] {
      const auto store = Store::open(path);
      if (!store.ok()) return 1;
      for (int i = 0; i < kRows; ++i) {
        if (!(*store)->record(numbered("writer" + std::to_string(writer), i)).ok()) return 2;
      }
      return 0;
    }));
  }
  for (const pid_t child : children) {
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
  }

  const auto store = Store::open(path);
  ASSERT_TRUE(store.ok()) << store.error().message;
  const auto rows = (*store)->measurements(std::nullopt);
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  EXPECT_EQ(rows->size(), static_cast<std::size_t>(kWriters * kRows));
  std::map<std::string, std::int64_t> next;
  for (const StoredMeasurement& row : *rows) {
    EXPECT_EQ(number_of(row.measurement), next[row.measurement.context.host]++);
  }
}

TEST(StoreProcessesTest, ReaderSeesWhatAnotherProcessStored) {
  const testing::TemporaryFolder folder;
  const auto store = Store::open(folder.file("profiles.db"));
  ASSERT_TRUE(store.ok()) << store.error().message;
  const pid_t child = start([&] {
    const auto other = Store::open(folder.file("profiles.db"));
    return other.ok() && (*other)->record(numbered("other", 0)).ok() ? 0 : 1;
  });
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  EXPECT_EQ((*store)->measurements(std::nullopt)->size(), 1U);
}

TEST(StoreProcessesTest, KilledWriterLosesNothingItWasToldIsStored) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("profiles.db");
  std::int64_t stored = 0;
  for (int round = 0; round < 3; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = start([&] {
      ::close(ends[0]);
      const auto store = Store::open(path);
      if (!store.ok()) return 1;
      for (std::int64_t i = stored;; ++i) {
        if (!(*store)->record(numbered("writer", i)).ok()) return 2;
        const char told = 1;
        if (::write(ends[1], &told, 1) != 1) return 3;
      }
    });
    ::close(ends[1]);
    std::int64_t told = 0;
    char buffer[64];
    bool killed = false;
    while (true) {
      const ssize_t size = ::read(ends[0], buffer, sizeof(buffer));
      if (size <= 0) break;
      told += size;
      if (!killed && told >= 20 + 17 * round) killed = ::kill(child, SIGKILL) == 0;
    }
    ::close(ends[0]);
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself: " << WEXITSTATUS(status);

    const auto store = Store::open(path);
    ASSERT_TRUE(store.ok()) << store.error().message;
    const auto rows = (*store)->measurements(std::nullopt);
    ASSERT_TRUE(rows.ok()) << rows.error().message;
    // The row it was killed over may be there too.
    const auto found = static_cast<std::int64_t>(rows->size());
    EXPECT_GE(found, stored + told);
    EXPECT_LE(found, stored + told + 1);
    for (std::int64_t i = 0; i < found; ++i) {
      EXPECT_EQ(number_of((*rows)[static_cast<std::size_t>(i)].measurement), i);
    }
    stored = found;
  }
}

}  // namespace
}  // namespace pluto
