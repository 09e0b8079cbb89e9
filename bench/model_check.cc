#include "bench/model_check.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <vector>

#include "base/csv.h"
#include "base/gzip_file.h"
#include "base/statistics.h"
#include "costmodel/efficiency.h"
#include "costmodel/measured_ops.h"
#include "costmodel/sources.h"
#include "model/training_graph.h"
#include "model/zoo.h"

namespace pluto::bench {
namespace {

struct Entry {
  std::string name;
  ZooOptions options;
};

struct Times {
  double forward = 0, backward = 0;
  std::map<OpClass, double> by_class;
};

// Mixed precision: every floating operand at half size.
void halve(OpSignature& signature) {
  for (auto* types : {&signature.inputs, &signature.outputs}) {
    for (auto& type : *types) {
      if (type.dtype == DType::kF32) type.dtype = DType::kF16;
    }
  }
}

Result<Times> times_of(const Entry& entry, std::int64_t batch, const DeviceSpec& device,
                       const CostSource& costs, bool mixed = false) {
  PLUTO_ASSIGN(const auto model, build_model(entry.name, entry.options));
  PLUTO_ASSIGN(const auto training, differentiate(model, SgdAttrs{}));
  Times times;
  for (const auto& op : training.graph.ops()) {
    if (class_of(op.kind) == OpClass::kUpdate) continue;
    auto signature = signature_of(training.graph, op, batch);
    if (mixed) halve(signature);
    const auto cost = costs.op(signature, device, 1);
    const bool forward = training.phase[op.id.index()] == OpPhase::kForward;
    (forward ? times.forward : times.backward) += cost.time.value();
    times.by_class[class_of(op.kind)] += cost.time.value();
  }
  return times;
}

class Check {
 public:
  void row(const std::string& what, double predicted, double measured, const Times& times) {
    errors_.push_back(std::abs(predicted / measured - 1));
    std::printf("  %-62s %9.1f %9.1f ms %+6.1f %%  ", what.c_str(), predicted * 1e3, measured * 1e3,
                100 * (predicted / measured - 1));
    const double sum = times.forward + times.backward;
    for (const auto& [op_class, seconds] : times.by_class) {
      if (seconds > 0.03 * sum) std::printf(" %s %.0f%%", to_text(op_class), 100 * seconds / sum);
    }
    std::printf("\n");
  }
  void summary(const char* name) {
    if (errors_.empty()) return;
    std::printf("%s: %zu rows, median %.1f %%, p90 %.1f %%\n", name, errors_.size(),
                100 * quantile(errors_, 0.5), 100 * quantile(errors_, 0.9));
    errors_.clear();
  }

 private:
  std::vector<double> errors_;
};

Result<CsvTable> open(const std::string& path) {
  PLUTO_ASSIGN(const auto text, read_gzip_file(path));
  return CsvTable::parse(text, path);
}

}  // namespace

Result<void> check_models(const std::string& data_folder, const Catalog& catalog) {
  const std::string folder = data_folder + "/measured";
  RooflineOptions options;
  options.surfaces_path = data_folder + "/op_surfaces.json";
  options.eager_attention = true;
  PLUTO_ASSIGN(const auto costs, make_roofline_source(data_folder + "/efficiency.json", options));
  PLUTO_ASSIGN(const auto devices, read_measured_devices(folder, catalog));

  Check check;
  PLUTO_ASSIGN(const auto convnets, open(folder + "/convnet_benchmarks.csv.gz"));
  const std::map<std::string, Entry> nets = {
      {"AlexNet (One Weird Trick paper)", {"alexnet-one-tower", {}}},
      {"GoogleNet V1", {"googlenet", {}}}};
  for (std::size_t row = 0; row < convnets.rows(); ++row) {
    const auto net = nets.find(convnets.text(row, "model_or_layer").value_or(""));
    const auto library = convnets.text(row, "library").value_or("");
    const auto device = devices.find("NV_TitanX");
    if (net == nets.end() || !library.starts_with("CuDNN[R4]-fp32")) continue;
    PLUTO_ASSIGN(const auto times, times_of(net->second, 128, device->second, *costs));
    check.row(device->second.name + " " + net->second.name + " 128", times.forward + times.backward,
              convnets.number(row, "total_ms").value_or(0) * 1e-3, times);
  }
  check.summary("convnet-benchmarks");

  options.tf32 = true;  // the default of convolutions in PyTorch where the device has it
  PLUTO_ASSIGN(const auto tensor_cores,
               make_roofline_source(data_folder + "/efficiency.json", options));
  PLUTO_ASSIGN(const auto resnets, open(folder + "/resnet50_throughput.csv"));
  for (std::size_t row = 0; row < resnets.rows(); ++row) {
    PLUTO_ASSIGN(const auto device, catalog.device(resnets.text(row, "device").value_or("")));
    const auto batch = std::llround(resnets.number(row, "batch").value_or(1));
    const auto precision = resnets.text(row, "precision").value_or("");
    PLUTO_ASSIGN(const auto times, times_of({"resnet50", {}}, batch, device, *tensor_cores,
                                            precision.starts_with("fp16")));
    check.row(device.name + " resnet50 " + precision + " " + std::to_string(batch),
              times.forward + times.backward,
              static_cast<double>(batch) / resnets.number(row, "images_per_s").value_or(1), times);
  }
  check.summary("ResNet-50");
  return {};
}

}  // namespace pluto::bench
