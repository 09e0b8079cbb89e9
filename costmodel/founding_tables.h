#pragma once
// The tables of the founding systems (K40 and M40 nodes, 10 GbE and InfiniBand, 128 P100), row by
// row: published against predicted from lowered and simulated plans.
//
// Where a table leaves something unsaid, what is assumed stands in `assumptions` of its group; the
// numbers that are not of a datasheet are taken from the group's first row, which is then no
// prediction (`anchor`).

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace pluto {

struct FoundingRow {
  std::string what;
  double published = 0;
  std::optional<double> predicted;  ///< absent: too much is unsaid
  bool anchor = false;              ///< a constant was taken from it
  double relative_error() const { return predicted ? *predicted / published - 1 : 0; }
};
struct FoundingTable {
  std::string name, unit, assumptions;
  std::vector<FoundingRow> rows;
};

/// A machine of the AlexNet tables: GPUs that meet in the memory of their host.
struct HostMachine {
  std::string name;
  double one_gpu_seconds = 0;                ///< a step of 512 images on one GPU
  double speed_up_of_two = 0;                ///< published, data parallel on two: anchors the sums
  std::vector<std::pair<int, double>> data;  ///< published speed-ups by GPUs
  std::vector<std::pair<int, double>> hybrid;
};
HostMachine k40_machine();
HostMachine m40_machine();

/// Bytes that devices move in one step of AlexNet at batch 512, from the collectives of lowered
/// plans, counted as the table counts: gradients 2 P G, features on their way into the first
/// sharded layer once.
Result<FoundingTable> alexnet_volumes(bool hybrid);
/// Speed-ups over one GPU at batch 512.
Result<FoundingTable> alexnet_speed_ups(const HostMachine& machine);
/// Milliseconds of synchronisation, all_reduce and late multiplication.
Result<FoundingTable> late_multiplication();
/// Gain of ring, fusion and overlap over parameter servers after backward, in percent.
Result<FoundingTable> convnet_gains(const std::string& data_folder);
/// The recommender on 64 nodes, as published: nothing is predicted.
FoundingTable recommender_gains();

std::string to_text(const FoundingTable& table);

}  // namespace pluto
