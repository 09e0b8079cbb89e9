// The module for PyTorch scripts: run by Python, and by PyTorch where this machine has it.

#include <gmock/gmock.h>

#include <iterator>
#include <sstream>

#include "plan/export_trainers.h"
#include "tests/plan/export_cases.h"

namespace pluto {
namespace {

using enum ExportTarget;

/// The first Python that can import what is asked for; empty: none.
std::string python_with(const std::string& modules) {
  for (const std::string name : {"/usr/bin/python3", "python3"}) {
    const std::string command = name + " -c 'import " + modules + "' > /dev/null 2>&1";
    if (std::system(command.c_str()) == 0) return name;
  }
  return {};
}

/// Starts a rank of train.py beside the others.
std::string start_rank(const std::string& python, int rank, int world) {
  const std::string number = std::to_string(rank);
  return python + " train.py " + number + " " + std::to_string(world) + " \"$PWD/store\" > out" +
         number + " 2> err" + number + " & pids=\"$pids $!\"; ";
}

class ExportPythonTest : public ::testing::Test {
 protected:
  void write(const testing::ExportCase& c, const RunTarget& target) {
    testing::write_all(folder_, c.files(target));
  }
  /// Runs a program beside the module; what it prints.
  std::string printed(const std::string& python, const std::string& program) {
    folder_.write("program.py", program);
    const int status = testing::run_in(folder_, python + " program.py > out 2> err");
    EXPECT_EQ(status, 0) << folder_.read("err");
    return folder_.read("out");
  }
  testing::TemporaryFolder folder_;
};

// One schedule, two languages.
TEST_F(ExportPythonTest, LearningRatesAreThoseOfThePlan) {
  const std::string python = python_with("json");
  if (python.empty()) GTEST_SKIP() << "no Python";
  for (const ScheduleKind kind : {ScheduleKind::kConstant, ScheduleKind::kCosine,
                                  ScheduleKind::kLinear, ScheduleKind::kStep}) {
    testing::ExportCase c;
    c.plan.learning_rate = {0.4, kind, 1000, {}, {}};
    if (kind == ScheduleKind::kStep) {
      c.plan.learning_rate.rates = {0.4, 0.04, 0.004};
      c.plan.learning_rate.boundaries = {500, 64000};
    }
    write(c, {kTorchrun, {}});
    const std::string out = printed(python,
                                    "import pluto_plan\nfor n in range(0, 1001, 50):\n"
                                    "    print(repr(pluto_plan.learning_rate(n * 128)))\n");
    std::istringstream rates(out);
    const std::int64_t total = c.plan.steps * c.plan.global_batch;
    int seen = 0;
    for (double rate = 0; rates >> rate; ++seen) {
      const double wanted = learning_rate_at(c.plan.learning_rate, seen * 50 * 128, total);
      EXPECT_NEAR(rate, wanted, 1e-12) << to_text(kind) << " at step " << seen * 50;
    }
    EXPECT_EQ(seen, 21);
  }
}

// Two ranks under PyTorch's own DistributedDataParallel end with the parameters that one rank with
// the whole batch has.
TEST_F(ExportPythonTest, TwoRanksTrainAsOne) {
  const std::string python = python_with("torch.distributed");
  if (python.empty()) GTEST_SKIP() << "no PyTorch";
  testing::ExportCase c;
  c.plan.backend = "cpu";
  c.plan.cluster.nodes = 1;
  c.plan.steps = 4;
  c.plan.optimizer = SgdAttrs{0.9, 1e-3, false};
  c.plan.learning_rate = {0.1, ScheduleKind::kLinear, 16, {}, {}};
  c.plan.global_batch = 16;
  c.plan.micro_batch = 4;
  folder_.write("train.py", R"PY(
import sys, torch, pluto_plan
from pluto_plan import SETTINGS
rank, world = int(sys.argv[1]), int(sys.argv[2])
torch.manual_seed(1)
torch.set_num_threads(1)
if world > 1:
    torch.distributed.init_process_group(
        "gloo", init_method="file://" + sys.argv[3], rank=rank, world_size=world)
assert SETTINGS["data_ranks"] == world
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 4))
parts = list(model)
wrapped = pluto_plan.wrap(model, blocks=parts)
optimizer = pluto_plan.optimizer(wrapped)
schedule = pluto_plan.schedule(optimizer)
data = torch.randn(SETTINGS["steps"], SETTINGS["global_batch"], 8)
micro, parts = SETTINGS["micro_batch"], SETTINGS["accumulation"]
def loss_of(model, batch):
    return (model(batch) ** 2).mean()
for n in range(SETTINGS["steps"]):
    mine = data[n].view(world, parts, micro, 8)[rank]
    pluto_plan.step(wrapped, optimizer, iter(mine), loss_of)
    schedule.step()
if rank == 0:
    print(" ".join(repr(float(p.detach().double().sum())) for p in model.parameters()))
)PY");
  const auto run = [&](int world, int accumulation) {
    c.plan.layout.data = world;
    c.plan.accumulation = accumulation;
    c.plan.buckets.front().wire = DType::kF32;
    const auto kept = c.plan.buckets;
    if (world == 1) c.plan.buckets.clear();
    write(c, {kTorchrun, {}});
    c.plan.buckets = kept;
    std::string command = "rm -f store; pids=''; ";
    for (int rank = 0; rank < world; ++rank) command += start_rank(python, rank, world);
    command += " for p in $pids; do wait $p || exit 1; done";
    EXPECT_EQ(testing::run_in(folder_, "(" + command + ")"), 0) << folder_.read("err0");
    std::istringstream out(folder_.read("out0"));
    return std::vector<double>(std::istream_iterator<double>(out), {});
  };
  const auto two = run(2, 2), one = run(1, 4);
  ASSERT_EQ(two.size(), 4U);
  ASSERT_EQ(one.size(), 4U);
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_NEAR(two[i], one[i], 1e-5) << i;
}

}  // namespace
}  // namespace pluto
