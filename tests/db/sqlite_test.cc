#include "db/sqlite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

class SqliteTest : public ::testing::Test {
 protected:
  Connection open() { return Connection::open(folder_.file("x.db")).value(); }
  testing::TemporaryFolder folder_;
};

TEST_F(SqliteTest, ValuesComeBackAsTheyWere) {
  Connection connection = open();
  ASSERT_TRUE(connection.execute("CREATE TABLE t (a, b, c, d, e)").ok());
  const std::string text("zero\0byte and \xC3\xA9", 17);
  Statement insert = connection.prepare("INSERT INTO t VALUES (?, ?, ?, ?, ?)").value();
  insert.bind(1, std::int64_t{1} << 62).bind(2, 0.1).bind(3, text).bind(4, std::nan(""));
  insert.bind(5, std::optional<double>());
  ASSERT_TRUE(insert.run().ok());
  EXPECT_EQ(connection.last_insert_id(), 1);
  Statement select = connection.prepare("SELECT * FROM t").value();
  ASSERT_TRUE(*select.next());
  EXPECT_EQ(select.integer(0), std::int64_t{1} << 62);
  EXPECT_EQ(select.number(1), 0.1);
  EXPECT_EQ(select.text(2), text);
  EXPECT_TRUE(std::isnan(select.number(3))) << "NaN is stored as NULL";
  EXPECT_TRUE(select.is_null(4));
  EXPECT_EQ(select.text(4), "");
  EXPECT_FALSE(*select.next());
}

TEST_F(SqliteTest, RunStatementForgetsItsParameters) {
  Connection connection = open();
  ASSERT_TRUE(connection.execute("CREATE TABLE t (a)").ok());
  Statement insert = connection.prepare("INSERT INTO t VALUES (?)").value();
  ASSERT_TRUE(insert.bind(1, 1).run().ok());
  ASSERT_TRUE(insert.run().ok());
  EXPECT_EQ(*connection.integer("SELECT count(*) FROM t WHERE a IS NULL"), 1);
}

TEST_F(SqliteTest, TransactionRollsBackUnlessCommitted) {
  Connection connection = open();
  ASSERT_TRUE(connection.execute("CREATE TABLE t (a)").ok());
  {
    const Transaction transaction = Transaction::begin(connection).value();
    ASSERT_TRUE(connection.execute("INSERT INTO t VALUES (1)").ok());
  }
  EXPECT_EQ(*connection.integer("SELECT count(*) FROM t"), 0);
  {
    Transaction transaction = Transaction::begin(connection).value();
    ASSERT_TRUE(connection.execute("INSERT INTO t VALUES (1), (2)").ok());
    EXPECT_EQ(connection.changes(), 2);
    ASSERT_TRUE(transaction.commit().ok());
  }
  EXPECT_EQ(*connection.integer("SELECT count(*) FROM t"), 2);
}

TEST_F(SqliteTest, JournalModeIsTheOneInForce) {
  Connection connection = open();
  EXPECT_EQ(*connection.set_journal_mode("wal"), "wal");
  EXPECT_EQ(*connection.set_journal_mode("wal"), "wal");
  EXPECT_EQ(*connection.set_journal_mode("delete"), "delete");
}

TEST_F(SqliteTest, ErrorsNameTheFileAndTheFix) {
  const std::string text = folder_.write("text.db", std::string(5000, 'x'));
  Connection connection = Connection::open(text).value();
  const auto tables = connection.integer("SELECT count(*) FROM sqlite_master");
  ASSERT_FALSE(tables.ok());
  EXPECT_EQ(tables.error().code, ErrorCode::kIo);
  EXPECT_EQ(tables.error().message, text + ": this is no database file");
  EXPECT_THAT(tables.error().help, HasSubstr("mv " + text + " " + text + ".broken"));

  const auto nowhere = Connection::open("/proc/none/x.db");
  ASSERT_FALSE(nowhere.ok());
  EXPECT_EQ(nowhere.error().code, ErrorCode::kIo);
  EXPECT_EQ(nowhere.error().message,
            "/proc/none/x.db: cannot open the database: No such file or directory");
}

TEST_F(SqliteTest, WrongStatementIsAnErrorNotACrash) {
  Connection connection = open();
  EXPECT_THAT(connection.execute("SELEC 1").error().message, HasSubstr("syntax error"));
  EXPECT_FALSE(connection.prepare("SELECT * FROM nowhere").ok());
}

}  // namespace
}  // namespace pluto
