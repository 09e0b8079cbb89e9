#pragma once
// A sink that remembers, and one that fails.

#include <vector>

#include "plan/measurement.h"

namespace pluto::testing {

class RecordingSink : public MeasurementSink {
 public:
  Result<void> record(const Measurement& measurement) override {
    measurements.push_back(measurement);
    return {};
  }
  template <class T>
  std::vector<T> all() const {
    std::vector<T> found;
    for (const Measurement& one : measurements) {
      if (const T* what = std::get_if<T>(&one.what)) found.push_back(*what);
    }
    return found;
  }
  std::vector<Measurement> measurements;
};

class FailingSink : public MeasurementSink {
 public:
  Result<void> record(const Measurement&) override { return io_error("the disk is full"); }
};

}  // namespace pluto::testing
