// Prints the tables of the founding systems: published, predicted, error. Usage: founding_tables
#include "costmodel/founding_tables.h"

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

int main() {
  using namespace pluto;
  const std::string folder = PLUTO_SOURCE_DIR "/data";
  const auto data = load_founding(folder + "/founding.json");
  if (!data.ok()) {
    std::fprintf(stderr, "error: %s\n", data.error().message.c_str());
    return 1;
  }
  std::vector<std::function<pluto::Result<FoundingTable>()>> tables = {
      [&] { return alexnet_volumes(*data, false); }, [&] { return alexnet_volumes(*data, true); }};
  for (const HostMachine& machine : data->machines) {
    tables.emplace_back([&] { return alexnet_speed_ups(*data, machine); });
  }
  tables.emplace_back([&] { return late_multiplication(*data); });
  tables.emplace_back([&] { return convnet_gains(*data, folder); });
  tables.emplace_back([&] { return recommender_gains(*data, folder); });
  for (const auto& make : tables) {
    const auto table = make();
    if (!table.ok()) {
      std::fprintf(stderr, "error: %s\n", table.error().message.c_str());
      return 1;
    }
    std::printf("%s\n", to_text(*table).c_str());
  }
  return 0;
}
