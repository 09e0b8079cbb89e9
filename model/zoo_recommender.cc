#include <fmt/format.h>

#include "model/zoo_blocks.h"
#include "model/zoo_families.h"

namespace pluto {

Result<ModelGraph> build_wide_deep(const ZooOptions& options) {
  // Fields as in the Criteo click logs; tower widths of Cheng et al. 2016, figure 4.
  constexpr std::int64_t kFields = 26, kDense = 13, kWidth = 32;
  const std::int64_t rows = options.vocabulary.value_or(100000);
  Net net("wide-deep");
  GraphBuilder& b = net.builder();
  const TensorId ids = net.ids("categories", kFields);
  const TensorId dense = net.values("numbers", kDense);
  const TensorId embedded = net.embedding("embed", ids, net.table("embedding", rows, kWidth, 0.01));
  TensorId deep = net.concat("features", {net.flatten("flatten", embedded), dense}, 0);
  int layer = 1;
  for (const std::int64_t width : {1024, 512, 256}) {
    deep =
        net.relu(fmt::format("relu{}", layer), net.linear(fmt::format("fc{}", layer), deep, width));
    ++layer;
  }
  deep = net.linear("deep", deep, 1);
  const TensorId wide = b.forward("wide", OpKind::kEmbeddingBag, EmbeddingAttrs{rows, 1},
                                  {ids, net.table("wide_weights", rows, 1, 0.01)});
  const TensorId logit = net.add("logit", deep, wide);
  return std::move(net).finish_binary(logit);
}

Result<ModelGraph> build_dssm(const ZooOptions& options) {
  // Huang et al. 2013: letter trigrams to 300-300-128 with tanh, cosine times gamma, softmax over
  // one clicked and four unclicked documents.
  constexpr std::int64_t kTrigrams = 16, kDocuments = 5, kHidden = 300, kSemantic = 128;
  constexpr double kGamma = 10, kStddev = 0.08;
  const std::int64_t rows = options.vocabulary.value_or(30621);
  Net net("dssm");
  GraphBuilder& b = net.builder();
  auto bag = [&](const std::string& name, TensorId ids, TensorId table) {
    return b.forward(name, OpKind::kEmbeddingBag, EmbeddingAttrs{rows, kHidden}, {ids, table});
  };
  auto tower = [&](const std::string& name, TensorId x) {
    x = net.unary(name + ".tanh1", OpKind::kTanh, x);
    x = net.unary(name + ".tanh2", OpKind::kTanh, net.linear(name + ".fc2", x, kHidden, kStddev));
    return net.unary(name + ".tanh3", OpKind::kTanh,
                     net.linear(name + ".fc3", x, kSemantic, kStddev));
  };
  const TensorId query_table = net.table("query.fc1.weight", rows, kHidden, kStddev);
  const TensorId query =
      tower("query", bag("query.fc1", net.ids("query_trigrams", kTrigrams), query_table));
  const TensorId document_table = net.table("document.fc1.weight", rows, kHidden, kStddev);
  std::vector<TensorId> documents;
  for (std::int64_t i = 0; i < kDocuments; ++i) {
    const TensorId ids = net.ids(fmt::format("document{}_trigrams", i), kTrigrams);
    documents.push_back(net.reshape(fmt::format("document{}.row", i),
                                    bag(fmt::format("document{}.fc1", i), ids, document_table),
                                    {1, kHidden}));
  }
  const TensorId all = tower("document", net.concat("documents", documents, 0));
  const TensorId logits =
      b.forward("similarity", OpKind::kCosineSimilarity, ScaleAttrs{kGamma}, {query, all});
  return std::move(net).finish_classifier(logits);
}

}  // namespace pluto
