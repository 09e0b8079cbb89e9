#pragma once
// A transformer language model by its dimensions, and a plan of how many devices train it.

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "plan/strategy.h"

namespace pluto {

/// A decoder-only transformer. Counts, no units.
struct TransformerShape {
  int layers = 1;
  int hidden = 1;
  int heads = 1;
  int kv_heads = 1;  ///< heads of keys and values (grouped-query attention); = heads without it
  int ffn = 4;       ///< inner width of the feed-forward block
  int sequence = 1;  ///< tokens per sample
  int vocabulary = 1;
  bool gated = false;             ///< three matrices in the feed-forward block instead of two
  bool biases = true;             ///< linear layers and normalisations have biases (GPT, not Llama)
  bool learned_positions = true;  ///< a table of sequence x hidden
  bool tied_embedding = true;     ///< the output layer uses the input embedding
  int experts = 1;                ///< feed-forward blocks per layer (all on every tensor group)
  int experts_per_token = 1;
  bool operator==(const TransformerShape&) const = default;

  int kv_width() const { return hidden / heads * kv_heads; }
  /// GPT with heads = kv_heads, ffn = 4 hidden.
  static TransformerShape gpt(int layers, int hidden, int heads, int sequence, int vocabulary);
};

double layer_parameters(const TransformerShape& shape);      ///< of one layer
double embedding_parameters(const TransformerShape& shape);  ///< token table alone
double parameters(const TransformerShape& shape);            ///< of the whole model
/// Floating-point operations of the matrix products of one step of `samples` sequences, forward and
/// backward, nothing recomputed: the numerator of the MFU (Narayanan et al. 2021, eq. 3, times
/// 3/4).
double model_flops(const TransformerShape& shape, double samples);

/// How the model is spread. Ranks are numbered tensor first, then context, data, pipeline.
struct TransformerPlan {
  int data = 1;
  int tensor = 1;
  int pipeline = 1;
  int context = 1;     ///< the sequence is cut in so many parts
  int interleave = 1;  ///< model chunks per pipeline stage
  bool sequence_parallel = false;
  int shard = 0;  ///< ZeRO stage: 0 none, 1 optimizer, 2 and gradients, 3 and parameters (FSDP)
  int micro_batch = 1;
  int global_batch = 1;
  Recompute recompute = Recompute::kNone;
  TrainPrecision precision = TrainPrecision::kBf16;
  AttentionKernel attention = AttentionKernel::kScores;
  bool overlap_data = false;    ///< gradients are exchanged during backward
  bool overlap_tensor = false;  ///< tensor-parallel collectives run in pieces under the products
  int gradient_bytes = 2;       ///< bytes per gradient element, kept and sent
  bool operator==(const TransformerPlan&) const = default;

  int devices() const { return data * tensor * pipeline * context; }
  int accumulation() const { return global_batch / (data * micro_batch); }
};

/// Everything positive, heads divisible by tensor, global_batch by data x micro_batch, layers at
/// least pipeline x interleave. Errors: kInvalidInput that names the field and the fix.
Result<void> check(const TransformerShape& shape, const TransformerPlan& plan);

}  // namespace pluto
