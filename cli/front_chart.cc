#include "cli/front_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/front_axes.h"
#include "cli/plan_table.h"
#include "planner/ranking.h"

namespace pluto {

namespace {

constexpr int kPlotRows = 14;
constexpr int kNarrowest = 60, kWidest = 160;

FrontPoint point_of(const RankedPlan& ranked) {
  const ClusterSpec& cluster = ranked.plan.cluster;
  return {ranked.prediction.time_to_target.p50, ranked.prediction.price.p50,
          fmt::format("{} x {}{}", cluster.instance.name, cluster.nodes,
                      cluster.market == Market::kSpot ? " spot" : ""),
          false, ranked.meets_limits};
}

/// Rows of characters, drawn into by column and row from the left and the top.
class Canvas {
 public:
  Canvas(int columns, int rows)
      : columns_(columns),
        rows_(static_cast<std::size_t>(rows), std::string(static_cast<std::size_t>(columns), ' ')) {
  }
  int column(double share) const { return place(share, columns_); }
  int row(double share) const { return place(1 - share, static_cast<int>(rows_.size())); }
  char& at(int column, int row) {
    return rows_[static_cast<std::size_t>(row)][static_cast<std::size_t>(column)];
  }
  const std::string& line(int row) const { return rows_[static_cast<std::size_t>(row)]; }
  int columns() const { return columns_; }

 private:
  static int place(double share, int cells) {
    return std::clamp(static_cast<int>(std::lround(share * (cells - 1))), 0, cells - 1);
  }
  int columns_;
  std::vector<std::string> rows_;
};

/// Of points that share a cell the first is seen, and the chosen one always.
void draw_points(const FrontChart& chart, const FrontAxes& axes, Canvas& canvas) {
  for (std::size_t i = 0; i < chart.points.size(); ++i) {
    char& cell = canvas.at(canvas.column(axes.time.at(chart.points[i].time.value())),
                           canvas.row(axes.price.at(chart.points[i].price.value())));
    if (cell == ' ' || chart.points[i].chosen) cell = front_mark(chart, i);
  }
}

/// Behind the points.
void draw_limits(const FrontAxes& axes, Canvas& canvas) {
  const auto draw = [&](int column, int row, char line) {
    char& cell = canvas.at(column, row);
    if (cell == ' ') cell = line;
  };
  if (axes.budget) {
    const int row = canvas.row(axes.price.at(axes.budget->value()));
    for (int column = 0; column < canvas.columns(); ++column) draw(column, row, '-');
  }
  if (axes.deadline) {
    const int column = canvas.column(axes.time.at(axes.deadline->value()));
    for (int row = 0; row < kPlotRows; ++row) draw(column, row, ':');
  }
}

/// A line of ticks and a line of their labels, below the plot.
std::pair<std::string, std::string> time_lines(const Axis& time, const Canvas& canvas) {
  std::string line(static_cast<std::size_t>(canvas.columns()), '-'), labels;
  for (const Tick& tick : time.ticks) {
    const auto column = static_cast<std::size_t>(canvas.column(time.at(tick.value)));
    line[column] = '+';
    std::size_t begin = column > tick.label.size() / 2 ? column - tick.label.size() / 2 : 0;
    begin = std::min(begin, line.size() - std::min(line.size(), tick.label.size()));
    if (!labels.empty() && begin < labels.size() + 2) continue;
    labels.resize(begin, ' ');
    labels += tick.label;
  }
  return {line, labels};
}

std::string legend(const FrontAxes& axes) {
  std::string text = "* chosen";
  if (axes.budget) text += fmt::format("   --- budget {}", to_text(*axes.budget));
  if (axes.deadline) text += fmt::format("   : deadline {}", to_text(*axes.deadline));
  return text;
}

const char* scale_text(const Axis& axis) { return axis.logarithmic ? " (log)" : ""; }

}  // namespace

FrontChart front_chart(const TrainingJob& job, const SearchResult& result) {
  FrontChart chart;
  chart.title = job.name.empty() ? "front" : job.name;
  chart.budget = job.budget;
  chart.deadline = job.deadline;
  bool found = false;
  for (const RankedPlan& one : result.front) {
    chart.points.push_back(point_of(one));
    chart.points.back().chosen =
        !found && !result.ranked.empty() && one.plan == result.ranked.front().plan;
    found = found || chart.points.back().chosen;
  }
  if (!found && !chart.points.empty() && !result.ranked.empty()) {
    chart.points.push_back(point_of(result.ranked.front()));
    chart.points.back().chosen = true;
  }
  return chart;
}

char front_mark(const FrontChart& chart, std::size_t point) {
  if (chart.points[point].chosen) return '*';
  if (point < 26) return static_cast<char>('a' + point);
  if (point < 52) return static_cast<char>('A' + (point - 26));
  return '+';
}

std::string front_text(const FrontChart& chart, int width) {
  if (chart.points.empty()) return {};
  width = std::clamp(width, kNarrowest, kWidest);
  const FrontAxes axes = front_axes(chart, std::max(3, width / 12), 5);
  std::size_t margin = 0;
  for (const Tick& tick : axes.price.ticks) margin = std::max(margin, tick.label.size());
  Canvas canvas(width - static_cast<int>(margin) - 2, kPlotRows);
  draw_points(chart, axes, canvas);
  draw_limits(axes, canvas);

  std::vector<std::string> labels(kPlotRows);
  for (const Tick& tick : axes.price.ticks) {
    labels[static_cast<std::size_t>(canvas.row(axes.price.at(tick.value)))] = tick.label;
  }
  std::string text = fmt::format("price{} against time to target{}, medians\n",
                                 scale_text(axes.price), scale_text(axes.time));
  for (int row = 0; row < kPlotRows; ++row) {
    const std::string& label = labels[static_cast<std::size_t>(row)];
    std::string line =
        fmt::format("{:>{}} {}{}", label, margin, label.empty() ? '|' : '+', canvas.line(row));
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  const auto [line, below] = time_lines(axes.time, canvas);
  text += fmt::format("{:>{}} +{}\n", "", margin, line);
  text += fmt::format("{:>{}}  {}\n", "", margin, below);
  text += legend(axes) + "\n";
  for (const std::string& outside : limits_outside(chart, axes)) text += outside + "\n";
  return text;
}

std::vector<std::vector<std::string>> front_rows(const FrontChart& chart,
                                                 const SearchResult& result) {
  std::vector<std::vector<std::string>> rows = {{"", "instance x nodes", "ranks", "layout", "batch",
                                                 "time p50 (p90)", "price p50 (p90)", "P",
                                                 "limits"}};
  for (std::size_t i = 0; i < chart.points.size(); ++i) {
    const bool beside = i >= result.front.size();
    const RankedPlan& one = beside ? result.ranked.front() : result.front[i];
    const Prediction& p = one.prediction;
    const bool limited = p.p_deadline || p.p_budget;
    const std::string verdict = !limited ? "-" : one.meets_limits ? "met" : "missed";
    rows.push_back({std::string(1, front_mark(chart, i)), chart.points[i].label,
                    std::to_string(one.plan.layout.ranks()), layout_text(one.plan),
                    std::to_string(one.plan.global_batch), with_p90(p.time_to_target),
                    with_p90(p.price), limited ? fmt::format("{:.2f}", probability_of(p)) : "-",
                    verdict + (beside ? ", off the front" : "")});
  }
  return rows;
}

}  // namespace pluto
