#include "cli/transformer_table.h"

#include <gtest/gtest.h>

#include "cli/plan_table.h"

namespace pluto {
namespace {

TEST(TransformerTableTest, LayoutsNameWhatIsNotOne) {
  Plan plan;
  plan.layout.data = 8;
  EXPECT_EQ(layout_text(plan), "data 8");
  plan.layout.tensor = 4;
  plan.layout.pipeline = 2;
  plan.pipeline.interleave = 3;
  plan.sequence_parallel = true;
  plan.shard = 1;
  plan.recompute = Recompute::kFull;
  EXPECT_EQ(layout_text(plan),
            "data 8 tensor 4 pipeline 2 interleave 3, sequence parallel, shard 1, recompute full");
}

TEST(TransformerTableTest, TheNearestCommandKeepsWhatWasTypedAndStands) {
  NearestFit nearest;
  nearest.settings = {"tensor=8", "recompute=full"};
  nearest.priced.plan.layout.tensor = 8;
  nearest.priced.plan.layout.data = 2;
  EXPECT_EQ(nearest_command("job.yaml", {"nodes=2", "tensor=4", "precision=bf16"}, nearest),
            "pluto-plan predict job.yaml --set nodes=2 --set precision=bf16 --set tensor=8 --set "
            "recompute=full");
  EXPECT_EQ(nearest_command("job.yaml", {"data=4"}, nearest),
            "pluto-plan predict job.yaml --set tensor=8 --set recompute=full --set ranks=16");
  nearest.settings = {"ranks=64"};
  EXPECT_EQ(nearest_command("job.yaml", {"nodes=2"}, nearest),
            "pluto-plan predict job.yaml --set ranks=64");
}

}  // namespace
}  // namespace pluto
