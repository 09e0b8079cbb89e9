// Compares the NCCL model with measured collectives: as shipped, and with constants fitted again
// without the system that is predicted.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "bench/collective_fit.h"
#include "costmodel/collective_points.h"

namespace pluto::bench {
namespace {

using Errors = std::vector<double>;  // predicted / measured - 1

double quantile(Errors errors, double share) {
  if (errors.empty()) return 0;
  for (double& error : errors) error = std::abs(error);
  std::ranges::sort(errors);
  const double place = share * static_cast<double>(errors.size() - 1);
  const auto low = static_cast<std::size_t>(place);
  const auto high = std::min(low + 1, errors.size() - 1);
  return std::lerp(errors[low], errors[high], place - static_cast<double>(low));
}

Errors errors_of(const std::vector<const CollectiveRow*>& rows, const NcclTable& table) {
  Errors errors;
  for (const auto* row : rows) {
    errors.push_back(nccl_time(row->call, row->cluster, table).time.value() / row->seconds - 1);
  }
  return errors;
}

/// Shipped and left-out errors of some rows.
struct Both {
  Errors shipped, left_out;
};

void print(const std::string& name, const Both& both) {
  fmt::print("{:42} {:5} {:8.1f} {:8.1f} {:10.1f} {:8.1f}\n", name, both.shipped.size(),
             100 * quantile(both.shipped, 0.5), 100 * quantile(both.shipped, 0.9),
             100 * quantile(both.left_out, 0.5), 100 * quantile(both.left_out, 0.9));
}

void print_constants(const NcclTable& table) {
  fmt::print("\nfitted again to all rows (nccl.json holds these, rounded)\n");
  for (const auto protocol : {NcclProtocol::kLL, NcclProtocol::kLL128, NcclProtocol::kSimple}) {
    const auto& one = table.protocols[static_cast<std::size_t>(protocol)];
    fmt::print("  {:8} start {:.2f} us, steps {:.2f}, bandwidth {:.3f}\n", to_text(protocol),
               one.start.value() * 1e6, one.steps, one.bandwidth);
  }
  fmt::print("  nvls start {:.1f} us, own copy {:.2f} and {:.2f} (pairs)\n",
             table.nvls_start.value() * 1e6, table.own_copy, table.own_copy_pairs);
  fmt::print("  pairs start {:.2f} us, simple {:.2f} us, LL {:.2f} GB/s, bandwidth {:.3f}\n",
             table.pairs.start.value() * 1e6, table.pairs.simple_start.value() * 1e6,
             table.pairs.ll_rate.value() / 1e9, table.pairs.bandwidth);
  for (const char* name : {"PCIe", "NVLink2", "NVLink3", "NVLink4", "NVLink5"}) {
    const auto& link = table.links.at(name);
    fmt::print(
        "  {:8} base {:.2f} us, step {:.2f} us, bandwidth {:.3f}, local {:.3f}, nvls {:.3f}\n",
        name, link.base.value() * 1e6, link.step.value() * 1e6, link.bandwidth, link.local,
        link.nvls);
  }
}

Result<void> validate() {
  const std::string data = std::string(PLUTO_SOURCE_DIR) + "/data";
  PLUTO_ASSIGN(const auto shipped, load_nccl(data + "/nccl.json"));
  PLUTO_ASSIGN(const auto rows, read_collectives(data + "/measured/collectives.csv.gz", shipped));
  std::vector<const CollectiveRow*> all;
  std::set<std::string> systems;
  for (const auto& row : rows) {
    all.push_back(&row);
    systems.insert(row.system);
  }

  const Errors as_shipped = errors_of(all, shipped);
  Errors left_out(all.size());
  for (const auto& system : systems) {
    std::vector<const CollectiveRow*> others, own;
    for (const auto* row : all) (row->system == system ? own : others).push_back(row);
    const Errors errors = errors_of(own, fit_nccl(shipped, others));
    for (std::size_t i = 0, next = 0; i < all.size(); ++i) {
      if (all[i]->system == system) left_out[i] = errors[next++];
    }
  }

  std::map<std::string, Both> by_system, by_size, by_link;
  Both nvlink, every;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto add = [&](Both& both) {
      both.shipped.push_back(as_shipped[i]);
      both.left_out.push_back(left_out[i]);
    };
    const auto bytes = static_cast<double>(all[i]->call.bytes.value());
    const int decade = static_cast<int>(std::log10(bytes));
    const bool pcie = all[i]->link == "PCIe";
    add(by_system[all[i]->system + " " + to_text(all[i]->call.kind)]);
    add(by_size[fmt::format("{} 1e{} bytes", pcie ? "PCIe  " : "NVLink", decade)]);
    add(by_link[all[i]->link]);
    if (!pcie) add(nvlink);
    add(every);
  }
  fmt::print(
      "absolute error in %                                   shipped        system left out\n");
  fmt::print("{:42} {:>5} {:>8} {:>8} {:>10} {:>8}\n", "", "n", "median", "p90", "median", "p90");
  for (const auto* table : {&by_system, &by_size, &by_link}) {
    for (const auto& [name, both] : *table) print(name, both);
    fmt::print("\n");
  }
  print("NVLink", nvlink);
  print("all", every);

  fmt::print("\nall systems of a link left out: it takes its constants from the others\n");
  for (const auto& [name, unused] : by_link) {
    std::vector<const CollectiveRow*> others, own;
    for (const auto* row : all) (row->link == name ? own : others).push_back(row);
    const Errors errors = errors_of(own, fit_nccl(shipped, others));
    fmt::print("  {:8} {:5} {:8.1f} {:8.1f}\n", name, errors.size(), 100 * quantile(errors, 0.5),
               100 * quantile(errors, 0.9));
  }

  fmt::print("\nspread of the log error with the system left out (90th percentile / 1.645)\n");
  for (const auto& [name, both] : by_link) {
    Errors logs;
    for (const double error : both.left_out) logs.push_back(std::log1p(error));
    fmt::print("  {:8} {:.2f}\n", name, quantile(logs, 0.9) / 1.645);
  }

  fmt::print("\nworst ten with the system left out\n");
  std::vector<std::size_t> order(all.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    return std::abs(std::log1p(left_out[a])) > std::abs(std::log1p(left_out[b]));
  });
  for (std::size_t i = 0; i < std::min<std::size_t>(10, order.size()); ++i) {
    const auto& row = *all[order[i]];
    fmt::print("  line {:4}  {:28} {:14} {} GPUs {:10} bytes  {:10.1f} us  {:+.0f} %\n", row.line,
               row.system, to_text(row.call.kind), row.call.ranks, row.call.bytes.value(),
               row.seconds * 1e6, 100 * left_out[order[i]]);
  }
  print_constants(fit_nccl(shipped, all));
  return {};
}

}  // namespace
}  // namespace pluto::bench

int main() {
  const auto result = pluto::bench::validate();
  if (result.ok()) return 0;
  fmt::print(stderr, "error: {}\n", result.error().message);
  return 2;
}
