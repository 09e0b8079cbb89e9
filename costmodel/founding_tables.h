#pragma once
// The tables of the founding systems (K40 and M40 nodes, 10 GbE and InfiniBand, 128 P100), row by
// row: published against predicted from lowered and simulated plans.
//
// What the tables say and what is assumed where they say nothing: data/founding.json. The
// numbers that are not of a datasheet are taken from the group's first row, which is then no
// prediction (`anchor`).

#include <string>
#include <vector>

#include "base/result.h"
#include "costmodel/founding_data.h"

namespace pluto {

struct FoundingRow {
  std::string what;
  double published = 0, predicted = 0;
  bool anchor = false;  ///< a constant was taken from it
  double relative_error() const { return predicted / published - 1; }
};
struct FoundingTable {
  std::string name, unit, assumptions;
  std::vector<FoundingRow> rows;
};

/// Bytes that devices move in one step of AlexNet, from the collectives of lowered plans, counted
/// as the table counts: gradients 2 P G, features on their way into the first sharded layer once.
Result<FoundingTable> alexnet_volumes(const FoundingData& data, bool hybrid);
/// Speed-ups over one GPU.
Result<FoundingTable> alexnet_speed_ups(const FoundingData& data, const HostMachine& machine);
/// Milliseconds of synchronisation, all_reduce and late multiplication.
Result<FoundingTable> late_multiplication(const FoundingData& data);
/// Gain of ring, fusion and overlap over parameter servers after backward, in percent.
Result<FoundingTable> convnet_gains(const FoundingData& data, const std::string& data_folder);
/// Gains of a recommender, each over the step before: from one reader, from parameter servers, from
/// 32 bits on the wire. Servers are as slow as the convolutional networks' first row implies.
Result<FoundingTable> recommender_gains(const FoundingData& data, const std::string& data_folder);

std::string to_text(const FoundingTable& table);

}  // namespace pluto
