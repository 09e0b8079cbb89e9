#pragma once
// The front of time and price as a picture: on the terminal, and as SVG.

#include <optional>
#include <string>
#include <vector>

#include "planner/planner.h"

namespace pluto {

struct FrontPoint {
  Seconds time;       ///< to the target, median
  Dollars price;      ///< median
  std::string label;  ///< "aws:p4d.24xlarge x 8", "... spot"
  bool chosen = false, meets_limits = true;
};

struct FrontChart {
  std::string title;
  std::vector<FrontPoint> points;  ///< fastest first; a chosen plan off the front is the last
  std::optional<Dollars> budget;
  std::optional<Seconds> deadline;
};

/// Of a search that was asked for its front. The first of the ranked is the chosen one.
FrontChart front_chart(const TrainingJob& job, const SearchResult& result);

/// How a point is called in the picture and in the table: a to z, A to Z, then '+'; '*' when
/// chosen.
char front_mark(const FrontChart& chart, std::size_t point);

/// Time to the right, price upwards, ASCII only, lines of at most `width` (60 to 160) characters
/// and at most kFrontLines of them, each ending in a newline. Budget and deadline are lines where
/// they lie in the picture, else a remark. Empty for a chart without points.
std::string front_text(const FrontChart& chart, int width);
inline constexpr int kFrontLines = 20;

/// The same as a document of SVG 1.1. Labels that would cover each other are left to tooltips.
/// Empty for a chart without points.
std::string front_svg(const FrontChart& chart);

/// Heading and a row for each point of front_chart(), for format_table().
std::vector<std::vector<std::string>> front_rows(const FrontChart& chart,
                                                 const SearchResult& result);

}  // namespace pluto
