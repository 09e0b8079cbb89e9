#include "model/zoo.h"

#include <fmt/format.h>

#include <functional>

#include "base/text.h"
#include "model/zoo_families.h"

namespace pluto {

namespace {

struct Entry {
  std::string name, summary;
  std::function<Result<ModelGraph>(const ZooOptions&)> build;
};

Entry gpt2_entry(const std::string& name, const std::string& summary, TransformerSize size) {
  return {name, summary,
          [name, size](const ZooOptions& options) { return build_gpt2(options, name, size); }};
}
Entry bert_entry(const std::string& name, const std::string& summary, TransformerSize size) {
  return {name, summary,
          [name, size](const ZooOptions& options) { return build_bert(options, name, size); }};
}

const std::vector<Entry>& entries() {
  static const std::vector<Entry> kEntries = {
      {"mlp", "two hidden layers of 512 on 28x28 images; 669,706 parameters", build_mlp},
      {"lenet",
       "LeCun et al. 1998 as in Caffe (20 and 50 filters, 500 units) with relu; 431,080 parameters",
       build_lenet},
      {"alexnet", "Krizhevsky et al. 2012, two groups, 227x227; 60,965,224 parameters",
       build_alexnet},
      {"alexnet-one-tower", "Krizhevsky 2014, 224x224; 61,100,840 parameters",
       build_alexnet_one_tower},
      {"vgg16", "Simonyan and Zisserman 2015, D; 138,357,544 parameters",
       [](const ZooOptions& o) { return build_vgg(o, 16); }},
      {"vgg19", "Simonyan and Zisserman 2015, E; 143,667,240 parameters",
       [](const ZooOptions& o) { return build_vgg(o, 19); }},
      {"googlenet", "Szegedy et al. 2015, main classifier; 6,998,552 parameters", build_googlenet},
      {"inception-v3", "Szegedy et al. 2016, main classifier; 23,834,568 parameters",
       build_inception_v3},
      {"resnet18", "He et al. 2016; 11,689,512 parameters",
       [](const ZooOptions& o) { return build_resnet(o, 18); }},
      {"resnet18-cifar",
       "resnet18 for 32x32 images: a 3x3 stem, no pooling, 10 classes; 11,173,962 parameters",
       build_resnet18_cifar},
      {"resnet50", "He et al. 2016, stride on the 3x3; 25,557,032 parameters",
       [](const ZooOptions& o) { return build_resnet(o, 50); }},
      {"resnet101", "He et al. 2016; 44,549,160 parameters",
       [](const ZooOptions& o) { return build_resnet(o, 101); }},
      {"resnet152", "He et al. 2016; 60,192,808 parameters",
       [](const ZooOptions& o) { return build_resnet(o, 152); }},
      {"gru-seq2seq", "GRU encoder and decoder with dot-product attention (Luong et al. 2015)",
       build_gru_seq2seq},
      {"lstm-lm", "Zaremba et al. 2014, medium: 2 x 650, 35 steps; 19,775,200 parameters",
       build_lstm_lm},
      gpt2_entry("gpt2", "Radford et al. 2019; 124,439,808 parameters, tied, no dropout",
                 {12, 768, 12, 50257, 1024}),
      gpt2_entry("gpt2-medium", "Radford et al. 2019; 354,823,168 parameters",
                 {24, 1024, 16, 50257, 1024}),
      gpt2_entry("gpt2-large", "Radford et al. 2019; 774,030,080 parameters",
                 {36, 1280, 20, 50257, 1024}),
      gpt2_entry("gpt2-xl", "Radford et al. 2019; 1,557,611,200 parameters",
                 {48, 1600, 25, 50257, 1024}),
      gpt2_entry(
          "gpt-small",
          "the GPT-2 architecture at 4 x 128 on bytes, 128 positions; for tests and small machines",
          {4, 128, 4, 256, 128}),
      bert_entry("bert-base",
                 "Devlin et al. 2019 with the masked-language head; 109,514,298 parameters",
                 {12, 768, 12, 30522, 512}),
      bert_entry("bert-large",
                 "Devlin et al. 2019 with the masked-language head; 335,174,458 parameters",
                 {24, 1024, 16, 30522, 512}),
      {"wide-deep",
       "Cheng et al. 2016: linear model beside a 1024-512-256 tower over 26 categories and 13 "
       "numbers",
       build_wide_deep},
      {"dssm",
       "Huang et al. 2013: query and document towers over letter trigrams, cosine similarity",
       build_dssm},
  };
  return kEntries;
}

const Entry* find(const std::string& name) {
  for (const Entry& entry : entries()) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

}  // namespace

const std::vector<std::string>& zoo_names() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    for (const Entry& entry : entries()) names.push_back(entry.name);
    return names;
  }();
  return kNames;
}

std::string zoo_summary(const std::string& name) {
  const Entry* entry = find(name);
  return entry ? entry->summary : "";
}

Result<ModelGraph> build_model(const std::string& name, const ZooOptions& options) {
  const Entry* entry = find(name);
  if (!entry) {
    const auto near = nearest_word(name, zoo_names());
    return not_found(
        fmt::format("there is no built-in model '{}'", name),
        near ? fmt::format("did you mean {}?", *near)
             : fmt::format("built in: {}; or give an .onnx file or a Hugging Face config.json",
                           fmt::join(zoo_names(), " ")));
  }
  return entry->build(options);
}

}  // namespace pluto
