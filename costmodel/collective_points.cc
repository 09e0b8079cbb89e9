#include "costmodel/collective_points.h"

#include <fmt/format.h>

#include <cmath>

#include "base/csv.h"
#include "base/gzip_file.h"

namespace pluto {

Result<std::vector<CollectiveRow>> read_collectives(const std::string& path,
                                                    const NcclTable& table) {
  PLUTO_ASSIGN(const auto text, read_gzip_file(path));
  PLUTO_ASSIGN(const auto csv, CsvTable::parse(text, path));
  std::vector<CollectiveRow> rows;
  for (std::size_t i = 0; i < csv.rows(); ++i) {
    if (csv.text(i, "used") != "yes") continue;
    const auto kind = parse_collective_kind(csv.text(i, "collective").value_or(""));
    const auto gpus = csv.number(i, "gpus"), bytes = csv.number(i, "bytes"),
               time = csv.number(i, "time_us"), bandwidth = csv.number(i, "link_GBps");
    if (!kind.ok() || !gpus || !bytes || !time || !bandwidth) {
      return invalid_input(fmt::format("{}:{}: a cell is missing", path, csv.line(i)));
    }
    CollectiveRow row;
    row.system = csv.text(i, "system").value_or("");
    row.link = csv.text(i, "link").value_or("");
    row.seconds = *time * 1e-6;
    row.line = csv.line(i);
    row.call = {*kind, Bytes(std::llround(*bytes)), static_cast<int>(*gpus),
                static_cast<int>(*gpus)};
    auto& node = row.cluster.instance.node;
    node.devices = row.call.ranks;
    node.device.kind = DeviceKind::kGpu;
    node.intra = {row.link, table.of(row.link).reference_alpha, BytesPerSecond(*bandwidth * 1e9), 1,
                  0};
    node.network = {"none", Seconds(14e-6), BytesPerSecond(1e9), 1, 0};
    if (row.link.starts_with("PCIe")) row.link = "PCIe";
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace pluto
