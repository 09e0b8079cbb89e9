#include "plan/strategy.h"

#include "plan/words.h"

namespace pluto {
namespace {

constexpr std::array<Word<TrainPrecision>, 5> kPrecisions = {{{TrainPrecision::kF32, "fp32"},
                                                              {TrainPrecision::kTf32, "tf32"},
                                                              {TrainPrecision::kFp16, "fp16"},
                                                              {TrainPrecision::kBf16, "bf16"},
                                                              {TrainPrecision::kFp8, "fp8"}}};
constexpr std::array<Word<AttentionKernel>, 3> kAttention = {
    {{AttentionKernel::kScores, "scores"},
     {AttentionKernel::kFlash, "flash"},
     {AttentionKernel::kFlash2, "flash2"}}};
constexpr std::array<Word<CollectiveAlgorithm>, 5> kAlgorithms = {
    {{CollectiveAlgorithm::kRing, "ring"},
     {CollectiveAlgorithm::kTree, "tree"},
     {CollectiveAlgorithm::kHalvingDoubling, "halving_doubling"},
     {CollectiveAlgorithm::kRecursiveDoubling, "recursive_doubling"},
     {CollectiveAlgorithm::kHierarchical, "hierarchical"}}};

}  // namespace

const char* to_text(TrainPrecision precision) { return word_of(kPrecisions, precision); }
Result<TrainPrecision> parse_train_precision(std::string_view text) {
  return parse_word(kPrecisions, "precision", text);
}

std::int64_t activation_bytes(TrainPrecision precision) {
  return precision == TrainPrecision::kF32 || precision == TrainPrecision::kTf32 ? 4 : 2;
}

const char* to_text(AttentionKernel kernel) { return word_of(kAttention, kernel); }
Result<AttentionKernel> parse_attention_kernel(std::string_view text) {
  return parse_word(kAttention, "way to run attention", text);
}

const char* to_text(CollectiveAlgorithm algorithm) { return word_of(kAlgorithms, algorithm); }
Result<CollectiveAlgorithm> parse_collective_algorithm(std::string_view text) {
  return parse_word(kAlgorithms, "algorithm", text);
}

}  // namespace pluto
