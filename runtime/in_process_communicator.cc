#include <fmt/format.h>

#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>

#include "runtime/point_to_point.h"

namespace pluto {

namespace {

/// What the ranks of one process share: a mailbox per ordered pair, a barrier, the first failure.
class Hub {
 public:
  explicit Hub(int ranks)
      : ranks_(ranks),
        mailboxes_(static_cast<std::size_t>(ranks) * static_cast<std::size_t>(ranks)) {}

  int ranks() const { return ranks_; }

  Result<void> exchange(int self, int to, std::span<const std::byte> send, int from,
                        std::span<std::byte> receive) {
    std::unique_lock lock(mutex_);
    if (!send.empty()) {
      Mailbox& box = mailbox(self, to);
      changed_.wait(lock, [&] { return !box.message || failure_; });
      if (failure_) return worker_error(*failure_);
      box.message = send;
      changed_.notify_all();
    }
    if (!receive.empty()) {
      Mailbox& box = mailbox(from, self);
      changed_.wait(lock, [&] { return box.message || failure_; });
      if (failure_) return worker_error(*failure_);
      if (box.message->size() != receive.size()) {
        return internal_error(fmt::format("rank {} expected {} bytes from rank {}, which sent {}",
                                          self, receive.size(), from, box.message->size()));
      }
      std::memcpy(receive.data(), box.message->data(), receive.size());
      box.message.reset();
      changed_.notify_all();
    }
    if (!send.empty()) {
      const Mailbox& box = mailbox(self, to);
      changed_.wait(lock, [&] { return !box.message || failure_; });
      if (failure_) return worker_error(*failure_);
    }
    return {};
  }

  Result<void> barrier() {
    std::unique_lock lock(mutex_);
    const std::uint64_t round = barrier_round_;
    if (++barrier_waiting_ == ranks_) {
      barrier_waiting_ = 0;
      ++barrier_round_;
      changed_.notify_all();
      return {};
    }
    changed_.wait(lock, [&] { return barrier_round_ != round || failure_; });
    if (barrier_round_ != round) return {};
    return worker_error(*failure_);
  }

  void fail(const std::string& message) {
    const std::scoped_lock lock(mutex_);
    if (!failure_) failure_ = message;
    changed_.notify_all();
  }

 private:
  struct Mailbox {
    std::optional<std::span<const std::byte>> message;
  };
  Mailbox& mailbox(int from, int to) {
    return mailboxes_[static_cast<std::size_t>(from) * static_cast<std::size_t>(ranks_) +
                      static_cast<std::size_t>(to)];
  }

  const int ranks_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Mailbox> mailboxes_;
  int barrier_waiting_ = 0;
  std::uint64_t barrier_round_ = 0;
  std::optional<std::string> failure_;
};

class InProcessCommunicator : public PointToPointCommunicator {
 public:
  InProcessCommunicator(std::shared_ptr<Hub> hub, int rank) : hub_(std::move(hub)), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return hub_->ranks(); }
  std::string transport() const override { return "in_process"; }
  Result<void> exchange(int to, std::span<const std::byte> send, int from,
                        std::span<std::byte> receive) override {
    return hub_->exchange(rank_, to, send, from, receive);
  }
  Result<void> barrier() override { return hub_->barrier(); }
  void abort(const std::string& message) override {
    hub_->fail(fmt::format("rank {}: {}", rank_, message));
  }

 private:
  std::shared_ptr<Hub> hub_;
  int rank_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_in_process_communicators(int size) {
  auto hub = std::make_shared<Hub>(size);
  std::vector<std::unique_ptr<Communicator>> all;
  for (int rank = 0; rank < size; ++rank)
    all.push_back(std::make_unique<InProcessCommunicator>(hub, rank));
  return all;
}

}  // namespace pluto
