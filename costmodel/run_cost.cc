#include "costmodel/run_cost.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/statistics.h"
#include "costmodel/checkpoint_time.h"
#include "costmodel/uncertainty.h"

namespace pluto {

namespace {

constexpr double kHour = 3600, kMonth = 30 * 24 * 3600.0, kGiga = 1e9;
/// How far start-up may be off: no provider promises one.
constexpr double kStartSpread = 0.5;
constexpr double kForwardShare = 1.0 / 3;
constexpr const char* kMark = "run: ";

double spread_of(double p50, double p90) {
  return p50 > 0 ? std::log(p90 / p50) / normal_quantile(0.9) : 0;
}

const RentalTerms* rental_of(const Plan& plan) {
  const auto& rental = plan.cluster.instance.rental;
  return rental ? &*rental : nullptr;
}

int nodes_of(const ClusterSpec& cluster) {
  int nodes = cluster.nodes;
  for (const NodeGroup& group : cluster.more) nodes += group.nodes;
  return nodes;
}

/// How often something happens that is due every so many steps, and at the end.
double times(std::int64_t steps, std::int64_t every) {
  return every > 0 ? static_cast<double>((steps + every - 1) / every) : 1;
}

/// The parts of a run on nodes that stay.
struct Parts {
  Seconds start, training, evaluation, checkpoints;
  double training_spread = 0, step_spread = 0;
  Evidence evidence = Evidence::kMeasured;              ///< of a step
  Evidence checkpoint_evidence = Evidence::kDatasheet;  ///< assumed without data.storage
  Seconds work() const { return training + evaluation + checkpoints; }
  Seconds total() const { return start + work(); }
  double work_spread() const {
    return combined_spread(std::array{TermSpread{training, training_spread},
                                      TermSpread{evaluation, step_spread},
                                      TermSpread{checkpoints, least_spread(checkpoint_evidence)}});
  }
  double spread() const {
    return combined_spread(
        std::array{TermSpread{start, kStartSpread}, TermSpread{work(), work_spread()}});
  }
};

Parts parts_of(const Plan& plan, const Prediction& prediction) {
  Parts parts;
  parts.step_spread = spread_of(prediction.step_time.p50.value(), prediction.step_time.p90.value());
  parts.training = prediction.step_time.p50 * static_cast<double>(plan.steps);
  // What is known of convergence already counts how runs differ.
  const double runs = std::max(kRunSpread, plan.convergence.spread);
  parts.training_spread = std::hypot(parts.step_spread, runs);
  EvidenceTally tally;
  for (const Term& term : prediction.terms) {
    tally.add(term.time, term.relative_spread, term.evidence);
    if (term.name == "compute" && plan.evaluation.samples > 0) {
      const double batches = static_cast<double>(plan.evaluation.samples) /
                             static_cast<double>(std::max<std::int64_t>(1, plan.global_batch));
      parts.evaluation =
          term.time * (kForwardShare * batches * times(plan.steps, plan.evaluation.every));
    }
  }
  parts.evidence = tally.weakest();
  if (!plan.convergence.source.empty()) {
    parts.evidence = std::max(parts.evidence, plan.convergence.evidence);
  }
  if (const auto writing = checkpoint_time(plan, prediction.memory)) {
    parts.checkpoints = *writing * times(plan.steps, plan.checkpoint_every);
    if (!plan.data.storage) parts.checkpoint_evidence = Evidence::kAssumed;
  }
  if (const RentalTerms* rental = rental_of(plan)) {
    parts.start = rental->provisioning + rental->boot;
  }
  return parts;
}

/// Price as a function of the time, and back.
class Bill {
 public:
  explicit Bill(const Plan& plan, const Prediction& prediction)
      : hourly_(plan.cluster.price()), rental_(rental_of(plan)) {
    if (rental_ == nullptr) return;
    const double stored =
        static_cast<double>(checkpoint_bytes(plan, prediction.memory).value()) / kGiga;
    storage_ = stored * rental_->storage_usd_per_gb_month / kMonth;
  }
  Dollars storage(Seconds time) const { return Dollars(storage_ * time.value()); }
  /// Without rounding.
  Dollars running(Seconds time) const {
    return hourly_ *
           (rental_ == nullptr ? time : std::max(Seconds(), time - rental_->provisioning));
  }
  Dollars price(Seconds time) const {
    if (rental_ == nullptr) return running(time);
    const double step = rental_->billing_step.value();
    const double whole =
        std::max(rental_->billing_minimum.value(), (time - rental_->provisioning).value());
    // What differs from a whole multiple by rounding of the time is one.
    return hourly_ * Seconds(std::ceil(whole / step - 1e-9) * step) + storage(time);
  }
  /// The longest time that costs no more.
  Seconds longest(Dollars budget) const {
    const double infinite = std::numeric_limits<double>::infinity();
    if (!(price(Seconds()) <= budget)) return Seconds();
    const double per_second = hourly_.value() / kHour + storage_;
    if (per_second <= 0) return Seconds(infinite);
    if (rental_ == nullptr) return Seconds(budget.value() / per_second);
    // Near the answer, then down to what rounding leaves.
    const double step = rental_->billing_step.value();
    double time = budget.value() / per_second + rental_->provisioning.value() + step;
    while (time > 0 && price(Seconds(time)) > budget) time -= step;
    const double billed = time - rental_->provisioning.value();
    if (billed > 0) time += std::ceil(billed / step - 1e-9) * step - billed;
    return Seconds(std::max(0.0, time));
  }

 private:
  DollarsPerHour hourly_;
  const RentalTerms* rental_;
  double storage_ = 0;  ///< US dollars a second
};

void set_terms(const Plan& plan, const Parts& parts, const Bill& bill, Prediction& prediction) {
  const RentalTerms* rental = rental_of(plan);
  const DollarsPerHour hourly = plan.cluster.price();
  auto& terms = prediction.run_terms;
  terms = {
      {"training", parts.training, hourly * parts.training, parts.training_spread, parts.evidence}};
  if (rental != nullptr) {
    terms.push_back(
        {"start_up", parts.start, hourly * rental->boot, kStartSpread, Evidence::kAssumed});
  }
  if (parts.evaluation.value() > 0) {
    terms.push_back({"evaluation", parts.evaluation, hourly * parts.evaluation, parts.step_spread,
                     parts.evidence});
  }
  if (parts.checkpoints.value() > 0) {
    terms.push_back({"checkpoint", parts.checkpoints, hourly * parts.checkpoints,
                     least_spread(parts.checkpoint_evidence), parts.checkpoint_evidence});
  }
  if (rental != nullptr) {
    terms.push_back({"storage", Seconds(), bill.storage(prediction.time_to_target.p50),
                     parts.spread(), parts.checkpoint_evidence});
  }
}

/// What the medians have beyond the terms so far.
void add_rest(const char* name, double spread, Evidence evidence, Prediction& prediction) {
  RunTerm rest{name, prediction.time_to_target.p50, prediction.price.p50, spread, evidence};
  for (const RunTerm& term : prediction.run_terms) {
    rest.time -= term.time;
    rest.price -= term.price;
  }
  prediction.run_terms.push_back(std::move(rest));
}

void set_certain_run(const Plan& plan, const Parts& parts, const Bill& bill,
                     Prediction& prediction) {
  const double sigma = parts.spread();
  const Seconds time = parts.total();
  auto& interval = prediction.time_to_target;
  interval = lognormal_interval(time, sigma);
  prediction.price = {bill.price(interval.p10), bill.price(interval.p50), bill.price(interval.p90)};
  set_terms(plan, parts, bill, prediction);
  if (rental_of(plan) != nullptr) {
    add_rest("billing", 0, Evidence::kMeasured, prediction);
    prediction.run_terms.back().time = Seconds();  // but for rounding of the sum
  }
  if (plan.deadline) {
    prediction.p_deadline = probability_within(time.value(), sigma, plan.deadline->value());
  }
  if (plan.budget) {
    const Seconds longest = bill.longest(*plan.budget);
    prediction.p_budget =
        std::isinf(longest.value()) ? 1 : probability_within(time.value(), sigma, longest.value());
  }
  if (plan.deadline && plan.budget) {
    prediction.p_both = std::min(*prediction.p_deadline, *prediction.p_budget);
  }
}

void set_spot_run(const Plan& plan, const Parts& parts, const Bill& bill, const SpotRun& run,
                  Prediction& prediction) {
  const auto outcomes = spot_outcomes(run);
  std::vector<double> times, prices;
  int in_time = 0, in_budget = 0, in_both = 0;
  for (const RunOutcome& outcome : outcomes) {
    const Dollars price = outcome.price + bill.storage(outcome.time);
    times.push_back(outcome.time.value());
    prices.push_back(price.value());
    const bool fast = !plan.deadline || outcome.time <= *plan.deadline;
    const bool cheap = !plan.budget || price <= *plan.budget;
    in_time += fast ? 1 : 0;
    in_budget += cheap ? 1 : 0;
    in_both += fast && cheap ? 1 : 0;
  }
  std::ranges::sort(times);
  std::ranges::sort(prices);
  const auto at = [](const std::vector<double>& sorted, double q) {
    return sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size()))];
  };
  prediction.time_to_target = {Seconds(at(times, 0.1)), Seconds(at(times, 0.5)),
                               Seconds(at(times, 0.9))};
  prediction.price = {Dollars(at(prices, 0.1)), Dollars(at(prices, 0.5)), Dollars(at(prices, 0.9))};
  const double runs = static_cast<double>(outcomes.size());
  if (plan.deadline) prediction.p_deadline = in_time / runs;
  if (plan.budget) prediction.p_budget = in_budget / runs;
  if (plan.deadline && plan.budget) prediction.p_both = in_both / runs;
  set_terms(plan, parts, bill, prediction);
  add_rest("interruptions", run.between_spread, rental_of(plan)->interruptions.evidence,
           prediction);
}

std::string counted_nodes(const Plan& plan) {
  const int nodes = nodes_of(plan.cluster);
  return fmt::format("{} node{} of {}", nodes, nodes == 1 ? "" : "s", plan.cluster.instance.name);
}

std::string priced(const Plan& plan) {
  const auto& instance = plan.cluster.instance;
  const std::string date = instance.price_date.empty() ? "undated" : instance.price_date;
  const std::string hourly = to_text(Dollars(plan.cluster.price().value()));
  if (plan.cluster.market == Market::kOnDemand) {
    return fmt::format("the price {} an hour of {} ({}) does not move", hourly, counted_nodes(plan),
                       date);
  }
  ClusterSpec stays = plan.cluster;
  stays.market = Market::kOnDemand;
  return fmt::format("{} on spot cost {} an hour ({}), on demand {}", counted_nodes(plan), hourly,
                     date, to_text(Dollars(stays.price().value())));
}

void set_sentences(const Plan& plan, const Parts& parts, const std::optional<SpotRun>& run,
                   Prediction& prediction) {
  auto& sentences = prediction.assumptions;
  std::erase_if(sentences, [](const std::string& text) { return text.starts_with(kMark); });
  const auto say = [&](const std::string& text) { sentences.push_back(kMark + text); };
  if (plan.cluster.price().value() > 0 || plan.budget) say(priced(plan));
  const RentalTerms* rental = rental_of(plan);
  if (rental != nullptr) {
    say(fmt::format("nodes are there after {} and start in {} (assumed)",
                    to_text(rental->provisioning), to_text(rental->boot)));
  } else {
    say("start-up is not counted: the machine is one's own");
  }
  if (plan.evaluation.samples == 0) say("evaluation is not counted: the job names none");
  if (parts.checkpoints.value() <= 0) {
    say(plan.checkpoint_every > 0
            ? "checkpoints are not counted: data.storage_bytes_per_s would price the checkpoints"
            : "the checkpoint at the end is not counted");
  } else if (!plan.data.storage) {
    say(fmt::format("storage takes {} from a node (assumed)", to_text(rental->storage)));
  }
  if (run) {
    const Seconds restart = run->wait + run->provisioning + run->boot + run->load;
    const double overhead = interruption_overhead(run->load, run->interval, restart, run->between);
    say(
        fmt::format("a node is taken back every {} ({}), one of all every {}; checkpoints, lost "
                    "work and waiting add {:.0f} % at the mean",
                    to_text(rental->interruptions.between), to_text(rental->interruptions.evidence),
                    to_text(run->between), 100 * overhead));
    if (run->move_after) {
      say(fmt::format("what is not done after {} moves to on-demand nodes and stays there",
                      to_text(*run->move_after)));
    }
  } else if (plan.cluster.market == Market::kSpot) {
    say("nobody takes these nodes back: their interruptions are not known");
  }
}

}  // namespace

std::optional<SpotRun> spot_run_of(const Plan& plan, const Prediction& prediction) {
  const RentalTerms* rental = rental_of(plan);
  if (plan.cluster.market != Market::kSpot || rental == nullptr) return std::nullopt;
  double rate = plan.cluster.nodes / rental->interruptions.between.value();
  for (const NodeGroup& group : plan.cluster.more) {
    const auto& other = group.instance.rental;
    rate += group.nodes / (other ? *other : *rental).interruptions.between.value();
  }
  const Parts parts = parts_of(plan, prediction);
  SpotRun run;
  run.work = parts.work();
  run.spread = parts.work_spread();
  run.load = checkpoint_time(plan, prediction.memory).value_or(Seconds());
  run.interval =
      plan.checkpoint_every > 0 && plan.checkpoint_every < plan.steps
          ? prediction.step_time.p50 * static_cast<double>(plan.checkpoint_every) + run.load
          : run.work;
  run.between = Seconds(1 / rate);
  run.between_spread = rental->interruptions.spread;
  const Interruptions& node = rental->interruptions;
  run.available = node.between / (node.between + node.wait);
  run.wait = node.wait;
  run.provisioning = rental->provisioning;
  run.boot = rental->boot;
  run.spot = plan.cluster.price();
  ClusterSpec stays = plan.cluster;
  stays.market = Market::kOnDemand;
  run.on_demand = stays.price();
  run.price_spread = rental->spot_price_spread;
  if (plan.deadline && plan.on_demand_after) {
    run.move_after = *plan.deadline * *plan.on_demand_after;
  }
  return run;
}

std::optional<std::int64_t> spot_checkpoint_steps(const Plan& plan, const Prediction& prediction) {
  const auto run = spot_run_of(plan, prediction);
  const auto writing = checkpoint_time(plan, prediction.memory);
  if (!run || !writing || !(prediction.step_time.p50.value() > 0)) return std::nullopt;
  const double steps = checkpoint_interval(*writing, run->between) / prediction.step_time.p50;
  return static_cast<std::int64_t>(std::clamp(
      std::round(steps), 1.0, static_cast<double>(std::max<std::int64_t>(1, plan.steps))));
}

void set_run(const Plan& plan, Prediction& prediction) {
  const Parts parts = parts_of(plan, prediction);
  const Bill bill(plan, prediction);
  const auto run = spot_run_of(plan, prediction);
  prediction.steps = plan.steps;
  prediction.p_deadline = prediction.p_budget = prediction.p_both = std::nullopt;
  if (run) {
    set_spot_run(plan, parts, bill, *run, prediction);
  } else {
    set_certain_run(plan, parts, bill, prediction);
  }
  set_sentences(plan, parts, run, prediction);
}

double sigma_of(const Prediction& prediction) {
  const auto& time = prediction.time_to_target;
  return spread_of(time.p50.value(), time.p90.value());
}

double price_sigma_of(const Prediction& prediction) {
  return spread_of(prediction.price.p50.value(), prediction.price.p90.value());
}

}  // namespace pluto
