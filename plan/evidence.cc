#include "plan/evidence.h"

#include <array>

#include "plan/words.h"

namespace pluto {
namespace {

constexpr std::array<Word<Evidence>, 5> kEvidence = {{{Evidence::kMeasured, "measured"},
                                                      {Evidence::kInterpolated, "interpolated"},
                                                      {Evidence::kCalibrated, "calibrated"},
                                                      {Evidence::kDatasheet, "datasheet"},
                                                      {Evidence::kAssumed, "assumed"}}};

}  // namespace

const char* to_text(Evidence evidence) { return word_of(kEvidence, evidence); }

char evidence_letter(Evidence evidence) {
  return static_cast<char>(to_text(evidence)[0] - 'a' + 'A');
}

Result<Evidence> parse_evidence(std::string_view text) {
  return parse_word(kEvidence, "evidence", text);
}

}  // namespace pluto
