#pragma once
// A saved plan, predicted again by what priced it when it was searched.

#include <memory>
#include <optional>
#include <string>

#include "cli/workflow.h"
#include "costmodel/what_if.h"

namespace pluto {

/// A plan with its model and the evidence of the session's database and data folder. Transformers
/// on GPUs are priced by the closed form, all else by the simulator, as search does; with the same
/// database the numbers are those of the search.
class PlanPricer {
 public:
  /// `path` of a plan written by search. Errors: those of plan_from_json(); kInvalidInput for a
  /// model that is no longer the one the plan was made for.
  static Result<PlanPricer> open(const Session& session, const std::string& path);

  const Plan& plan() const { return plan_; }
  const ModelGraph& model() const { return model_.model; }
  const std::optional<TransformerShape>& shape() const { return shape_; }  ///< of the closed form
  bool closed_form() const { return shape_.has_value(); }
  /// Whether measurements of this device stand behind the costs.
  bool measured() const;
  /// The plan in that world; by default as it is. Errors: those of predict_if().
  Result<Prediction> predict(const WhatIf& what_if = {}) const;
  /// Another plan of the same model and cluster.
  Result<Prediction> predict_other(const Plan& other) const;

 private:
  PlanPricer(Plan plan, ImportedModel model) : plan_(std::move(plan)), model_(std::move(model)) {}

  Plan plan_;
  ImportedModel model_;
  std::optional<TransformerShape> shape_;  ///< set: by the closed form
  TransformerEvidence evidence_;           ///< of the closed form
  Costs costs_;                            ///< of the simulator
};

}  // namespace pluto
