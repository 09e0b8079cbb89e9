// predict: the price of one given configuration, term by term.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/plan_table.h"
#include "cli/predict_plan.h"
#include "cli/search_job.h"
#include "cli/transformer_table.h"
#include "cli/window.h"
#include "costmodel/transformer_graph.h"
#include "planner/market_choice.h"
#include "planner/ranking.h"
#include "planner/strategy_plan.h"
#include "planner/sync_choice.h"

namespace pluto {

namespace {

constexpr int kDoesNotFit = 3;

Error not_on_spot(const std::string& places) {
  return Error{ErrorCode::kUnsupported,
               fmt::format("{} is not known to be offered on spot", places),
               "give a price list with a column SpotPrice: --prices FILE --provider NAME"};
}

/// On spot nodes where the job says so. Errors: kUnsupported when they are not offered.
Result<void> move_to_spot(const TrainingJob& job, Plan& plan, Prediction& prediction) {
  if (job.spot != SpotUse::kOnly) return {};
  auto moved = on_best_market(job, {plan, prediction, false});
  if (!moved) return not_on_spot(plan.cluster.instance.name);
  plan = std::move(moved->plan);
  prediction = std::move(moved->prediction);
  return {};
}

// --- transformers on GPUs: the closed form ---

struct PricedPlace {
  TransformerPlace place;
  PricedTransformer priced;
};

Result<PricedPlace> price_at(const JobContext& context, const TransformerShape& shape,
                             const TransformerPlace& place) {
  PricedPlace one{place, {}};
  PLUTO_ASSIGN(const auto plans, plans_with_strategy(context.job, context.model(),
                                                     context.dataset_samples, place.candidate));
  PLUTO_ASSIGN_AT(place.candidate.instance.name, one.priced,
                  choose_micro_batch(shape, plans, place.evidence));
  return one;
}

/// The best place: what fits before what does not, then by what the job minimises.
Result<PricedPlace> best_place(const JobContext& context, const TransformerShape& shape,
                               const std::vector<TransformerPlace>& places) {
  std::optional<PricedPlace> best;
  for (const TransformerPlace& place : places) {
    PLUTO_ASSIGN(PricedPlace one, price_at(context, shape, place));
    const auto score = [&](const PricedPlace& at) {
      return std::pair(!at.priced.predicted.fits,
                       score_of(context.job, at.priced.predicted.prediction));
    };
    if (!best || score(one) < score(*best)) best = std::move(one);
  }
  return std::move(*best);
}

Value nearest_value(const SearchOptions& options, const NearestFit& nearest) {
  Value settings = Value::array();
  for (const std::string& setting : nearest.settings) settings.push_back(setting);
  Value value = Value::object();
  value.set("settings", std::move(settings))
      .set("command", nearest_command(options.job, options.settings, nearest))
      .set("plan", transformer_value(nearest.priced));
  return value;
}

Result<int> predict_closed_form(Session& session, const SearchOptions& options,
                                const JobContext& context, const TransformerShape& shape,
                                const std::vector<TransformerPlace>& places) {
  PLUTO_ASSIGN(PricedPlace best, best_place(context, shape, places));
  if (best.priced.predicted.fits) {
    PLUTO_TRY(move_to_spot(context.job, best.priced.plan, best.priced.predicted.prediction));
  }
  const TransformerEvidence& evidence = best.place.evidence;
  const PredictedTransformer& predicted = best.priced.predicted;
  std::optional<NearestFit> nearest;
  if (!predicted.fits) {
    nearest = nearest_fit(context.job, shape, context.model(), context.dataset_samples,
                          best.place.candidate, best.priced.plan, evidence);
  }
  Terminal& terminal = *session.terminal;
  Value document = Value::object();
  document.set("schema", "pluto.predict/1")
      .set("priced_by", "closed form")
      .set("plan", transformer_value(best.priced))
      .set("shape", to_value(shape))
      .set("measurements", evidence.points.size())
      .set("evidence", evidence.basis)
      .set("fits", predicted.fits)
      .set("nearest", nearest ? nearest_value(options, *nearest) : Value());
  Value held = Value::object();
  held.set("allocated_bytes", predicted.allocated.value())
      .set("reserved_bytes", predicted.reserved.value());
  document.set("framework_memory", std::move(held));
  terminal.result(document);

  terminal.say(heading_text(context, "priced by the closed form of transformers"));
  terminal.say(to_text(shape));
  terminal.say("");
  terminal.say(format_table(transformer_rows(best.priced)));
  terminal.say(format_table(term_rows(predicted.prediction)));
  terminal.say(format_table(run_rows(predicted.prediction)));
  terminal.say(format_table(transformer_memory_rows(best.priced)));
  for (const std::string& line : predicted.prediction.assumptions) {
    terminal.say("assumes   " + line);
  }
  if (predicted.prediction.watermark > 0) {
    terminal.say(fmt::format("evidence  measurements up to {} of the database",
                             predicted.prediction.watermark));
  }
  const std::string& instance = best.place.candidate.instance.name;
  if (predicted.fits) {
    terminal.say(evidence.points.empty()
                     ? fmt::format("next      pluto-plan calibrate --suggest 20 --instance {}     "
                                   "(short runs that make this surer)",
                                   instance)
                     : fmt::format("next      pluto-plan calibrate --device \"{}\"     (how well "
                                   "it agrees with the runs)",
                                   best.place.candidate.instance.node.device.name));
    return 0;
  }
  terminal.say(fmt::format("does not fit: {} reserved, {} has {}", to_text(predicted.reserved),
                           best.place.candidate.instance.node.device.name,
                           to_text(best.place.candidate.instance.node.device.memory)));
  if (nearest) {
    terminal.say(fmt::format("nearest   {}: step {}, {} reserved",
                             fmt::join(nearest->settings, " "),
                             to_text(nearest->priced.predicted.prediction.step_time.p50),
                             to_text(nearest->priced.predicted.reserved)));
    terminal.say("next      " + nearest_command(options.job, options.settings, *nearest));
  } else {
    terminal.say("nothing near it fits on four times the nodes: choose a device with more memory");
  }
  return kDoesNotFit;
}

// --- everything else: the simulator ---

/// The plan whose layout the job fixes, data ranks exchanging by plain all_reduce.
Result<Searched> simulate_fixed(Session& session, const SearchOptions& options,
                                JobContext context) {
  Searched searched;
  searched.context = std::move(context);
  const TrainingJob& job = searched.context.job;
  const ModelGraph& model = searched.context.model();
  PLUTO_ASSIGN(const Host host, describe_host(job, session.data_folder));
  PLUTO_ASSIGN(const Catalog catalog, load_catalog(session, options));
  PLUTO_ASSIGN(const auto store, open_store(session));
  PLUTO_ASSIGN(searched.costs, load_costs(session, host, *store, job.precision, job.attention));
  PLUTO_ASSIGN(const auto places, candidates(job, host, catalog));
  if (places.size() != 1) {
    return invalid_input("instance: a fixed layout is priced in one place",
                         "for example --set instance=" + job.instances.front());
  }
  PLUTO_ASSIGN(const auto plans,
               plans_with_strategy(job, model, searched.context.dataset_samples, places.front()));
  Plan plan = plans.front();
  if (plan.layout.data > 1) {
    PLUTO_ASSIGN(const auto gradients, gradient_order(model, plan));
    const auto method = plan.shard > 0 ? SyncMethod::kShard : SyncMethod::kAllReduce;
    plan = with_buckets(
        plan, make_buckets(gradients, std::vector(gradients.size(), method), kPlainBucket));
  }
  PLUTO_ASSIGN(PredictedPlan predicted, predict(model, plan, *searched.costs.measured));
  PLUTO_TRY(move_to_spot(job, plan, predicted.prediction));
  RankedPlan ranked{std::move(plan), std::move(predicted.prediction), false};
  ranked.meets_limits = meets_deadline(job, ranked.prediction) &&
                        meets_budget(job, ranked.prediction) &&
                        fits_memory(ranked.plan, ranked.prediction);
  searched.result.ranked.push_back(std::move(ranked));
  searched.result.evaluated = 1;
  return searched;
}

Result<int> predict_simulated(Session& session, const SearchOptions& options, JobContext context) {
  const StrategyChoice& choice = context.job.strategy;
  const bool fixed = choice.any() || choice.nodes.has_value();
  PLUTO_ASSIGN(const Searched s, fixed ? simulate_fixed(session, options, std::move(context))
                                       : search_job(session, options, std::move(context)));
  Terminal& terminal = *session.terminal;
  if (s.result.ranked.empty() && s.result.rejections.market > 0) {
    return not_on_spot(fmt::format("{}", fmt::join(s.context.job.instances, ", ")));
  }
  if (s.result.ranked.empty()) {
    return unsupported("no lawful plan has these settings",
                       "leave one --set out, or run search, which says what was rejected");
  }
  const RankedPlan& best = s.result.ranked.front();
  // Frameworks keep a caching allocator on GPUs; on CPUs they use the system's.
  // The allocator is replayed for one program; of a pipeline each stage has its own.
  const bool replayed = best.plan.cluster.instance.node.device.kind == DeviceKind::kGpu &&
                        best.plan.layout.pipeline == 1;
  std::optional<FrameworkMemory> framework;
  if (replayed) {
    PLUTO_ASSIGN(framework,
                 predict_framework_memory(s.context.model(), best.plan, *s.costs.measured));
  }
  const bool fits = fits_memory(best.plan, best.prediction);
  Value document = Value::object();
  document.set("schema", "pluto.predict/1")
      .set("priced_by", "simulator")
      .set("plan", plan_value(best))
      .set("measurements", s.costs.measurements)
      .set("fits", fits);
  Value held;
  if (framework) {
    held = Value::object();
    held.set("allocated_bytes", framework->allocated.value())
        .set("reserved_bytes", framework->reserved.value());
  }
  document.set("framework_memory", std::move(held));
  terminal.result(document);
  terminal.say(heading_text(s.context, "priced by the simulator"));
  terminal.say("");
  say_tables(terminal, plan_tables({best}, nullptr, table_width()));
  terminal.say(format_table(term_rows(best.prediction)));
  terminal.say(format_table(run_rows(best.prediction)));
  const MemoryBreakdown& m = best.prediction.memory;
  std::vector<std::vector<std::string>> memory = {
      {"memory per rank", "bytes"},
      {"parameters", to_text(m.parameters + m.buffers)},
      {"gradients", to_text(m.gradients)},
      {"optimizer state", to_text(m.optimizer_state)},
      {"activations", to_text(m.activations)},
      {"inputs", to_text(m.inputs)},
      {"workspace", to_text(m.workspace)},
      {"communication", to_text(m.communication)},
      {"arena", to_text(m.total())},
      {"process besides", to_text(best.prediction.process_overhead)}};
  if (framework) {
    memory.push_back({"PyTorch allocates", to_text(framework->allocated)});
    memory.push_back({"PyTorch reserves", to_text(framework->reserved)});
  } else if (replayed) {
    memory.push_back({"PyTorch", "out of memory"});
  }
  terminal.say(format_table(memory));
  for (const std::string& line : best.prediction.assumptions) terminal.say("assumes   " + line);
  if (!fits) {
    terminal.say(fmt::format("does not fit: {} needed, {} has {}",
                             to_text(m.total() + best.prediction.process_overhead),
                             best.plan.cluster.instance.node.device.name,
                             to_text(best.plan.cluster.instance.node.device.memory)));
    terminal.say(fmt::format("next      pluto-plan search {}     (what fits)", options.job));
    return kDoesNotFit;
  }
  terminal.say(fmt::format("next      pluto-plan search {}", options.job));
  return 0;
}

Result<int> run_predict(Session& session, const SearchOptions& options) {
  if (is_plan_file(options.job)) {
    if (!options.settings.empty() || !options.spot.empty() || !options.prices.empty()) {
      return invalid_input(
          fmt::format("{}: a saved plan is priced as it is, without --set, --spot and --prices",
                      options.job),
          "pluto-plan predict JOB --set KEY=VALUE prices another configuration of a job");
    }
    return predict_saved_plan(session, options.job);
  }
  PLUTO_ASSIGN(JobContext context, load_job(session, options));
  // One configuration has one market: on demand unless spot is asked for.
  if (context.job.spot == SpotUse::kAuto) context.job.spot = SpotUse::kNever;
  PLUTO_ASSIGN(const Catalog catalog, load_catalog(session, options));
  PLUTO_ASSIGN(const auto places, transformer_places(session, context.job, catalog));
  if (!places.empty()) {
    const auto shape = transformer_shape(context.model());
    if (shape.ok()) return predict_closed_form(session, options, context, *shape, places);
    session.terminal->note(shape.error().message);
  }
  return predict_simulated(session, options, std::move(context));
}

}  // namespace

void add_predict(CLI::App& app, Session& session) {
  auto options = std::make_shared<SearchOptions>();
  CLI::App* verb = app.add_subcommand("predict", "Price one configuration of a job, term by term");
  verb->footer(
      "Transformers on GPU instances are priced by a closed form, all else by the simulator; the\n"
      "output says which. A plan that does not fit its device exits with 3 and names the nearest\n"
      "change that does.\n"
      "Examples:\n"
      "  pluto-plan predict job.yaml --set ranks=2 --set micro_batch=64\n"
      "  pluto-plan predict job.yaml --set instance=aws:p3.2xlarge\n"
      "  pluto-plan predict plan.json     (a saved plan: the numbers of its search)\n"
      "  pluto-plan predict gpt.yaml --set instance=aws:p4d.24xlarge --set nodes=4 --set tensor=8 "
      "--set shard=1 --set precision=bf16");
  add_job_options(*verb, *options, "--set");
  verb->callback([&session, options] {
    session.action = [&session, options] { return run_predict(session, *options); };
  });
}

}  // namespace pluto
