// fit as a user types it.

#include <gmock/gmock.h>

#include <cmath>

#include "base/text.h"
#include "tests/support/command.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

const Value& at(const Value& value, const std::string& key) {
  static const Value kNothing;
  const Value* found = value.find(key);
  EXPECT_NE(found, nullptr) << "no key " << key << " in " << to_json(value);
  return found ? *found : kNothing;
}

class FitTest : public testing::CommandTest {
 protected:
  /// Epochs 30 (1 + B/8000), exactly.
  void write_points() {
    std::string text = "batch,epochs,runs,spread\n";
    for (const int batch : {256, 1024, 4096, 16384}) {
      text +=
          std::to_string(batch) + "," + std::to_string(30 * (1 + batch / 8000.0)) + ",10,0.03\n";
    }
    write("points.csv", text);
  }
};

TEST_F(FitTest, FindsTheLawAndSaysHowSureItIs) {
  write_points();
  const Value document = run_json({"fit", "points.csv", "--exponent", "1"});
  EXPECT_EQ(at(document, "schema").as_string(), "pluto.fit/1");
  EXPECT_NEAR(at(at(document, "critical_batch"), "value").as_number(), 8000, 8);
  EXPECT_NEAR(at(at(document, "least_samples"), "value").as_number(), 30, 0.01);
  EXPECT_LT(at(at(document, "critical_batch"), "p5").as_number(), 8000);
  EXPECT_GT(at(at(document, "critical_batch"), "p95").as_number(), 8000);
  EXPECT_EQ(at(at(document, "exponent"), "value").as_number(), 1);
  EXPECT_EQ(at(at(document, "errors"), "left_out").as_array().size(), 4U);
  const auto& rows = at(document, "batches").as_array();
  ASSERT_EQ(rows.size(), 9U) << "256, 512, ... 65536";
  for (const Value& row : rows) {
    const double batch = at(row, "batch").as_number();
    EXPECT_NEAR(at(at(row, "law"), "value").as_number(), 30 * (1 + batch / 8000), 0.05);
    EXPECT_NEAR(at(row, "planned").as_number(), 30 * (1 + batch / 8000), 0.05);
  }
  EXPECT_EQ(at(rows[1], "evidence").as_string(), "interpolated");
  EXPECT_EQ(at(rows[2], "evidence").as_string(), "measured");
  EXPECT_EQ(at(rows[8], "evidence").as_string(), "calibrated");
  EXPECT_GT(at(rows[8], "spread").as_number(), at(rows[2], "spread").as_number());
}

TEST_F(FitTest, ThePrintedLinesCanBePastedIntoAJob) {
  write_points();
  const testing::CommandResult fit = run({"fit", "points.csv"});
  EXPECT_EQ(fit.exit, 0) << fit.err;
  for (const char* what : {"Emin", "Bc", "each left out", "measured", "planned"}) {
    EXPECT_THAT(fit.out, HasSubstr(what));
  }
  const std::string job =
      "model: {name: lenet}\ndata: {source: synthetic, samples: 60000}\ntarget: {epochs: 2}\n"
      "batch: {global: auto, max: 128}\nlearning_rate: {at_batch: 32}\n"
      "cluster: {ranks: 1}\n";
  int pasted = 0;
  for (const std::string& line : split(fit.out, '\n')) {
    if (!line.starts_with("convergence:")) continue;
    ++pasted;
    write("job.yaml", job + line + "\n");
    const testing::CommandResult found = run({"search", "job.yaml", "-o", "plan.json"});
    ASSERT_EQ(found.exit, 0) << found.err;
    const Value plan = parse_json(read("plan.json"), "plan.json").value();
    EXPECT_GT(at(at(plan, "convergence"), "spread").as_number(), 0);
    EXPECT_FALSE(at(at(plan, "convergence"), "source").as_string().empty());
  }
  EXPECT_EQ(pasted, 2);
}

TEST_F(FitTest, SmallBatchesDoNotTellTheCriticalOne) {
  write("points.csv", "batch,samples\n8,1000\n16,1001\n32,1004\n");
  const testing::CommandResult fit = run({"fit", "points.csv"});
  EXPECT_EQ(fit.exit, 0) << fit.err;
  EXPECT_THAT(fit.out, HasSubstr("not bounded"));
  EXPECT_THAT(fit.out, HasSubstr("a run at a larger one is worth most"));
}

TEST_F(FitTest, BadRowsNameFileLineAndColumn) {
  const struct {
    const char* text;
    const char* message;
  } cases[] = {
      {"batch,samples\n64,100\n0,100\n", "points.csv:3: batch: \"0\" is not a whole number"},
      {"batch,samples\n64,100\n128,many\n", "points.csv:3: samples: \"many\" is not a number"},
      {"batch,epochs,runs\n64,10,0\n", "points.csv:2: runs: \"0\" is not"},
      {"batch,epochs,spread\n64,10,2\n", "points.csv:2: spread: \"2\" is not"},
      {"batch,samples,epochs\n64,10,2\n", "points.csv:1: both samples and epochs"},
      {"batch\n64\n", "points.csv:1: there is neither"},
      {"samples\n64\n", "points.csv:1: there is no column batch"},
      {"batch,epochs,colour\n64,1,red\n", "points.csv:1: unknown column \"colour\""},
      {"batch,epochs\n64,1\n64,2\n", "points.csv: 1 batch size"},
      {"batch,epochs\n64\n", "points.csv:2"},
  };
  for (const auto& bad : cases) {
    SCOPED_TRACE(bad.text);
    write("points.csv", bad.text);
    const testing::CommandResult result = run({"fit", "points.csv"});
    EXPECT_EQ(result.exit, 2);
    EXPECT_THAT(result.err, HasSubstr(bad.message));
  }
  EXPECT_EQ(run({"fit", "nowhere.csv"}).exit, 2);
}

}  // namespace
}  // namespace pluto
