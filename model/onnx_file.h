#pragma once
// What an ONNX file says, without the contents of its weights. Field numbers: onnx.proto of the
// ONNX project.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pluto {

/// TensorProto.DataType.
enum class OnnxType : std::int32_t {
  kUndefined = 0,
  kFloat = 1,
  kUint8 = 2,
  kInt32 = 6,
  kInt64 = 7,
  kBool = 9,
  kFloat16 = 10,
  kDouble = 11,
  kBFloat16 = 16,
};
bool is_float(OnnxType type);    ///< float, float16, bfloat16, double
bool is_integer(OnnxType type);  ///< int32, int64, bool, uint8

/// An initializer or a tensor attribute. Only small contents are kept: up to kMaxKept elements of
/// int32, int64, bool, float and double. External data is never opened.
struct OnnxTensor {
  static constexpr std::int64_t kMaxKept = 64;
  std::string name;
  OnnxType type = OnnxType::kUndefined;
  std::vector<std::int64_t> dims;
  std::optional<std::vector<std::int64_t>> integers;
  std::optional<std::vector<double>> floats;
};

struct OnnxAttribute {
  std::optional<double> number;
  std::optional<std::int64_t> integer;
  std::optional<std::string> text;
  std::optional<OnnxTensor> tensor;
  std::vector<std::int64_t> integers;
  std::vector<double> numbers;
  bool subgraph = false;
};

struct OnnxNode {
  std::string name, kind, domain;
  std::vector<std::string> inputs, outputs;  ///< an empty name is an operand left out
  std::map<std::string, OnnxAttribute, std::less<>> attributes;

  std::int64_t integer(std::string_view attribute, std::int64_t standard) const;
  double number(std::string_view attribute, double standard) const;
  std::string text(std::string_view attribute, const std::string& standard) const;
  /// Nullptr when absent.
  const std::vector<std::int64_t>* integers(std::string_view attribute) const;
};

/// A graph input or output. A dimension without a value is symbolic.
struct OnnxValueInfo {
  std::string name;
  OnnxType type = OnnxType::kUndefined;
  std::vector<std::optional<std::int64_t>> dims;
  std::vector<std::string> dim_names;  ///< of symbolic dimensions; as long as dims
  bool has_shape = false;
};

struct OnnxFile {
  std::string producer, graph_name;
  std::int64_t opset = 0;  ///< of the default domain
  std::vector<OnnxNode> nodes;
  std::vector<OnnxTensor> initializers;
  std::vector<OnnxValueInfo> inputs, outputs;
};

/// Maps and reads the file. Node names are made unique ("Conv_12" where the file has none). Errors:
/// kNotFound, kIo; kInvalidInput when damaged; kUnsupported for sparse initializers.
Result<OnnxFile> read_onnx(const std::string& path);
/// The same for bytes in memory.
Result<OnnxFile> parse_onnx(std::string_view bytes);

}  // namespace pluto
