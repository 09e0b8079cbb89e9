#include "costmodel/transformer_shape.h"

#include <fmt/format.h>

#include <string>

namespace pluto {

TransformerShape TransformerShape::gpt(int layers, int hidden, int heads, int sequence,
                                       int vocabulary) {
  TransformerShape shape;
  shape.layers = layers;
  shape.hidden = hidden;
  shape.heads = shape.kv_heads = heads;
  shape.ffn = 4 * hidden;
  shape.sequence = sequence;
  shape.vocabulary = vocabulary;
  return shape;
}

double layer_parameters(const TransformerShape& shape) {
  const double h = shape.hidden;
  const double kv = shape.kv_width();
  const double f = shape.ffn;
  const double attention = h * (h + 2 * kv) + h * h;
  const double block = (shape.gated ? 3 : 2) * h * f;
  double total = attention + shape.experts * block + 2 * h;
  if (shape.experts > 1) total += h * shape.experts;  // router
  if (shape.biases) total += (h + 2 * kv) + h + shape.experts * (f + h) + 2 * h;
  return total;
}

double embedding_parameters(const TransformerShape& shape) {
  return static_cast<double>(shape.vocabulary) * shape.hidden;
}

double parameters(const TransformerShape& shape) {
  const double h = shape.hidden;
  return shape.layers * layer_parameters(shape) +
         (shape.tied_embedding ? 1 : 2) * embedding_parameters(shape) +
         (shape.learned_positions ? h * shape.sequence : 0) + (shape.biases ? 2 : 1) * h;
}

double model_flops(const TransformerShape& shape, double samples) {
  const double h = shape.hidden;
  const double tokens = samples * shape.sequence;
  const double linear = h * (h + 2 * shape.kv_width()) + h * h +
                        shape.experts_per_token * (shape.gated ? 3 : 2) * h * shape.ffn;
  const double scores = 2 * h * shape.sequence;
  return 6 * tokens * (shape.layers * (linear + scores) + embedding_parameters(shape));
}

Result<void> check(const TransformerShape& shape, const TransformerPlan& plan) {
  struct Field {
    const char* name;
    int value;
  };
  for (const Field& field :
       {Field{"layers", shape.layers}, Field{"hidden", shape.hidden}, Field{"heads", shape.heads},
        Field{"kv_heads", shape.kv_heads}, Field{"ffn", shape.ffn},
        Field{"sequence", shape.sequence}, Field{"vocabulary", shape.vocabulary},
        Field{"experts", shape.experts}, Field{"experts_per_token", shape.experts_per_token},
        Field{"data", plan.data}, Field{"tensor", plan.tensor}, Field{"pipeline", plan.pipeline},
        Field{"context", plan.context}, Field{"interleave", plan.interleave},
        Field{"micro_batch", plan.micro_batch}, Field{"global_batch", plan.global_batch}}) {
    if (field.value < 1) {
      return invalid_input(fmt::format("{} is {}, must be at least 1", field.name, field.value));
    }
  }
  if (plan.shard < 0 || plan.shard > 3) {
    return invalid_input(fmt::format("shard is {}", plan.shard), "the stages of ZeRO are 0 to 3");
  }
  if (shape.heads % plan.tensor != 0) {
    return invalid_input(
        fmt::format("{} heads do not divide by tensor = {}", shape.heads, plan.tensor),
        "choose a divisor of the heads");
  }
  if (plan.global_batch % (plan.data * plan.micro_batch) != 0) {
    return invalid_input(fmt::format("global_batch {} is no multiple of data x micro_batch = {}",
                                     plan.global_batch, plan.data * plan.micro_batch),
                         "change one of the three");
  }
  if (shape.layers < plan.pipeline * plan.interleave) {
    return invalid_input(fmt::format("{} layers cannot fill pipeline x interleave = {} chunks",
                                     shape.layers, plan.pipeline * plan.interleave),
                         "use fewer stages or chunks");
  }
  return {};
}

}  // namespace pluto
