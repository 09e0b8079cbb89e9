#include "executor/data_source.h"

#include <fmt/format.h>

#include "base/text.h"
#include "executor/fashion_mnist.h"
#include "executor/synthetic_data.h"

namespace pluto {

namespace {

Error unknown_source(const std::string& source) {
  const std::vector<std::string> known = {"fashion-mnist", "synthetic"};
  const auto nearest = nearest_word(source, known);
  return not_found(fmt::format("data: there is no source \"{}\"", source),
                   nearest ? fmt::format("did you mean \"{}\"?", *nearest)
                           : "use \"fashion-mnist\" or \"synthetic\"");
}

}  // namespace

Result<DataSet> open_data(const DataChoice& choice, const ModelGraph& model, std::uint64_t seed) {
  if (choice.source == "fashion-mnist") return open_fashion_mnist(choice, model);
  if (choice.source == "synthetic") return open_synthetic(choice, model, seed);
  return unknown_source(choice.source);
}

Result<std::int64_t> count_samples(const DataChoice& choice) {
  if (choice.source == "fashion-mnist") return count_fashion_mnist(choice);
  if (choice.source != "synthetic") return unknown_source(choice.source);
  if (!choice.samples || *choice.samples < 1) {
    return invalid_input("data: synthetic needs the number of samples", "set data.samples");
  }
  return *choice.samples;
}

}  // namespace pluto
