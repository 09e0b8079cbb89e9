// Galvatron's search over its own profile of Llama-2-7B. Its costs are restated here from what its
// code at cea12ffb14 computes; the strategies per layer are chosen by choose_strategies().

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

#include "base/csv.h"
#include "base/document.h"
#include "bench/peer_cases.h"
#include "planner/layer_strategies.h"

namespace pluto::bench {
namespace {

constexpr int kGpus = 8, kBatch = 64, kLayers = 32;
constexpr double kMessage = 16;  // MiB: 2,048 x 4,096 bf16 numbers of one sample
constexpr double kMebibyte = 1 << 20;
constexpr double kContext = 1024;  // MiB of the framework
constexpr double kNever = std::numeric_limits<double>::infinity();

class Profile {
 public:
  static Result<Profile> read(const std::string& path) {
    PLUTO_ASSIGN(const std::string text, read_file(path));
    PLUTO_ASSIGN(const CsvTable table, CsvTable::parse(text, path));
    Profile profile;
    for (std::size_t i = 0; i < table.rows(); ++i) {
      profile.values_[{table.text(i, "quantity").value_or(""),
                       static_cast<int>(table.number(i, "degree").value_or(0)),
                       static_cast<int>(table.number(i, "size_MiB").value_or(0))}] =
          table.number(i, "value").value_or(0);
    }
    return profile;
  }
  double operator()(const std::string& quantity, int degree = 0, double mebibytes = 0) const {
    return values_.at({quantity, degree, static_cast<int>(mebibytes)});
  }
  /// ms per MiB of an all_reduce; neighbours: ranks next to each other.
  double all_reduce(int ranks, bool neighbours) const {
    if (ranks == 1) return 0;
    return 1 /
           (*this)(neighbours || ranks == kGpus ? "all_reduce_neighbours" : "all_reduce_strided",
                   ranks);
  }

 private:
  std::map<std::tuple<std::string, int, int>, double> values_;
};

/// tensor: Megatron's; sequence: Ulysses'; one of them is 1.
struct Strategy {
  int tensor = 1, sequence = 1, data = 1, zero = 0;
  bool recompute = false;
  int split() const { return std::max(tensor, sequence); }
  int sharded() const { return data * sequence; }
};

/// One point of the outer enumeration.
struct Task {
  int chunks = 1, stages = 1, widest = 1;
  bool tensor = true, sequence = true;
};

struct Times {
  double synchronised = 0, alone = 0;  // seconds with and without the gradients' all_reduce
};

class Costs {
 public:
  Costs(const Profile& profile, const Task& task) : p_(profile), task_(task) {}

  Times layer(const Strategy& s) const {
    const double batch = samples(s);
    const double forward = p_("layer_forward") * batch / s.split();
    const double backward = forward * (s.recompute ? 3 : 2);
    double messages = 0;
    if (s.sequence > 1) messages = 4 * p_("all_to_all_time", s.sequence, batch * kMessage);
    if (s.tensor > 1) messages = 3 * p_("all_reduce_time", s.tensor, batch * kMessage);
    if (s.recompute) messages *= 1.5;
    const double sharded = s.sharded();
    const double gradients =
        (sharded - 1) * (p_("layer_parameters") / s.tensor / sharded);  // MiB, bf16
    const double rate = p_.all_reduce(s.sharded(), s.tensor == 1);
    double more = messages;
    if (s.zero == 3) more += gradients / 2 * rate;
    if (task_.stages > 1) {
      more += task_.stages * 2 * batch * kMessage / p_("send", task_.stages) / kLayers;
    }
    const double synchronised = s.data > 1 ? overlapped(gradients * rate, backward) : backward;
    return {(forward + synchronised + more) / 1000, (forward + backward + more) / 1000};
  }

  /// MiB of a layer on a stage.
  double layer_memory(const Strategy& s, int stage) const {
    const double kept = samples(s) * (task_.stages - stage);
    const double activation = s.recompute ? p_("layer_activation_recompute") / s.split()
                                          : p_("layer_activation", s.split());
    return 4 * p_("layer_parameters") / s.tensor * zero_part(s) + activation * kept;
  }

  /// Embedding and head, of a stage.
  Times ends(const Strategy& s, int stage) const {
    const bool whole = task_.stages == 1;
    if (!whole && stage > 0 && stage < task_.stages - 1) return {};
    const double forward = p_("other_forward") * samples(s) / s.split() * (whole ? 1 : 0.5);
    const double gradients = p_(part(stage) + "_states", s.tensor) / 8;
    const double ranks = s.sharded();
    const double message =
        gradients * p_.all_reduce(s.sharded(), s.tensor == 1) * (ranks - 1) / ranks;
    const double gather = s.zero == 3 ? 0.5 : 0;
    double tensor = 0;
    if (s.tensor > 1) {
      tensor = p_("all_reduce_time", s.tensor, samples(s) * kMessage) / 2 * (whole ? 2 : 1);
    }
    const auto both = [&](double reduce) {
      return (slowed(message * gather, forward) + slowed(message * (gather + reduce), 2 * forward) +
              tensor) /
             1000;
    };
    return {both(0.5), both(0)};
  }

  double ends_memory(const Strategy& s, int stage) const {
    if (task_.stages > 1 && stage > 0 && stage < task_.stages - 1) return kContext;
    const double kept = samples(s) * (task_.stages - stage);
    return p_(part(stage) + "_states", s.tensor) * zero_part(s) +
           p_(part(stage) + "_activation", s.split()) * kept + kContext;
  }

  /// Another split after a layer: activations gathered.
  double transition(const Strategy& a, const Strategy& b) const {
    if (a.split() == b.split()) return 0;
    const int ranks = std::max(a.split(), b.split());
    const double batch = static_cast<double>(kBatch) / task_.chunks * task_.stages * ranks / kGpus;
    return (ranks - 1.0) / ranks * batch * kMessage * kMebibyte * p_.all_reduce(ranks, true) * 1e-7;
  }

 private:
  int samples(const Strategy& s) const { return kBatch / task_.chunks / s.data; }
  std::string part(int stage) const {
    return task_.stages == 1 ? "whole" : stage == 0 ? "first" : "last";
  }
  /// What is left of the model states on a rank.
  double zero_part(const Strategy& s) const {
    const double share = 1.0 / s.sharded() + 0.003;
    const double held = task_.chunks == 1 ? 0.125 : 0.25;  // ZeRO-2; gradients of several chunks
    if (s.zero == 2) return (1 - held) * share + held;
    if (s.zero != 3) return 1;
    return task_.chunks == 1 ? share : 0.875 * share + 0.125;
  }
  /// Backward pass and all_reduce at once, each slowed by the other.
  double overlapped(double message, double backward) const {
    const double slow = p_("overlap_slowdown");
    if (message > backward) return backward * slow + (message - backward);
    return message * slow + (backward - message);
  }
  double slowed(double message, double compute) const {
    const double slow = p_("overlap_slowdown");
    const double stretched = compute * slow;
    return stretched > message ? message + (stretched - message) / slow : message;
  }

  const Profile& p_;
  const Task& task_;
};

std::vector<Strategy> strategies(const Task& task, bool with_recompute) {
  const int most = std::max(1, std::min(kBatch / task.chunks, kGpus / task.stages));
  std::vector<Strategy> all;
  for (int split = 1; split * task.stages <= kGpus && split <= task.widest; split *= 2) {
    for (const bool tensor : {true, false}) {
      if (split == 1 ? !tensor : !(tensor ? task.tensor : task.sequence)) continue;
      const int data = kGpus / task.stages / split;
      if (data > most) continue;
      for (const int zero : data == 1 ? std::vector{0} : std::vector{2, 3}) {
        for (const bool recompute : {false, true}) {
          if (recompute && !with_recompute) continue;
          all.push_back({tensor ? split : 1, tensor ? 1 : split, data, zero, recompute});
        }
      }
    }
  }
  return all;
}

std::vector<Task> tasks() {
  std::vector<Task> all;
  for (int chunks = 1; chunks <= kBatch; chunks *= 2) {
    for (int stages = 1; stages <= std::min(kGpus, chunks); stages *= 2) {
      const int widest = kGpus / stages;
      const int least = widest / std::max(1, std::min(kBatch / chunks, widest));
      for (int split = least; split <= widest; split *= 2) {
        all.push_back({chunks, stages, split, true, false});
        all.push_back({chunks, stages, split, true, true});
      }
      all.push_back({chunks, stages, widest, false, true});
    }
  }
  return all;
}

struct Stage {
  double synchronised = 0, alone = 0;
};

/// Its estimate of the step from the stages.
double step_of(const std::vector<Stage>& stages, int chunks) {
  const auto count = static_cast<int>(stages.size());
  double compute = 0, most_sync = 0;
  for (const Stage& stage : stages) {
    compute += stage.alone;
    most_sync = std::max(most_sync, stage.synchronised - compute);
  }
  const double first = stages.front().alone, behind = compute - first;
  const double warm_up = std::min(count - 1, chunks - 1) * first;
  double step = compute + stages.back().alone * (chunks - 1);
  step = std::max(step, std::max(warm_up, behind) + first * std::max(0, chunks + 1 - count));
  return step + most_sync;
}

/// Where each layer's strategies may be, in MiB of a GPU; what it leaves to the allocator is off.
int usable(int gibibytes) {
  const int all = gibibytes * 1024;
  return gibibytes > 20 ? all - all / 5 : all;
}

struct Answer {
  double step = kNever;
  Task task;
  std::vector<Strategy> layers;
  std::int64_t solved = 0;
};

/// The best of one task. `round_up`: memory in whole MiB, as its grid needs it.
Result<void> search(const Profile& profile, const Task& task, int memory, bool round_up,
                    Answer& best) {
  const Costs costs(profile, task);
  const std::vector<Strategy> menu = strategies(task, true);
  if (menu.empty()) return {};
  const auto mebibytes = [&](double value) {
    return Bytes(static_cast<std::int64_t>((round_up ? std::ceil(value) : value) * kMebibyte));
  };
  LayerRun run;
  run.count = kLayers / task.stages;
  std::vector<Times> times;
  for (const Strategy& one : menu) {
    times.push_back(costs.layer(one));
    std::vector<Seconds> row;
    for (const Strategy& next : menu) row.push_back(Seconds(costs.transition(one, next)));
    run.between.push_back(std::move(row));
  }
  double buffer = 0;
  if (task.tensor)
    buffer = std::floor(kBatch * kMessage / task.chunks * task.stages * task.widest / kGpus);
  for (const Strategy& ends : strategies(task, false)) {
    std::vector<Stage> stages;
    std::vector<Strategy> layers;
    for (int stage = 0; stage < task.stages; ++stage) {
      run.choices.clear();
      for (std::size_t i = 0; i < menu.size(); ++i) {
        run.choices.push_back(
            {Seconds(times[i].synchronised), mebibytes(costs.layer_memory(menu[i], stage))});
      }
      const Bytes limit =
          mebibytes(memory) - mebibytes(costs.ends_memory(ends, stage)) - mebibytes(buffer);
      PLUTO_ASSIGN(const auto chosen, choose_strategies(std::vector{run}, limit));
      ++best.solved;
      if (!chosen) break;
      Stage& own = stages.emplace_back();
      own.alone = costs.ends(ends, stage).alone;
      for (int choice : chosen->choice) {
        own.synchronised += times[static_cast<std::size_t>(choice)].synchronised;
        own.alone += times[static_cast<std::size_t>(choice)].alone;
        layers.push_back(menu[static_cast<std::size_t>(choice)]);
      }
    }
    if (stages.size() < static_cast<std::size_t>(task.stages)) continue;
    const double step = step_of(stages, task.chunks);
    if (step < best.step) {
      best.step = step;
      best.task = task;
      best.layers = std::move(layers);
    }
  }
  return {};
}

std::string described(const Answer& answer) {
  std::map<std::string, int> layers;
  for (const Strategy& s : answer.layers) {
    ++layers[fmt::format("tp{} sp{} dp{} zero{}{}", s.tensor, s.sequence, s.data, s.zero,
                         s.recompute ? " recompute" : "")];
  }
  std::string text = fmt::format("pp{}, {} chunks;", answer.task.stages, answer.task.chunks);
  for (const auto& [name, count] : layers) text += fmt::format(" {} x {};", count, name);
  return text + fmt::format(" {} chains solved exactly", answer.solved);
}

}  // namespace

Result<std::vector<PeerCase>> galvatron_cases(const std::string& folder) {
  PLUTO_ASSIGN(const Profile profile, Profile::read(folder + "/galvatron_llama2_7b.csv"));
  struct Case {
    int gibibytes;
    bool round_up;
    double their_seconds, their_step;
  };
  // Their answers: its search at cea12ffb14 with SEQ_LENGTH=2048 and time_profile_mode=static; with
  // 30 GiB its grid was filled by plain C++, which is faster than its own.
  constexpr Case kCases[] = {{38, true, 272, 3.871011047614889},
                             {38, false, 272, 3.871011047614889},
                             {30, true, 77, 4.030675819780502}};
  std::vector<PeerCase> cases;
  for (const Case& given : kCases) {
    const double start = cpu_seconds();
    Answer best;
    for (const Task& task : tasks()) {
      PLUTO_TRY(search(profile, task, usable(given.gibibytes), given.round_up, best));
    }
    PeerCase one;
    one.seconds = cpu_seconds() - start;
    one.name =
        fmt::format("Galvatron, Llama-2-7B on 8 GPUs of {} GiB, batch 64, memory {}",
                    given.gibibytes, given.round_up ? "rounded up to its grid of 1 MiB" : "exact");
    one.their_seconds = given.their_seconds;
    one.objective = best.step;
    one.their_objective = given.their_step;
    one.unit = "s per step";
    one.note = described(best);
    cases.push_back(std::move(one));
  }
  return cases;
}

}  // namespace pluto::bench
