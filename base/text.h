#pragma once
// Small text questions: the nearest known word, and a table people can read.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pluto {

/// The candidate with the smallest edit distance to `word`, if near enough to be a typing error
/// (at most a third of the word's length, at least 1).
std::optional<std::string> nearest_word(std::string_view word,
                                        const std::vector<std::string>& candidates);

/// Splits at `separator`; keeps empty pieces; of empty text one empty piece.
std::vector<std::string> split(std::string_view text, char separator);
/// Without leading and trailing white space.
std::string_view trim(std::string_view text);

/// The finite decimal number that is the whole of `text`: no white space, no "inf", "nan" or
/// hexadecimal. Nullopt for all else, also when it does not fit a double.
std::optional<double> parse_number(std::string_view text);
/// As above, for a whole number without point or exponent that fits 64 bits.
std::optional<std::int64_t> parse_integer(std::string_view text);

/// A table of text: columns padded to their widest cell, two spaces apart; each row ends in a
/// newline. A column whose cells all look numeric ("12", "$1.20", "61.2 MiB", "2h05m"; empty and
/// "-" do not count) is aligned right with its heading, all else left. The first row is the
/// heading. Lengths count characters of UTF-8 text.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace pluto
