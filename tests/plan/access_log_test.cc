#include "plan/access_log.h"

#include <gmock/gmock.h>

namespace pluto {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const TensorId kTensor(0);
std::vector<TaskId> before_write(const AccessLog& log, std::int64_t begin, std::int64_t end) {
  std::vector<TaskId> tasks;
  log.before_write(kTensor, {begin, end}, tasks);
  return tasks;
}
std::vector<TaskId> before_read(const AccessLog& log, std::int64_t begin, std::int64_t end) {
  std::vector<TaskId> tasks;
  log.before_read(kTensor, {begin, end}, tasks);
  return tasks;
}

TEST(AccessLogTest, ReadersWaitForWritersOfWhatTheyRead) {
  AccessLog log(1);
  log.write(kTensor, {0, 5}, TaskId(1));
  log.write(kTensor, {5, 10}, TaskId(2));
  EXPECT_THAT(before_read(log, 0, 5), ElementsAre(TaskId(1)));
  EXPECT_THAT(before_read(log, 4, 6), ElementsAre(TaskId(1), TaskId(2)));
}

TEST(AccessLogTest, WritersWaitForReadersSinceTheLastWrite) {
  AccessLog log(1);
  log.write(kTensor, {0, 10}, TaskId(1));
  log.read(kTensor, {0, 10}, TaskId(2));
  EXPECT_THAT(before_write(log, 3, 4), ElementsAre(TaskId(1), TaskId(2)));
  log.write(kTensor, {0, 10}, TaskId(3));
  EXPECT_THAT(before_write(log, 3, 4), ElementsAre(TaskId(3)));
  log.forget(kTensor);
  EXPECT_THAT(before_write(log, 3, 4), IsEmpty());
}

TEST(AccessLogTest, APartLeavesTheRestToWhoWroteIt) {
  AccessLog log(1);
  log.write(kTensor, {0, 10}, TaskId(1));
  log.write(kTensor, {0, 5}, TaskId(2));
  EXPECT_THAT(before_read(log, 5, 10), ElementsAre(TaskId(1)));
  EXPECT_THAT(before_read(log, 0, 5), ElementsAre(TaskId(1), TaskId(2)));
}

}  // namespace
}  // namespace pluto
