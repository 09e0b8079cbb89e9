#include <fmt/format.h>

#include "model/passes/recompute.h"

namespace pluto {

const char* to_text(Recompute recompute) {
  switch (recompute) {
    case Recompute::kNone:
      return "none";
    case Recompute::kSelective:
      return "selective";
    case Recompute::kFull:
      return "full";
  }
  return "?";
}

Result<Recompute> parse_recompute(std::string_view text) {
  for (const auto one : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    if (text == to_text(one)) return one;
  }
  return invalid_input(fmt::format("'{}' is no way to recompute", text),
                       "write none, selective or full");
}

}  // namespace pluto
