#include "plan/target.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>

#include "base/check.h"
#include "base/text.h"
#include "plan/plan.h"
#include "plan/words.h"

namespace pluto {
namespace {

using enum ExportTarget;

constexpr std::array<Word<ExportTarget>, 12> kTargets = {{{kTorchrun, "torchrun"},
                                                          {kFsdp, "fsdp"},
                                                          {kDeepspeed, "deepspeed"},
                                                          {kAccelerate, "accelerate"},
                                                          {kMegatron, "megatron"},
                                                          {kHorovod, "horovod"},
                                                          {kMpi, "mpi"},
                                                          {kSlurm, "slurm"},
                                                          {kSkypilot, "skypilot"},
                                                          {kPytorchJob, "pytorchjob"},
                                                          {kMpiJob, "mpijob"},
                                                          {kTrainJob, "trainjob"}}};

template <class Enum>
constexpr unsigned bit(Enum value) {
  return 1U << static_cast<unsigned>(value);
}
template <class... Enum>
constexpr unsigned set_of(Enum... values) {
  return (bit(values) | ...);
}
constexpr bool within(unsigned some, unsigned all) { return (some & ~all) == 0; }

constexpr unsigned kReduced = set_of(SyncMethod::kNone, SyncMethod::kAllReduce, SyncMethod::kShard);
constexpr unsigned kRing = set_of(CollectiveAlgorithm::kRing);
constexpr unsigned kNccl = set_of(CollectiveAlgorithm::kRing, CollectiveAlgorithm::kTree);
constexpr unsigned kF32Wire = set_of(DType::kF32);
constexpr unsigned kAnyWire = set_of(DType::kF32, DType::kF16, DType::kBF16);
constexpr unsigned kBlocks = set_of(Recompute::kNone, Recompute::kFull);
constexpr unsigned kAnyRecompute =
    set_of(Recompute::kNone, Recompute::kSelective, Recompute::kFull);
constexpr unsigned kAutocast = set_of(TrainPrecision::kF32, TrainPrecision::kTf32,
                                      TrainPrecision::kFp16, TrainPrecision::kBf16);

/// What a trainer can carry out; docs/exports.md says by which of its knobs.
struct Ability {
  ExportTarget trainer;
  unsigned shards;      // of ZeRO stages
  unsigned precisions;  // of TrainPrecision
  unsigned recompute;   // of Recompute
  unsigned methods;     // of SyncMethod
  unsigned wires;       // of DType
  unsigned algorithms;  // of CollectiveAlgorithm
  bool cpus = false, gpus = true;
  bool model_parallel = false;  // tensor, context, pipeline, experts
  bool any_optimizer = true;    // step schedules, Nesterov's momentum, coupled weight decay
  bool any_input = true;        // the script reads and evaluates as it likes
};

constexpr std::array<Ability, 7> kAbilities = {{
    {kTorchrun, 0b0001, kAutocast, kBlocks, kReduced, kAnyWire, kNccl, true},
    {kFsdp, 0b1100, kAutocast, kBlocks, kReduced, kAnyWire, kNccl},
    {kDeepspeed, 0b1111, kAutocast, kBlocks, kReduced, kAnyWire, kNccl},
    {kAccelerate, 0b1101, kAutocast | set_of(TrainPrecision::kFp8), kBlocks, kReduced, kF32Wire,
     kNccl, true},
    {kMegatron, 0b0011,
     set_of(TrainPrecision::kF32, TrainPrecision::kFp16, TrainPrecision::kBf16,
            TrainPrecision::kFp8),
     kAnyRecompute, kReduced, set_of(DType::kF32, DType::kBF16), kNccl, false, true, true, false},
    {kHorovod, 0b0001, kAutocast, kBlocks, kReduced, set_of(DType::kF32, DType::kF16),
     set_of(CollectiveAlgorithm::kRing, CollectiveAlgorithm::kHierarchical), true},
    {kMpi, 0b0001, set_of(TrainPrecision::kF32), kAnyRecompute,
     set_of(SyncMethod::kNone, SyncMethod::kAllReduce, SyncMethod::kParameterServer,
            SyncMethod::kSufficientFactor),
     kF32Wire, kRing, true, false, false, true, false},
}};

const Ability& ability_of(ExportTarget trainer) {
  const auto* found = std::ranges::find(kAbilities, trainer, &Ability::trainer);
  PLUTO_CHECK(found != kAbilities.end(), "a trainer without abilities");
  return *found;
}

ExportTarget default_trainer(ExportTarget place) { return place == kMpiJob ? kHorovod : kTorchrun; }

bool starts(ExportTarget place, ExportTarget trainer) {
  const bool by_mpi = trainer == kHorovod || trainer == kMpi;
  return place == kSlurm || by_mpi == (place == kMpiJob);
}

/// One question about a plan. `place` is the target itself where it is none.
struct Asked {
  const Ability& can;
  ExportTarget place;
  const PlanKnobs& plan;
};

struct Rule {
  const char* field;
  bool essential;
  bool (*carried)(const Asked&);
  std::string (*value)(const PlanKnobs&);
};

std::string yes(const PlanKnobs&) { return "true"; }

/// The first words of a set that are not the default, joined.
template <class Enum>
std::string words(unsigned bits, Enum last) {
  std::string text;
  for (unsigned i = 0; i <= static_cast<unsigned>(last); ++i) {
    if ((bits >> i & 1U) == 0) continue;
    text += (text.empty() ? "" : ", ") + std::string(to_text(static_cast<Enum>(i)));
  }
  return text;
}

bool of_one_kind(unsigned bits) { return std::popcount(bits) <= 1; }

constexpr std::array kRules = {
    Rule{"cluster.instance", true,
         [](const Asked& a) { return a.plan.rented || a.place != kSkypilot; },
         [](const PlanKnobs&) { return std::string("local"); }},
    Rule{"cluster.more", true, [](const Asked& a) { return a.plan.one_type || a.place == kMpi; },
         [](const PlanKnobs&) { return std::string("nodes of several types"); }},
    Rule{"backend", true, [](const Asked& a) { return a.plan.gpus ? a.can.gpus : a.can.cpus; },
         [](const PlanKnobs& k) { return std::string(k.gpus ? "cuda" : "cpu"); }},
    Rule{"layout", true, [](const Asked& a) { return a.plan.even_nodes || a.can.trainer == kMpi; },
         [](const PlanKnobs& k) {
           return fmt::format("{} ranks, not as many on every node", k.layout.ranks());
         }},
    Rule{"layout.tensor", true,
         [](const Asked& a) { return a.plan.layout.tensor == 1 || a.can.model_parallel; },
         [](const PlanKnobs& k) { return fmt::format("{}", k.layout.tensor); }},
    Rule{"layout.pipeline", true,
         [](const Asked& a) {
           const PlanKnobs& k = a.plan;
           if (k.layout.pipeline == 1) return true;
           return a.can.model_parallel && k.layers % (k.layout.pipeline * k.interleave) == 0;
         },
         [](const PlanKnobs& k) {
           return fmt::format("{}{}", k.layout.pipeline,
                              k.layers > 0 ? fmt::format(" for {} layers", k.layers) : "");
         }},
    Rule{"layout.context", true,
         [](const Asked& a) { return a.plan.layout.context == 1 || a.can.model_parallel; },
         [](const PlanKnobs& k) { return fmt::format("{}", k.layout.context); }},
    Rule{"pipeline.cuts", false,
         [](const Asked& a) { return !a.plan.cuts || a.plan.layout.pipeline == 1; },
         [](const PlanKnobs&) { return std::string("stages by name"); }},
    Rule{"sequence_parallel", true,
         [](const Asked& a) { return !a.plan.sequence_parallel || a.can.model_parallel; }, yes},
    Rule{"expert", true, [](const Asked& a) { return a.plan.expert == 1 || a.can.model_parallel; },
         [](const PlanKnobs& k) { return fmt::format("{}", k.expert); }},
    Rule{"sharded", true, [](const Asked& a) { return !a.plan.split_layers; },
         [](const PlanKnobs&) { return std::string("split linear layers"); }},
    Rule{"shard", true,
         [](const Asked& a) {
           const bool alone = a.plan.layout.data * a.plan.layout.context == 1;
           return alone || (a.can.shards >> static_cast<unsigned>(a.plan.shard) & 1U) != 0;
         },
         [](const PlanKnobs& k) { return fmt::format("{}", k.shard); }},
    Rule{"recompute", true,
         [](const Asked& a) { return within(bit(a.plan.recompute), a.can.recompute); },
         [](const PlanKnobs& k) { return std::string(to_text(k.recompute)); }},
    Rule{"precision", true,
         [](const Asked& a) { return within(bit(a.plan.precision), a.can.precisions); },
         [](const PlanKnobs& k) { return std::string(to_text(k.precision)); }},
    Rule{"local.steps", true, [](const Asked& a) { return a.plan.local_steps == 1; },
         [](const PlanKnobs& k) { return fmt::format("{}", k.local_steps); }},
    Rule{"optimizer.nesterov", true,
         [](const Asked& a) { return !a.plan.nesterov || a.can.any_optimizer; }, yes},
    Rule{"optimizer.weight_decay", true,
         [](const Asked& a) { return !a.plan.coupled_decay || a.can.any_optimizer; },
         [](const PlanKnobs&) { return std::string("of adam, inside the gradient"); }},
    Rule{"learning_rate.schedule", true,
         [](const Asked& a) { return !a.plan.step_schedule || a.can.any_optimizer; },
         [](const PlanKnobs&) { return std::string("step"); }},
    Rule{"server_nodes", true, [](const Asked& a) { return a.plan.server_nodes == 0; },
         [](const PlanKnobs& k) { return fmt::format("{}", k.server_nodes); }},
    Rule{"buckets.method", false,
         [](const Asked& a) { return within(a.plan.methods, a.can.methods); },
         [](const PlanKnobs& k) { return words(k.methods, SyncMethod::kShard); }},
    Rule{
        "buckets.algorithm", false,
        [](const Asked& a) {
          if (!of_one_kind(a.plan.algorithms)) return false;
          const bool chosen = a.can.algorithms != kNccl || a.plan.gpus;  // by NCCL_ALGO
          return within(a.plan.algorithms, chosen ? a.can.algorithms : kRing);
        },
        [](const PlanKnobs& k) { return words(k.algorithms, CollectiveAlgorithm::kHierarchical); }},
    Rule{"buckets.wire", false,
         [](const Asked& a) {
           return of_one_kind(a.plan.wires) && within(a.plan.wires, a.can.wires);
         },
         [](const PlanKnobs& k) { return words(k.wires, DType::kBF16); }},
    Rule{"buckets.chunks", false, [](const Asked& a) { return a.plan.chunks == 1; },
         [](const PlanKnobs& k) { return fmt::format("{}", k.chunks); }},
    Rule{"priority", false, [](const Asked& a) { return !a.plan.priority; }, yes},
    Rule{"data.queue", false, [](const Asked& a) { return a.plan.queue == 1 || a.can.any_input; },
         [](const PlanKnobs& k) { return fmt::format("{}", k.queue); }},
    Rule{"evaluation.every", false,
         [](const Asked& a) { return !a.plan.evaluates_between || a.can.any_input; },
         [](const PlanKnobs&) { return std::string("while training"); }},
    Rule{"on_demand_after", false,
         [](const Asked& a) { return !a.plan.moves || a.place != kSkypilot; },
         [](const PlanKnobs&) { return std::string("from spot to on-demand nodes"); }},
};

Asked asked(const RunTarget& target, const PlanKnobs& knobs) {
  return {ability_of(target.trainer), target.place.value_or(target.trainer), knobs};
}

}  // namespace

const char* to_text(ExportTarget target) { return word_of(kTargets, target); }

Result<ExportTarget> parse_export_target(std::string_view text) {
  return parse_word(kTargets, "target", text);
}

std::vector<ExportTarget> all_export_targets() {
  std::vector<ExportTarget> all;
  for (const auto& word : kTargets) all.push_back(word.value);
  return all;
}

bool is_place(ExportTarget target) { return target >= kSlurm; }

std::string to_text(const RunTarget& target) {
  if (!target.place) return to_text(target.trainer);
  return fmt::format("{} with {}", to_text(*target.place), to_text(target.trainer));
}

Result<std::vector<RunTarget>> parse_run_targets(std::string_view list) {
  std::vector<ExportTarget> trainers, places;
  for (const std::string& name : split(list, ',')) {
    PLUTO_ASSIGN(const ExportTarget target, parse_export_target(trim(name)));
    auto& names = is_place(target) ? places : trainers;
    if (std::ranges::count(names, target) == 0) names.push_back(target);
  }
  std::vector<RunTarget> targets;
  if (places.empty()) {
    for (const ExportTarget trainer : trainers) targets.push_back({trainer, {}});
  }
  for (const ExportTarget place : places) {
    if (trainers.empty()) targets.push_back({default_trainer(place), place});
    for (const ExportTarget trainer : trainers) {
      if (!starts(place, trainer)) {
        std::string able;
        for (const Ability& one : kAbilities) {
          if (starts(place, one.trainer)) able += fmt::format(" {}", to_text(one.trainer));
        }
        return invalid_input(fmt::format("{} does not start {}", to_text(place), to_text(trainer)),
                             fmt::format("{} starts:{}", to_text(place), able));
      }
      targets.push_back({trainer, place});
    }
  }
  return targets;
}

PlanKnobs knobs_of(const Plan& plan, int layers) {
  PlanKnobs k;
  k.layout = plan.layout;
  k.layers = layers;
  k.interleave = plan.pipeline.interleave;
  k.sequence_parallel = plan.sequence_parallel;
  k.expert = plan.expert;
  k.split_layers = !plan.sharded.empty() && plan.layout.data > 1;
  k.shard = plan.shard;
  k.recompute = plan.recompute;
  k.precision = plan.precision;
  k.gpus = plan.backend == "cuda";
  const int devices = std::max(1, plan.cluster.instance.node.devices);
  k.even_nodes = plan.layout.ranks() <= devices || plan.layout.ranks() % devices == 0;
  k.one_type = plan.cluster.more.empty();
  k.rented = plan.cluster.instance.name != "local";
  k.moves = plan.on_demand_after.has_value();
  k.server_nodes = plan.server_nodes;
  k.priority = plan.priority;
  k.local_steps = plan.local.steps;
  for (const BucketPlan& bucket : plan.buckets) {
    k.methods |= bit(bucket.method);
    if (bucket.method == SyncMethod::kAllReduce) k.algorithms |= bit(bucket.algorithm);
    k.wires |= bit(bucket.wire);
    k.chunks = std::max(k.chunks, bucket.chunks);
  }
  k.cuts = !plan.pipeline.cuts.empty();
  k.step_schedule = plan.learning_rate.schedule == ScheduleKind::kStep;
  if (const auto* sgd = std::get_if<SgdAttrs>(&plan.optimizer)) k.nesterov = sgd->nesterov;
  if (const auto* adam = std::get_if<AdamAttrs>(&plan.optimizer)) {
    k.coupled_decay = adam->weight_decay > 0 && !adam->decoupled;
  }
  k.queue = plan.data.queue;
  k.evaluates_between = plan.evaluation.every > 0;
  return k;
}

std::vector<Gap> gaps(const RunTarget& target, const PlanKnobs& knobs) {
  std::vector<Gap> found;
  const Asked question = asked(target, knobs);
  for (const Rule& rule : kRules) {
    if (!rule.carried(question)) found.push_back({rule.field, rule.value(knobs), rule.essential});
  }
  return found;
}

bool carries(const std::vector<RunTarget>& targets, const PlanKnobs& knobs) {
  return std::ranges::all_of(targets, [&](const RunTarget& target) {
    const Asked question = asked(target, knobs);
    return std::ranges::all_of(kRules, [&](const Rule& rule) { return rule.carried(question); });
  });
}

std::vector<ExportTarget> carried_by(const PlanKnobs& knobs) {
  std::vector<ExportTarget> able;
  for (const ExportTarget target : all_export_targets()) {
    const RunTarget one =
        is_place(target) ? RunTarget{default_trainer(target), target} : RunTarget{target, {}};
    if (carries({one}, knobs)) able.push_back(target);
  }
  return able;
}

std::vector<ExportTarget> trainers_with(const std::string& field, const PlanKnobs& knobs) {
  std::vector<ExportTarget> able;
  for (const Ability& one : kAbilities) {
    const auto all = gaps({one.trainer, {}}, knobs);
    if (std::ranges::count(all, field, &Gap::field) == 0) able.push_back(one.trainer);
  }
  return able;
}

}  // namespace pluto
