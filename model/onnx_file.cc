#include "model/onnx_file.h"

#include <fmt/format.h>

#include <bit>
#include <set>

#include "model/onnx_wire.h"

namespace pluto {

namespace {

using Wire = WireField::Wire;

// Names travel into errors and reports: control characters become '_'.
std::string name_text(std::string_view bytes) {
  std::string text(bytes);
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < ' ' || byte >= 0x7F) c = '_';
  }
  return text;
}

Error wrong_wire(const char* what) {
  return invalid_input(fmt::format("not a readable ONNX file: {} has the wrong type", what),
                       "check that the file is complete, or export it again");
}

Result<std::string_view> bytes_of(const WireField& field, const char* what) {
  if (field.wire != Wire::kBytes) return wrong_wire(what);
  return field.bytes;
}

double bits_to_double(std::uint64_t bits, bool wide) {
  return wide ? std::bit_cast<double>(bits)
              : static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
}

// A repeated integer, packed or not. At most `most` are kept.
Result<void> append_integers(const WireField& field, std::vector<std::int64_t>& out,
                             std::size_t most) {
  if (field.wire == Wire::kVarint) {
    if (out.size() < most) out.push_back(field.as_integer());
    return {};
  }
  PLUTO_ASSIGN(const std::string_view bytes, bytes_of(field, "a list of whole numbers"));
  WireReader reader(bytes);
  while (!reader.done() && out.size() < most) {
    PLUTO_ASSIGN(const std::uint64_t value, reader.varint());
    out.push_back(static_cast<std::int64_t>(value));
  }
  return {};
}

Result<void> append_numbers(const WireField& field, std::vector<double>& out, bool wide,
                            std::size_t most) {
  if (field.wire == (wide ? Wire::kFixed64 : Wire::kFixed32)) {
    if (out.size() < most) out.push_back(bits_to_double(field.value, wide));
    return {};
  }
  PLUTO_ASSIGN(const std::string_view bytes, bytes_of(field, "a list of numbers"));
  const std::size_t width = wide ? 8 : 4;
  for (std::size_t at = 0; at + width <= bytes.size() && out.size() < most; at += width) {
    std::uint64_t bits = 0;
    for (std::size_t i = width; i-- > 0;) {
      bits = (bits << 8) | static_cast<unsigned char>(bytes[at + i]);
    }
    out.push_back(bits_to_double(bits, wide));
  }
  return {};
}

std::size_t width_of(OnnxType type) {
  switch (type) {
    case OnnxType::kBool:
      return 1;
    case OnnxType::kFloat:
    case OnnxType::kInt32:
      return 4;
    case OnnxType::kInt64:
    case OnnxType::kDouble:
      return 8;
    default:
      return 0;
  }
}

// raw_data: little-endian elements.
void keep_raw(OnnxTensor& tensor, std::string_view raw) {
  const std::size_t width = width_of(tensor.type);
  if (width == 0) return;
  std::vector<std::int64_t> integers;
  std::vector<double> floats;
  for (std::size_t at = 0; at + width <= raw.size(); at += width) {
    std::uint64_t bits = 0;
    for (std::size_t i = width; i-- > 0;) {
      bits = (bits << 8) | static_cast<unsigned char>(raw[at + i]);
    }
    if (is_float(tensor.type)) {
      floats.push_back(bits_to_double(bits, width == 8));
    } else if (width == 4) {
      integers.push_back(static_cast<std::int32_t>(static_cast<std::uint32_t>(bits)));
    } else {
      integers.push_back(static_cast<std::int64_t>(bits));
    }
  }
  if (is_float(tensor.type)) {
    tensor.floats = std::move(floats);
  } else {
    tensor.integers = std::move(integers);
  }
}

// Contents are kept only when they are small and complete.
void settle_contents(OnnxTensor& tensor, std::string_view raw, bool external) {
  std::int64_t elements = 1;
  for (std::int64_t dim : tensor.dims) {
    if (dim < 0 || dim > OnnxTensor::kMaxKept) elements = OnnxTensor::kMaxKept + 1;
    if (elements <= OnnxTensor::kMaxKept) elements *= dim;
  }
  const bool small = elements <= OnnxTensor::kMaxKept && !external;
  if (small && !raw.empty() &&
      raw.size() == static_cast<std::size_t>(elements) * width_of(tensor.type)) {
    keep_raw(tensor, raw);
  }
  const auto expected = static_cast<std::size_t>(elements);
  if (!small || !tensor.integers || tensor.integers->size() != expected) tensor.integers.reset();
  if (!small || !tensor.floats || tensor.floats->size() != expected) tensor.floats.reset();
  if (small && elements == 0 && is_integer(tensor.type)) tensor.integers.emplace();
}

Result<OnnxTensor> parse_tensor(std::string_view message) {
  constexpr std::size_t kMaxRank = 32, kKept = OnnxTensor::kMaxKept + 1;
  OnnxTensor tensor;
  std::vector<std::int64_t> integers;
  std::vector<double> floats;
  std::string_view raw;
  bool external = false;
  WireReader reader(message);
  while (!reader.done()) {
    PLUTO_ASSIGN(const WireField field, reader.next());
    switch (field.number) {
      case 1:
        PLUTO_TRY(append_integers(field, tensor.dims, kMaxRank));
        break;
      case 2:
        tensor.type = static_cast<OnnxType>(static_cast<std::int32_t>(field.value));
        break;
      case 4:
        PLUTO_TRY(append_numbers(field, floats, false, kKept));
        break;
      case 5:
      case 7:
        PLUTO_TRY(append_integers(field, integers, kKept));
        break;
      case 8: {
        PLUTO_ASSIGN(const std::string_view name, bytes_of(field, "a tensor's name"));
        tensor.name = name_text(name);
        break;
      }
      case 9: {
        PLUTO_ASSIGN(raw, bytes_of(field, "a tensor's contents"));
        break;
      }
      case 10:
        PLUTO_TRY(append_numbers(field, floats, true, kKept));
        break;
      case 14:
        external = field.value == 1;
        break;
      default:
        break;
    }
  }
  if (tensor.type == OnnxType::kInt32) {  // sign-extended on the wire
    for (std::int64_t& value : integers) value = static_cast<std::int32_t>(value);
  }
  if (is_integer(tensor.type) && !integers.empty()) tensor.integers = std::move(integers);
  if (is_float(tensor.type) && !floats.empty()) tensor.floats = std::move(floats);
  settle_contents(tensor, raw, external);
  return tensor;
}

Result<std::pair<std::string, OnnxAttribute>> parse_attribute(std::string_view message) {
  constexpr std::size_t kMost = 4096;
  constexpr std::uint64_t kFloatKind = 1, kIntKind = 2;  // AttributeProto.AttributeType
  std::string name;
  OnnxAttribute attribute;
  std::uint64_t kind = 0;
  WireReader reader(message);
  while (!reader.done()) {
    PLUTO_ASSIGN(const WireField field, reader.next());
    switch (field.number) {
      case 1: {
        PLUTO_ASSIGN(const std::string_view text, bytes_of(field, "an attribute's name"));
        name = name_text(text);
        break;
      }
      case 2:
        attribute.number = bits_to_double(field.value, field.wire == Wire::kFixed64);
        break;
      case 3:
        attribute.integer = field.as_integer();
        break;
      case 4: {
        PLUTO_ASSIGN(const std::string_view text, bytes_of(field, "a text attribute"));
        attribute.text = name_text(text);
        break;
      }
      case 5: {
        PLUTO_ASSIGN(const std::string_view bytes, bytes_of(field, "a tensor attribute"));
        PLUTO_ASSIGN(attribute.tensor, parse_tensor(bytes));
        break;
      }
      case 6:
      case 11:
        attribute.subgraph = true;
        break;
      case 7:
        PLUTO_TRY(append_numbers(field, attribute.numbers, false, kMost));
        break;
      case 8:
        PLUTO_TRY(append_integers(field, attribute.integers, kMost));
        break;
      case 20:
        kind = field.value;
        break;
      default:
        break;
    }
  }
  // Some writers leave zeros out.
  if (kind == kFloatKind && !attribute.number) attribute.number = 0;
  if (kind == kIntKind && !attribute.integer) attribute.integer = 0;
  return std::pair{std::move(name), std::move(attribute)};
}

Result<OnnxNode> parse_node(std::string_view message) {
  OnnxNode node;
  WireReader reader(message);
  while (!reader.done()) {
    PLUTO_ASSIGN(const WireField field, reader.next());
    if (field.number < 1 || field.number > 7 || field.number == 6) continue;
    PLUTO_ASSIGN(const std::string_view bytes, bytes_of(field, "a part of a node"));
    switch (field.number) {
      case 1:
        node.inputs.push_back(name_text(bytes));
        break;
      case 2:
        node.outputs.push_back(name_text(bytes));
        break;
      case 3:
        node.name = name_text(bytes);
        break;
      case 4:
        node.kind = name_text(bytes);
        break;
      case 7:
        node.domain = name_text(bytes);
        break;
      default: {
        PLUTO_ASSIGN(auto attribute, parse_attribute(bytes));
        node.attributes.insert_or_assign(std::move(attribute.first), std::move(attribute.second));
      }
    }
  }
  return node;
}

// TensorShapeProto.Dimension: 1 value, 2 name.
Result<void> parse_dimension(std::string_view message, OnnxValueInfo& info) {
  std::optional<std::int64_t> value;
  std::string name;
  WireReader reader(message);
  while (!reader.done()) {
    PLUTO_ASSIGN(const WireField field, reader.next());
    if (field.number == 1) value = field.as_integer();
    if (field.number == 2) {
      PLUTO_ASSIGN(const std::string_view text, bytes_of(field, "a dimension's name"));
      name = name_text(text);
    }
  }
  if (value && *value <= 0) value.reset();  // exporters write 0 or -1 for unknown
  info.dims.push_back(value);
  info.dim_names.push_back(std::move(name));
  return {};
}

// ValueInfoProto 2 type -> TypeProto 1 tensor_type -> 1 elem_type, 2 shape -> 1 dim.
Result<OnnxValueInfo> parse_value_info(std::string_view message) {
  OnnxValueInfo info;
  WireReader outer(message);
  while (!outer.done()) {
    PLUTO_ASSIGN(const WireField field, outer.next());
    if (field.number != 1 && field.number != 2) continue;
    PLUTO_ASSIGN(const std::string_view bytes, bytes_of(field, "a graph input or output"));
    if (field.number == 1) {
      info.name = name_text(bytes);
      continue;
    }
    WireReader type(bytes);
    while (!type.done()) {
      PLUTO_ASSIGN(const WireField tensor, type.next());
      if (tensor.number != 1) continue;
      PLUTO_ASSIGN(const std::string_view tensor_bytes, bytes_of(tensor, "a tensor type"));
      WireReader parts(tensor_bytes);
      while (!parts.done()) {
        PLUTO_ASSIGN(const WireField part, parts.next());
        if (part.number == 1) {
          info.type = static_cast<OnnxType>(static_cast<std::int32_t>(part.value));
        } else if (part.number == 2) {
          PLUTO_ASSIGN(const std::string_view shape_bytes, bytes_of(part, "a shape"));
          info.has_shape = true;
          WireReader shape(shape_bytes);
          while (!shape.done()) {
            PLUTO_ASSIGN(const WireField dim, shape.next());
            if (dim.number != 1) continue;
            PLUTO_ASSIGN(const std::string_view dim_bytes, bytes_of(dim, "a dimension"));
            PLUTO_TRY(parse_dimension(dim_bytes, info));
          }
        }
      }
    }
  }
  return info;
}

Result<void> parse_graph(std::string_view message, OnnxFile& file) {
  WireReader reader(message);
  while (!reader.done()) {
    PLUTO_ASSIGN(const WireField field, reader.next());
    if (field.number > 15) continue;
    PLUTO_ASSIGN(const std::string_view bytes, bytes_of(field, "a part of the graph"));
    switch (field.number) {
      case 1: {
        PLUTO_ASSIGN(OnnxNode node, parse_node(bytes));
        file.nodes.push_back(std::move(node));
        break;
      }
      case 2:
        file.graph_name = name_text(bytes);
        break;
      case 5: {
        PLUTO_ASSIGN(OnnxTensor tensor, parse_tensor(bytes));
        file.initializers.push_back(std::move(tensor));
        break;
      }
      case 11:
      case 12: {
        PLUTO_ASSIGN(OnnxValueInfo info, parse_value_info(bytes));
        (field.number == 11 ? file.inputs : file.outputs).push_back(std::move(info));
        break;
      }
      case 15:
        return unsupported("the graph has sparse initializers", "export dense weights");
      default:
        break;
    }
  }
  return {};
}

Result<void> parse_opset(std::string_view message, OnnxFile& file) {
  std::string domain;
  std::int64_t version = 0;
  WireReader reader(message);
  while (!reader.done()) {
    PLUTO_ASSIGN(const WireField field, reader.next());
    if (field.number == 1) {
      PLUTO_ASSIGN(const std::string_view text, bytes_of(field, "an operator set"));
      domain = name_text(text);
    }
    if (field.number == 2) version = field.as_integer();
  }
  if (domain.empty() || domain == "ai.onnx") file.opset = version;
  return {};
}

void make_names_unique(std::vector<OnnxNode>& nodes) {
  std::set<std::string> used;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    std::string name =
        nodes[i].name.empty() ? fmt::format("{}_{}", nodes[i].kind, i) : nodes[i].name;
    for (int n = 1; !used.insert(name).second; ++n) {
      name = fmt::format("{}_{}_{}", nodes[i].name.empty() ? nodes[i].kind : nodes[i].name, i, n);
    }
    nodes[i].name = std::move(name);
  }
}

}  // namespace

bool is_float(OnnxType type) {
  return type == OnnxType::kFloat || type == OnnxType::kFloat16 || type == OnnxType::kBFloat16 ||
         type == OnnxType::kDouble;
}

bool is_integer(OnnxType type) {
  return type == OnnxType::kInt32 || type == OnnxType::kInt64 || type == OnnxType::kBool ||
         type == OnnxType::kUint8;
}

std::int64_t OnnxNode::integer(std::string_view attribute, std::int64_t standard) const {
  const auto found = attributes.find(attribute);
  return found == attributes.end() ? standard : found->second.integer.value_or(standard);
}
double OnnxNode::number(std::string_view attribute, double standard) const {
  const auto found = attributes.find(attribute);
  return found == attributes.end() ? standard : found->second.number.value_or(standard);
}
std::string OnnxNode::text(std::string_view attribute, const std::string& standard) const {
  const auto found = attributes.find(attribute);
  return found == attributes.end() ? standard : found->second.text.value_or(standard);
}
const std::vector<std::int64_t>* OnnxNode::integers(std::string_view attribute) const {
  const auto found = attributes.find(attribute);
  return found == attributes.end() ? nullptr : &found->second.integers;
}

Result<OnnxFile> parse_onnx(std::string_view bytes) {
  OnnxFile file;
  bool graph = false;
  WireReader reader(bytes);
  while (!reader.done()) {
    PLUTO_ASSIGN(const WireField field, reader.next());
    if (field.number == 2 || field.number == 7 || field.number == 8) {
      PLUTO_ASSIGN(const std::string_view part, bytes_of(field, "a part of the model"));
      if (field.number == 2) file.producer = name_text(part);
      if (field.number == 7) {
        graph = true;
        PLUTO_TRY(parse_graph(part, file));
      }
      if (field.number == 8) PLUTO_TRY(parse_opset(part, file));
    }
  }
  if (!graph) {
    return invalid_input("not a readable ONNX file: it has no graph",
                         "check that the file is complete, or export it again");
  }
  make_names_unique(file.nodes);
  return file;
}

Result<OnnxFile> read_onnx(const std::string& path) {
  PLUTO_ASSIGN(const MappedFile file, MappedFile::open(path));
  auto parsed = parse_onnx(file.bytes());
  if (!parsed) return with_context(parsed.error(), path);
  return parsed;
}

}  // namespace pluto
