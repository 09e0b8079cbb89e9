// calibrate and what predict makes of it, as a user types them, on published runs.

#include <gmock/gmock.h>

#include <cmath>

#include "base/statistics.h"
#include "base/text.h"
#include "costmodel/transformer_evidence.h"
#include "costmodel/transformer_validation.h"
#include "db/store.h"
#include "plan/catalog.h"
#include "tests/support/command.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

const std::string kData = PLUTO_SOURCE_DIR "/data";

const Value& at(const Value& value, const std::string& key) {
  static const Value kNothing;
  const Value* found = value.find(key);
  EXPECT_NE(found, nullptr) << "no key " << key << " in " << to_json(value);
  return found ? *found : kNothing;
}

class CalibrateTest : public testing::CommandTest {
 protected:
  /// The header and every `stride`th row of the table of runs in one node, from row `first` on.
  static std::string table(std::size_t first, std::size_t stride) {
    const auto text = read_file(kData + "/measured/vtrain_node.csv");
    EXPECT_TRUE(text.ok());
    const auto lines = split(*text, '\n');
    std::string chosen = lines[0] + "\n";
    for (std::size_t i = first; i < lines.size(); i += stride) {
      if (!lines[i].empty()) chosen += lines[i] + "\n";
    }
    return chosen;
  }
};

TEST_F(CalibrateTest, TwentyRunsPredictTheOthersOfTheirNode) {
  write("points.csv", table(1, 72));
  const Value document = run_json({"calibrate", "points.csv", "--output", "calibration.json"});
  EXPECT_EQ(at(document, "schema").as_string(), "pluto.calibrate/1");
  EXPECT_EQ(at(document, "added").as_integer(), 20);
  const Value& device = at(document, "devices").as_array().front();
  EXPECT_EQ(at(device, "device").as_string(), "A100 SXM 80GB");
  EXPECT_EQ(at(device, "runs").as_integer(), 20);
  EXPECT_LE(at(at(device, "after"), "median").as_number(),
            at(at(device, "before"), "median").as_number());
  EXPECT_GT(at(at(device, "left_out"), "median").as_number(),
            at(at(device, "after"), "median").as_number());
  EXPECT_EQ(read("calibration.json"), to_json(document) + "\n");

  // From here on only the database knows the runs.
  const Value again = run_json({"calibrate", "--device", "A100 SXM 80GB"});
  const Value& known = at(again, "devices").as_array().front();
  EXPECT_EQ(known, device);
  const auto store = Store::open(folder() + "/profiles.db");
  ASSERT_TRUE(store.ok());
  const auto rows = (*store)->measurements(std::nullopt);
  ASSERT_TRUE(rows.ok());
  std::vector<CalibrationPoint> measured;
  for (const auto& one : *rows) {
    measured.push_back({one.id, one.measurement});
  }
  const auto catalog = Catalog::load(kData + "/catalog").value();
  const auto shipped = TransformerCostTable::load(kData + "/transformer.json").value();
  const auto evidence =
      transformer_evidence(measured, catalog.device("A100 SXM 80GB").value(), shipped);
  ASSERT_TRUE(evidence.ok());
  const auto families = load_transformer_families(kData);
  ASSERT_TRUE(families.ok());
  std::vector<double> others, unseen;
  for (std::size_t i = 0; i < (*families)[0].rows.size(); ++i) {
    if (i % 72 == 0) continue;
    const auto& point = (*families)[0].rows[i].point;
    const auto step = predict_measured_layers(point.shape, point.plan, point.cluster,
                                              evidence->costs, evidence->factors);
    others.push_back(std::abs(step.step() / point.step - 1));
    if (!evidence->factors.factors().contains(layer_kernels(point.shape, point.plan))) {
      unseen.push_back(others.back());
    }
  }
  ASSERT_EQ(others.size(), 1420U);
  EXPECT_LE(median(others), 0.05);
  // Layers of a kind that none of the twenty ran: the error that a new configuration has.
  ASSERT_GT(unseen.size(), 500U);
  EXPECT_LE(median(unseen), 0.10);
}

TEST_F(CalibrateTest, TheSameRowsCountOnce) {
  write("points.csv", table(1, 288));
  const Value first = run_json({"calibrate", "points.csv"});
  EXPECT_EQ(at(first, "added").as_integer(), 5);
  const Value second = run_json({"calibrate", "points.csv"});
  EXPECT_EQ(at(second, "added").as_integer(), 0);
  EXPECT_EQ(at(second, "already_known").as_integer(), 5);
  EXPECT_EQ(at(second, "devices"), at(first, "devices"));
  EXPECT_EQ(at(run_json({"db"}), "transformer_steps").as_integer(), 5);
}

TEST_F(CalibrateTest, ThePrintedTablesSayBeforeAfterAndLeftOut) {
  write("points.csv", table(1, 288));
  const testing::CommandResult result = run({"calibrate", "points.csv"});
  EXPECT_EQ(result.exit, 0) << result.err;
  for (const char* what :
       {"A100 SXM 80GB  5 runs", "shipped constants", "calibrated without layers of their kind",
        "gemm_fraction", "step at its p10 .. p90", "left out", "next      "}) {
    EXPECT_THAT(result.out, HasSubstr(what));
  }
  EXPECT_THAT(result.err, HasSubstr("5 steps added to"));
}

TEST_F(CalibrateTest, RowsWithoutAClusterRanOnTheInstance) {
  write("points.csv",
        "layers,hidden,heads,sequence,vocabulary,micro_batch,global_batch,step_s\n"
        "12,1024,16,1024,51200,8,8,0.2\n");
  const testing::CommandResult nowhere = run({"calibrate", "points.csv"});
  EXPECT_EQ(nowhere.exit, 2);
  EXPECT_THAT(nowhere.err, HasSubstr("points.csv:2: cluster: is empty"));
  const Value there = run_json({"calibrate", "points.csv", "--instance", "aws:p4d.24xlarge"});
  EXPECT_EQ(at(at(there, "devices").as_array().front(), "device").as_string(), "A100 SXM 40GB");
}

TEST_F(CalibrateTest, BadRowsNameFileLineFieldAndFixAndNothingIsKept) {
  const std::string header =
      "cluster,layers,hidden,heads,sequence,vocabulary,tensor,micro_batch,global_batch,precision,"
      "step_s\n";
  const std::string good = "vtrain,12,1024,16,1024,51200,1,8,8,fp16,0.2\n";
  const struct {
    const char* row;
    const char* message;
    const char* help;
  } cases[] = {
      {"moon,12,1024,16,1024,51200,1,8,8,fp16,0.2\n", "points.csv:3: cluster: 'moon' is not known",
       "for example"},
      {"vtrain,12,wide,16,1024,51200,1,8,8,fp16,0.2\n", "points.csv:3: hidden: 'wide' is no number",
       "plain number"},
      {"vtrain,12,1024,16,1024,51200,3,8,8,fp16,0.2\n",
       "points.csv:3: 16 heads do not divide by tensor = 3", "divisor"},
      {"vtrain,12,1024,16,1024,51200,1,8,8,fp12,0.2\n", "points.csv:3: precision: unknown",
       "did you mean"},
      {"vtrain,12,1024,16,1024,51200,1,8,9,fp16,0.2\n", "points.csv:3: global_batch 9", "change"},
  };
  for (const auto& bad : cases) {
    write("points.csv", header + good + bad.row);
    const testing::CommandResult result = run({"calibrate", "points.csv"});
    EXPECT_EQ(result.exit, 2) << bad.row;
    EXPECT_THAT(result.err, HasSubstr(bad.message));
    EXPECT_THAT(result.err, HasSubstr("help:"));
    EXPECT_THAT(result.err, HasSubstr(bad.help));
  }
  write("points.csv", "cluster,colour\nvtrain,red\n");
  EXPECT_THAT(run({"calibrate", "points.csv"}).err,
              HasSubstr("points.csv:1: unknown column 'colour'"));
  EXPECT_EQ(at(run_json({"db"}), "transformer_steps").as_integer(), 0);
  EXPECT_THAT(run({"calibrate"}).err, HasSubstr("no measured step"));
  EXPECT_THAT(run({"calibrate", "--suggest", "3"}).err, HasSubstr("--instance"));
}

TEST_F(CalibrateTest, SuggestionsFillInAndComeBack) {
  const testing::CommandResult printed =
      run({"calibrate", "--suggest", "4", "--instance", "aws:p4d.24xlarge"});
  EXPECT_EQ(printed.exit, 0) << printed.err;
  EXPECT_EQ(split(printed.out, '\n').size(), 6U) << printed.out;  // header, 4 rows, the end
  const testing::CommandResult written = run(
      {"calibrate", "--suggest", "4", "--instance", "aws:p4d.24xlarge", "--output", "todo.csv"});
  EXPECT_EQ(written.exit, 0);
  EXPECT_EQ(read("todo.csv"), printed.out);
  EXPECT_THAT(run({"calibrate", "todo.csv"}).err, HasSubstr("no row has a step_s"));
  // A file of candidates: four of the rows without a time.
  const Value chosen = run_json({"calibrate", "todo.csv", "--suggest", "2"});
  EXPECT_EQ(at(chosen, "candidates").as_integer(), 4);
  EXPECT_EQ(at(chosen, "runs").as_array().size(), 2U);
  std::string filled = read("todo.csv");
  std::string measured;
  for (const std::string& line : split(filled, '\n')) {
    if (!line.empty()) measured += line.ends_with(',') ? line + "0.5\n" : line + "\n";
  }
  write("done.csv", measured);
  EXPECT_EQ(at(run_json({"calibrate", "done.csv"}), "added").as_integer(), 4);
}

TEST_F(CalibrateTest, PredictRestsOnTheRunsAndSaysSo) {
  write("gpt.yaml",
        "model: {name: gpt2, sequence: 1024}\ndata: {source: synthetic, samples: 1024}\n"
        "target: {steps: 100}\nbatch: {global: 64}\noptimizer: {name: adamw}\nprecision: fp16\n"
        "cluster: {instances: [\"aws:p4de.24xlarge\"]}\n");
  const Value before = run_json({"predict", "gpt.yaml"});
  EXPECT_EQ(at(before, "measurements").as_integer(), 0);
  write("points.csv", table(1, 72));
  run_json({"calibrate", "points.csv"});
  const Value after = run_json({"predict", "gpt.yaml"});
  EXPECT_EQ(at(after, "measurements").as_integer(), 20);
  EXPECT_THAT(at(after, "evidence").as_string(),
              HasSubstr("calibrated by 20 runs of A100 SXM 80GB"));
  const Value& now = at(at(after, "plan"), "prediction");
  EXPECT_EQ(at(now, "watermark").as_integer(), 20);
  EXPECT_NE(at(now, "step_s"), at(at(at(before, "plan"), "prediction"), "step_s"));
  EXPECT_THAT(run({"predict", "gpt.yaml"}).out, HasSubstr("calibrated by 20 runs"));
}

}  // namespace
}  // namespace pluto
