#pragma once
// The reference kernels, one source per family. Operand order: docs/operators.md. Private to
// runtime/.
//
// What the table leaves open, as decided here and followed by every backend:
//   ids, labels     outside their range: the row reads as zero, takes no gradient and no loss
//   losses          mean over all positions of the micro-batch, padding counted, so that parts of a
//   batch just add avg_pool        count_include_pad counts padding up to the declared pads, not
//   what ceil_mode adds beyond batch_norm      normalises with the biased variance, keeps the
//   unbiased one (Ioffe and Szegedy 2015, algorithm 2) rotary          pairs element i with i + d/2
//   of its head (as GPT-NeoX and Llama checkpoints do) max_pool        the first of equal elements
//   wins; moe_ffn: the lowest of equal experts step            counted from 0; Adam's bias
//   correction uses step + 1

#include "runtime/kernel_table.h"

namespace pluto::reference {

void add_convolution_kernels(KernelTable& table);   ///< conv2d
void add_linear_kernels(KernelTable& table);        ///< linear matmul
void add_moe_kernels(KernelTable& table);           ///< moe_ffn
void add_pooling_kernels(KernelTable& table);       ///< max_pool avg_pool global_avg_pool
void add_channel_norm_kernels(KernelTable& table);  ///< batch_norm lrn
void add_row_norm_kernels(KernelTable& table);      ///< layer_norm rms_norm
void add_elementwise_kernels(
    KernelTable& table);  ///< relu gelu silu sigmoid tanh dropout add mul position_add
void add_shape_kernels(KernelTable& table);      ///< concat split slice reshape transpose
void add_attention_kernels(KernelTable& table);  ///< softmax attention rotary
void add_recurrent_kernels(KernelTable& table);  ///< lstm gru
void add_lookup_kernels(KernelTable& table);     ///< embedding embedding_bag cosine_similarity
void add_loss_kernels(KernelTable& table);       ///< softmax_cross_entropy bce_with_logits mse
void add_cast_kernels(KernelTable& table);       ///< cast
void add_update_kernels(KernelTable& table);     ///< accumulate sgd adam

}  // namespace pluto::reference
