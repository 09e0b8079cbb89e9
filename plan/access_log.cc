#include "plan/access_log.h"

namespace pluto {
namespace {

bool overlap(const ElementRange& a, const ElementRange& b) {
  return a.begin < b.end && b.begin < a.end;
}
bool within(const ElementRange& inner, const ElementRange& outer) {
  return inner.begin >= outer.begin && inner.end <= outer.end;
}

}  // namespace

void AccessLog::before_read(TensorId tensor, const ElementRange& range,
                            std::vector<TaskId>& tasks) const {
  for (const Access& access : writers_[tensor.index()]) {
    if (overlap(access.range, range)) tasks.push_back(access.task);
  }
}

void AccessLog::before_write(TensorId tensor, const ElementRange& range,
                             std::vector<TaskId>& tasks) const {
  before_read(tensor, range, tasks);
  for (const Access& access : readers_[tensor.index()]) {
    if (overlap(access.range, range)) tasks.push_back(access.task);
  }
}

void AccessLog::read(TensorId tensor, const ElementRange& range, TaskId task) {
  readers_[tensor.index()].push_back({task, range});
}

void AccessLog::write(TensorId tensor, const ElementRange& range, TaskId task) {
  const auto over = [&](const Access& access) { return within(access.range, range); };
  std::erase_if(writers_[tensor.index()], over);
  std::erase_if(readers_[tensor.index()], over);
  writers_[tensor.index()].push_back({task, range});
}

void AccessLog::forget(TensorId tensor) {
  writers_[tensor.index()].clear();
  readers_[tensor.index()].clear();
}

}  // namespace pluto
