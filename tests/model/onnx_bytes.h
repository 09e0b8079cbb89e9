#pragma once
// Writes small ONNX files for tests: the wire format, field by field.

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

namespace pluto::testing {

/// One protocol-buffer message under construction.
class WireBytes {
 public:
  WireBytes& varint(std::uint32_t field, std::int64_t value) {
    raw(field << 3);
    raw(static_cast<std::uint64_t>(value));
    return *this;
  }
  WireBytes& bytes(std::uint32_t field, const std::string& content) {
    raw((field << 3) | 2);
    raw(content.size());
    text_ += content;
    return *this;
  }
  WireBytes& number(std::uint32_t field, float value) {
    raw((field << 3) | 5);
    const auto bits = std::bit_cast<std::uint32_t>(value);
    for (int i = 0; i < 4; ++i) text_ += static_cast<char>((bits >> (8 * i)) & 0xFF);
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  void raw(std::uint64_t value) {
    while (value >= 0x80) {
      text_ += static_cast<char>((value & 0x7F) | 0x80);
      value >>= 7;
    }
    text_ += static_cast<char>(value);
  }
  std::string text_;
};

using Integers = std::vector<std::int64_t>;

inline std::string attribute(const std::string& name, std::int64_t value) {
  return WireBytes().bytes(1, name).varint(3, value).varint(20, 2).text();
}
inline std::string attribute(const std::string& name, int value) {
  return attribute(name, static_cast<std::int64_t>(value));
}
inline std::string attribute(const std::string& name, float value) {
  return WireBytes().bytes(1, name).number(2, value).varint(20, 1).text();
}
inline std::string attribute(const std::string& name, const std::string& value) {
  return WireBytes().bytes(1, name).bytes(4, value).varint(20, 3).text();
}
inline std::string attribute(const std::string& name, const Integers& values) {
  WireBytes bytes;
  bytes.bytes(1, name);
  for (std::int64_t value : values) bytes.varint(8, value);
  return bytes.varint(20, 7).text();
}

/// A model of one graph.
class OnnxBytes {
 public:
  static constexpr std::int64_t kSymbolic = -1;

  explicit OnnxBytes(std::int64_t opset = 13) : opset_(opset) {}

  OnnxBytes& input(const std::string& name, const Integers& dims, int type = 1) {
    graph_.bytes(11, value_info(name, dims, type));
    return *this;
  }
  OnnxBytes& output(const std::string& name) {
    graph_.bytes(12, WireBytes().bytes(1, name).text());
    return *this;
  }
  /// A floating-point weight whose contents are elsewhere.
  OnnxBytes& weight(const std::string& name, const Integers& dims) {
    graph_.bytes(5, tensor(name, dims, 1).varint(14, 1).text());
    return *this;
  }
  OnnxBytes& scalar(const std::string& name, float value) {
    graph_.bytes(5, tensor(name, {}, 1).number(4, value).text());
    return *this;
  }
  OnnxBytes& integers(const std::string& name, const Integers& values) {
    return integers(name, {static_cast<std::int64_t>(values.size())}, values);
  }
  OnnxBytes& integers(const std::string& name, const Integers& dims, const Integers& values) {
    WireBytes bytes = tensor(name, dims, 7);
    for (std::int64_t value : values) bytes.varint(7, value);
    graph_.bytes(5, bytes.text());
    return *this;
  }
  OnnxBytes& node(const std::string& kind, const std::vector<std::string>& inputs,
                  const std::vector<std::string>& outputs,
                  const std::vector<std::string>& attributes = {}) {
    WireBytes node;
    for (const std::string& input : inputs) node.bytes(1, input);
    for (const std::string& output : outputs) node.bytes(2, output);
    node.bytes(3, "make_" + outputs.front()).bytes(4, kind);
    for (const std::string& attribute : attributes) node.bytes(5, attribute);
    graph_.bytes(1, node.text());
    return *this;
  }
  std::string text() const {
    return WireBytes()
        .varint(1, 8)
        .bytes(2, "test")
        .bytes(7, graph_.text())
        .bytes(8, WireBytes().bytes(1, "").varint(2, opset_).text())
        .text();
  }

 private:
  static WireBytes tensor(const std::string& name, const Integers& dims, int type) {
    WireBytes bytes;
    for (std::int64_t dim : dims) bytes.varint(1, dim);
    bytes.varint(2, type).bytes(8, name);
    return bytes;
  }
  static std::string value_info(const std::string& name, const Integers& dims, int type) {
    WireBytes shape;
    for (std::int64_t dim : dims) {
      shape.bytes(1, dim == kSymbolic ? WireBytes().bytes(2, "N").text()
                                      : WireBytes().varint(1, dim).text());
    }
    const std::string tensor_type = WireBytes().varint(1, type).bytes(2, shape.text()).text();
    return WireBytes().bytes(1, name).bytes(2, WireBytes().bytes(1, tensor_type).text()).text();
  }
  std::int64_t opset_;
  WireBytes graph_;
};

}  // namespace pluto::testing
