#include "base/document_builder.h"

#include <fmt/format.h>

#include <utility>

#include "base/check.h"

namespace pluto {
namespace {
// Trees are walked by recursion; no document of ours comes near this.
constexpr std::size_t kMaxDepth = 200;
}  // namespace

bool DocumentBuilder::refuse(int line, const std::string& message, std::string help) {
  if (!error_) {
    error_ = invalid_input(fmt::format("{}:{}: {}", source_, line, message), std::move(help));
  }
  return false;
}

bool DocumentBuilder::expects_key() const {
  return !frames_.empty() && frames_.back().is_object && !frames_.back().key_line;
}

bool DocumentBuilder::open_object(int line) { return open(true, line); }
bool DocumentBuilder::open_array(int line) { return open(false, line); }

bool DocumentBuilder::open(bool is_object, int line) {
  if (refused()) return false;
  if (frames_.size() == kMaxDepth) {
    return refuse(line, fmt::format("nested deeper than {} levels", kMaxDepth));
  }
  const int own_line = take_line(line);
  Frame frame;
  frame.is_object = is_object;
  frame.line = own_line;
  frames_.push_back(std::move(frame));
  return true;
}

bool DocumentBuilder::close() {
  if (refused()) return false;
  PLUTO_CHECK(!frames_.empty(), "close without open");
  Frame frame = std::move(frames_.back());
  frames_.pop_back();
  Value value =
      frame.is_object ? Value(std::move(frame.members)) : Value(std::move(frame.elements));
  value.set_line(frame.line);
  add(std::move(value));
  return true;
}

bool DocumentBuilder::key(std::string name, int line) {
  if (refused()) return false;
  PLUTO_CHECK(expects_key(), "a key outside an object, or two in a row");
  Frame& frame = frames_.back();
  if (!frame.keys.insert(name).second) {
    return refuse(line, fmt::format("{}: the key appears twice", name), "remove one of them");
  }
  frame.key = std::move(name);
  frame.key_line = line;
  return true;
}

bool DocumentBuilder::scalar(Value value, int line) {
  if (refused()) return false;
  value.set_line(take_line(line));
  add(std::move(value));
  return true;
}

Result<Value> DocumentBuilder::finish() {
  if (error_) return *error_;
  PLUTO_CHECK(frames_.empty() && root_.has_value(), "an unfinished document");
  return std::move(*root_);
}

// A member counts as standing where its key stands.
int DocumentBuilder::take_line(int line) {
  if (frames_.empty() || !frames_.back().is_object) return line;
  PLUTO_CHECK(frames_.back().key_line.has_value(), "a member without a key");
  return *std::exchange(frames_.back().key_line, std::nullopt);
}

void DocumentBuilder::add(Value value) {
  if (frames_.empty()) {
    PLUTO_CHECK(!root_.has_value(), "two roots");
    root_ = std::move(value);
  } else if (frames_.back().is_object) {
    frames_.back().members.emplace_back(std::move(frames_.back().key), std::move(value));
  } else {
    frames_.back().elements.push_back(std::move(value));
  }
}

}  // namespace pluto
