#include "db/measurement_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "db/migrations.h"
#include "tests/support/sample_documents.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

class MeasurementRowsTest : public ::testing::Test {
 protected:
  MeasurementRowsTest() : connection_(Connection::open(folder_.file("x.db")).value()) {
    EXPECT_TRUE(migrate(connection_, migrations()).ok());
  }
  testing::TemporaryFolder folder_;
  Connection connection_;
};

TEST_F(MeasurementRowsTest, EveryKindComesBackExactly) {
  const std::vector<Measurement> samples = testing::sample_measurements();
  for (std::size_t i = 0; i < samples.size(); ++i) {
    EXPECT_EQ(*insert_measurement(connection_, samples[i]), static_cast<std::int64_t>(i + 1));
  }
  const auto rows = select_measurements(connection_, std::nullopt);
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  ASSERT_EQ(rows->size(), samples.size());
  for (std::size_t i = 0; i < samples.size(); ++i) {
    SCOPED_TRACE(kind_text(samples[i]));
    EXPECT_EQ((*rows)[i].id, static_cast<std::int64_t>(i + 1));
    EXPECT_EQ((*rows)[i].measurement, samples[i]);
  }
}

TEST_F(MeasurementRowsTest, LossOfADivergedRunStaysNoNumber) {
  const Measurement point{testing::sample_context(), ConvergencePoint{1, 2, 3, std::nan(""), {}}};
  ASSERT_TRUE(insert_measurement(connection_, point).ok());
  const auto rows = select_measurements(connection_, std::nullopt);
  ASSERT_TRUE(rows.ok());
  EXPECT_TRUE(std::isnan(std::get<ConvergencePoint>((*rows)[0].measurement.what).loss));
}

TEST_F(MeasurementRowsTest, EqualContextsAreOneRow) {
  Measurement measurement = testing::sample_measurements().front();
  ASSERT_TRUE(insert_measurement(connection_, measurement).ok());
  measurement.context.taken_at = "2026-11-21T08:00:00Z";
  ASSERT_TRUE(insert_measurement(connection_, measurement).ok());
  EXPECT_EQ(*connection_.integer("SELECT count(*) FROM contexts"), 1);
  measurement.context.busy_ranks = 4;
  ASSERT_TRUE(insert_measurement(connection_, measurement).ok());
  EXPECT_EQ(*connection_.integer("SELECT count(*) FROM contexts"), 2);
  const auto rows = select_measurements(connection_, std::nullopt);
  EXPECT_EQ((*rows)[1].measurement.context.taken_at, "2026-11-21T08:00:00Z");
  EXPECT_EQ((*rows)[2].measurement.context.busy_ranks, 4);
}

TEST_F(MeasurementRowsTest, DevicesAreToldApart) {
  Measurement measurement = testing::sample_measurements().front();
  ASSERT_TRUE(insert_measurement(connection_, measurement).ok());
  measurement.context.device_fingerprint = "another";
  ASSERT_TRUE(insert_measurement(connection_, measurement).ok());
  const auto rows = select_measurements(connection_, "another");
  ASSERT_EQ(rows->size(), 1U);
  EXPECT_EQ((*rows)[0].id, 2);
  EXPECT_EQ(select_measurements(connection_, "unknown")->size(), 0U);
}

TEST_F(MeasurementRowsTest, OpIsFoundByItsSignatureText) {
  const OpMeasurement op = testing::sample_op();
  ASSERT_TRUE(insert_measurement(connection_, {testing::sample_context(), op}).ok());
  Statement find =
      connection_.prepare("SELECT count(*) FROM measurements WHERE subject = ?").value();
  find.bind(1, to_text(op.signature));
  ASSERT_TRUE(*find.next());
  EXPECT_EQ(find.integer(0), 1);
}

TEST_F(MeasurementRowsTest, RowThatDoesNotReadIsNamed) {
  ASSERT_TRUE(insert_measurement(connection_, testing::sample_measurements()[0]).ok());
  ASSERT_TRUE(connection_.execute("DELETE FROM operators").ok());
  const auto rows = select_measurements(connection_, std::nullopt);
  ASSERT_FALSE(rows.ok());
  EXPECT_EQ(rows.error().code, ErrorCode::kIo);
  EXPECT_THAT(rows.error().message, HasSubstr("x.db: measurement 1: the row of its kind (op)"));

  ASSERT_TRUE(connection_
                  .execute("DROP TRIGGER measurements_append_only;"
                           "INSERT INTO operators VALUES (1, 'i', 0);"
                           "UPDATE measurements SET subject = 'relu sideways'")
                  .ok());
  EXPECT_THAT(select_measurements(connection_, std::nullopt).error().message,
              HasSubstr("x.db: measurement 1: "));
  ASSERT_TRUE(connection_.execute("UPDATE measurements SET kind = 'hearsay'").ok());
  EXPECT_THAT(select_measurements(connection_, std::nullopt).error().message,
              HasSubstr("x.db: measurement 1: unknown kind \"hearsay\""));
}

}  // namespace
}  // namespace pluto
