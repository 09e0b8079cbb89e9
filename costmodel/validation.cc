#include "costmodel/validation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "costmodel/part_validation.h"
#include "costmodel/training_step.h"
#include "costmodel/transformer_memory.h"

namespace pluto {

namespace {

std::string describe(const TransformerRow& row) {
  const TransformerShape& shape = row.point.shape;
  const TransformerPlan& plan = row.point.plan;
  return fmt::format(
      "{}, {} layers x {}, sequence {}, batch {}: data {} tensor {} pipeline {} micro {}",
      row.cluster, shape.layers, shape.hidden, shape.sequence, plan.global_batch, plan.data,
      plan.tensor, plan.pipeline, plan.micro_batch);
}

std::string describe(const TrainingRow& row) {
  return fmt::format("{}, {} {} {}, {} GPUs on {} nodes, batch {}{} each", row.machine,
                     row.model.source, to_text(row.precision), row.framework, row.gpus,
                     row.cluster.nodes, row.batch,
                     row.accumulation > 1 ? fmt::format(" x {}", row.accumulation) : "");
}

ValidatedRow validated(const TransformerRow& row, const CostsByGeneration& shipped,
                       const CostsByGeneration& without) {
  ValidatedRow result;
  result.line = row.line;
  result.what = describe(row);
  result.note = row.note;
  result.alike = fmt::format("{} {} {} {}", row.cluster, row.point.shape.hidden,
                             row.point.plan.tensor, row.point.plan.micro_batch);
  if (row.point.step.value() > 0) {
    result.step = scored(row, shipped);
    result.held_out = scored(row, without);
    const TransformerStep step = predicted_step(row, shipped);
    const double whole = step.step().value();
    result.terms = {{"compute", step.compute.value() / whole},
                    {"comm", step.exposed_comm().value() / whole},
                    {"bubble", step.bubble.value() / whole}};
  }
  result.ran = !row.out_of_memory;
  const auto memory = predict_transformer_memory(row.point.shape, row.point.plan);
  if (memory.ok()) {
    result.fits = memory->reserved() <= row.point.cluster.instance.node.device.memory;
    if (row.memory) result.memory = {memory->reserved(), *row.memory};
  }
  return result;
}

// The constants of data/frameworks.json were chosen with the even lines in sight.
bool never_seen(const TrainingRow& row, bool shipped) { return !shipped || row.line % 2 == 1; }

/// `memory`: whether the table says what fitted.
Result<ValidatedRow> validated(const TrainingRow& row, StepPredictor& predictor, bool shipped,
                               bool memory) {
  ValidatedRow result;
  result.line = row.line;
  result.what = describe(row);
  result.note = row.note;
  result.alike = fmt::format("{} {} {} {}", row.machine, row.model.source, to_text(row.precision),
                             row.framework);
  if (row.step.value() > 0) {
    PLUTO_ASSIGN(const TrainingStep step, predictor.predict(row));
    const double whole = step.step().value();
    result.step = ScoredStep{whole, row.step.value(), step.spread};
    if (never_seen(row, shipped)) result.held_out = result.step;
    result.terms = {{"compute", (step.compute + step.update) / step.step()},
                    {"comm", step.exposed_comm / step.step()},
                    {"host", (step.waiting + step.serial) / step.step()},
                    {"input", step.input / step.step()}};
    if (row.exposed_comm) result.comm = {step.exposed_comm, *row.exposed_comm};
  }
  result.ran = !row.out_of_memory;
  if (memory) {
    PLUTO_ASSIGN(const auto held, predictor.predict_memory(row));
    result.fits = held.fits;
    if (row.memory) result.memory = {held.used, *row.memory};
  }
  return result;
}

}  // namespace

const std::vector<ValidationFamily>& validation_families() {
  using Kind = ValidationFamily::Kind;
  static const std::vector<ValidationFamily> kFamilies = {
      {"vtrain_node", "Megatron in a node of A100", Kind::kTransformer},
      {"vtrain_cluster", "Megatron on 64 A100", Kind::kTransformer},
      {"bigscience", "Megatron-DeepSpeed, up to 384 A100", Kind::kTransformer},
      {"megatron", "Megatron-LM and Megatron-Bridge, V100 to GB300", Kind::kTransformer},
      {"mosaic", "MPT with FSDP, A100 and H100", Kind::kTransformer},
      {"lambda", "ResNet-50 and BERT in PyTorch, 1 to 8 of 15 kinds of GPU"},
      {"nvidia_dle", "ResNet-50 and BERT in four frameworks, 1 to 1,024 V100 and A100"},
      {"sia", "ResNet and BERT in AdaptDL, 1 to 64 GPUs, step and exposed communication"},
      {"elasticflow", "convolutional networks in PyTorch, 1 to 64 A100"},
      {"tensorflow_2017", "convolutional networks and parameter servers, K80 and P100"},
      {"mxnet_2018", "convolutional networks by batch, K80, M60 and V100"},
      {"squad", "BERT-large fine-tuning by batch, V100, with what ran out of memory"},
      {"convnet_models", "AlexNet and GoogLeNet on a Titan X (Maxwell)"},
      {"lambda_memory", "memory of ResNet-50 and BERT on V100"},
      {"collectives", "NCCL in a node of 2 to 8 GPUs, PCIe cards of 2017 to GB200", Kind::kPart},
      {"deepbench_gemm", "products, Maxwell to Turing", Kind::kPart},
      {"deepbench_conv", "convolutions and their backward passes, Maxwell to Turing", Kind::kPart},
      {"deepbench_rnn", "LSTM and GRU, Maxwell to Turing", Kind::kPart},
      {"gemm_measured", "products in 16 and 8 bits, A100 to B200", Kind::kPart},
      {"neusight_ops", "operators of transformers in f32, P4 to H100 and AMD", Kind::kPart},
      {"neusight_models", "transformers in f32 on one GPU, forward and backward", Kind::kPart},
  };
  return kFamilies;
}

Result<ValidatedFamily> Validation::validate(const std::string& name) {
  const auto& families = validation_families();
  const auto found = std::ranges::find(families, name, &ValidationFamily::name);
  if (found == families.end()) {
    if (name.ends_with(".csv")) return training_steps({name, "rows of a file"}, name);
    std::vector<std::string> names;
    for (const auto& family : families) names.push_back(family.name);
    const auto near = nearest_word(name, names);
    return invalid_input(fmt::format("{}: no such family of measurements", name),
                         near ? fmt::format("did you mean {}?", *near)
                              : fmt::format("families: {}; or a .csv", fmt::join(names, " ")));
  }
  if (found->kind == ValidationFamily::Kind::kTransformer) return transformers(*found);
  if (found->kind == ValidationFamily::Kind::kPart) {
    PLUTO_ASSIGN(auto rows, name == "collectives"       ? validate_collectives(data_folder_)
                            : name == "neusight_models" ? validate_whole_models(data_folder_)
                                                        : validate_operators(data_folder_, name));
    return ValidatedFamily{*found, std::move(rows), {}};
  }
  return training_steps(*found, fmt::format("{}/measured/{}.csv", data_folder_, name));
}

Result<ValidatedFamily> Validation::transformers(const ValidationFamily& family) {
  if (transformers_.empty()) {
    PLUTO_ASSIGN(transformers_, load_transformer_families(data_folder_));
  }
  PLUTO_ASSIGN(const auto table, TransformerCostTable::load(data_folder_ + "/transformer.json"));
  const CostsByGeneration shipped = shipped_costs(transformers_, table);
  const auto without = fit_without(transformers_, system_of(family.name), table);
  const auto source = std::ranges::find(transformers_, family.name, &TransformerFamily::name);
  if (source == transformers_.end()) return internal_error(family.name + " was not loaded");
  ValidatedFamily result{family, {}, ranking_of(source->rows, shipped)};
  for (const TransformerRow& row : source->rows) {
    result.rows.push_back(validated(row, shipped, without));
  }
  return result;
}

Result<ValidatedFamily> Validation::training_steps(const ValidationFamily& family,
                                                   const std::string& path) {
  PLUTO_ASSIGN(const Catalog catalog, Catalog::load(data_folder_ + "/catalog"));
  PLUTO_ASSIGN(const auto machines,
               read_machines(data_folder_ + "/measured/machines.csv", catalog));
  PLUTO_ASSIGN(FrameworkTable frameworks, load_frameworks(data_folder_ + "/frameworks.json"));
  PLUTO_ASSIGN(const auto rows, read_training_points(path, machines, frameworks));
  PLUTO_ASSIGN(auto predictor, StepPredictor::load(data_folder_, std::move(frameworks)));
  const bool memory = std::ranges::any_of(
      rows, [](const TrainingRow& row) { return row.memory || row.out_of_memory; });
  ValidatedFamily result{family, {}, {}};
  for (const TrainingRow& row : rows) {
    PLUTO_ASSIGN_AT(fmt::format("{}:{}", path, row.line), auto one,
                    validated(row, predictor, path != family.name, memory));
    result.rows.push_back(std::move(one));
  }
  return result;
}

StepErrors errors_of(const std::vector<ValidatedRow>& rows, bool held_out) {
  std::vector<ScoredStep> steps;
  for (const ValidatedRow& row : rows) {
    const auto& step = held_out ? row.held_out : row.step;
    if (step) steps.push_back(*step);
  }
  return summarize_errors(steps);
}

std::vector<double> comm_errors(const std::vector<ValidatedRow>& rows) {
  std::vector<double> errors;
  for (const ValidatedRow& row : rows) {
    if (!row.comm || !row.step) continue;
    errors.push_back(std::abs(row.comm->predicted.value() - row.comm->measured.value()) /
                     row.step->measured);
  }
  return errors;
}

MemoryCheck check_memory(const std::vector<ValidatedRow>& rows) {
  MemoryCheck check;
  for (const ValidatedRow& row : rows) {
    if (row.memory) {
      check.errors.push_back(std::abs(row.memory->predicted / row.memory->measured - 1));
    }
    if (!row.fits) continue;
    ++(row.ran ? check.ran : check.failed);
    if (!row.ran && *row.fits) ++check.allowed;
    if (row.ran && !*row.fits) ++check.refused;
  }
  return check;
}

}  // namespace pluto
