#include "cli/front_chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/text.h"

namespace pluto {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

FrontChart three_plans() {
  FrontChart chart;
  chart.title = "three";
  chart.points = {{Seconds(3600), Dollars(90), "aws:p4d.24xlarge x 8", false, true},
                  {Seconds(3 * 3600), Dollars(40), "aws:p4d.24xlarge x 2", true, true},
                  {Seconds(7 * 3600), Dollars(30), "aws:p3.16xlarge x 1", false, false}};
  chart.budget = Dollars(60);
  chart.deadline = Seconds(5 * 3600);
  return chart;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines = split(text, '\n');
  lines.pop_back();
  return lines;
}

/// Column and row of the only place of `mark` in the plot.
std::pair<std::size_t, std::size_t> place_of(const std::string& text, char mark) {
  const auto lines = lines_of(text);
  for (std::size_t row = 1; row < lines.size(); ++row) {
    const std::size_t bar = lines[row].find_first_of("|+");
    const std::size_t column = lines[row].find(mark, bar + 1);
    if (column != std::string::npos) return {column, row};
  }
  ADD_FAILURE() << "no " << mark << " in\n" << text;
  return {};
}

TEST(FrontChartTest, DrawsTimeToTheRightAndPriceUpwards) {
  const std::string text = front_text(three_plans(), 80);
  const auto [a_column, a_row] = place_of(text, 'a');
  const auto [chosen_column, chosen_row] = place_of(text, '*');
  const auto [c_column, c_row] = place_of(text, 'c');
  EXPECT_LT(a_column, chosen_column);
  EXPECT_LT(chosen_column, c_column);
  EXPECT_LT(a_row, chosen_row);
  EXPECT_LT(chosen_row, c_row);
}

TEST(FrontChartTest, LimitsAreLinesBetweenThePlans) {
  const std::string text = front_text(three_plans(), 80);
  const auto lines = lines_of(text);
  const std::size_t a_row = place_of(text, 'a').second, chosen_row = place_of(text, '*').second;
  std::size_t budget_row = 0;
  for (std::size_t row = a_row; row < chosen_row; ++row) {
    if (lines[row].find("-----") != std::string::npos) budget_row = row;
  }
  EXPECT_GT(budget_row, a_row);
  const std::size_t deadline = lines[chosen_row].rfind(':');
  ASSERT_NE(deadline, std::string::npos);
  EXPECT_GT(deadline, place_of(text, '*').first);
  EXPECT_LT(deadline, place_of(text, 'c').first);
  EXPECT_THAT(text, HasSubstr("--- budget $60.00   : deadline 5h00m"));
}

TEST(FrontChartTest, LimitsFarAwayAreSaidInsteadOfDrawn) {
  FrontChart chart = three_plans();
  chart.budget = Dollars(50'000);
  chart.deadline = Seconds(60);
  const std::string text = front_text(chart, 80);
  EXPECT_THAT(text, HasSubstr("budget $50000.00 lies above the picture"));
  EXPECT_THAT(text, HasSubstr("deadline 1m00s lies beyond the left edge"));
  EXPECT_THAT(text, Not(HasSubstr(": deadline")));
}

// Piped into a file or a narrow window it stays what it is.
TEST(FrontChartTest, IsAsciiOfFewShortLines) {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> exponent(-3, 6);
  for (int turn = 0; turn < 300; ++turn) {
    FrontChart chart = three_plans();
    chart.points.clear();
    for (int i = 0; i <= turn % 60; ++i) {
      chart.points.push_back(
          {Seconds(std::pow(10, exponent(random))), Dollars(std::pow(10, exponent(random))), "p"});
    }
    chart.points[static_cast<std::size_t>(turn) % chart.points.size()].chosen = true;
    if (turn % 3 == 0) chart.budget.reset();
    for (const int width : {60, 80, 133}) {
      const std::string text = front_text(chart, width);
      const auto lines = lines_of(text);
      EXPECT_LE(lines.size(), static_cast<std::size_t>(kFrontLines));
      for (const std::string& line : lines) {
        EXPECT_LE(line.size(), static_cast<std::size_t>(width)) << line;
      }
      EXPECT_TRUE(
          std::ranges::all_of(text, [](char c) { return c == '\n' || (c >= 32 && c < 127); }));
      EXPECT_THAT(text, HasSubstr("*"));
    }
  }
}

TEST(FrontChartTest, OnePlanThatIsFreeIsDrawnToo) {
  FrontChart chart;
  chart.points = {{Seconds(60), Dollars(0), "local x 1", true, true}};
  EXPECT_THAT(front_text(chart, 80), AllOf(HasSubstr("*"), HasSubstr("$0"), HasSubstr("1m")));
  EXPECT_THAT(front_svg(chart), HasSubstr("local x 1 (chosen)"));
  EXPECT_EQ(front_text({}, 80), "");
  EXPECT_EQ(front_svg({}), "");
}

TEST(FrontChartTest, MarksGoOnPastTheAlphabet) {
  FrontChart chart;
  for (int i = 0; i < 54; ++i) chart.points.push_back({Seconds(1 + i), Dollars(100 - i), "p"});
  chart.points[3].chosen = true;
  EXPECT_EQ(front_mark(chart, 0), 'a');
  EXPECT_EQ(front_mark(chart, 3), '*');
  EXPECT_EQ(front_mark(chart, 26), 'A');
  EXPECT_EQ(front_mark(chart, 53), '+');
}

TEST(FrontChartTest, SvgNamesPlansLimitsAndUnits) {
  const std::string svg = front_svg(three_plans());
  for (const char* what :
       {"aws:p4d.24xlarge x 8</text>", "aws:p4d.24xlarge x 2 (chosen)</text>",
        "aws:p3.16xlarge x 1</text>", "budget $60.00</text>", "deadline 5h00m</text>",
        "price, median (US dollars)", "time to target, median (d, h, m, s)",
        "<circle class=\"chosen\"", "<circle class=\"missed\"", "<title>aws:p4d.24xlarge x 8: "}) {
    EXPECT_THAT(svg, HasSubstr(what));
  }
}

TEST(FrontChartTest, SvgEscapesWhatANameMayHold) {
  FrontChart chart = three_plans();
  chart.title = "a<b> & \"c\"\n";
  chart.points[0].label = "x<&>";
  const std::string svg = front_svg(chart);
  EXPECT_THAT(svg, HasSubstr("a&lt;b&gt; &amp; &quot;c&quot; : price"));
  EXPECT_THAT(svg, HasSubstr("x&lt;&amp;&gt;</text>"));
  EXPECT_THAT(svg, Not(HasSubstr("x<&")));
}

// Every element that opens is closed, in order.
TEST(FrontChartTest, SvgIsWellFormed) {
  const std::string svg = front_svg(three_plans());
  std::vector<std::string> open;
  std::size_t at = svg.find("?>");
  ASSERT_NE(at, std::string::npos);
  while ((at = svg.find('<', at)) != std::string::npos) {
    const std::size_t end = svg.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = svg.substr(at + 1, end - at - 1);
    EXPECT_EQ(std::ranges::count(tag, '"') % 2, 0) << tag;
    if (tag.front() == '/') {
      ASSERT_FALSE(open.empty()) << tag;
      EXPECT_EQ(open.back(), tag.substr(1));
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
    at = end;
  }
  EXPECT_TRUE(open.empty());
}

TEST(FrontChartTest, LabelsThatWouldCoverEachOtherAreLeftToTooltips) {
  FrontChart chart = three_plans();
  chart.points.clear();
  for (int i = 0; i < 40; ++i) {
    chart.points.push_back(
        {Seconds(3600 + 10 * i), Dollars(100 - 0.05 * i), "plan" + std::to_string(i)});
  }
  chart.points[20].chosen = true;
  const std::string svg = front_svg(chart);
  EXPECT_THAT(svg, HasSubstr("plan20 (chosen)</text>"));
  EXPECT_THAT(svg, Not(HasSubstr("plan21</text>")));
  EXPECT_THAT(svg, HasSubstr("<title>plan21: "));
}

RankedPlan ranked(double hours, double dollars, int nodes) {
  RankedPlan one;
  one.plan.cluster.instance.name = "a";
  one.plan.cluster.nodes = nodes;
  one.plan.layout.data = nodes;
  one.prediction.time_to_target = {Seconds(3600 * hours), Seconds(3600 * hours),
                                   Seconds(3600 * hours)};
  one.prediction.price = {Dollars(dollars), Dollars(dollars), Dollars(dollars)};
  one.prediction.p_budget = 0.95;
  one.meets_limits = true;
  return one;
}

TEST(FrontChartTest, TheRowsOfTheTableAreThePointsOfThePicture) {
  SearchResult result;
  result.front = {ranked(1, 90, 8), ranked(3, 40, 2), ranked(7, 30, 1)};
  result.front[2].meets_limits = false;
  result.ranked = {result.front[1]};
  TrainingJob job;
  job.budget = Dollars(60);
  FrontChart chart = front_chart(job, result);
  ASSERT_EQ(chart.points.size(), 3U);
  EXPECT_TRUE(chart.points[1].chosen);
  auto rows = front_rows(chart, result);
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[1].front(), "a");
  EXPECT_EQ(rows[2].front(), "*");
  EXPECT_EQ(rows[2][1], "a x 2");
  EXPECT_EQ(rows[2].back(), "met");
  EXPECT_EQ(rows[3].back(), "missed");

  // What was chosen need not be on the front: plain data parallelism wins ties.
  result.ranked = {ranked(3.01, 40.1, 2)};
  result.ranked[0].plan.seed = 9;
  chart = front_chart(job, result);
  ASSERT_EQ(chart.points.size(), 4U);
  EXPECT_TRUE(chart.points[3].chosen);
  rows = front_rows(chart, result);
  EXPECT_EQ(rows[4].back(), "met, off the front");
  EXPECT_THAT(rows, Each(::testing::SizeIs(rows[0].size())));
}

TEST(FrontChartTest, SpotIsSaid) {
  SearchResult result;
  result.front = {ranked(1, 90, 8)};
  result.front[0].plan.cluster.market = Market::kSpot;
  EXPECT_EQ(front_chart({}, result).points[0].label, "a x 8 spot");
}

}  // namespace
}  // namespace pluto
