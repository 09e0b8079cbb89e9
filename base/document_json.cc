#include <fmt/format.h>
#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

#include "base/check.h"
#include "base/document.h"
#include "base/document_builder.h"
#include "base/text.h"

namespace pluto {
namespace {

int line_at(std::string_view text, std::size_t offset) {
  const auto end = text.begin() + static_cast<std::ptrdiff_t>(std::min(offset, text.size()));
  return 1 + static_cast<int>(std::count(text.begin(), end, '\n'));
}

// Receives the events of RapidJSON and asks the stream where it stands: no token of JSON spans two
// lines, so the end of a token is as good as its beginning.
// NOLINTBEGIN(readability-identifier-naming): the reader names its events
class JsonHandler {
 public:
  JsonHandler(const rapidjson::MemoryStream& stream, DocumentBuilder& builder)
      : stream_(&stream), builder_(&builder) {}

  bool Null() { return builder_->scalar(Value(), line()); }
  bool Bool(bool value) { return builder_->scalar(value, line()); }
  bool RawNumber(const char* data, rapidjson::SizeType size, bool /*copy*/) {
    const std::string_view text(data, size);
    if (text.find_first_of(".eE") == std::string_view::npos) {
      if (const auto integer = parse_integer(text)) return builder_->scalar(*integer, line());
    } else if (const auto number = parse_number(text)) {
      return builder_->scalar(*number, line());
    }
    return builder_->refuse(line(), fmt::format("{}: the number does not fit 64 bits", text));
  }
  bool String(const char* data, rapidjson::SizeType size, bool /*copy*/) {
    return builder_->scalar(std::string(data, size), line());
  }
  bool Key(const char* data, rapidjson::SizeType size, bool /*copy*/) {
    return builder_->key(std::string(data, size), line());
  }
  bool StartObject() { return builder_->open_object(line()); }
  bool EndObject(rapidjson::SizeType /*count*/) { return builder_->close(); }
  bool StartArray() { return builder_->open_array(line()); }
  bool EndArray(rapidjson::SizeType /*count*/) { return builder_->close(); }

  // Every number arrives raw; the reader names these all the same.
  bool Int(int value) { return builder_->scalar(value, line()); }
  bool Uint(unsigned value) { return Int64(value); }
  bool Int64(std::int64_t value) { return builder_->scalar(value, line()); }
  bool Uint64(std::uint64_t value) { return Double(static_cast<double>(value)); }
  bool Double(double value) { return builder_->scalar(value, line()); }

 private:
  int line() {
    const std::size_t offset = stream_->Tell();
    line_ +=
        static_cast<int>(std::count(stream_->begin_ + counted_, stream_->begin_ + offset, '\n'));
    counted_ = offset;
    return line_;
  }

  const rapidjson::MemoryStream* stream_;
  DocumentBuilder* builder_;
  std::size_t counted_ = 0;
  int line_ = 1;
};
// NOLINTEND(readability-identifier-naming)

void append_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

void append_double(std::string& out, double number) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  // to_chars writes the shortest text that reads back as the same number, at most the 309 digits of
  // a whole one.
  char buffer[512];
  const auto [end, code] = std::to_chars(buffer, buffer + sizeof(buffer), number);
  PLUTO_CHECK(code == std::errc(), "a number longer than its buffer");
  const std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  out += text;
  if (text.find_first_of(".e") == std::string_view::npos) out += ".0";
}

class JsonWriter {
 public:
  explicit JsonWriter(bool compact) : compact_(compact) {}
  std::string take() { return std::move(out_); }

  void write(const Value& value, int depth) {
    if (value.is_object()) {
      write_object(value.as_object(), depth);
    } else if (value.is_array()) {
      write_array(value.as_array(), depth);
    } else if (value.is_string()) {
      append_string(out_, value.as_string());
    } else if (value.is_integer()) {
      fmt::format_to(std::back_inserter(out_), "{}", value.as_integer());
    } else if (value.is_number()) {
      append_double(out_, value.as_number());
    } else if (value.is_bool()) {
      out_ += value.as_bool() ? "true" : "false";
    } else {
      out_ += "null";
    }
  }

 private:
  void write_object(const Value::Object& members, int depth) {
    out_ += '{';
    bool first = true;
    for (const auto& [key, member] : members) {
      if (!first) out_ += ',';
      first = false;
      new_line(depth + 1);
      append_string(out_, key);
      out_ += compact_ ? ":" : ": ";
      write(member, depth + 1);
    }
    if (!members.empty()) new_line(depth);
    out_ += '}';
  }

  // A list of plain values reads best as one line.
  void write_array(const Value::Array& elements, int depth) {
    const bool flat = std::none_of(elements.begin(), elements.end(), [](const Value& element) {
      return element.is_array() || element.is_object();
    });
    out_ += '[';
    bool first = true;
    for (const Value& element : elements) {
      if (!first) out_ += flat && !compact_ ? ", " : ",";
      first = false;
      if (!flat) new_line(depth + 1);
      write(element, depth + 1);
    }
    if (!flat) new_line(depth);
    out_ += ']';
  }

  void new_line(int depth) {
    if (compact_) return;
    out_ += '\n';
    out_.append(2 * static_cast<std::size_t>(depth), ' ');
  }

  bool compact_;
  std::string out_;
};

}  // namespace

Result<Value> parse_json(std::string_view text, const std::string& source) {
  // RapidJSON takes a zero byte for the end of the text and would not see what follows.
  if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos) {
    return invalid_input(
        fmt::format("{}:{}: a zero byte in the text", source, line_at(text, zero)));
  }
  rapidjson::MemoryStream stream(text.data(), text.size());
  DocumentBuilder builder(source);
  JsonHandler handler(stream, builder);
  rapidjson::Reader reader;
  constexpr unsigned kFlags = rapidjson::kParseIterativeFlag |
                              rapidjson::kParseNumbersAsStringsFlag |
                              rapidjson::kParseValidateEncodingFlag;
  const rapidjson::ParseResult parsed = reader.Parse<kFlags>(stream, handler);
  if (builder.refused() || !parsed.IsError()) return builder.finish();

  std::string message = rapidjson::GetParseError_En(parsed.Code());
  while (message.ends_with('.')) message.pop_back();
  message.front() = static_cast<char>(std::tolower(static_cast<unsigned char>(message.front())));
  return invalid_input(fmt::format("{}:{}: {}", source, line_at(text, parsed.Offset()), message));
}

std::string to_json(const Value& value, bool compact) {
  JsonWriter writer(compact);
  writer.write(value, 0);
  std::string text = writer.take();
  if (!compact) text += '\n';
  return text;
}

}  // namespace pluto
