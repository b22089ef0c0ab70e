#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitcpm {

// One line of a chart; a gap where there is no value.
struct ChartSeries {
  std::string name;
  std::string color;  // of CSS
  std::vector<std::optional<double>> values;
};

// Some lines over the same places, as an SVG element of its own: no scripts, no fonts, no network.
struct Chart {
  std::string title;
  std::string x_label, y_label;
  std::vector<std::string> places;  // names along the x axis; too many are thinned out
  std::vector<ChartSeries> series;
  bool is_log = false;  // the y axis; needs positive values, others are gaps
};

std::string svg_chart(const Chart& chart);

// Text for HTML and SVG.
std::string html_escaped(std::string_view text);

// Up to about six round numbers that span [low, high]; low < high.
std::vector<double> round_ticks(double low, double high);

}  // namespace bitcpm
