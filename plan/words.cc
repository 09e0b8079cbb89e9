#include "plan/words.h"

#include <fmt/format.h>

#include "base/text.h"

namespace pluto {

Error unknown_word(const char* what, std::string_view text, const std::vector<std::string>& known) {
  const auto near = nearest_word(text, known);
  return invalid_input(fmt::format("unknown {} \"{}\"", what, text),
                       near ? fmt::format("did you mean \"{}\"?", *near)
                            : fmt::format("one of {}", fmt::join(known, ", ")));
}

}  // namespace pluto
