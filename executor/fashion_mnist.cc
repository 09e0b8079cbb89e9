#include "executor/fashion_mnist.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "executor/idx_file.h"

namespace pluto {

namespace {

struct Samples {
  std::int64_t count = 0, height = 0, width = 0;
  std::vector<std::uint8_t> pixels, labels;
};

class FashionMnist : public DataSource {
 public:
  FashionMnist(Samples samples, ImageFit fit, Bytes per_sample)
      : samples_(std::move(samples)), fit_(std::move(fit)), per_sample_(per_sample) {}
  std::int64_t size() const override { return samples_.count; }
  Bytes bytes_per_sample() const override { return per_sample_; }
  Bytes resident() const override {
    return Bytes(static_cast<std::int64_t>(samples_.pixels.size() + samples_.labels.size()));
  }
  void read(std::int64_t index, std::span<void* const> slots) const override {
    const std::int64_t pixels = samples_.height * samples_.width;
    fit_.convert(samples_.pixels.data() + index * pixels, static_cast<float*>(slots[0]));
    const std::int32_t label = samples_.labels[static_cast<std::size_t>(index)];
    std::memcpy(slots[1], &label, sizeof label);
  }

 private:
  Samples samples_;
  ImageFit fit_;
  Bytes per_sample_;
};

/// `name` with ".gz" or without, whichever is there.
Result<std::string> find_file(const std::string& folder, const std::string& name) {
  for (const char* ending : {".gz", ""}) {
    const auto path = std::filesystem::path(folder) / (name + ending);
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored)) return path.string();
  }
  return not_found(fmt::format("Fashion-MNIST: no {}[.gz] in {}", name, folder),
                   folder == kFashionMnistFolder
                       ? "apt-get install dataset-fashion-mnist"
                       : "apt-get install dataset-fashion-mnist, and leave out data.path");
}

Result<Samples> read_samples(const std::string& folder, const std::string& prefix) {
  PLUTO_ASSIGN(const auto images_path, find_file(folder, prefix + "-images-idx3-ubyte"));
  PLUTO_ASSIGN(const auto labels_path, find_file(folder, prefix + "-labels-idx1-ubyte"));
  PLUTO_ASSIGN(auto images, read_idx(images_path, 3));
  PLUTO_ASSIGN(auto labels, read_idx(labels_path, 1));
  if (images.dims[0] != labels.dims[0]) {
    return invalid_input(fmt::format("{}: {} labels for the {} images of {}", labels_path,
                                     labels.dims[0], images.dims[0], images_path));
  }
  for (std::size_t i = 0; i < labels.values.size(); ++i) {
    if (labels.values[i] < kFashionMnistClasses) continue;
    constexpr std::size_t kHeader = 8;
    return invalid_input(fmt::format("{}: offset {}: label {}; the classes are 0 to {}",
                                     labels_path, kHeader + i, labels.values[i],
                                     kFashionMnistClasses - 1));
  }
  return Samples{images.dims[0], images.dims[1], images.dims[2], std::move(images.values),
                 std::move(labels.values)};
}

/// Refuses models that are no image classifiers. Returns the type of the image input.
Result<TensorType> image_input(const ModelGraph& model) {
  const auto refused = [&](const std::string& why) {
    return invalid_input(fmt::format("fashion-mnist does not fit model {}: {}", model.name, why),
                         "choose data source \"synthetic\", or an image model");
  };
  if (model.inputs.size() != 1) {
    return refused(fmt::format("it has {} inputs, an image is one", model.inputs.size()));
  }
  const Tensor& image = model.graph.tensor(model.inputs[0]);
  if (image.type.dtype != DType::kF32) {
    return refused(fmt::format("input {} holds {}", image.name, to_text(image.type.dtype)));
  }
  if (!model.labels.valid()) return refused("it has no labels");
  const Tensor& labels = model.graph.tensor(model.labels);
  if (labels.type.dtype != DType::kI32 || labels.type.shape.elements() != 1) {
    return refused(fmt::format("labels {} are {} of {}, not one class per image", labels.name,
                               to_text(labels.type.dtype), to_text(labels.type.shape)));
  }
  const Shape& logits = model.graph.tensor(model.logits).type.shape;
  if (logits.rank() == 0 || logits.dims.back() < kFashionMnistClasses) {
    return refused(fmt::format("its answer is {}, there are {} classes", to_text(logits),
                               kFashionMnistClasses));
  }
  return image.type;
}

}  // namespace

Result<ImageFit> ImageFit::make(std::int64_t height, std::int64_t width, const Shape& target) {
  ImageFit fit;
  fit.value_of_.resize(256);
  for (std::size_t byte = 0; byte < 256; ++byte) {
    fit.value_of_[byte] = static_cast<float>((static_cast<double>(byte) / 255 - kFashionMnistMean) /
                                             kFashionMnistDeviation);
  }
  if (target.rank() == 1 && target[0] == height * width) {
    fit.plane_ = height * width;
    return fit;
  }
  if (target.rank() != 2 && target.rank() != 3) {
    return invalid_input(fmt::format("an input of shape {} cannot hold an image of {}x{}",
                                     to_text(target), height, width));
  }
  fit.channels_ = target.rank() == 3 ? target[0] : 1;
  const std::int64_t rows = target[target.rank() - 2], columns = target[target.rank() - 1];
  fit.plane_ = rows * columns;
  if (rows == height && columns == width) return fit;

  const bool pad = rows >= height && columns >= width && rows < 2 * height && columns < 2 * width;
  fit.pixel_of_.resize(static_cast<std::size_t>(fit.plane_));
  const std::int64_t top = (rows - height) / 2, left = (columns - width) / 2;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      // Centre of the target pixel, in pixels of the image: (row + 1/2) height / rows.
      const std::int64_t y = pad ? row - top : (2 * row + 1) * height / (2 * rows);
      const std::int64_t x = pad ? column - left : (2 * column + 1) * width / (2 * columns);
      const bool inside = y >= 0 && y < height && x >= 0 && x < width;
      fit.pixel_of_[static_cast<std::size_t>(row * columns + column)] =
          inside ? static_cast<std::int32_t>(y * width + x) : -1;
    }
  }
  return fit;
}

void ImageFit::convert(const std::uint8_t* pixels, float* target) const {
  for (std::int64_t i = 0; i < plane_; ++i) {
    const std::int32_t at =
        pixel_of_.empty() ? static_cast<std::int32_t>(i) : pixel_of_[static_cast<std::size_t>(i)];
    target[i] = value_of_[at < 0 ? 0 : pixels[at]];
  }
  for (std::int64_t channel = 1; channel < channels_; ++channel) {
    std::copy_n(target, plane_, target + channel * plane_);
  }
}

Result<DataSet> open_fashion_mnist(const DataChoice& choice, const ModelGraph& model) {
  PLUTO_ASSIGN(const TensorType image, image_input(model));
  const std::string folder = choice.path.value_or(kFashionMnistFolder);
  DataSet set;
  for (const bool training : {true, false}) {
    PLUTO_ASSIGN(auto samples, read_samples(folder, training ? "train" : "t10k"));
    if (training && choice.samples) {
      if (*choice.samples < 1 || *choice.samples > samples.count) {
        return invalid_input(fmt::format("data: samples: {} asked for, {} has {}", *choice.samples,
                                         folder, samples.count));
      }
      samples.count = *choice.samples;
      samples.pixels.resize(
          static_cast<std::size_t>(samples.count * samples.height * samples.width));
      samples.pixels.shrink_to_fit();
      samples.labels.resize(static_cast<std::size_t>(samples.count));
    }
    PLUTO_ASSIGN_AT("model " + model.name, auto fit,
                    ImageFit::make(samples.height, samples.width, image.shape));
    const Bytes per_sample = image.bytes(1) + model.graph.tensor(model.labels).type.bytes(1);
    auto source = std::make_unique<FashionMnist>(std::move(samples), std::move(fit), per_sample);
    (training ? set.train : set.test) = std::move(source);
  }
  return set;
}

Result<std::int64_t> count_fashion_mnist(const DataChoice& choice) {
  const std::string folder = choice.path.value_or(kFashionMnistFolder);
  PLUTO_ASSIGN(const auto path, find_file(folder, "train-labels-idx1-ubyte"));
  PLUTO_ASSIGN(const auto dims, read_idx_dims(path, 1));
  if (choice.samples && (*choice.samples < 1 || *choice.samples > dims[0])) {
    return invalid_input(
        fmt::format("data: samples: {} asked for, {} has {}", *choice.samples, folder, dims[0]),
        fmt::format("set data.samples to at most {}", dims[0]));
  }
  return choice.samples.value_or(dims[0]);
}

}  // namespace pluto
