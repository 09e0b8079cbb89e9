#include "costmodel/measured_ops.h"

#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <optional>
#include <utility>

#include "base/csv.h"
#include "base/document.h"
#include "base/gzip_file.h"
#include "base/text.h"
#include "costmodel/surface_table.h"

namespace pluto {

namespace {

enum Source : int { kDeepBench, kNeuSight, kAiconfigurator };

TensorType tensor(std::vector<std::int64_t> dims, DType dtype, int batch = 1) {
  return {Shape{std::move(dims)}, dtype, batch};
}

OpSignature linear(std::int64_t rows, std::int64_t out, std::int64_t in, DType dtype) {
  return {OpKind::kLinear,         OpPass::kForward,
          LinearAttrs{out, false}, {tensor({in}, dtype), tensor({out, in}, dtype, 0)},
          {tensor({out}, dtype)},  rows};
}

OpSignature matmul(std::int64_t batch, std::int64_t m, std::int64_t n, std::int64_t k) {
  const auto type = DType::kF32;
  return {OpKind::kMatMul,        OpPass::kForward,
          MatMulAttrs{},          {tensor({m, k}, type), tensor({k, n}, type)},
          {tensor({m, n}, type)}, batch};
}

OpSignature stream(const std::string& op, std::int64_t rows, std::int64_t width) {
  const auto x = tensor({width}, DType::kF32);
  const auto parameter = tensor({width}, DType::kF32, 0), one = tensor({}, DType::kF32);
  if (op == "ln") {
    return {OpKind::kLayerNorm,        OpPass::kForward, NormAttrs{},
            {x, parameter, parameter}, {x, one, one},    rows};
  }
  if (op == "softmax") return {OpKind::kSoftmax, OpPass::kForward, NoAttrs{}, {x}, {x}, rows};
  if (op == "add") return {OpKind::kAdd, OpPass::kForward, AddAttrs{}, {x, x}, {x}, rows};
  if (op == "mul" || op == "div") {
    return {OpKind::kMul, OpPass::kForward, NoAttrs{}, {x, x}, {x}, rows};
  }
  return {OpKind::kRelu, OpPass::kForward, NoAttrs{}, {x}, {x}, rows};  // one in, one out
}

OpSignature recurrent(bool lstm, OpPass pass, std::int64_t hidden, std::int64_t batch,
                      std::int64_t steps, DType dtype) {
  const std::int64_t gates = lstm ? 4 : 3;
  const auto x = tensor({steps, hidden}, dtype), w = tensor({gates * hidden, hidden}, dtype, 0);
  const auto bias = tensor({gates * hidden}, dtype, 0);
  const auto saved = tensor({steps, 4 * hidden}, dtype);
  OpSignature signature{
      lstm ? OpKind::kLstm : OpKind::kGru, pass, RecurrentAttrs{hidden}, {}, {}, batch};
  signature.inputs = {x, w, w, bias};
  signature.outputs = {x, saved};
  if (!lstm) signature.inputs.push_back(bias);
  if (lstm) signature.outputs.push_back(x);
  if (pass != OpPass::kForward) {
    signature.inputs = {x, x, w, w, x, saved};
    if (lstm) signature.inputs.push_back(x);
    signature.outputs = {x, w, w, bias};
    if (!lstm) signature.outputs.push_back(bias);
  }
  return signature;
}

std::uint64_t fold_of(const OpSignature& signature) {
  return std::hash<std::string>{}(to_text(signature)) * 0x9e3779b97f4a7c15ull >> 33;
}

class Reader {
 public:
  Reader(std::map<std::string, DeviceSpec> devices, MeasuredOps& result)
      : devices_(std::move(devices)), result_(result) {}

  Result<void> read_also(const std::string& path) {
    PLUTO_ASSIGN(const auto text, read_file(path));
    PLUTO_ASSIGN(const auto table, CsvTable::parse(text, path));
    for (std::size_t row = 0; row < table.rows(); ++row) {
      const DeviceSpec& device = devices_.at(table.text(row, "measured").value_or(""));
      std::string also = table.text(row, "also").value_or("");
      for (std::size_t end = 0; !also.empty();
           also = end < also.size() ? also.substr(end + 1) : "") {
        end = std::min(also.find(';'), also.size());
        result_.also[device.name].push_back(also.substr(0, end));
      }
    }
    return {};
  }

  Result<void> read_gemms(const std::string& path) {
    PLUTO_ASSIGN(const auto table, open(path));
    for (std::size_t row = 0; row < table.rows(); ++row) {
      line_ = table.line(row);
      const auto number = [&](const char* column) { return whole(table, row, column); };
      const auto dtype = half(table, row) ? DType::kF16 : DType::kF32;
      add(table.text(row, "device").value_or(""), kDeepBench, milliseconds(table, row, "time_ms"),
          linear(number("N"), number("M"), number("K"), dtype));
    }
    return {};
  }

  Result<void> read_tensor_core_gemms(const std::string& path) {
    PLUTO_ASSIGN(const auto table, open(path));
    for (std::size_t row = 0; row < table.rows(); ++row) {
      line_ = table.line(row);
      const auto number = [&](const char* column) { return whole(table, row, column); };
      add(table.text(row, "gpu").value_or(""), kAiconfigurator, milliseconds(table, row, "time_ms"),
          linear(number("m"), number("n"), number("k"), DType::kBF16),
          table.text(row, "dtype") == "fp8");
    }
    return {};
  }

  Result<void> read_ops(const std::string& path) {
    PLUTO_ASSIGN(const auto table, open(path));
    for (std::size_t row = 0; row < table.rows(); ++row) {
      line_ = table.line(row);
      const auto number = [&](const char* column) { return whole(table, row, column); };
      const auto op = table.text(row, "op").value_or("");
      if (op == "pow" || op == "powu") continue;  // no op of ours raises to a power
      const auto signature =
          op == "linear" ? linear(number("M"), number("N"), number("K"), DType::kF32)
          : op == "bmm"  ? matmul(number("B"), number("M"), number("N"), number("K"))
                         : stream(op, number("B"), number("H"));
      add(table.text(row, "device").value_or(""), kNeuSight, milliseconds(table, row, "latency_ms"),
          signature);
    }
    return {};
  }

  Result<void> read_convolutions(const std::string& path) {
    PLUTO_ASSIGN(const auto table, open(path));
    for (std::size_t row = 0; row < table.rows(); ++row) {
      line_ = table.line(row);
      const auto number = [&](const char* column) { return whole(table, row, column); };
      const auto dtype = half(table, row) ? DType::kF16 : DType::kF32;
      ConvAttrs attrs;
      attrs.out_channels = number("K");
      attrs.kernel_h = number("filter_h");
      attrs.kernel_w = number("filter_w");
      attrs.stride_h = number("stride_h");
      attrs.stride_w = number("stride_w");
      attrs.pad_top = attrs.pad_bottom = number("pad_h");
      attrs.pad_left = attrs.pad_right = number("pad_w");
      const auto out_h = (number("H") + 2 * attrs.pad_top - attrs.kernel_h) / attrs.stride_h + 1;
      const auto out_w = (number("W") + 2 * attrs.pad_left - attrs.kernel_w) / attrs.stride_w + 1;
      const auto x = tensor({number("C"), number("H"), number("W")}, dtype);
      const auto w =
          tensor({attrs.out_channels, number("C"), attrs.kernel_h, attrs.kernel_w}, dtype, 0);
      const auto y = tensor({attrs.out_channels, out_h, out_w}, dtype);
      const auto batch = number("N");
      const auto device = table.text(row, "device").value_or("");
      add(device, kDeepBench, milliseconds(table, row, "fwd_ms"),
          {OpKind::kConv2d, OpPass::kForward, attrs, {x, w}, {y}, batch});
      add(device, kDeepBench, milliseconds(table, row, "bwd_inputs_ms"),
          {OpKind::kConv2d, OpPass::kBackwardData, attrs, {y, w}, {x}, batch});
      add(device, kDeepBench, milliseconds(table, row, "bwd_params_ms"),
          {OpKind::kConv2d, OpPass::kBackwardWeight, attrs, {y, x}, {w}, batch});
    }
    return {};
  }

  Result<void> read_recurrent(const std::string& path) {
    PLUTO_ASSIGN(const auto table, open(path));
    for (std::size_t row = 0; row < table.rows(); ++row) {
      line_ = table.line(row);
      const auto cell = table.text(row, "cell").value_or("");
      if (cell != "LSTM" && cell != "GRU") {
        result_.left_out["recurrent " + cell] = "no op of ours";
        continue;
      }
      const auto number = [&](const char* column) { return whole(table, row, column); };
      const auto device = table.text(row, "device").value_or("");
      const auto dtype = half(table, row) ? DType::kF16 : DType::kF32;
      const auto signature = [&](OpPass pass) {
        return recurrent(cell == "LSTM", pass, number("hidden"), number("batch"),
                         number("timesteps"), dtype);
      };
      add(device, kDeepBench, milliseconds(table, row, "fwd_ms"), signature(OpPass::kForward));
      const auto data = milliseconds(table, row, "bwd_inputs_ms");
      const auto weights = milliseconds(table, row, "bwd_weights_ms");
      if (data > 0 && weights > 0) {  // ours computes both at once
        add(device, kDeepBench, data + weights, signature(OpPass::kBackward));
      }
    }
    return {};
  }

 private:
  static Result<CsvTable> open(const std::string& path) {
    PLUTO_ASSIGN(const auto text, read_gzip_file(path));
    return CsvTable::parse(text, path);
  }
  static std::int64_t whole(const CsvTable& table, std::size_t row, const char* column) {
    return std::llround(table.number(row, column).value_or(1));
  }
  /// 0 when not measured.
  static double milliseconds(const CsvTable& table, std::size_t row, const char* column) {
    return table.number(row, column).value_or(0) * 1e-3;
  }
  static bool half(const CsvTable& table, std::size_t row) {
    return table.text(row, "precision").value_or("").starts_with("16 bit");
  }

  void add(const std::string& name, int source, double seconds, const OpSignature& signature,
           bool f8 = false) {
    const auto found = devices_.find(name);
    if (found == devices_.end()) {
      result_.left_out[name] = "not in devices.csv";
      return;
    }
    if (!(seconds > 0)) return;
    const DeviceSpec& device = found->second;
    MeasuredOp op{{shape_of(signature), {}, seconds, source, 1},
                  device.name,
                  device.generation,
                  fold_of(signature),
                  to_text(signature),
                  line_};
    OpShape& shape = op.sample.shape;
    if (f8) {  // operands of one byte, results of two
      shape.arithmetic = Arithmetic::kF8;
      shape.element_bytes = 1;
      for (auto& product : shape.products) {
        product.bytes -= product.batch * product.k * (product.m + product.n);
      }
    }
    const auto datasheet = surface_device(device, shape.arithmetic);
    if (!datasheet) {
      result_.left_out[name + " " + to_text(shape.arithmetic)] = "no datasheet peak";
      return;
    }
    op.sample.device = *datasheet;
    result_.ops.push_back(std::move(op));
  }

  std::map<std::string, DeviceSpec> devices_;
  MeasuredOps& result_;
  int line_ = 0;
};

}  // namespace

const char* source_name(int source) {
  return source == kDeepBench ? "DeepBench" : source == kNeuSight ? "NeuSight" : "aiconfigurator";
}

const std::vector<std::string>& op_tables() {
  static const std::vector<std::string> kTables = {
      "deepbench_gemm", "gemm_measured", "neusight_ops", "deepbench_conv", "deepbench_rnn"};
  return kTables;
}

Result<std::map<std::string, DeviceSpec>> read_measured_devices(const std::string& folder,
                                                                const Catalog& catalog) {
  const std::string path = folder + "/devices.csv";
  PLUTO_ASSIGN(const auto text, read_file(path));
  PLUTO_ASSIGN(const auto table, CsvTable::parse(text, path));
  std::map<std::string, DeviceSpec> devices;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    PLUTO_ASSIGN(devices[table.text(row, "measured").value_or("")],
                 catalog.device(table.text(row, "device").value_or("")));
  }
  return devices;
}

Result<MeasuredOps> read_measured_ops(const std::string& folder,
                                      const std::vector<std::string>& tables,
                                      const Catalog& catalog) {
  using Read = Result<void> (Reader::*)(const std::string&);
  static const std::map<std::string, Read> kReads = {
      {"deepbench_gemm", &Reader::read_gemms},
      {"gemm_measured", &Reader::read_tensor_core_gemms},
      {"neusight_ops", &Reader::read_ops},
      {"deepbench_conv", &Reader::read_convolutions},
      {"deepbench_rnn", &Reader::read_recurrent}};
  PLUTO_ASSIGN(auto devices, read_measured_devices(folder, catalog));
  MeasuredOps result;
  Reader reader(std::move(devices), result);
  PLUTO_TRY(reader.read_also(folder + "/devices.csv"));
  for (const std::string& table : tables) {
    const auto found = kReads.find(table);
    if (found == kReads.end()) return invalid_input(table + ": no table of ops");
    PLUTO_TRY((reader.*found->second)(fmt::format("{}/{}.csv.gz", folder, table)));
  }
  return result;
}

}  // namespace pluto
