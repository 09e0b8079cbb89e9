// predict, as a user types it: transformers on catalog GPUs by the closed form.

#include <gmock/gmock.h>

#include "costmodel/transformer_predictor.h"
#include "plan/catalog.h"
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

/// GPT-3 175B (Brown et al. 2020) for a thousand steps.
const char* const kGpt3 =
    "name: gpt3\nmodel: {name: gpt2, layers: 96, width_model: 12288, heads: 96, sequence: 2048, "
    "vocabulary: 51200}\n"
    "data: {source: synthetic, samples: 3072000}\ntarget: {steps: 1000}\nbatch: {global: 3072}\n"
    "optimizer: {name: adamw}\nprecision: bf16\n"
    "cluster: {instances: [\"aws:p4d.24xlarge\"]}\n";

class PredictTest : public testing::CommandTest {
 protected:
  Value predict(std::vector<std::string> settings, int exit = 0) {
    std::vector<std::string> words = {"predict", "gpt3.yaml"};
    for (std::string& setting : settings) {
      words.insert(words.end(), {"--set", std::move(setting)});
    }
    return run_json(words, exit);
  }
  void SetUp() override {
    testing::CommandTest::SetUp();
    write("gpt3.yaml", kGpt3);
  }
};

TEST_F(PredictTest, Gpt3OnFourThousandGpusIsWhatTheClosedFormSays) {
  const Value document =
      predict({"nodes=512", "tensor=8", "pipeline=16", "interleave=2", "sequence_parallel=1",
               "recompute=selective", "shard=1", "micro_batch=1"});
  EXPECT_EQ(at(document, "priced_by").as_string(), "closed form");
  const Value& plan = at(document, "plan");
  EXPECT_EQ(at(plan, "ranks").as_integer(), 4096);
  EXPECT_EQ(at(at(plan, "layout"), "data").as_integer(), 32);

  const auto shape = TransformerShape::gpt(96, 12288, 96, 2048, 51200);
  TransformerPlan same;
  same.data = 32;
  same.tensor = 8;
  same.pipeline = 16;
  same.interleave = 2;
  same.sequence_parallel = same.overlap_data = true;
  same.recompute = Recompute::kSelective;
  same.shard = 1;
  same.global_batch = 3072;
  same.attention = AttentionKernel::kFlash;
  same.gradient_bytes = 4;
  const std::string data = PLUTO_SOURCE_DIR "/data";
  const auto catalog = Catalog::load(data + "/catalog").value();
  const auto instance = catalog.instance("aws:p4d.24xlarge").value();
  const auto costs = TransformerCostTable::load(data + "/transformer.json")
                         .value()
                         .costs_for(instance.node.device);
  const auto step = predict_transformer(shape, same, {instance, 512}, costs);
  ASSERT_TRUE(step.ok()) << step.error().message;
  const Value& prediction = at(plan, "prediction");
  EXPECT_DOUBLE_EQ(at(at(prediction, "step_s"), "p50").as_number(), step->step().value());
  EXPECT_EQ(at(prediction, "terms").as_array().size(), 7U);
  EXPECT_GT(at(plan, "mfu").as_number(), 0.25);
  EXPECT_LT(at(plan, "mfu").as_number(), 0.65);
  EXPECT_TRUE(at(document, "fits").as_bool());
  const Value::Array& run = at(prediction, "run_terms").as_array();
  ASSERT_EQ(run.size(), 5U);
  EXPECT_EQ(at(run[0], "name").as_string(), "training");
  const double hours = 1000 * step->step().value() / 3600;
  EXPECT_NEAR(at(run[0], "price_usd").as_number(), hours * 512 * instance.price.value(), 1e-3);
  double price = 0;
  for (const Value& term : run) price += at(term, "price_usd").as_number();
  EXPECT_NEAR(at(at(prediction, "price_usd"), "p50").as_number(), price, 1e-6 * price);
}

constexpr const char* kLenet =
    "model: {name: lenet}\ndata: {source: synthetic, samples: 512}\ntarget: {steps: 100000}\n"
    "batch: {global: 64}\ncluster: {instances: [\"aws:p3.2xlarge\"], ranks: 1}\n";

TEST_F(PredictTest, SpotNodesCostLessAndAreTakenBack) {
  write("lenet.yaml", kLenet);
  const Value stays = run_json({"predict", "lenet.yaml"});
  const Value spot = run_json({"predict", "lenet.yaml", "--spot", "only"});
  const auto price = [](const Value& document) {
    return at(at(at(at(document, "plan"), "prediction"), "price_usd"), "p50").as_number();
  };
  EXPECT_EQ(at(at(stays, "plan"), "market").as_string(), "on_demand");
  EXPECT_EQ(at(at(spot, "plan"), "market").as_string(), "spot");
  EXPECT_GT(at(at(spot, "plan"), "checkpoint_every").as_integer(), 0);
  EXPECT_LT(price(spot), price(stays));
  const testing::CommandResult said = run({"predict", "lenet.yaml", "--set", "spot=only"});
  for (const char* what : {"aws:p3.2xlarge x 1  spot", "interruptions", "start_up", "to the target",
                           "a node is taken back every", "on spot cost"}) {
    EXPECT_THAT(said.out, HasSubstr(what));
  }
}

TEST_F(PredictTest, OwnPricesAreOfferedBesideTheCatalogs) {
  write("lenet.yaml", kLenet);
  write("own.csv",
        "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,SpotPrice\n"
        "big,V100,1,8,61,2.5,here,\n");
  const testing::CommandResult said = run({"predict", "lenet.yaml", "--prices", "own.csv",
                                           "--provider", "mine", "--set", "instance=mine:big"});
  EXPECT_EQ(said.exit, 0) << said.err;
  EXPECT_THAT(said.out, HasSubstr("the price $2.50 an hour of 1 node of mine:big"));
  const testing::CommandResult spot =
      run({"predict", "lenet.yaml", "--prices", "own.csv", "--provider", "mine", "--set",
           "instance=mine:big", "--spot", "only"});
  EXPECT_NE(spot.exit, 0);
  EXPECT_THAT(spot.err, HasSubstr("mine:big is not known to be offered on spot"));
}

TEST_F(PredictTest, APlanThatDoesNotFitNamesTheNearestThatDoes) {
  const Value document = predict({"nodes=64", "tensor=8"}, 3);
  EXPECT_FALSE(at(document, "fits").as_bool());
  const Value& nearest = at(document, "nearest");
  ASSERT_TRUE(nearest.is_object());
  EXPECT_TRUE(at(at(nearest, "plan"), "fits").as_bool());
  EXPECT_FALSE(at(nearest, "settings").as_array().empty());
  // Typing its command gives the plan it promises.
  std::vector<std::string> words;
  std::istringstream command(at(nearest, "command").as_string());
  for (std::string word; command >> word;) words.push_back(word);
  ASSERT_EQ(words.front(), "pluto-plan");
  words.erase(words.begin());
  const Value typed = run_json(words);
  EXPECT_EQ(at(typed, "plan"), at(nearest, "plan"));

  const testing::CommandResult said =
      run({"predict", "gpt3.yaml", "--set", "nodes=64", "--set", "tensor=8"});
  EXPECT_EQ(said.exit, 3);
  EXPECT_THAT(said.out, HasSubstr("does not fit: "));
  EXPECT_THAT(said.out, HasSubstr("nearest   "));
  EXPECT_THAT(said.out, HasSubstr("next      pluto-plan predict gpt3.yaml"));
}

TEST_F(PredictTest, TheTablesSayWhoPricedItAndWhatEachPartTakes) {
  const testing::CommandResult said =
      run({"predict", "gpt3.yaml", "--set", "nodes=64", "--set", "tensor=8", "--set", "pipeline=16",
           "--set", "recompute=full", "--set", "micro_batch=1"});
  EXPECT_EQ(said.exit, 0) << said.out << said.err;
  for (const char* what :
       {"priced by the closed form of transformers", "96 layers x 12288, 96 heads, sequence 2048",
        "data 4 tensor 8 pipeline 16, recompute full", "MFU", "tensor_comm", "pipeline_comm",
        "data_comm", "bubble", "update", "optimizer state", "activations", "allocated", "reserved",
        "the device has", "assumes   constants of data/transformer.json", "next      "}) {
    EXPECT_THAT(said.out, HasSubstr(what));
  }
}

TEST_F(PredictTest, WrongSettingsSayTheFix) {
  const struct {
    std::vector<std::string> settings;
    const char* message;
  } cases[] = {
      {{"tensor=7", "nodes=8"}, "ranks: 64 is no multiple of tensor x pipeline x context = 7"},
      {{"nodes=1", "tensor=8", "data=3"}, "nodes: 1 nodes have 8 devices, 24 ranks need more"},
      {{"nodes=64", "shard=4"}, "shard=4: expected a stage of ZeRO"},
      {{"nodes=64", "interleave=2"}, "interleave: there is one pipeline stage"},
      {{"nodes=64", "recompute=maybe"}, "'maybe' is no way to recompute"},
      {{"nodes=64", "tensr=8"}, "tensr=8: no such key"},
      {{"instance=aws:p9"}, "aws:p9"},
  };
  for (const auto& bad : cases) {
    std::vector<std::string> words = {"predict", "gpt3.yaml"};
    for (const std::string& setting : bad.settings) {
      words.insert(words.end(), {"--set", setting});
    }
    const testing::CommandResult result = run(words);
    EXPECT_EQ(result.exit, 2) << result.out << result.err;
    EXPECT_THAT(result.err, HasSubstr(bad.message));
    EXPECT_THAT(result.err, HasSubstr("help:"));
  }
}

TEST_F(PredictTest, OtherModelsAreSimulatedAndSayWhy) {
  write("lenet.yaml",
        "model: {name: lenet}\ndata: {source: synthetic, samples: 512}\ntarget: {steps: 10}\n"
        "batch: {global: 64}\ncluster: {instances: [\"aws:p3.2xlarge\"], ranks: 1}\n");
  const testing::CommandResult said = run({"predict", "lenet.yaml"});
  EXPECT_EQ(said.exit, 0) << said.err;
  EXPECT_THAT(said.out, HasSubstr("priced by the simulator"));
  EXPECT_THAT(said.err, HasSubstr("no transformer"));
  const testing::CommandResult eight = run({"predict", "lenet.yaml", "--set", "precision=fp8"});
  EXPECT_NE(eight.exit, 0);
  EXPECT_THAT(eight.err, HasSubstr("precision"));
  EXPECT_THAT(run({"search", "lenet.yaml", "--fix", "tensor=2"}).err,
              HasSubstr("pluto-plan predict --set"));
}

// Any model, any layout that lowers: stages, and data ranks within them.
TEST_F(PredictTest, OtherModelsInStagesShowTheirBubble) {
  write("vgg.yaml",
        "model: {name: vgg16}\ndata: {source: synthetic, samples: 512}\ntarget: {steps: 10}\n"
        "batch: {global: 512}\ncluster: {instances: [\"aws:p3.16xlarge\"]}\n");
  const testing::CommandResult said =
      run({"predict", "vgg.yaml", "--set", "data=4", "--set", "pipeline=2", "--set",
           "micro_batch=16", "--set", "precision=fp16", "--set", "recompute=full"});
  EXPECT_EQ(said.exit, 0) << said.err;
  EXPECT_THAT(said.out, HasSubstr("bubble"));
  EXPECT_THAT(said.out, HasSubstr("memory is that of stage"));
}

TEST_F(PredictTest, PrecisionOfTheJobReachesTheSimulator) {
  write("vgg.yaml",
        "model: {name: vgg16}\ndata: {source: synthetic, samples: 512}\ntarget: {steps: 10}\n"
        "batch: {global: 64}\ncluster: {instances: [\"aws:p4d.24xlarge\"], ranks: 1}\n");
  const auto seconds = [&](const std::string& precision) {
    const Value document = run_json({"predict", "vgg.yaml", "--set", "precision=" + precision});
    return at(at(at(at(document, "plan"), "prediction"), "step_s"), "p50").as_number();
  };
  EXPECT_LT(seconds("tf32"), seconds("fp32"));
  EXPECT_LT(seconds("bf16"), seconds("fp32"));
}

}  // namespace
}  // namespace pluto
