#include "executor/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "base/fingerprint.h"
#include "executor/agreement.h"
#include "executor/checkpoint.h"
#include "executor/evaluation.h"
#include "executor/initial_values.h"
#include "executor/step_runner.h"
#include "executor/step_series.h"
#include "executor/training_state.h"
#include "runtime/host.h"

namespace pluto {

namespace {

constexpr std::size_t kKeptSteps = 8192;
constexpr Seconds kCheckEvery(1.0);
constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

/// The first multiple of `every` after `step`.
std::int64_t next_multiple(std::int64_t step, std::int64_t every) {
  return every > 0 ? (step / every + 1) * every : kNever;
}

double steady_seconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

/// What a checkpoint hands from rank 0 to all.
struct Resumed {
  std::int64_t step = 0, interval_steps = 0, ranks = 0;
  double elapsed = 0;
};

/// One call of run_plan on one rank.
class Run {
 public:
  Run(const Plan& plan, const LoweredPlan& lowered, Device& device, Communicator& communicator,
      const DataSet& data, const RunContext& context, const RunOptions& options,
      MeasurementSink* sink)
      : plan_(plan),
        lowered_(lowered),
        device_(device),
        communicator_(communicator),
        data_(data),
        context_(context),
        options_(options),
        sink_(sink),
        clock_(options.clock ? options.clock : steady_seconds),
        order_(std::max<std::int64_t>(1, plan.dataset_samples), plan.seed),
        guards_{plan.budget, plan.deadline, plan.cluster.price()} {}

  Result<RunReport> execute();

 private:
  bool leads() const { return communicator_.rank() == 0; }
  double elapsed() const { return elapsed_before_ + clock_() - started_; }
  Result<void> check_inputs() const;
  Result<void> prepare();
  Result<void> resume();
  Result<void> train();
  Result<bool> meet();
  std::int64_t plan_next_check() const;
  Seconds mean_step() const;
  Result<void> report(std::span<const Check> checks);
  Result<void> report_on_leader();
  Result<void> save(std::span<const Check> checks);
  StepScalars scalars() const;
  Result<void> finish();

  const Plan& plan_;
  const LoweredPlan& lowered_;
  Device& device_;
  Communicator& communicator_;
  const DataSet& data_;
  const RunContext& context_;
  const RunOptions& options_;
  MeasurementSink* sink_;
  const std::function<double()> clock_;
  const SampleOrder order_;
  const Guards guards_;

  std::optional<StepCode> code_;
  std::vector<StateBlock> state_;
  std::optional<StepRunner> runner_;
  RunReport report_;

  std::int64_t step_ = 0, last_ = 0, next_check_ = 0;
  double loss_sum_ = 0;  ///< since the last report, this rank's
  std::int64_t interval_steps_ = 0;
  double interval_started_ = 0;
  std::int64_t interval_first_ = 0;  ///< first step of this call in the interval
  double started_ = 0, elapsed_before_ = 0;
  double checkpoint_time_ = 0;  ///< of the last one written
  std::vector<std::string> own_checkpoints_;
  StepSeries all_steps_{kKeptSteps}, interval_{kKeptSteps};
};

/// The first field of the plan that is priced but not run; nullptr: all are run.
const char* not_run(const Plan& plan) {
  if (plan.layout.tensor > 1) return "layout.tensor above 1";
  if (plan.layout.context > 1) return "layout.context above 1";
  if (plan.expert > 1) return "expert above 1";
  if (!plan.sharded.empty() && plan.layout.data > 1) return "sharded";
  return nullptr;
}

Result<void> Run::check_inputs() const {
  if (const char* field = not_run(plan_)) {
    return unsupported(fmt::format("the executor does not run {} yet", field),
                       "predict prices it; run a plan without it");
  }
  if (communicator_.size() != plan_.layout.ranks() ||
      communicator_.size() != lowered_.program.ranks) {
    return invalid_input(fmt::format("the plan is for {} ranks, {} are running",
                                     plan_.layout.ranks(), communicator_.size()));
  }
  if (!data_.train) return invalid_input("there are no training samples");
  if (data_.train->size() != plan_.dataset_samples) {
    return invalid_input(fmt::format("the plan is for {} samples, the data has {}",
                                     plan_.dataset_samples, data_.train->size()),
                         "search again, or use the data the plan was made for");
  }
  const TrainingGraph& training = lowered_.training;
  Bytes expected = training.graph.tensor(training.labels).type.bytes(1);
  for (const TensorId id : training.inputs) expected += training.graph.tensor(id).type.bytes(1);
  if (data_.train->bytes_per_sample() != expected) {
    return invalid_input(fmt::format("a sample has {} bytes, the model takes {}",
                                     data_.train->bytes_per_sample().value(), expected.value()));
  }
  return {};
}

Result<RunReport> Run::execute() {
  report_.resident_before = resident_memory();
  PLUTO_TRY(agree(communicator_, check_inputs()));
  PLUTO_TRY(agree(communicator_, prepare()));
  if (!options_.checkpoint_folder.empty() && options_.resume) PLUTO_TRY(resume());
  PLUTO_TRY(train());
  PLUTO_TRY(finish());
  return std::move(report_);
}

Result<void> Run::prepare() {
  PLUTO_ASSIGN(code_, StepCode::compile(lowered_, plan_.servers, communicator_.rank(), device_,
                                        options_.memory));
  state_ = state_blocks(*code_);
  report_.arena_predicted = code_->memory().breakdown.total();
  report_.arena_allocated = code_->arena_size();
  return set_initial_values(*code_, plan_.seed, device_);
}

Result<void> Run::resume() {
  Resumed resumed;
  std::vector<double> losses;
  const auto load = [&]() -> Result<void> {
    PLUTO_ASSIGN(auto found,
                 find_checkpoint(options_.checkpoint_folder, trajectory_fingerprint(plan_)));
    report_.warnings = std::move(found.warnings);
    if (!found.path) return {};
    PLUTO_ASSIGN(const auto header, load_checkpoint(*found.path, state_, device_));
    resumed = {header.step, header.interval_steps,
               static_cast<std::int64_t>(header.interval_losses.size()), header.elapsed};
    losses = header.interval_losses;
    own_checkpoints_.push_back(*found.path);
    report_.checkpoint = *found.path;
    return {};
  };
  PLUTO_TRY(agree(communicator_, leads() ? load() : Result<void>()));
  PLUTO_TRY(communicator_.broadcast(std::as_writable_bytes(std::span(&resumed, 1)), 0));
  if (resumed.ranks == 0) return {};
  losses.resize(static_cast<std::size_t>(resumed.ranks));
  PLUTO_TRY(communicator_.broadcast(std::as_writable_bytes(std::span(losses)), 0));
  PLUTO_TRY(broadcast_state(state_, device_, communicator_));
  step_ = resumed.step;
  interval_steps_ = resumed.interval_steps;
  elapsed_before_ = resumed.elapsed;
  // On the same ranks each goes on with its own sum, bit for bit; on others with the mean.
  if (resumed.ranks == communicator_.size()) {
    loss_sum_ = losses[static_cast<std::size_t>(communicator_.rank())];
  } else {
    for (const double loss : losses) loss_sum_ += loss / static_cast<double>(resumed.ranks);
  }
  return {};
}

StepScalars Run::scalars() const {
  StepScalars scalars;
  scalars.learning_rate = learning_rate_at(plan_.learning_rate, step_ * plan_.global_batch,
                                           plan_.steps * plan_.global_batch);
  scalars.loss_scale = 1.0 / static_cast<double>(plan_.global_batch);
  scalars.seed = plan_.seed;
  scalars.step = step_;
  return scalars;
}

Result<void> Run::train() {
  report_.first_step = next_check_ = interval_first_ = step_;
  last_ = options_.stop_after_steps > 0 ? std::min(options_.stop_after_steps, plan_.steps)
                                        : plan_.steps;
  last_ = std::max(last_, step_);
  const BatchSchedule schedule{plan_.global_batch,
                               plan_.micro_batch,
                               lowered_.program.accumulation,
                               communicator_.size(),
                               communicator_.rank(),
                               step_,
                               last_};
  runner_.emplace(*code_, device_, communicator_, *data_.train, order_, schedule,
                  plan_.data.readers, clock_, options_.poison_dead);
  const std::int64_t traced = step_ + (last_ - step_) / 2;
  started_ = interval_started_ = clock_();
  while (true) {
    if (step_ == next_check_) {
      PLUTO_ASSIGN(const bool ends, meet());
      if (ends) break;
    }
    auto loss = runner_->run(scalars());
    if (!loss.ok()) {
      return with_context(loss.error(),
                          fmt::format("rank {}: step {}", communicator_.rank(), step_));
    }
    loss_sum_ += *loss;
    ++interval_steps_;
    all_steps_.add(runner_->times());
    interval_.add(runner_->times());
    if (leads() && step_ == traced) report_.timeline = runner_->timeline("measured rank 0");
    ++step_;
  }
  report_.last_step = step_;
  report_.wall = Seconds(clock_() - started_);
  if (leads() && report_.timeline.entries.empty() && step_ > report_.first_step) {
    report_.timeline = runner_->timeline("measured rank 0");  // ended before the middle
  }
  runner_.reset();
  return {};
}

/// Of this call; before its first step, of the part that was resumed.
Seconds Run::mean_step() const {
  const std::int64_t steps = all_steps_.steps();
  if (steps > 0) return Seconds((clock_() - started_) / static_cast<double>(steps));
  return Seconds(step_ > 0 ? elapsed_before_ / static_cast<double>(step_) : 0);
}

std::int64_t Run::plan_next_check() const {
  std::int64_t next = std::min({last_, next_multiple(step_, options_.report_every),
                                next_multiple(step_, options_.checkpoint_every)});
  // After the first step it is known how many fit between two looks at the stop flag and the clock.
  if (all_steps_.steps() == 0) return std::min(next, step_ + 1);
  const double steps = kCheckEvery / std::max(mean_step(), Seconds(1e-9));
  return std::min(next, step_ + std::max<std::int64_t>(1, static_cast<std::int64_t>(steps)));
}

/// Between two steps, on all ranks. True when the run ends here.
Result<bool> Run::meet() {
  Check own;
  own.loss_sum = loss_sum_;
  own.stop = options_.stop != nullptr && options_.stop->load() ? 1 : 0;
  if (leads()) {
    own.next_check = plan_next_check();
    own.elapsed = elapsed();
    const double steps = static_cast<double>(own.next_check - step_);
    own.guard = static_cast<std::int64_t>(
        guards_.verdict(Seconds(own.elapsed), steps * mean_step() + Seconds(checkpoint_time_)));
  }
  PLUTO_ASSIGN(const auto checks, exchange_checks(communicator_, own));
  next_check_ = checks[0].next_check;
  const bool stopped =
      std::any_of(checks.begin(), checks.end(), [](const Check& check) { return check.stop != 0; });
  const auto guard = static_cast<RunEnd>(checks[0].guard);
  const bool ends = step_ >= last_ || stopped || guard != RunEnd::kFinished;
  if (step_ < last_) report_.end = stopped ? RunEnd::kStopped : guard;

  const bool boundary = options_.report_every > 0 && step_ % options_.report_every == 0;
  const bool moved = step_ > report_.first_step;
  if (moved && (boundary || ends)) PLUTO_TRY(report(checks));
  if (boundary) {
    loss_sum_ = 0;
    interval_steps_ = 0;
  }
  const bool due = options_.checkpoint_every > 0 && step_ % options_.checkpoint_every == 0;
  if (moved && !options_.checkpoint_folder.empty() && (due || ends)) PLUTO_TRY(save(checks));
  return ends;
}

Result<void> Run::report(std::span<const Check> checks) {
  double loss = 0;
  for (const Check& check : checks) loss += check.loss_sum;
  report_.final_loss =
      loss / static_cast<double>(interval_steps_) / static_cast<double>(checks.size());
  PLUTO_TRY(agree(communicator_, leads() ? report_on_leader() : Result<void>()));
  interval_.clear();
  interval_first_ = step_;
  interval_started_ = clock_();
  return {};
}

Result<void> Run::report_on_leader() {
  const std::int64_t steps = interval_.steps();
  constexpr std::int64_t kWarmUp = 2;
  StepMeasurement measured = interval_.typical(interval_first_ == report_.first_step ? kWarmUp : 0);
  measured.plan = fingerprint(plan_);
  measured.first_step = interval_first_;
  measured.arena = report_.arena_allocated;
  measured.peak_resident = peak_resident_memory();
  ConvergencePoint point;
  point.plan = measured.plan;
  point.step = step_;
  point.samples = step_ * plan_.global_batch;
  point.loss = report_.final_loss;
  report_.steps.push_back(measured);
  report_.curve.push_back(point);
  if (options_.progress) {
    const double took = std::max(clock_() - interval_started_, 1e-9);
    options_.progress({step_, last_, report_.final_loss,
                       static_cast<double>(steps * plan_.global_batch) / took, Seconds(elapsed()),
                       static_cast<double>(last_ - step_) * mean_step()});
  }
  if (sink_ == nullptr) return {};
  PLUTO_TRY(sink_->record({context_, measured}));
  return sink_->record({context_, point});
}

Result<void> Run::save(std::span<const Check> checks) {
  const double start = clock_();
  PLUTO_TRY(gather_state(*code_, device_, communicator_));
  const auto write = [&]() -> Result<void> {
    CheckpointHeader header;
    header.trajectory = trajectory_fingerprint(plan_);
    header.plan = fingerprint(plan_);
    header.model = plan_.model_fingerprint;
    header.step = step_;
    header.samples = step_ * plan_.global_batch;
    header.elapsed = elapsed();
    header.interval_steps = interval_steps_;
    for (const Check& check : checks) {
      header.interval_losses.push_back(interval_steps_ > 0 ? check.loss_sum : 0);
    }
    PLUTO_ASSIGN(report_.checkpoint,
                 write_checkpoint(options_.checkpoint_folder, header, state_, device_));
    own_checkpoints_.push_back(report_.checkpoint);
    prune_checkpoints(options_.checkpoint_folder, own_checkpoints_);
    return {};
  };
  PLUTO_TRY(agree(communicator_, leads() ? write() : Result<void>()));
  checkpoint_time_ = clock_() - start;
  return {};
}

Result<void> Run::finish() {
  report_.overall = all_steps_.typical(warm_up_steps(all_steps_.steps()));
  report_.overall.plan = fingerprint(plan_);
  report_.overall.first_step = report_.first_step;
  report_.overall.arena = report_.arena_allocated;
  report_.peak_resident = report_.overall.peak_resident = peak_resident_memory();
  if (options_.evaluate && data_.test && report_.end == RunEnd::kFinished) {
    PLUTO_ASSIGN(report_.test_accuracy,
                 evaluate(*code_, device_, communicator_, *data_.test, scalars()));
    if (leads() && report_.test_accuracy && !report_.curve.empty()) {
      report_.curve.back().accuracy = report_.test_accuracy;
    }
    const auto record = [&]() -> Result<void> {
      if (sink_ == nullptr || report_.curve.empty()) return {};
      return sink_->record({context_, report_.curve.back()});
    };
    PLUTO_TRY(agree(communicator_, leads() ? record() : Result<void>()));
  }
  report_.parameter_fingerprint = fingerprint_parameters(*code_, device_);
  if (leads() && options_.keep_parameters) report_.parameters = copy_parameters(*code_, device_);
  return {};
}

}  // namespace

Result<RunReport> run_plan(const Plan& plan, const LoweredPlan& lowered, Device& device,
                           Communicator& communicator, const DataSet& data,
                           const RunContext& context, const RunOptions& options,
                           MeasurementSink* sink) {
  return Run(plan, lowered, device, communicator, data, context, options, sink).execute();
}

}  // namespace pluto
