#include "cli/price_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "costmodel/transformer_graph.h"
#include "model/model_source.h"
#include "runtime/host.h"

namespace pluto {

namespace {

/// This machine with its cores shared as the plan shares them: measurements were taken so.
Result<Host> host_of(const Plan& plan, const std::string& data_folder) {
  TrainingJob job;
  job.instances = {plan.cluster.instance.name};
  job.max_ranks = std::max(1, cpu_cores() / std::max(1, plan.threads_per_rank));
  return describe_host(job, data_folder);
}

}  // namespace

Result<PlanPricer> PlanPricer::open(const Session& session, const std::string& path) {
  PLUTO_ASSIGN(const std::string text, read_file(path));
  PLUTO_ASSIGN(Plan plan, plan_from_json(text, path));
  PLUTO_ASSIGN_AT(path + ": model", ImportedModel imported,
                  load_model(plan.model.source, plan.model.options));
  if (imported.model.graph.fingerprint() != plan.model_fingerprint) {
    return invalid_input(
        fmt::format("{}: model: {} is not the one this plan was made for", path, plan.model.source),
        "search again: pluto-plan search JOB -o " + path);
  }
  PlanPricer pricer(std::move(plan), std::move(imported));
  PLUTO_ASSIGN(const auto store, open_store(session));
  const Plan& kept = pricer.plan_;
  const DeviceSpec& device = kept.cluster.instance.node.device;
  const auto shape = transformer_shape(pricer.model_.model);
  if (shape.ok() && device.kind == DeviceKind::kGpu) {
    pricer.shape_ = *shape;
    PLUTO_ASSIGN(const auto table,
                 TransformerCostTable::load(session.data_folder + "/transformer.json"));
    PLUTO_ASSIGN(std::vector<StoredMeasurement> stored, store->measurements(std::nullopt));
    std::vector<CalibrationPoint> measured;
    for (StoredMeasurement& one : stored) measured.push_back({one.id, std::move(one.measurement)});
    PLUTO_ASSIGN(pricer.evidence_, transformer_evidence(measured, device, table));
  } else {
    PLUTO_ASSIGN(const Host host, host_of(kept, session.data_folder));
    PLUTO_ASSIGN(pricer.costs_, load_costs(session, host, *store, kept.precision, kept.attention));
  }
  return pricer;
}

bool PlanPricer::measured() const {
  return shape_ ? !evidence_.points.empty() : costs_.measurements > 0;
}

Result<Prediction> PlanPricer::predict(const WhatIf& what_if) const {
  if (shape_) return predict_if(*shape_, plan_, evidence_, what_if);
  return predict_if(model_.model, plan_, *costs_.measured, *costs_.datasheet, what_if);
}

Result<Prediction> PlanPricer::predict_other(const Plan& other) const {
  if (shape_) return predict_if(*shape_, other, evidence_, {});
  return predict_if(model_.model, other, *costs_.measured, *costs_.datasheet, {});
}

}  // namespace pluto
