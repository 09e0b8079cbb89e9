#pragma once
// Plans for tiny models, run on ranks that are threads.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "executor/run.h"

namespace pluto::testing {

struct TinyPlan {
  int ranks = 1;
  std::int64_t global_batch = 12, steps = 6, samples = 40;
  int accumulation = 1;
  OptimizerAttrs optimizer = SgdAttrs{0.9, 1e-3, false};
};
/// A lawful plan of the model on synthetic data, without buckets.
Plan tiny_plan(const ModelGraph& model, const TinyPlan& tiny);

/// Buckets in gradient order, all of one method; what has no sufficient factors is all-reduced
/// instead.
void set_method(Plan& plan, const ModelGraph& model, SyncMethod method);
/// A bucket per parameter: sufficient factors where there are, else parameter servers and
/// all_reduce in turn.
void mix_methods(Plan& plan, const ModelGraph& model);

LoweredPlan lowered(const ModelGraph& model, const Plan& plan);
std::unique_ptr<Device> open_test_device(const std::string& backend);
/// The plan's data; `with_test` uses the training samples as test set too.
DataSet tiny_data(const ModelGraph& model, const Plan& plan, bool with_test = false);

/// One rank's surroundings, for tests that change them before the run.
struct RankSetup {
  int rank = 0;
  DataSet data;
  std::unique_ptr<Device> device;
  RunOptions options;
  MeasurementSink* sink = nullptr;
};
/// A device that leaves everything to another; tests override what they change.
class WrappedDevice : public Device {
 public:
  explicit WrappedDevice(std::unique_ptr<Device> inner) : inner_(std::move(inner)) {}
  std::string name() const override { return inner_->name(); }
  std::string fingerprint() const override { return inner_->fingerprint(); }
  Bytes memory() const override { return inner_->memory(); }
  Result<std::unique_ptr<Kernel>> compile(const KernelRequest& request) override {
    return inner_->compile(request);
  }
  Result<std::unique_ptr<DeviceBuffer>> allocate(Bytes size) override {
    return inner_->allocate(size);
  }
  void copy_to_device(void* destination, const void* source, Bytes size) override {
    inner_->copy_to_device(destination, source, size);
  }
  void copy_to_host(void* destination, const void* source, Bytes size) override {
    inner_->copy_to_host(destination, source, size);
  }
  void synchronize() override { inner_->synchronize(); }

 private:
  std::unique_ptr<Device> inner_;
};

/// Runs the plan on plan.layout.ranks() threads. Parameters are kept; evaluation is off unless
/// `change` asks for it.
std::vector<Result<RunReport>> run_ranks(const ModelGraph& model, const Plan& plan,
                                         const RunOptions& options = {},
                                         const std::function<void(RankSetup&)>& change = {});
/// As above; every rank must succeed. The report of rank 0.
RunReport run_whole(const ModelGraph& model, const Plan& plan, const RunOptions& options = {},
                    const std::function<void(RankSetup&)>& change = {});

/// Largest |a - b| / (1 + |a|).
double largest_difference(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace pluto::testing
