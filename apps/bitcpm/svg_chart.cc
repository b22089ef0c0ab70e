#include "svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace bitcpm {
namespace {

constexpr double kWidth = 720, kHeight = 340;
constexpr double kLeft = 78, kRight = 16, kTop = 52, kBottom = 62;
constexpr std::size_t kMostPlaceNames = 14;

bool is_shown(const Chart& chart, const std::optional<double>& value) {
  return value && std::isfinite(*value) && (!chart.is_log || *value > 0);
}

// From values to pixels.
class Frame {
 public:
  explicit Frame(const Chart& chart) : chart_(chart) {
    double low = std::numeric_limits<double>::infinity();
    double high = -low;
    for (const ChartSeries& series : chart.series) {
      for (const auto& value : series.values) {
        if (!is_shown(chart, value)) continue;
        low = std::min(low, scaled(*value));
        high = std::max(high, scaled(*value));
      }
    }
    if (!(low <= high)) low = 0, high = 1;
    if (low == high) {
      low -= std::max(std::abs(low) * 0.1, 1e-12);
      high += std::max(std::abs(high) * 0.1, 1e-12);
    }
    if (chart.is_log) {
      low = std::floor(low);
      high = std::ceil(high);
      const double step = std::max(1.0, std::ceil((high - low) / 6));
      for (double tick = low; tick <= high; tick += step) ticks_.push_back(tick);
    } else {
      ticks_ = round_ticks(low, high);
    }
    low_ = std::min(low, ticks_.front());
    high_ = std::max(high, ticks_.back());
  }

  const std::vector<double>& ticks() const { return ticks_; }
  std::string tick_name(double tick) const {
    return chart_.is_log ? fmt::format("1e{:.0f}", tick) : fmt::format("{:.10g}", tick);
  }
  double y_of_tick(double tick) const {
    return kTop + (high_ - tick) / (high_ - low_) * (kHeight - kTop - kBottom);
  }
  double y(double value) const { return y_of_tick(scaled(value)); }
  double x(std::size_t place) const {
    const auto count = static_cast<double>(std::max<std::size_t>(chart_.places.size(), 1));
    return kLeft + (static_cast<double>(place) + 0.5) / count * (kWidth - kLeft - kRight);
  }

 private:
  double scaled(double value) const { return chart_.is_log ? std::log10(value) : value; }

  const Chart& chart_;
  double low_ = 0, high_ = 1;
  std::vector<double> ticks_;
};

std::string text_at(double x, double y, const char* anchor, std::string_view text,
                    const char* more = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y,
                     anchor, more, html_escaped(text));
}

std::string axes(const Chart& chart, const Frame& frame) {
  std::string svg;
  for (const double tick : frame.ticks()) {
    const double y = frame.y_of_tick(tick);
    svg += fmt::format(
        "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" "
        "stroke=\"#ddd\"/>\n",
        kLeft, y, kWidth - kRight, y);
    svg += text_at(kLeft - 6, y + 4, "end", frame.tick_name(tick));
  }
  const std::size_t every = (chart.places.size() + kMostPlaceNames - 1) / kMostPlaceNames;
  for (std::size_t i = 0; i < chart.places.size(); i += std::max<std::size_t>(every, 1)) {
    svg += text_at(frame.x(i), kHeight - kBottom + 18, "middle", chart.places[i]);
  }
  svg += text_at((kLeft + kWidth - kRight) / 2, kHeight - kBottom + 38, "middle", chart.x_label);
  svg += fmt::format(
      "<text transform=\"translate(16 {:.1f}) rotate(-90)\" "
      "text-anchor=\"middle\">{}</text>\n",
      (kTop + kHeight - kBottom) / 2, html_escaped(chart.y_label));
  return svg;
}

std::string line_of(const Chart& chart, const Frame& frame, const ChartSeries& series) {
  std::string path, dots;
  bool pen_down = false;
  const bool with_dots = series.values.size() <= 40;
  for (std::size_t i = 0; i < series.values.size(); ++i) {
    if (!is_shown(chart, series.values[i])) {
      pen_down = false;
      continue;
    }
    const double x = frame.x(i);
    const double y = frame.y(*series.values[i]);
    path += fmt::format("{}{:.1f} {:.1f}", pen_down ? " L" : " M", x, y);
    pen_down = true;
    if (with_dots) {
      dots += fmt::format(
          "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"><title>{}: "
          "{:.6g}</title></circle>\n",
          x, y, series.color, html_escaped(chart.places[i]), *series.values[i]);
    }
  }
  if (path.empty()) return {};
  return fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n",
                     path.substr(1), series.color) +
         dots;
}

std::string legend(const Chart& chart) {
  std::string svg;
  double x = kLeft;
  for (const ChartSeries& series : chart.series) {
    svg += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"12\" height=\"12\" "
        "fill=\"{}\"/>\n",
        x, kTop - 22, series.color);
    svg += text_at(x + 17, kTop - 12, "start", series.name);
    std::size_t columns = 0;
    for (const char c : series.name) {
      columns += (c & 0xc0) == 0x80 ? 0 : static_cast<unsigned char>(c) >= 0xe0 ? 2 : 1;
    }
    x += 36 + 7.0 * static_cast<double>(columns);
  }
  return svg;
}

}  // namespace

std::vector<double> round_ticks(double low, double high) {
  const double rough = (high - low) / 5;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = power;
  for (const double factor : {2.0, 5.0, 10.0}) {
    if (rough > step * 1.0001) step = factor * power;
  }
  std::vector<double> ticks;
  const double first = std::floor(low / step);
  const double last = std::ceil(high / step);
  for (double i = first; i <= last; ++i) ticks.push_back(i * step);
  return ticks;
}

std::string html_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string svg_chart(const Chart& chart) {
  const Frame frame(chart);
  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\" font-size=\"12\" "
      "font-family=\"sans-serif\">\n",
      kWidth, kHeight, html_escaped(chart.title));
  svg += text_at(kLeft, 16, "start", chart.title, " font-size=\"14\" font-weight=\"bold\"");
  svg += legend(chart) + axes(chart, frame);
  for (const ChartSeries& series : chart.series) svg += line_of(chart, frame, series);
  return svg + "</svg>\n";
}

}  // namespace bitcpm
