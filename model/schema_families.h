#pragma once
// The schemas of each family of op kinds, one source per family. Private to model/.

#include <vector>

#include "model/op_schema.h"

namespace pluto {

std::vector<OpSchema> dense_schemas();  ///< conv2d linear matmul moe_ffn
std::vector<OpSchema> pool_schemas();   ///< max_pool avg_pool global_avg_pool
std::vector<OpSchema> norm_schemas();   ///< batch_norm lrn layer_norm rms_norm
std::vector<OpSchema>
elementwise_schemas();  ///< relu gelu silu sigmoid tanh dropout add mul position_add
std::vector<OpSchema> shape_schemas();     ///< concat split slice reshape transpose
std::vector<OpSchema> sequence_schemas();  ///< softmax attention rotary lstm gru
std::vector<OpSchema> lookup_schemas();    ///< embedding embedding_bag cosine_similarity
std::vector<OpSchema> loss_schemas();      ///< softmax_cross_entropy bce_with_logits mse
std::vector<OpSchema> stage_schemas();     ///< send receive stage_reduce
std::vector<OpSchema>
training_schemas();  ///< cast accumulate sgd adam all_reduce server_push server_pull factor_gather

}  // namespace pluto
