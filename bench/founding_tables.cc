// Prints the tables of the founding systems: published, predicted, error. Usage: founding_tables
#include "costmodel/founding_tables.h"

#include <cstdio>
#include <functional>
#include <vector>

int main() {
  using namespace pluto;
  using Table = std::function<pluto::Result<FoundingTable>()>;
  const std::vector<Table> tables = {
      [] { return alexnet_volumes(false); },
      [] { return alexnet_volumes(true); },
      [] { return alexnet_speed_ups(k40_machine()); },
      [] { return alexnet_speed_ups(m40_machine()); },
      [] { return late_multiplication(); },
      [] { return convnet_gains(PLUTO_SOURCE_DIR "/data"); },
      [] { return pluto::Result<FoundingTable>(recommender_gains()); },
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
