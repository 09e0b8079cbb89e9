#include "profiler/agreement.h"

namespace pluto {

Result<void> start_together(Communicator* communicator) {
  if (!communicator) return {};
  return communicator->barrier();
}

Result<bool> leader_decides(Communicator* communicator, bool wish) {
  if (!communicator) return wish;
  std::byte decision{static_cast<unsigned char>(wish ? 1 : 0)};
  PLUTO_TRY(communicator->broadcast(std::span(&decision, 1), 0));
  return decision == std::byte{1};
}

}  // namespace pluto
