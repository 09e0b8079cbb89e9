#include <fmt/format.h>

#include <array>

#include "base/text.h"
#include "model/passes/passes.h"

namespace pluto {
namespace {

constexpr std::array kMethods = {SyncMethod::kNone,
                                 SyncMethod::kAllReduce,
                                 SyncMethod::kParameterServer,
                                 SyncMethod::kSufficientFactor,
                                 SyncMethod::kFactorServer,
                                 SyncMethod::kShard};

}  // namespace

const char* to_text(SyncMethod method) {
  switch (method) {
    case SyncMethod::kNone:
      return "none";
    case SyncMethod::kAllReduce:
      return "all_reduce";
    case SyncMethod::kParameterServer:
      return "parameter_server";
    case SyncMethod::kSufficientFactor:
      return "sufficient_factor";
    case SyncMethod::kFactorServer:
      return "factor_server";
    case SyncMethod::kShard:
      return "shard";
  }
  return "";
}

Result<SyncMethod> parse_sync_method(std::string_view text) {
  std::vector<std::string> names;
  for (SyncMethod method : kMethods) {
    if (text == to_text(method)) return method;
    names.emplace_back(to_text(method));
  }
  const auto nearest = nearest_word(text, names);
  return invalid_input(fmt::format("'{}' is no synchronisation method", text),
                       nearest ? fmt::format("did you mean '{}'?", *nearest)
                               : fmt::format("one of {}", fmt::join(names, ", ")));
}

}  // namespace pluto
