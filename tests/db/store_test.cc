#include "db/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/fingerprint.h"
#include "db/sqlite.h"
#include "tests/support/sample_documents.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;
using testing::sample_measurements;
using testing::sample_plan;
using testing::sample_prediction;

class StoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<Store> open(const std::string& name = "profiles.db") {
    auto store = Store::open(folder_.file(name));
    EXPECT_TRUE(store.ok()) << store.error().message;
    return std::move(store).value();
  }
  // A closed database with some pages in it.
  std::string filled(const std::string& name) {
    const auto store = open(name);
    for (int i = 0; i < 200; ++i) {
      EXPECT_TRUE(store->record({testing::sample_context(), testing::sample_op(i + 1)}).ok());
    }
    return folder_.file(name);
  }
  testing::TemporaryFolder folder_;
};

TEST_F(StoreTest, WhatIsRecordedIsThereAfterReopening) {
  {
    const auto store = open();
    for (const Measurement& measurement : sample_measurements()) {
      ASSERT_TRUE(store->record(measurement).ok());
    }
  }
  const auto store = open();
  const auto rows = store->measurements(std::nullopt);
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  ASSERT_EQ(rows->size(), sample_measurements().size());
  EXPECT_EQ((*rows)[0].measurement, sample_measurements()[0]);
  EXPECT_LT((*rows)[0].id, (*rows)[1].id);
}

TEST_F(StoreTest, SummaryCountsEveryKind) {
  const auto store = open();
  for (const Measurement& measurement : sample_measurements()) {
    ASSERT_TRUE(store->record(measurement).ok());
  }
  ASSERT_TRUE(store->save_plan(sample_plan(), std::nullopt).ok());
  ASSERT_TRUE(store->start_run(1, "2026-11-20T08:00:00Z").ok());
  const auto summary = store->summary();
  ASSERT_TRUE(summary.ok()) << summary.error().message;
  EXPECT_EQ(summary->path, folder_.file("profiles.db"));
  EXPECT_TRUE(summary->journal_mode == "wal" || summary->journal_mode == "delete");
  EXPECT_EQ(summary->schema_version, 2);
  EXPECT_EQ(summary->operators, 1);
  EXPECT_EQ(summary->collectives, 1);
  EXPECT_EQ(summary->inputs, 1);
  EXPECT_EQ(summary->processes, 1);
  EXPECT_EQ(summary->steps, 1);
  EXPECT_EQ(summary->convergence, 2);
  EXPECT_EQ(summary->transformer_steps, 1);
  EXPECT_EQ(summary->plans, 1);
  EXPECT_EQ(summary->runs, 1);
  EXPECT_EQ(summary->devices,
            std::vector<std::string>{testing::sample_context().device_fingerprint});
}

TEST_F(StoreTest, PlansComeBackUnderTheirFingerprint) {
  const auto store = open();
  const Plan plan = sample_plan();
  EXPECT_EQ(*store->plan(fingerprint(plan)), std::nullopt);
  ASSERT_TRUE(store->save_plan(plan, std::nullopt).ok());
  ASSERT_TRUE(store->save_plan(plan, std::nullopt).ok());
  EXPECT_EQ(*store->plan(fingerprint(plan)), plan);
  EXPECT_EQ(store->summary()->plans, 1);
  EXPECT_FALSE(store->prediction(fingerprint(plan))->has_value());
}

TEST_F(StoreTest, NewestPredictionIsReturned) {
  const auto store = open();
  Prediction prediction = sample_prediction();
  ASSERT_TRUE(store->save_plan(sample_plan(), prediction).ok());
  prediction.watermark = 77;
  ASSERT_TRUE(store->save_plan(sample_plan(), prediction).ok());
  const auto newest = store->prediction(fingerprint(sample_plan()));
  ASSERT_TRUE(newest.ok()) << newest.error().message;
  ASSERT_TRUE(newest->has_value());
  EXPECT_EQ(to_json(to_value(**newest)), to_json(to_value(prediction)));
}

TEST_F(StoreTest, RunsBeginAndEnd) {
  const auto store = open();
  const auto first = store->start_run(0xabc, "2026-11-20T08:00:00Z");
  const auto second = store->start_run(0xdef, "2026-11-20T09:00:00Z");
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_TRUE(store->finish_run(*second, "finished", "run.json").ok());
  const auto runs = store->runs();
  ASSERT_TRUE(runs.ok()) << runs.error().message;
  ASSERT_EQ(runs->size(), 2U);
  EXPECT_EQ((*runs)[0].plan, 0xabcU);
  EXPECT_EQ((*runs)[0].state, "running");
  EXPECT_EQ((*runs)[0].report_path, "");
  EXPECT_EQ((*runs)[1].id, *second);
  EXPECT_EQ((*runs)[1].started_at, "2026-11-20T09:00:00Z");
  EXPECT_EQ((*runs)[1].state, "finished");
  EXPECT_EQ((*runs)[1].report_path, "run.json");
}

TEST_F(StoreTest, OnlyKnownRunsEndInKnownStates) {
  const auto store = open();
  EXPECT_EQ(store->finish_run(5, "finished", "").error().code, ErrorCode::kNotFound);
  const auto run = store->start_run(1, "2026-11-20T08:00:00Z");
  EXPECT_EQ(store->finish_run(*run, "done", "").error().code, ErrorCode::kInvalidInput);
  EXPECT_EQ((*store->runs())[0].state, "running");
}

TEST_F(StoreTest, PruneRemovesByTimeByDeviceOrByBoth) {
  const auto store = open();
  const auto add = [&](const char* device, const char* taken_at) {
    Measurement measurement = sample_measurements()[0];
    measurement.context.device_fingerprint = device;
    measurement.context.taken_at = taken_at;
    ASSERT_TRUE(store->record(measurement).ok());
  };
  add("a", "2026-10-31T23:59:59Z");
  add("b", "2026-10-31T23:59:59Z");
  add("a", "2026-11-01T00:00:00Z");
  add("b", "2026-11-02T12:00:00Z");
  EXPECT_EQ(*store->prune("2026-11-01", "a"), 1);
  EXPECT_EQ(*store->prune("2026-11-01", std::nullopt), 1);
  EXPECT_EQ(store->summary()->devices, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(*store->prune(std::nullopt, "a"), 1);
  EXPECT_EQ(store->summary()->devices, std::vector<std::string>{"b"});
  EXPECT_EQ(*store->prune("2026-11-02T12:00:00Z", std::nullopt), 0);
  EXPECT_EQ(*store->prune("2026-11-02T12:00:01Z", std::nullopt), 1);
  EXPECT_EQ(store->summary()->operators, 0) << "details go with their measurement";
}

TEST_F(StoreTest, PrunedIdsAreNeverGivenAgain) {
  const auto store = open();
  ASSERT_TRUE(store->record(sample_measurements()[0]).ok());
  ASSERT_TRUE(store->record(sample_measurements()[0]).ok());
  EXPECT_EQ(*store->prune("2030-01-01", std::nullopt), 2);
  ASSERT_TRUE(store->record(sample_measurements()[0]).ok());
  EXPECT_EQ((*store->measurements(std::nullopt))[0].id, 3);
}

TEST_F(StoreTest, PruneWithoutALimitOrWithNoTimeIsRefused) {
  const auto store = open();
  ASSERT_TRUE(store->record(sample_measurements()[0]).ok());
  EXPECT_EQ(store->prune(std::nullopt, std::nullopt).error().code, ErrorCode::kInvalidInput);
  for (const char* time :
       {"yesterday", "2026-13-01", "2026-11-01T08:00", "2026-11-01T08:00+02:00", ""}) {
    const auto pruned = store->prune(time, std::nullopt);
    ASSERT_FALSE(pruned.ok()) << time;
    EXPECT_EQ(pruned.error().code, ErrorCode::kInvalidInput);
  }
  EXPECT_EQ(store->summary()->operators, 1);
}

TEST_F(StoreTest, MissingFoldersAreMadeAndAnEmptyFileIsANewDatabase) {
  EXPECT_TRUE(open("a/b/c.db")->record(sample_measurements()[0]).ok());
  folder_.write("empty.db", "");
  EXPECT_TRUE(open("empty.db")->record(sample_measurements()[0]).ok());
}

TEST_F(StoreTest, WhatIsNoDatabaseOfOursIsRefusedAndLeftAlone) {
  const std::string text = folder_.write("notes.txt", "Dear diary, " + std::string(3000, 'x'));
  const std::string cookies = folder_.file("cookies.db");
  ASSERT_TRUE(Connection::open(cookies)->execute("CREATE TABLE cookies (name)").ok());
  const std::string short_text = folder_.write("short.txt", "hello");
  const struct {
    std::string path;
    const char* message;
  } cases[] = {{text, ": this is no database file"},
               {short_text, ": this is no database file"},
               {cookies, ": a database of another program"},
               {folder_.path(), ": this is a folder"},
               {text + "/x.db", ": cannot create the folder"},
               {"/proc/none/x.db", ": cannot create the folder"},
               {"/proc/x.db", ": cannot open the database"}};
  for (const auto& bad : cases) {
    SCOPED_TRACE(bad.path);
    const std::string before = folder_.read(std::filesystem::path(bad.path).filename());
    const auto store = Store::open(bad.path);
    ASSERT_FALSE(store.ok());
    EXPECT_EQ(store.error().code, ErrorCode::kIo);
    EXPECT_THAT(store.error().message, HasSubstr(bad.path + bad.message));
    EXPECT_FALSE(store.error().help.empty());
    EXPECT_EQ(folder_.read(std::filesystem::path(bad.path).filename()), before);
  }
}

TEST_F(StoreTest, TruncatedDatabaseIsRefusedAtEveryLength) {
  const std::string whole = folder_.read(std::filesystem::path(filled("whole.db")).filename());
  ASSERT_GT(whole.size(), 40'000U);
  for (const double share : {0.0005, 0.01, 0.1, 0.5, 0.9, 0.999, 0.99999}) {
    SCOPED_TRACE(share);
    const auto size = static_cast<std::size_t>(share * static_cast<double>(whole.size()));
    const auto store = Store::open(folder_.write("cut.db", whole.substr(0, size)));
    ASSERT_FALSE(store.ok());
    EXPECT_EQ(store.error().code, ErrorCode::kIo);
    EXPECT_THAT(store.error().message, HasSubstr("cut.db: "));
    EXPECT_THAT(store.error().help, HasSubstr("mv "));
  }
}

TEST_F(StoreTest, DamageInsideIsAnErrorNotACrash) {
  std::string bytes = folder_.read(std::filesystem::path(filled("whole.db")).filename());
  // The first page, with the schema, stays; the rest becomes noise.
  for (std::size_t i = 4096; i < bytes.size(); ++i)
    bytes[i] = static_cast<char>(i * 2654435761U >> 13);
  const auto store = Store::open(folder_.write("noise.db", bytes));
  const auto rows = store.ok() ? (*store)->measurements(std::nullopt)
                               : Result<std::vector<StoredMeasurement>>(store.error());
  ASSERT_FALSE(rows.ok());
  EXPECT_EQ(rows.error().code, ErrorCode::kIo);
  EXPECT_THAT(rows.error().message, HasSubstr("noise.db: the database is damaged or cut off"));
}

TEST_F(StoreTest, NewerSchemaIsUnsupported) {
  { open(); }
  ASSERT_TRUE(
      Connection::open(folder_.file("profiles.db"))->execute("PRAGMA user_version = 99").ok());
  const auto store = Store::open(folder_.file("profiles.db"));
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(store.error().message, HasSubstr("schema 99"));
}

TEST_F(StoreTest, DamagedPlanIsNamed) {
  const auto store = open();
  ASSERT_TRUE(store->save_plan(sample_plan(), sample_prediction()).ok());
  ASSERT_TRUE(
      Connection::open(folder_.file("profiles.db"))
          ->execute("UPDATE plans SET document = '{}'; UPDATE predictions SET document = '['")
          .ok());
  const std::uint64_t name = fingerprint(sample_plan());
  const auto plan = store->plan(name);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code, ErrorCode::kIo);
  EXPECT_THAT(plan.error().message,
              HasSubstr("profiles.db: plan " + to_hex(name) + ":1: schema: "));
  const auto prediction = store->prediction(name);
  ASSERT_FALSE(prediction.ok());
  EXPECT_EQ(prediction.error().code, ErrorCode::kIo);
  EXPECT_THAT(prediction.error().message, HasSubstr("profiles.db: prediction 1:1: "));
}

}  // namespace
}  // namespace pluto
