#include "cli/launcher.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/text.h"

namespace pluto {

namespace {

// A signal handler can reach nothing else; written by the handler, read by the loop below.
std::atomic<int> g_stop_signal{0};   // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<int> g_signals_seen{0};  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

extern "C" void note_signal(int signal_number) {
  g_stop_signal = signal_number;
  ++g_signals_seen;
}

/// Installs note_signal for SIGINT and SIGTERM and restores what was there.
class SignalScope {
 public:
  SignalScope() {
    g_stop_signal = 0;
    g_signals_seen = 0;
    struct sigaction action = {};
    action.sa_handler = note_signal;
    sigaction(SIGINT, &action, &old_int_);
    sigaction(SIGTERM, &action, &old_term_);
  }
  ~SignalScope() {
    sigaction(SIGINT, &old_int_, nullptr);
    sigaction(SIGTERM, &old_term_, nullptr);
  }
  SignalScope(const SignalScope&) = delete;
  SignalScope& operator=(const SignalScope&) = delete;

 private:
  struct sigaction old_int_ = {}, old_term_ = {};
};

std::vector<std::string> command_line(const Launch& launch) {
  std::vector<std::string> words;
  if (launch.ranks > 1) {
    words = {PLUTO_MPIEXEC, "--oversubscribe",          "--bind-to",
             "none",        PLUTO_MPIEXEC_NUMPROC_FLAG, std::to_string(launch.ranks)};
  }
  words.push_back(launch.program);
  words.insert(words.end(), launch.arguments.begin(), launch.arguments.end());
  return words;
}

/// The child's side of fork(): never returns.
[[noreturn]] void become(const Launch& launch, int out, int err) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  setpgid(0, 0);  // Ctrl-C reaches only the parent, which asks for an orderly stop
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  setenv("OMP_NUM_THREADS", std::to_string(launch.threads_per_rank).c_str(), 1);
  setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
  setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  setenv("OMPI_MCA_btl", "self,vader,tcp", 0);
  std::vector<std::string> words = command_line(launch);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  const std::string problem = fmt::format("cannot start {}: {}\n", words[0], std::strerror(errno));
  if (write(STDERR_FILENO, problem.data(), problem.size()) < 0) _exit(126);
  _exit(127);
}

/// Cuts a byte stream into lines.
class LineBuffer {
 public:
  template <class F>
  void add(std::string_view bytes, F&& on_line) {
    text_ += bytes;
    std::size_t begin = 0;
    for (std::size_t end; (end = text_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      on_line(text_.substr(begin, end - begin));
    }
    text_.erase(0, begin);
  }

 private:
  std::string text_;
};

Error error_from(const Value& message) {
  Error error;
  error.code = ErrorCode::kWorker;
  if (const Value* code = message.find("code"); code && code->is_integer()) {
    error.code = static_cast<ErrorCode>(code->as_integer());
  }
  if (const Value* text = message.find("message"); text && text->is_string())
    error.message = text->as_string();
  if (const Value* help = message.find("help"); help && help->is_string())
    error.help = help->as_string();
  return error;
}

/// Lines of mpirun's own decoration around a failure.
bool is_launcher_noise(const std::string& line) {
  return trim(line).empty() || line.find("------") == 0 ||
         line.find("Primary job  terminated") != std::string::npos ||
         line.find("a non-zero exit code") != std::string::npos ||
         line.find("mpirun detected that") != std::string::npos;
}

Error ended_badly(int status, const std::vector<std::string>& words) {
  std::string said;
  for (const std::string& line : words) {
    if (is_launcher_noise(line)) continue;
    said += (said.empty() ? "" : "\n  ") + line;
    if (said.size() > 2000) break;
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127 &&
      said.find("cannot start") != std::string::npos) {
    return device_error(said, "apt-get install openmpi-bin, or run with one rank");
  }
  const std::string how = WIFSIGNALED(status)
                              ? fmt::format("was killed by signal {}", WTERMSIG(status))
                              : fmt::format("ended with status {}", WEXITSTATUS(status));
  return worker_error(
      fmt::format("the ranks' launcher {}{}{}", how, said.empty() ? "" : "; it said:\n  ", said),
      "the last finished checkpoint is kept; the same command continues from it");
}

}  // namespace

int stop_signal() { return g_stop_signal; }

Result<void> launch_ranks(const Launch& launch, const std::function<void(const Value&)>& hear) {
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) {
    return device_error(fmt::format("cannot make a pipe: {}", std::strerror(errno)));
  }
  const SignalScope signals;
  const pid_t child = fork();
  if (child < 0)
    return device_error(fmt::format("cannot start a process: {}", std::strerror(errno)));
  if (child == 0) become(launch, out[1], err[1]);
  close(out[1]);
  close(err[1]);

  LineBuffer out_lines, err_lines;
  std::vector<std::string> err_words;
  std::optional<Error> reported;
  int forwarded = 0;
  struct pollfd streams[2] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
  auto on_message = [&](const std::string& line) {
    auto message = parse_json(line, "rank output");
    if (!message.ok() || !message->is_object()) {
      err_words.push_back(line);
      return;
    }
    if (const Value* error = message->find("error")) {
      if (!reported) reported = error_from(*error);
    } else {
      hear(*message);
    }
  };
  while (streams[0].fd >= 0 || streams[1].fd >= 0) {
    poll(streams, 2, 200);
    for (int i = 0; i < 2; ++i) {
      if (streams[i].fd < 0 || !(streams[i].revents & (POLLIN | POLLHUP))) continue;
      char bytes[65536];
      const ssize_t got = read(streams[i].fd, bytes, sizeof(bytes));
      if (got > 0) {
        const std::string_view piece(bytes, static_cast<std::size_t>(got));
        if (i == 0) out_lines.add(piece, on_message);
        if (i == 1)
          err_lines.add(piece, [&](const std::string& line) { err_words.push_back(line); });
      } else if (got == 0 || errno != EINTR) {
        close(streams[i].fd);
        streams[i].fd = -1;
      }
    }
    if (const int seen = g_signals_seen; seen > forwarded) {
      kill(child, forwarded == 0 ? SIGUSR1 : SIGTERM);
      forwarded = seen;
    }
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (reported) return *reported;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return ended_badly(status, err_words);
}

}  // namespace pluto
