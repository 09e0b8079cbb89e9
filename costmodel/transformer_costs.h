#pragma once
// data/transformer.json: the constants of the closed form, their spreads, and devices that differ.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/document.h"
#include "base/result.h"
#include "plan/cluster.h"

namespace pluto {

/// Every number of the closed form that is not a datasheet's or a count. All are positive.
enum class TransformerConstant : std::uint8_t {
  kGemmFraction,       ///< share of the peak that large matrix products reach
  kGemmRampElements,   ///< output elements a product loses to partly filled waves
  kGemmRampDepth,      ///< length of the inner dimension a product loses to its prologue
  kAttentionFraction,  ///< share of the peak that fused attention reaches
  kElementFraction,    ///< share of the memory bandwidth that element-wise operators reach
  kHostPerOp,          ///< seconds of the host to launch one operator
  kKernelFloor,        ///< seconds of the device per operator beyond its work
  kCollectiveFloor,    ///< seconds of a collective beyond its steps
  kSendFloor,          ///< seconds of a send between stages beyond its latency: hosts that meet
  kIntraFraction,      ///< share of the link inside a node that collectives reach
  kNetworkFraction,    ///< share of the network that collectives reach
  kUpdateBytes,        ///< bytes of memory traffic per parameter of an optimizer step
  kStepFixed,          ///< seconds of a step that depend on nothing
  kOverlapSlowdown,    ///< seconds lost per second in which communication and compute overlap
  kTensorExposed,      ///< share of tensor-parallel communication seen with overlap_tensor
  kFp8Gain,            ///< speed of products in 8 bits over that in 16
  kFlash2Gain,         ///< speed of the second fused attention over the first
};
constexpr std::size_t kTransformerConstants =
    static_cast<std::size_t>(TransformerConstant::kFlash2Gain) + 1;
const char* to_text(TransformerConstant constant);  ///< its key in the file: "gemm_fraction"

/// Constants for one device.
struct TransformerCosts {
  std::array<double, kTransformerConstants> value{};
  std::array<double, kTransformerConstants> spread{};  ///< of ln(value), as known beforehand
  double step_spread = 0;                              ///< of ln(measured / predicted) of a step
  /// Of ln(measured / predicted) between kinds of layers: of what their device does, of what their
  /// host does, and the part of these variances that kinds of one tensor degree share.
  double layer_spread = 0.06, host_spread = 0.15, degree_share = 0.5;
  double operator[](TransformerConstant constant) const {
    return value[static_cast<std::size_t>(constant)];
  }
};

/// The file: constants of a common device, and what differs on some.
class TransformerCostTable {
 public:
  /// Errors: kNotFound, kInvalidInput with file, line and key.
  static Result<TransformerCostTable> load(const std::string& path);
  /// Constants for the first entry whose text the device's name contains; else the common ones.
  TransformerCosts costs_for(const DeviceSpec& device) const;
  /// Whether measured steps of this device, or of one whose name shares the entry's text, are what
  /// its constants were fitted to.
  bool fitted_on(const DeviceSpec& device) const;
  /// What the constants were believed to be before any measured step was seen: the start of every
  /// fit that has to be independent of the shipped tables.
  const TransformerCosts& believed() const { return believed_; }
  /// `costs`, but for what was believed of this device alone.
  TransformerCosts with_beliefs(const TransformerCosts& costs, const DeviceSpec& device) const;

 private:
  struct Override {
    std::string match;
    TransformerConstant constant;
    double value;
  };
  static Result<void> read_overrides(ObjectReader& reader, const std::string& match,
                                     std::vector<Override>& overrides);
  static TransformerCosts overridden(TransformerCosts costs, const DeviceSpec& device,
                                     const std::vector<Override>& overrides);
  TransformerCosts common_;
  TransformerCosts believed_;
  std::vector<Override> overrides_, beliefs_;
  std::vector<std::string> fitted_on_;  ///< texts that names of devices contain
};

}  // namespace pluto
