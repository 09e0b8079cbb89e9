// Prints the tables of the founding systems: published, predicted, error. Usage: founding_tables
#include <cstdio>
#include <functional>
#include <vector>

#include "bench/founding_rows.h"

int main() {
  using namespace pluto::bench;
  using Table = std::function<pluto::Result<FoundingTable>()>;
  const std::vector<Table> tables = {
      [] { return alexnet_volumes(false); },
      [] { return alexnet_volumes(true); },
      [] { return alexnet_speed_ups(k40_machine()); },
      [] { return alexnet_speed_ups(m40_machine()); },
      [] { return late_multiply(); },
      [] { return convnet_gains(PLUTO_SOURCE_DIR "/data"); },
      [] { return pluto::Result<FoundingTable>(recommender()); },
  };
  for (const Table& make : tables) {
    const auto table = make();
    if (!table.ok()) {
      std::fprintf(stderr, "error: %s\n", table.error().message.c_str());
      return 1;
    }
    std::printf("%s\n", to_text(*table).c_str());
  }
  return 0;
}
