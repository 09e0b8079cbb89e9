#pragma once
// data/founding.json: the tables of the founding systems, and what is assumed to predict them.

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "plan/cluster.h"

namespace pluto {

/// Published values by number of GPUs, or by name.
using ByGpus = std::vector<std::pair<int, double>>;
using ByName = std::vector<std::pair<std::string, double>>;

/// A machine of the AlexNet tables: GPUs that meet in the memory of their host.
struct HostMachine {
  std::string name;
  Seconds one_gpu;      ///< a step on one GPU
  ByGpus data, hybrid;  ///< speed-ups over it; the first of `data` anchors the sums
};

struct FoundingData {
  struct {
    std::int64_t batch = 0;  ///< of all GPUs
    std::vector<std::string> sharded;
    ByGpus data, hybrid;  ///< MiB moved
    std::string assumed;
  } alexnet;
  std::vector<HostMachine> machines;
  LinkSpec bus;  ///< of their features
  std::string machines_assumed;
  struct Network {
    std::string name;
    ByGpus reduced, multiplied;  ///< milliseconds
  };
  struct {
    std::int64_t per_gpu = 0;
    Seconds alpha;
    FlopsPerSecond rebuild;  ///< rate of the products that rebuild gradients
    std::vector<Network> networks;
    std::string assumed;
  } late;
  struct {
    std::string device;
    int nodes = 0, devices = 0;
    std::int64_t per_gpu = 0;
    Bytes bucket;
    LinkSpec bus, network;
    ByName gains;  ///< percent, by model of the zoo
    std::string assumed;
  } convnets;
  struct {
    std::string model;
    std::int64_t rows = 0;  ///< of its tables
    int nodes = 0;
    std::int64_t per_gpu = 0;
    double reading = 0, ring = 0, half = 0;  ///< times faster
    std::string assumed;
  } recommender;

  /// Errors: kNotFound for a name that has no machine.
  Result<HostMachine> machine(const std::string& name) const;
};

/// Strict. Errors: kNotFound, kInvalidInput with file:line.
Result<FoundingData> load_founding(const std::string& path);

}  // namespace pluto
