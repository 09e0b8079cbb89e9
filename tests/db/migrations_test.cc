#include "db/migrations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

constexpr const char* kOne = "CREATE TABLE a (x)";
constexpr const char* kTwo = "CREATE TABLE b (x); INSERT INTO b SELECT 2 * x FROM a";
constexpr const char* kBroken = "CREATE TABLE c (x); INSERT INTO nowhere VALUES (1)";

class MigrationsTest : public ::testing::Test {
 protected:
  Connection open() { return Connection::open(folder_.file("x.db")).value(); }
  static std::int64_t version(const Connection& connection) {
    return *connection.integer("PRAGMA user_version");
  }
  static std::int64_t tables(const Connection& connection) {
    return *connection.integer("SELECT count(*) FROM sqlite_master");
  }
  testing::TemporaryFolder folder_;
};

TEST_F(MigrationsTest, EachStepRunsOnceAndKeepsTheRows) {
  Connection connection = open();
  ASSERT_TRUE(migrate(connection, std::vector{kOne}).ok());
  EXPECT_EQ(version(connection), 1);
  ASSERT_TRUE(connection.execute("INSERT INTO a VALUES (21)").ok());
  ASSERT_TRUE(migrate(connection, std::vector{kOne, kTwo}).ok());
  EXPECT_EQ(version(connection), 2);
  EXPECT_EQ(*connection.integer("SELECT x FROM b"), 42);
  ASSERT_TRUE(migrate(connection, std::vector{kOne, kTwo}).ok());
  EXPECT_EQ(*connection.integer("SELECT count(*) FROM b"), 1);
}

TEST_F(MigrationsTest, FailedStepLeavesTheOldVersion) {
  Connection connection = open();
  ASSERT_TRUE(migrate(connection, std::vector{kOne}).ok());
  const auto failed = migrate(connection, std::vector{kOne, kTwo, kBroken});
  ASSERT_FALSE(failed.ok());
  EXPECT_THAT(failed.error().message, HasSubstr("schema 3: "));
  EXPECT_EQ(version(connection), 1);
  EXPECT_EQ(tables(connection), 1);
}

TEST_F(MigrationsTest, OurSchemaIsRecognisedAndTheEmptyFileToo) {
  Connection connection = open();
  EXPECT_TRUE(recognise(connection, migrations()).ok());
  ASSERT_TRUE(migrate(connection, migrations()).ok());
  EXPECT_TRUE(recognise(connection, migrations()).ok());
  EXPECT_EQ(*connection.integer("PRAGMA application_id"), kApplicationId);
  EXPECT_EQ(*connection.text("PRAGMA integrity_check"), "ok");
}

TEST_F(MigrationsTest, OtherProgramsDatabaseIsRefused) {
  Connection connection = open();
  ASSERT_TRUE(connection.execute("CREATE TABLE cookies (name)").ok());
  const auto foreign = recognise(connection, migrations());
  ASSERT_FALSE(foreign.ok());
  EXPECT_EQ(foreign.error().code, ErrorCode::kIo);
  EXPECT_THAT(foreign.error().message, HasSubstr("x.db: a database of another program"));
  EXPECT_FALSE(migrate(connection, migrations()).ok());
  EXPECT_EQ(tables(connection), 1);
}

TEST_F(MigrationsTest, NewerSchemaIsUnsupported) {
  Connection connection = open();
  ASSERT_TRUE(migrate(connection, std::vector{kOne, kTwo}).ok());
  const auto newer = recognise(connection, std::vector{kOne});
  ASSERT_FALSE(newer.ok());
  EXPECT_EQ(newer.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(newer.error().message, HasSubstr("(schema 2; this one knows schemas up to 1)"));
  EXPECT_FALSE(newer.error().help.empty());
}

TEST_F(MigrationsTest, MeasurementsCannotBeChangedOnlyAdded) {
  Connection connection = open();
  ASSERT_TRUE(migrate(connection, migrations()).ok());
  ASSERT_TRUE(connection
                  .execute("INSERT INTO contexts VALUES (1, 'f', 1, 'h', 'd');"
                           "INSERT INTO measurements VALUES (1, 1, 'op', 's', 't', 1, 0, 1)")
                  .ok());
  const auto changed = connection.execute("UPDATE measurements SET median_s = 2");
  ASSERT_FALSE(changed.ok());
  EXPECT_THAT(changed.error().message, HasSubstr("measurements are append-only"));
}

// The key of the database: what is looked for is found by an index.
TEST_F(MigrationsTest, LookingForASubjectUsesTheIndex) {
  Connection connection = open();
  ASSERT_TRUE(migrate(connection, migrations()).ok());
  Statement plan =
      connection
          .prepare(
              "EXPLAIN QUERY PLAN SELECT m.id FROM contexts c JOIN measurements m ON m.context = "
              "c.id "
              "WHERE m.subject = 's' AND c.device_fingerprint = 'f' AND c.busy_ranks = 1")
          .value();
  std::string text;
  while (*plan.next()) text += plan.text(3) + "\n";
  EXPECT_THAT(text, HasSubstr("measurements_by_subject (subject=?"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("SCAN")));
}

}  // namespace
}  // namespace pluto
