// The cases that other planners ship or publish, with their inputs: how long ours takes, and its
// answer beside theirs. Fails when an answer is not theirs: both solve the same problem exactly.
// (Piper decides greedily which layers recompute, which errs in none of these cases.)

#include <fmt/format.h>
#include <sys/resource.h>

#include <cmath>

#include "bench/peer_cases.h"

namespace pluto::bench {

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

namespace {

bool print(const PeerCase& one) {
  const double ratio = one.objective / one.their_objective;
  constexpr double kRounding = 1e-9;
  const bool right = std::abs(ratio - 1) <= kRounding;
  fmt::print("{}\n  time       {:.4f} s, theirs {:.4g} s: {:.0f} times faster\n", one.name,
             one.seconds, one.their_seconds, one.their_seconds / one.seconds);
  fmt::print("  objective  {:.9g} {}, {} {:.9g}: ratio {:.6f}{}\n", one.objective, one.unit,
             one.reference, one.their_objective, ratio, right ? "" : "  WRONG");
  fmt::print("  {}\n\n", one.note);
  return right;
}

int run() {
  const std::string folder = std::string(PLUTO_SOURCE_DIR) + "/data/measured";
  bool right = true;
  for (const auto& cases : {pipedream_cases, piper_cases, galvatron_cases, calculon_cases}) {
    const auto results = cases(folder);
    if (!results.ok()) {
      fmt::print(stderr, "error: {}\n", results.error().message);
      return 2;
    }
    for (const PeerCase& one : *results) right = print(one) && right;
  }
  return right ? 0 : 1;
}

}  // namespace
}  // namespace pluto::bench

int main() { return pluto::bench::run(); }
