#pragma once
// The layers model code is written in: an op with its parameters, named and initialised.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/graph.h"
#include "model/zoo.h"

namespace pluto {

/// Kernel, stride and padding of a window; height and width may differ.
struct Window {
  std::int64_t kernel_h = 1, kernel_w = 1, stride = 1, pad_h = 0, pad_w = 0;
};
/// A square window.
Window square(std::int64_t kernel, std::int64_t stride = 1, std::int64_t pad = 0);

/// Builds one model. Weights of convolutions and of linear layers before a relu start as He et al.
/// 2015 (normal, variance 2 / fan in) unless a standard deviation is given; biases start at zero.
class Net {
 public:
  explicit Net(std::string name) : name_(std::move(name)) {}
  GraphBuilder& builder() { return builder_; }

  /// Image input (channels, height, width), each replaced by what the options say.
  TensorId image(const ZooOptions& options, std::int64_t channels, std::int64_t height,
                 std::int64_t width);
  /// Index input.
  TensorId ids(const std::string& name, std::int64_t count);
  /// Float input.
  TensorId values(const std::string& name, std::int64_t count);

  TensorId conv(const std::string& name, TensorId x, std::int64_t channels, const Window& window,
                bool bias, std::int64_t groups = 1);
  TensorId batch_norm(const std::string& name, TensorId x, double epsilon = 1e-5);
  TensorId relu(const std::string& name, TensorId x) {
    return builder_.forward(name, OpKind::kRelu, NoAttrs{}, {x});
  }
  /// conv without bias, batch norm, relu: "name", "name.bn", "name.relu".
  TensorId conv_bn_relu(const std::string& name, TensorId x, std::int64_t channels,
                        const Window& window, double epsilon = 1e-5);
  /// conv with bias, relu: "name", "name.relu".
  TensorId conv_relu(const std::string& name, TensorId x, std::int64_t channels,
                     const Window& window, std::int64_t groups = 1);
  TensorId max_pool(const std::string& name, TensorId x, const Window& window,
                    bool ceil_mode = false);
  TensorId avg_pool(const std::string& name, TensorId x, const Window& window);
  TensorId global_avg_pool(const std::string& name, TensorId x) {
    return builder_.forward(name, OpKind::kGlobalAvgPool, NoAttrs{}, {x});
  }
  TensorId lrn(const std::string& name, TensorId x, LrnAttrs attrs) {
    return builder_.forward(name, OpKind::kLrn, attrs, {x});
  }
  TensorId flatten(const std::string& name, TensorId x);
  /// `stddev` 0: He.
  TensorId linear(const std::string& name, TensorId x, std::int64_t features, double stddev = 0,
                  bool bias = true);
  TensorId dropout(const std::string& name, TensorId x, double p);
  TensorId concat(const std::string& name, const std::vector<TensorId>& parts, std::int64_t axis);
  TensorId add(const std::string& name, TensorId a, TensorId b) {
    return builder_.forward(name, OpKind::kAdd, AddAttrs{}, {a, b});
  }
  TensorId layer_norm(const std::string& name, TensorId x, double epsilon = 1e-5);
  TensorId unary(const std::string& name, OpKind kind, TensorId x) {
    return builder_.forward(name, kind, NoAttrs{}, {x});
  }
  TensorId reshape(const std::string& name, TensorId x, std::vector<std::int64_t> dims) {
    return builder_.forward(name, OpKind::kReshape, ReshapeAttrs{std::move(dims)}, {x});
  }
  TensorId table(const std::string& name, std::int64_t rows, std::int64_t width, double stddev);
  TensorId embedding(const std::string& name, TensorId ids, TensorId table);

  /// Labels of the logits' leading shape, softmax cross-entropy, and the finished model. Errors:
  /// the first failure of any node.
  Result<ModelGraph> finish_classifier(TensorId logits) &&;
  /// Float targets of the logits' shape, binary cross-entropy, and the finished model.
  Result<ModelGraph> finish_binary(TensorId logits) &&;

 private:
  Result<ModelGraph> finish(TensorId logits, TensorId labels, TensorId loss) &&;
  std::string name_;
  GraphBuilder builder_;
  std::vector<TensorId> inputs_;
  std::int64_t dropouts_ = 0;
};

}  // namespace pluto
