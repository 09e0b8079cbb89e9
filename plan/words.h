#pragma once
// Enumerators and their words: one table serves writing, reading and the list in the error.

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/result.h"

namespace pluto {

template <class Enum>
struct Word {
  Enum value;
  const char* text;
};

template <class Enum, std::size_t N>
const char* word_of(const std::array<Word<Enum>, N>& words, Enum value) {
  for (const Word<Enum>& word : words) {
    if (word.value == value) return word.text;
  }
  PLUTO_CHECK(false, "an enumerator without a word");
}

/// kInvalidInput "unknown <what> "costt"" with the nearest word, or all of them, as help.
Error unknown_word(const char* what, std::string_view text, const std::vector<std::string>& known);

/// Errors: those of unknown_word().
template <class Enum, std::size_t N>
Result<Enum> parse_word(const std::array<Word<Enum>, N>& words, const char* what,
                        std::string_view text) {
  std::vector<std::string> known;
  for (const Word<Enum>& word : words) {
    if (text == word.text) return word.value;
    known.emplace_back(word.text);
  }
  return unknown_word(what, text, known);
}

}  // namespace pluto
