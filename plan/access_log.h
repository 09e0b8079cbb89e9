#pragma once
// Who touched which elements of a tensor since they were last written: where the predecessors of a
// task come from.

#include <vector>

#include "plan/step_program.h"

namespace pluto {

/// Ranges are elements of a tensor; all of it is [0, elements).
class AccessLog {
 public:
  explicit AccessLog(std::size_t tensors) : writers_(tensors), readers_(tensors) {}

  /// Appends the tasks that a reader of the range must wait for: its last writers.
  void before_read(TensorId tensor, const ElementRange& range, std::vector<TaskId>& tasks) const;
  /// As above for a writer: the last writers, and who has read since.
  void before_write(TensorId tensor, const ElementRange& range, std::vector<TaskId>& tasks) const;
  void read(TensorId tensor, const ElementRange& range, TaskId task);
  void write(TensorId tensor, const ElementRange& range, TaskId task);
  /// The tensor holds a new value that nobody has touched.
  void forget(TensorId tensor);

 private:
  struct Access {
    TaskId task;
    ElementRange range;
  };
  std::vector<std::vector<Access>> writers_, readers_;  // by TensorId
};

}  // namespace pluto
