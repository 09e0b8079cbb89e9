#pragma once
// The builders behind the names of the zoo, by family.

#include "base/result.h"
#include "model/zoo.h"

namespace pluto {

Result<ModelGraph> build_mlp(const ZooOptions& options);
Result<ModelGraph> build_lenet(const ZooOptions& options);
Result<ModelGraph> build_alexnet(const ZooOptions& options);
Result<ModelGraph> build_alexnet_one_tower(const ZooOptions& options);
Result<ModelGraph> build_vgg(const ZooOptions& options, int layers);     ///< 16 or 19
Result<ModelGraph> build_resnet(const ZooOptions& options, int layers);  ///< 18, 50, 101 or 152
Result<ModelGraph> build_resnet18_cifar(const ZooOptions& options);
Result<ModelGraph> build_googlenet(const ZooOptions& options);
Result<ModelGraph> build_inception_v3(const ZooOptions& options);

/// Sizes of a transformer; ZooOptions override them.
struct TransformerSize {
  std::int64_t layers, width, heads, vocabulary, sequence;
};
Result<ModelGraph> build_gpt2(const ZooOptions& options, const std::string& name,
                              TransformerSize size);
Result<ModelGraph> build_bert(const ZooOptions& options, const std::string& name,
                              TransformerSize size);

Result<ModelGraph> build_lstm_lm(const ZooOptions& options);
Result<ModelGraph> build_gru_seq2seq(const ZooOptions& options);
Result<ModelGraph> build_wide_deep(const ZooOptions& options);
Result<ModelGraph> build_dssm(const ZooOptions& options);

}  // namespace pluto
