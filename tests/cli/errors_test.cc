// Bad input: a clear error that says what and where, a help line, the right exit code, and never a
// stack of ours.

#include "tests/support/command.h"

namespace pluto {
namespace {

const std::string kJob = R"(name: tiny
model: {name: mlp}
data: {source: synthetic, samples: 256}
target: {steps: 4}
batch: {global: 32}
cluster: {instances: [local], ranks: 1}
)";

/// kJob with one line replaced.
std::string job_with(const std::string& key, const std::string& line) {
  std::istringstream lines(kJob);
  std::string text, one;
  bool replaced = false;
  while (std::getline(lines, one)) {
    const bool here = one.rfind(key + ":", 0) == 0;
    replaced = replaced || here;
    text += (here ? line : one) + "\n";
  }
  return replaced ? text : text + line + "\n";
}

struct BadInput {
  std::string name;
  std::string file, content;  // written before the command runs
  std::vector<std::string> arguments;
  int exit = 2;
  std::vector<std::string> says;  // each has to be in stderr
};

class BadInputTest : public testing::CommandTest, public ::testing::WithParamInterface<BadInput> {};

TEST_P(BadInputTest, SaysWhatWhereAndHowToFixIt) {
  const BadInput& bad = GetParam();
  if (!bad.file.empty()) write(bad.file, bad.content);
  const testing::CommandResult result = run(bad.arguments);
  EXPECT_EQ(result.exit, bad.exit) << result.out << result.err;
  EXPECT_EQ(result.err.rfind("error: ", 0), 0U) << result.err;
  EXPECT_NE(result.err.find("help: "), std::string::npos) << "no help line:\n" << result.err;
  for (const std::string& words : bad.says)
    EXPECT_NE(result.err.find(words), std::string::npos) << "missing \"" << words << "\" in:\n"
                                                         << result.err;
  EXPECT_TRUE(result.out.empty()) << "errors belong on stderr; stdout had:\n" << result.out;
}

std::vector<BadInput> table() {
  const std::vector<std::string> search = {"search", "job.yaml"};
  return {
      {"UnknownCommand", "", "", {"serach"}, 2, {"serach", "did you mean search"}},
      {"UnknownOption",
       "",
       "",
       {"search", "job.yaml", "--buget", "3"},
       2,
       {"--buget", "did you mean --budget"}},
      {"NoCommand", "", "", {}, 2, {"--help"}},
      {"JobFileMissing", "", "", search, 2, {"job.yaml"}},
      {"JobIsNoYaml", "job.yaml", "name: [unclosed", search, 2, {"job.yaml:"}},
      {"JobIsEmpty", "job.yaml", "", search, 2, {"job.yaml"}},
      {"UnknownKey",
       "job.yaml",
       job_with("dedline", "dedline: 5m"),
       search,
       2,
       {"job.yaml:7", "dedline", "deadline"}},
      {"UnknownModel",
       "job.yaml",
       job_with("model", "model: {name: resnet51}"),
       search,
       2,
       {"resnet51", "resnet50"}},
      {"BudgetZero",
       "job.yaml",
       job_with("budget", "budget: 0"),
       search,
       2,
       {"job.yaml:7", "budget"}},
      {"BudgetNegative",
       "job.yaml",
       job_with("budget", "budget: -3"),
       search,
       2,
       {"job.yaml:7", "budget"}},
      {"BudgetFlagZero",
       "job.yaml",
       kJob,
       {"search", "job.yaml", "--budget", "0"},
       2,
       {"--budget"}},
      {"DeadlineInThePast",
       "job.yaml",
       job_with("deadline", "deadline: 2020-01-01T00:00:00Z"),
       search,
       2,
       {"job.yaml:7", "deadline"}},
      {"DeadlineIsNoTime",
       "job.yaml",
       job_with("deadline", "deadline: soon"),
       search,
       2,
       {"deadline"}},
      {"BatchZero", "job.yaml", job_with("batch", "batch: {global: 0}"), search, 2, {"batch"}},
      {"TwoTargets",
       "job.yaml",
       job_with("target", "target: {steps: 4, epochs: 1}"),
       search,
       2,
       {"target"}},
      {"MetricTarget",
       "job.yaml",
       job_with("target", "target: {metric: top1}"),
       search,
       2,
       {"target.value"}},
      {"MoreRanksThanCores",
       "job.yaml",
       job_with("cluster", "cluster: {instances: [local], ranks: 4096}"),
       search,
       2,
       {"4096 ranks"}},
      {"BatchNotDivisible",
       "job.yaml",
       job_with("batch", "batch: {global: 32, micro: 5}"),
       search,
       2,
       {}},
      {"UnknownInstance",
       "job.yaml",
       job_with("cluster", "cluster: {instances: [\"aws:p4d.24xlrge\"]}"),
       search,
       2,
       {"aws:p4d.24xlrge"}},
      {"UnknownSetting",
       "job.yaml",
       kJob,
       {"predict", "job.yaml", "--set", "rank=2"},
       2,
       {"rank=2", "did you mean ranks"}},
      {"FixedMicroBatchAboveTheGlobal",
       "job.yaml",
       kJob,
       {"search", "job.yaml", "--fix", "micro_batch=4096"},
       2,
       {"batch.micro", "4096"}},
      {"FixedRanksZero",
       "job.yaml",
       kJob,
       {"search", "job.yaml", "--fix", "ranks=0"},
       2,
       {"--fix", "ranks=0"}},
      {"DeadlineFlagInThePast",
       "job.yaml",
       kJob,
       {"search", "job.yaml", "--deadline", "2020-01-01T00:00Z"},
       2,
       {"--deadline", "2020"}},
      {"PlanIsNoJson", "plan.json", "{", {"run", "plan.json"}, 2, {"plan.json"}},
      {"PlanIsAJob", "plan.json", R"({"name": "x"})", {"run", "plan.json"}, 2, {"plan.json"}},
      {"PlanMissing", "", "", {"run", "plan.json"}, 2, {"plan.json"}},
      {"ReportOfAPlan",
       "plan.json",
       R"({"kind": "pluto.plan"})",
       {"report", "plan.json"},
       2,
       {"plan.json"}},
      {"OnnxGarbage",
       "model.onnx",
       std::string("\x08\x07\xff\xff\xff\xff garbage", 14),
       {"inspect", "model.onnx"},
       2,
       {"model.onnx"}},
      {"OnnxEmpty", "model.onnx", "", {"inspect", "model.onnx"}, 2, {"model.onnx"}},
      {"OnnxMissing", "", "", {"inspect", "model.onnx"}, 2, {"model.onnx"}},
      {"DatabaseTruncated",
       "profiles.db",
       std::string("SQLite format 3\0truncated", 25),
       {"db"},
       5,
       {"profiles.db"}},
      {"DatabaseForeign",
       "profiles.db",
       "this is a letter, not a database, and long enough to be read as one",
       {"db"},
       5,
       {"profiles.db"}},
      {"DataFolderMissing",
       "job.yaml",
       kJob,
       {"search", "job.yaml", "--data", "/nowhere"},
       2,
       {"/nowhere"}},
      {"MaxTimeIsNoTime",
       "job.yaml",
       kJob,
       {"profile", "job.yaml", "--max-time", "fast"},
       2,
       {"--max-time", "fast"}},
      {"ProbeBudgetOfAFreeMachine",
       "job.yaml",
       kJob,
       {"profile", "job.yaml", "--probe-budget", "1"},
       2,
       {"--probe-budget", "free", "local_price_per_hour"}},
      {"SpotIsNoUse", "job.yaml", kJob, {"search", "job.yaml", "--fix", "spot=maybe"}, 2, {"spot"}},
      {"EndToEndHasItsOwnTables", "", "", {"validate", "sia", "--end-to-end"}, 2, {"sia"}},
      {"CatalogFilterMatchesNothing", "", "", {"catalog", "xyzzy"}, 2, {"xyzzy"}},
      {"PruneOfNothing", "", "", {"db", "prune"}, 2, {"--before"}},
  };
}
INSTANTIATE_TEST_SUITE_P(Table, BadInputTest, ::testing::ValuesIn(table()),
                         [](const auto& row) { return row.param.name; });

class JsonErrorTest : public testing::CommandTest {};

TEST_F(JsonErrorTest, IsTheOnlyThingOnStdout) {
  const Value document = run_json({"search", "missing.yaml"}, 2);
  ASSERT_NE(document.find("schema"), nullptr);
  EXPECT_EQ(document.find("schema")->as_string(), "pluto.error/1");
  EXPECT_NE(document.find("message")->as_string().find("missing.yaml"), std::string::npos);
  EXPECT_FALSE(document.find("code")->as_string().empty());
}

}  // namespace
}  // namespace pluto
