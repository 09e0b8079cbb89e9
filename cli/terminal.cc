#include "cli/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace pluto {

namespace {

const char* code_text(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidInput:
      return "invalid_input";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kDevice:
      return "device";
    case ErrorCode::kWorker:
      return "worker";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

/// What helps when the error itself names no fix.
const char* usual_fix(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidInput:
      return "correct what is named above; docs/ describes every file and key";
    case ErrorCode::kNotFound:
      return "check the name or path for a typing error";
    case ErrorCode::kUnsupported:
      return "README.md lists what is supported";
    case ErrorCode::kIo:
      return "check that the path exists, its permissions, and the free space";
    case ErrorCode::kDevice:
      return "pluto-plan doctor";
    case ErrorCode::kWorker:
      return "the same command continues from what was kept";
    case ErrorCode::kInternal:
      return "this is a bug in Pluto; please report it with the command you typed";
  }
  return "";
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void write_line(std::FILE* stream, std::string_view line) {
  std::fwrite(line.data(), 1, line.size(), stream);
  std::fputc('\n', stream);
  std::fflush(stream);
}

}  // namespace

Terminal::Terminal(bool json, bool quiet)
    : json_(json), quiet_(quiet), interactive_(isatty(STDERR_FILENO) != 0) {}

void Terminal::say(std::string_view line) {
  if (json_) return;
  end_progress();
  write_line(stdout, line);
}

void Terminal::result(const Value& document) {
  if (json_) write_line(stdout, to_json(document));
}

void Terminal::note(std::string_view line) {
  if (quiet_) return;
  end_progress();
  write_line(stderr, line);
}

void Terminal::progress(double share, std::string_view what) {
  if (quiet_) return;
  constexpr int kBarWidth = 24;
  if (interactive_) {
    const int filled = static_cast<int>(std::clamp(share, 0.0, 1.0) * kBarWidth);
    const std::string bar = std::string(static_cast<std::size_t>(filled), '#') +
                            std::string(static_cast<std::size_t>(kBarWidth - filled), '.');
    std::fputs(fmt::format("\r\033[K[{}] {:3.0f} %  {:.90}", bar, share * 100, what).c_str(),
               stderr);
    std::fflush(stderr);
    drawing_ = true;
    return;
  }
  constexpr double kSecondsBetweenLines = 10;
  if (now() - last_progress_ < kSecondsBetweenLines) return;
  last_progress_ = now();
  write_line(stderr, fmt::format("{:3.0f} %  {}", share * 100, what));
}

void Terminal::end_progress() {
  if (!drawing_) return;
  std::fputs("\r\033[K", stderr);
  drawing_ = false;
}

void Terminal::error(const Error& error) {
  end_progress();
  const std::string help = error.help.empty() ? usual_fix(error.code) : error.help;
  if (json_) {
    Value document = Value::object();
    document.set("schema", "pluto.error/1")
        .set("code", code_text(error.code))
        .set("message", error.message);
    document.set("help", help);
    result(document);
    return;
  }
  const std::string text = "error: " + error.message + "\n  help: " + help;
  write_line(stderr, text);
}

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidInput:
    case ErrorCode::kNotFound:
    case ErrorCode::kUnsupported:
      return 2;
    case ErrorCode::kIo:
    case ErrorCode::kDevice:
      return 5;
    case ErrorCode::kWorker:
      return 7;
    case ErrorCode::kInternal:
      return 70;
  }
  return 70;
}

}  // namespace pluto
