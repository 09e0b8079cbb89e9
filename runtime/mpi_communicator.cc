// The C++ bindings were removed from the standard in MPI 3; leave them out of the headers that
// still bring them.
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <fmt/format.h>
#include <mpi.h>
#include <sys/prctl.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "runtime/point_to_point.h"

namespace pluto {

namespace {

constexpr std::size_t kLargestMessage = std::size_t{1} << 30;  // MPI counts are int

Result<void> mpi_result(int code, const char* what) {
  if (code == MPI_SUCCESS) return {};
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  return worker_error(
      fmt::format("{}: {}", what, std::string(text, static_cast<std::size_t>(length))));
}

/// Polls until every request is done. MPI progresses only inside its calls; the pauses leave the
/// core to the compute thread.
Result<void> wait_all(std::vector<MPI_Request>& requests) {
  using std::chrono::microseconds;
  constexpr int kPollsBeforeSleep = 20;
  constexpr microseconds kLongestSleep{50};
  microseconds pause{2};
  for (int polls = 0;; ++polls) {
    int done = 0;
    PLUTO_TRY(mpi_result(
        MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE),
        "waiting for a peer"));
    if (done) return {};
    if (polls < kPollsBeforeSleep) continue;
    // The default timer slack of 50 us would stretch every pause.
    if (polls == kPollsBeforeSleep) prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kLongestSleep);
  }
}

class MpiCommunicator : public PointToPointCommunicator {
 public:
  explicit MpiCommunicator(bool owns_mpi) : owns_mpi_(owns_mpi) {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  }
  ~MpiCommunicator() override {
    if (owns_mpi_) MPI_Finalize();
  }
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string transport() const override { return "mpi"; }

  Result<void> exchange(int to, std::span<const std::byte> send, int from,
                        std::span<std::byte> receive) override {
    requests_.clear();
    for (std::size_t at = 0; at < receive.size(); at += kLargestMessage) {
      const auto piece = receive.subspan(at, std::min(kLargestMessage, receive.size() - at));
      PLUTO_TRY(mpi_result(MPI_Irecv(piece.data(), static_cast<int>(piece.size()), MPI_BYTE, from,
                                     0, MPI_COMM_WORLD, &requests_.emplace_back()),
                           "receive"));
    }
    for (std::size_t at = 0; at < send.size(); at += kLargestMessage) {
      const auto piece = send.subspan(at, std::min(kLargestMessage, send.size() - at));
      PLUTO_TRY(mpi_result(MPI_Isend(piece.data(), static_cast<int>(piece.size()), MPI_BYTE, to, 0,
                                     MPI_COMM_WORLD, &requests_.emplace_back()),
                           "send"));
    }
    if (auto waited = wait_all(requests_); !waited.ok()) {
      return with_context(waited.error(), fmt::format("rank {} (sending to {}, receiving from {})",
                                                      rank_, to, from));
    }
    return {};
  }

  Result<void> barrier() override {
    requests_.assign(1, MPI_REQUEST_NULL);
    PLUTO_TRY(mpi_result(MPI_Ibarrier(MPI_COMM_WORLD, requests_.data()), "barrier"));
    return wait_all(requests_);
  }

  void abort(const std::string& message) override {
    std::fprintf(stderr, "rank %d: %s\n", rank_, message.c_str());
    std::fflush(stderr);
    MPI_Abort(MPI_COMM_WORLD, 7);
  }

 private:
  bool owns_mpi_;
  int rank_ = 0, size_ = 1;
  std::vector<MPI_Request> requests_;  // kept, so that a step allocates nothing
};

/// World size promised by the launcher of whichever MPI started us; 1 when none did.
int launched_ranks() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS"}) {
    if (const char* text = std::getenv(name)) return std::atoi(text);
  }
  return 1;
}

}  // namespace

Result<std::unique_ptr<Communicator>> make_mpi_communicator() {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (!initialized) {
    int provided = MPI_THREAD_SINGLE;
    if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided) != MPI_SUCCESS) {
      return device_error("MPI does not start", "run `pluto-plan doctor`");
    }
    if (provided < MPI_THREAD_SERIALIZED) {
      MPI_Finalize();
      return device_error("this MPI library does not allow calls from several threads",
                          "use a build of MPI with thread support");
    }
  }
  auto communicator = std::make_unique<MpiCommunicator>(!initialized);
  if (const int promised = launched_ranks(); promised > 1 && communicator->size() == 1) {
    return device_error(
        fmt::format("every process believes it is alone: the launcher started {} processes, but "
                    "this one sees world size 1; "
                    "this binary and this mpirun come from different MPIs (binary: {})",
                    promised, mpi_version()),
        "use the mpirun of the MPI this was built with, or build again with the other one");
  }
  return std::unique_ptr<Communicator>(std::move(communicator));
}

std::string mpi_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string whole(text, static_cast<std::size_t>(length));
  return whole.substr(0, whole.find(','));
}

}  // namespace pluto
