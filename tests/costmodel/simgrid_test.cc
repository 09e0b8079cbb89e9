// The closed forms of collective_time() against an independent simulator: the messages of the same
// algorithms, sent one by one over links that SimGrid shares among whoever uses them.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <simgrid/s4u.hpp>
#include <string>
#include <vector>

#include "costmodel/collective_time.h"
#include "tests/support/table_costs.h"

namespace pluto {
namespace {

namespace sg = simgrid::s4u;

/// What one rank sends in one step of an algorithm; nothing where `to` is its own rank.
struct Message {
  int to = 0, from = 0;  ///< from: who sends to this rank in the same step
  double bytes = 0, incoming = 0;
};
using Schedule = std::vector<std::vector<Message>>;  // by rank, by step

Schedule ring_all_reduce(int ranks, double bytes) {
  Schedule schedule(static_cast<std::size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    const Message message{(rank + 1) % ranks, (rank + ranks - 1) % ranks, bytes / ranks,
                          bytes / ranks};
    schedule[static_cast<std::size_t>(rank)].assign(static_cast<std::size_t>(2 * (ranks - 1)),
                                                    message);
  }
  return schedule;
}

/// Every rank sends each of the first `owners` ranks, spread over the nodes, its shard.
Schedule direct_reduce_scatter(int ranks, int owners, double bytes) {
  const auto owns = [&](int rank) { return rank % (ranks / owners) == 0; };
  Schedule schedule(static_cast<std::size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    for (int distance = 1; distance < ranks; ++distance) {
      const int to = (rank + distance) % ranks, from = (rank + ranks - distance) % ranks;
      schedule[static_cast<std::size_t>(rank)].push_back(
          {to, from, owns(to) ? bytes / owners : 0, owns(rank) ? bytes / owners : 0});
    }
  }
  return schedule;
}

/// Seconds SimGrid needs. Ranks of a node share its two directions of the network interface; inside
/// a node each rank has links of its own.
double simulated(const ClusterSpec& cluster, const Schedule& schedule) {
  int argc = 2;
  char name[] = "simgrid_test", quiet[] = "--log=root.thresh:critical";
  char* argv[] = {name, quiet, nullptr};
  sg::Engine engine(&argc, argv);
  for (const char* setting :
       {"network/model:CM02", "network/TCP-gamma:0", "network/crosstraffic:0", "network/weight-S:0",
        "network/latency-factor:1", "network/bandwidth-factor:1", "contexts/factory:thread"}) {
    sg::Engine::set_config(setting);
  }
  const auto& node = cluster.instance.node;
  const int ranks = static_cast<int>(schedule.size());
  auto* zone = sg::create_full_zone("cluster");
  const auto link = [&](const std::string& what, int index, const LinkSpec& spec, double latency) {
    return zone->create_link(what + std::to_string(index), spec.bandwidth.value())
        ->set_latency(latency)
        ->seal();
  };
  std::vector<sg::Host*> hosts;
  std::vector<const sg::Link*> out, in, up, down;
  for (int rank = 0; rank < ranks; ++rank) {
    hosts.push_back(zone->create_host("rank" + std::to_string(rank), 1e9));
    out.push_back(link("out", rank, node.intra, node.intra.alpha.value()));
    in.push_back(link("in", rank, node.intra, 0));
  }
  for (int one = 0; one < cluster.nodes; ++one) {
    up.push_back(link("up", one, node.network, node.network.alpha.value()));
    down.push_back(link("down", one, node.network, 0));
  }
  for (int a = 0; a < ranks; ++a) {
    for (int b = 0; b < ranks; ++b) {
      if (a == b) continue;
      const auto from = static_cast<std::size_t>(a), to = static_cast<std::size_t>(b);
      const auto node_a = static_cast<std::size_t>(a / node.devices),
                 node_b = static_cast<std::size_t>(b / node.devices);
      const bool inside = node_a == node_b;
      std::vector<sg::LinkInRoute> route;
      for (const sg::Link* hop :
           {inside ? out[from] : up[node_a], inside ? in[to] : down[node_b]}) {
        route.emplace_back(hop);
      }
      zone->add_route(hosts[from]->get_netpoint(), hosts[to]->get_netpoint(), nullptr, nullptr,
                      route, false);
    }
  }
  zone->seal();
  for (int rank = 0; rank < ranks; ++rank) {
    sg::Actor::create(
        "rank" + std::to_string(rank), hosts[static_cast<std::size_t>(rank)], [&schedule, rank] {
          static char token = 0;
          const auto box = [](int from, int to) {
            return sg::Mailbox::by_name(std::to_string(from) + ">" + std::to_string(to));
          };
          for (const Message& message : schedule[static_cast<std::size_t>(rank)]) {
            sg::CommPtr put, get;
            char* got = nullptr;
            if (message.bytes > 0) {
              put = box(rank, message.to)
                        ->put_async(&token, static_cast<std::uint64_t>(message.bytes));
            }
            if (message.incoming > 0) get = box(message.from, rank)->get_async<char>(&got);
            if (put) put->wait();
            if (get) get->wait();
          }
        });
  }
  engine.run();
  return sg::Engine::get_clock();
}

/// In a process of its own: a process has one engine.
double simulated_apart(const ClusterSpec& cluster, const Schedule& schedule) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    const double seconds = simulated(cluster, schedule);
    const bool told = write(ends[1], &seconds, sizeof seconds) == sizeof seconds;
    _exit(told ? 0 : 1);
  }
  close(ends[1]);
  double seconds = -1;
  EXPECT_EQ(read(ends[0], &seconds, sizeof seconds), static_cast<ssize_t>(sizeof seconds));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  return seconds;
}

struct Shape {
  int nodes, devices;
  double bytes;
};

class SimGridTest : public ::testing::TestWithParam<Shape> {
 protected:
  SimGridTest() : cluster(testing::test_cluster(GetParam().nodes, GetParam().devices)) {
    cluster.instance.node.intra = {"inside", Seconds(2e-6), BytesPerSecond(8e9), 1, 0};
    cluster.instance.node.network = {"between", Seconds(2e-5), BytesPerSecond(1e9),
                                     GetParam().devices, 0};
  }
  double closed_form(CollectiveKind kind, int servers) const {
    CollectiveCall call;
    call.kind = kind;
    call.bytes = Bytes(static_cast<std::int64_t>(GetParam().bytes));
    call.ranks = cluster.devices();
    call.servers = servers;
    return collective_time(call, cluster, false).total().value();
  }
  ClusterSpec cluster;
};

TEST_P(SimGridTest, RingAllReduceTakesAsLong) {
  const double theirs =
      simulated_apart(cluster, ring_all_reduce(cluster.devices(), GetParam().bytes));
  EXPECT_NEAR(closed_form(CollectiveKind::kAllReduce, cluster.devices()) / theirs, 1, 0.05);
}

TEST_P(SimGridTest, PushToShardedServersTakesAsLong) {
  const int ranks = cluster.devices();
  const double theirs =
      simulated_apart(cluster, direct_reduce_scatter(ranks, ranks, GetParam().bytes));
  EXPECT_NEAR(closed_form(CollectiveKind::kReduceScatter, ranks) / theirs, 1, 0.05);
}

TEST_P(SimGridTest, PushToOneServerPerNodeTakesAsLong) {
  const double theirs = simulated_apart(
      cluster, direct_reduce_scatter(cluster.devices(), cluster.nodes, GetParam().bytes));
  EXPECT_NEAR(closed_form(CollectiveKind::kReduceScatter, cluster.nodes) / theirs, 1, 0.05);
}

INSTANTIATE_TEST_SUITE_P(Clusters, SimGridTest,
                         ::testing::Values(Shape{2, 1, 1e6}, Shape{8, 1, 1e8}, Shape{8, 1, 1e4},
                                           Shape{1, 4, 1e7}, Shape{2, 4, 1e8}, Shape{4, 8, 1e8},
                                           Shape{4, 2, 1e3}),
                         [](const auto& shape) {
                           return std::to_string(shape.param.nodes) + "x" +
                                  std::to_string(shape.param.devices) + "of" +
                                  std::to_string(static_cast<int>(shape.param.bytes));
                         });

}  // namespace
}  // namespace pluto
