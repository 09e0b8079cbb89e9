#include "executor/agreement.h"

#include <fmt/format.h>

namespace pluto {

Result<std::vector<Check>> exchange_checks(Communicator& communicator, const Check& own) {
  std::vector<Check> all(static_cast<std::size_t>(communicator.size()));
  PLUTO_TRY(communicator.all_gather(std::as_bytes(std::span(&own, 1)),
                                    std::as_writable_bytes(std::span(all))));
  return all;
}

Result<void> agree(Communicator& communicator, const Result<void>& own) {
  const std::byte failed{own.ok() ? std::uint8_t{0} : std::uint8_t{1}};
  std::vector<std::byte> all(static_cast<std::size_t>(communicator.size()));
  auto exchanged = communicator.all_gather(std::span(&failed, 1), all);
  if (!own.ok()) return own;
  PLUTO_TRY(std::move(exchanged));
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank] != std::byte{0}) {
      return worker_error(fmt::format("rank {} failed; its own message says why", rank));
    }
  }
  return {};
}

RunEnd Guards::verdict(Seconds elapsed, Seconds ahead) const {
  const Seconds then = elapsed + ahead;
  if (budget && price * then > *budget) return RunEnd::kBudget;
  if (deadline && then > *deadline) return RunEnd::kDeadline;
  return RunEnd::kFinished;
}

}  // namespace pluto
