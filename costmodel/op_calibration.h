#pragma once
// What op measurements say about an op they contain, one between them, or one of the same kind.

#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "costmodel/cost_source.h"
#include "costmodel/signature_key.h"

namespace pluto {

/// Built once from measurements of one device, then immutable and thread-safe.
///
/// The answer for an op at batch b is the first of:
///   measured       the newest measurement of the same key at the same number of busy ranks;
///   interpolated   the same family, piecewise linear in b between its neighbours, and up to a
///   factor 2 beyond the last two
///                  points, held to what T(b) = a + c b with a, c >= 0 allows;
///   calibrated     of the family: the nearest point times the ratio of the fallback's answers;
///                  of the kind and pass: the fallback's answer times the geometric mean of
///                  measured / fallback.
/// With no measurement at that number of busy ranks the nearest number is used and what was
/// measured counts as interpolated. Valid for: ops whose time is affine in the batch between
/// measured points. Ignores: steps at tile borders. Test: costmodel/measured_source_test.cc.
class OpCalibration {
 public:
  /// A measurement that is newer (higher id) replaces an older one of the same key and busy ranks.
  /// `fallback` answers what a measurement's op would cost by datasheet.
  void add(std::int64_t id, const OpSignature& signature, int busy_ranks, Seconds time,
           double relative_spread, Bytes workspace, Seconds fallback);
  /// Call once, after the last add().
  void finish();

  /// `fallback()` is asked only when the answer needs it; nullopt: nothing is known about ops of
  /// this kind and pass.
  template <class Fallback>
  std::optional<OpCost> lookup(const OpSignature& signature, int busy_ranks,
                               Fallback&& fallback) const {
    const auto key = key_of(signature);
    auto answer = from_family(key, busy_ranks);
    if (answer.cost) return answer.cost;
    const auto ratio = answer.point ? of_point(*answer.point) : ratio_of(signature);
    if (!ratio) return std::nullopt;
    return scaled(fallback(), *ratio);
  }

 private:
  struct Point {
    std::int64_t batch = 1;
    std::int64_t id = 0;
    Seconds time;
    double relative_spread = 0;
    Bytes workspace;
    Seconds fallback;
  };
  /// Points of one family at one number of busy ranks, by batch.
  struct Series {
    int busy_ranks = 1;
    std::vector<Point> points;
  };
  struct Family {
    std::vector<Series> series;
  };
  struct Ratio {
    double factor = 1;
    double relative_spread = 0;
  };
  struct LogSum {
    double sum = 0, squares = 0;
    int count = 0;
  };
  struct Answer {
    std::optional<OpCost> cost;
    const Point* point = nullptr;  // nearest in batch, when the family exists but cannot answer
  };

  Answer from_family(const SignatureKey& key, int busy_ranks) const;
  static OpCost between(const Series& series, std::size_t upper, std::int64_t batch);
  static std::optional<OpCost> beyond(const Series& series, std::int64_t batch);
  static std::optional<Ratio> of_point(const Point& point);
  std::optional<Ratio> ratio_of(const OpSignature& signature) const;
  static OpCost scaled(const OpCost& fallback, const Ratio& ratio);

  std::unordered_map<std::uint64_t, Family> families_;
  std::map<std::uint32_t, std::vector<std::uint64_t>> kinds_;  // kind and pass -> families
  std::map<std::uint32_t, Ratio> ratios_;
};

}  // namespace pluto
