#pragma once
// Fashion-MNIST from its IDX files: kept as bytes, converted when a sample is read.

#include <string>

#include "executor/data_source.h"

namespace pluto {

/// Where the Debian package dataset-fashion-mnist puts the files.
inline constexpr const char* kFashionMnistFolder = "/usr/share/datasets/fashion-mnist";
/// Mean and standard deviation of all 47,040,000 training pixels scaled to [0, 1] (72.9404 and
/// 90.0212 of 255). Source of the data: Xiao, Rasul, Vollgraf 2017.
inline constexpr double kFashionMnistMean = 0.2860406;
inline constexpr double kFashionMnistDeviation = 0.3530242;
inline constexpr int kFashionMnistClasses = 10;

/// How one image of `height` x `width` bytes fills the first input of a model: (C,H,W) gets the
/// same plane in every channel; (784) and the like take the pixels in order. Planes up to twice the
/// image's sides are padded around it with black, others are scaled to the nearest pixel.
/// Value: (pixel / 255 - mean) / deviation.
class ImageFit {
 public:
  /// Errors: kInvalidInput when the shape cannot hold an image.
  static Result<ImageFit> make(std::int64_t height, std::int64_t width, const Shape& target);
  void convert(const std::uint8_t* pixels, float* target) const;

 private:
  std::vector<std::int32_t> pixel_of_;  ///< by position in the plane; -1: padding. Empty: as it is
  std::int64_t plane_ = 0, channels_ = 1;
  std::vector<float> value_of_;  ///< by byte
};

/// Reads {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz] below choice.path. `choice.samples`
/// keeps the first training samples only.
/// Errors: kNotFound with the package to install; those of read_idx; kInvalidInput when image and
/// label counts differ, a label is no class, or the model is no image classifier.
Result<DataSet> open_fashion_mnist(const DataChoice& choice, const ModelGraph& model);

/// Training samples open_fashion_mnist would deliver, from a file header alone. Errors: kNotFound,
/// kInvalidInput.
Result<std::int64_t> count_fashion_mnist(const DataChoice& choice);

}  // namespace pluto
