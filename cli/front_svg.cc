#include <fmt/format.h>

#include <array>

#include "cli/front_axes.h"
#include "cli/front_chart.h"

namespace pluto {

namespace {

constexpr double kWidth = 900, kHeight = 560;
constexpr double kLeft = 84, kRight = 872, kTop = 56, kBottom = 488;
constexpr double kLetter = 6.4, kLine = 13;  // of a label of 11 pixels

std::string escaped(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      default:
        // XML has no control characters.
        safe += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return safe;
}

struct Box {
  double left = 0, top = 0, right = 0, bottom = 0;
  bool meets(const Box& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
  bool inside(const Box& other) const {
    return left >= other.left && right <= other.right && top >= other.top && bottom <= other.bottom;
  }
};

class Picture {
 public:
  explicit Picture(const FrontChart& chart) : chart_(chart), axes_(front_axes(chart, 8, 8)) {}

  std::string draw() {
    open();
    grid();
    limits();
    curve();
    for (const FrontPoint& point : chart_.points) taken_.push_back(disc(point));
    for (const FrontPoint& point : chart_.points) dot(point);
    // The chosen one first: it keeps its label.
    for (const bool chosen : {true, false}) {
      for (const FrontPoint& point : chart_.points) {
        if (point.chosen == chosen) label(point);
      }
    }
    legend();
    text_ += "</svg>\n";
    return std::move(text_);
  }

 private:
  double x(double time) const { return kLeft + axes_.time.at(time) * (kRight - kLeft); }
  double y(double price) const { return kBottom - axes_.price.at(price) * (kBottom - kTop); }

  void line(double x1, double y1, double x2, double y2, const char* kind) {
    text_ += fmt::format(
        "<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", kind, x1,
        y1, x2, y2);
  }
  void words(double at_x, double at_y, const char* anchor, const char* kind,
             const std::string& what) {
    text_ +=
        fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n",
                    kind, at_x, at_y, anchor, escaped(what));
  }

  void open() {
    text_ = fmt::format(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"{0}\" height=\"{1}\" "
        "viewBox=\"0 0 {0} {1}\" font-family=\"Helvetica, Arial, sans-serif\">\n"
        "<style>\n"
        "text {{ font-size: 12px; fill: #333 }} .title {{ font-size: 16px; font-weight: bold }}\n"
        ".label {{ font-size: 11px; fill: #444 }} .chosen-label {{ font-size: 11px; font-weight: "
        "bold; fill: #a04000 }}\n"
        ".limit-label {{ font-size: 11px; fill: #b00020 }}\n"
        ".grid {{ stroke: #e4e4e4; stroke-width: 1 }} .frame {{ stroke: #777; stroke-width: 1 }}\n"
        ".limit {{ stroke: #b00020; stroke-width: 1.5; stroke-dasharray: 7 4 }}\n"
        ".front {{ stroke: #8fb3d9; stroke-width: 1.5; fill: none }}\n"
        ".met {{ fill: #2a6fb0; stroke: #ffffff }} .missed {{ fill: #ffffff; stroke: #2a6fb0; "
        "stroke-width: 1.5 }}\n"
        ".chosen {{ fill: #e67e22; stroke: #a04000; stroke-width: 2 }}\n"
        "</style>\n"
        "<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n",
        kWidth, kHeight);
    words(kLeft, 24, "start", "title", chart_.title + ": price against time to target");
  }

  void grid() {
    for (const Tick& tick : axes_.time.ticks) {
      line(x(tick.value), kTop, x(tick.value), kBottom, "grid");
      words(x(tick.value), kBottom + 18, "middle", "tick", tick.label);
    }
    for (const Tick& tick : axes_.price.ticks) {
      line(kLeft, y(tick.value), kRight, y(tick.value), "grid");
      words(kLeft - 8, y(tick.value) + 4, "end", "tick", tick.label);
    }
    line(kLeft, kTop, kLeft, kBottom, "frame");
    line(kLeft, kBottom, kRight, kBottom, "frame");
    words((kLeft + kRight) / 2, kBottom + 40, "middle", "axis",
          fmt::format("time to target, median (d, h, m, s{})",
                      axes_.time.logarithmic ? "; logarithmic" : ""));
    text_ += fmt::format(
        "<text class=\"axis\" x=\"20\" y=\"{0:.1f}\" text-anchor=\"middle\" transform=\"rotate(-90 "
        "20 {0:.1f})\">price, median (US dollars{1})</text>\n",
        (kTop + kBottom) / 2, axes_.price.logarithmic ? "; logarithmic" : "");
  }

  /// A label that others keep clear of.
  void limit_label(double at_x, double at_y, const char* anchor, const std::string& what) {
    words(at_x, at_y, anchor, "limit-label", what);
    const double wide = kLetter * static_cast<double>(what.size());
    const double left = anchor[0] == 'e' ? at_x - wide : at_x;
    taken_.push_back({left, at_y - kLine, left + wide, at_y + 3});
  }

  void limits() {
    if (axes_.budget) {
      const double at = y(axes_.budget->value());
      line(kLeft, at, kRight, at, "limit");
      taken_.push_back({kLeft, at - 2, kRight, at + 2});
      limit_label(kRight - 4, at - 5, "end", "budget " + to_text(*axes_.budget));
    }
    if (axes_.deadline) {
      const double at = x(axes_.deadline->value());
      line(at, kTop, at, kBottom, "limit");
      taken_.push_back({at - 2, kTop, at + 2, kBottom});
      const bool room = at < kRight - 130;
      limit_label(room ? at + 5 : at - 5, kTop + 12, room ? "start" : "end",
                  "deadline " + to_text(*axes_.deadline));
    }
  }

  /// What the plans of the front leave open below and to the left of it is not to be had.
  void curve() {
    std::string path;
    double last = 0;
    for (const FrontPoint& point : chart_.points) {
      const double at_x = x(point.time.value()), at_y = y(point.price.value());
      if (!path.empty() && at_y < last) continue;  // the chosen one off the front
      path += path.empty() ? fmt::format("M{:.1f} {:.1f}", at_x, at_y)
                           : fmt::format(" H{:.1f} V{:.1f}", at_x, at_y);
      last = at_y;
    }
    text_ += fmt::format("<path class=\"front\" d=\"{}\"/>\n", path);
  }

  Box disc(const FrontPoint& point) const {
    const double at_x = x(point.time.value()), at_y = y(point.price.value());
    return {at_x - 6, at_y - 6, at_x + 6, at_y + 6};
  }

  void dot(const FrontPoint& point) {
    const char* kind = point.chosen ? "chosen" : point.meets_limits ? "met" : "missed";
    text_ += fmt::format(
        "<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"><title>{}: {}, "
        "{}</title></circle>\n",
        kind, x(point.time.value()), y(point.price.value()), point.chosen ? 7 : 5,
        escaped(point.label), to_text(point.time), to_text(point.price));
  }

  /// Beside its point where nothing else is, or not at all.
  void label(const FrontPoint& point) {
    const std::string what = point.chosen ? point.label + " (chosen)" : point.label;
    const double wide = kLetter * static_cast<double>(what.size());
    const double at_x = x(point.time.value()), at_y = y(point.price.value());
    struct Offset {
      double x, y;
      bool left;
    };
    constexpr std::array<Offset, 8> kOffsets = {{{10, -4, false},
                                                 {10, 12, false},
                                                 {-10, 14, true},
                                                 {-10, -6, true},
                                                 {6, -14, false},
                                                 {-6, 22, true},
                                                 {6, 22, false},
                                                 {-6, -14, true}}};
    for (const Offset& offset : kOffsets) {
      const double at = at_x + offset.x;
      const double left = offset.left ? at - wide : at;
      const double base = at_y + offset.y;
      const Box box{left, base - kLine + 2, left + wide, base + 3};
      if (!box.inside({kLeft + 2, kTop - 8, kWidth - 2, kBottom - 2})) continue;
      bool free = true;
      for (const Box& other : taken_) free = free && !box.meets(other);
      if (!free) continue;
      taken_.push_back(box);
      words(at, base, offset.left ? "end" : "start", point.chosen ? "chosen-label" : "label", what);
      return;
    }
  }

  void legend() {
    double at = kLeft;
    const double base = kHeight - 12;
    const auto entry = [&](const char* kind, const std::string& what) {
      text_ += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\"/>\n", kind, at,
                           base - 4);
      words(at + 10, base, "start", "label", what);
      at += 34 + kLetter * static_cast<double>(what.size());
    };
    entry("chosen", "chosen");
    if (chart_.budget || chart_.deadline) {
      entry("met", "meets the limits");
      entry("missed", "misses a limit");
    } else {
      entry("met", "on the front");
    }
    for (const std::string& outside : limits_outside(chart_, axes_)) {
      words(at, base, "start", "limit-label", outside);
      at += 20 + kLetter * static_cast<double>(outside.size());
    }
  }

  const FrontChart& chart_;
  FrontAxes axes_;
  std::string text_;
  std::vector<Box> taken_;
};

}  // namespace

std::string front_svg(const FrontChart& chart) {
  if (chart.points.empty()) return {};
  return Picture(chart).draw();
}

}  // namespace pluto
