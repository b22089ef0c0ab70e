#include "server/metric_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace bitcpm {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

MetricValue::MetricValue(double value) : text(fmt::format("{}", value)) {}

void Histogram::observe(double value) {
  const auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  ++counts_[static_cast<std::size_t>(bound - bounds_.begin())];
  sum_ += value;
}

void Histogram::add(std::span<const std::int64_t> counts, double sum) {
  for (std::size_t i = 0; i < std::min(counts.size(), counts_.size()); ++i) counts_[i] += counts[i];
  sum_ += sum;
}

void MetricText::family(std::string_view name, std::string_view type, std::string_view help) {
  fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void MetricText::write(std::string_view name, std::string_view suffix, Labels labels,
                       std::string_view bound, const MetricValue& value) {
  text_ += name;
  text_ += suffix;
  char separator = '{';
  const auto add = [&](std::string_view key, std::string_view label) {
    text_ += separator;
    separator = ',';
    fmt::format_to(std::back_inserter(text_), "{}=\"{}\"", key, escaped(label));
  };
  for (const auto& [key, label] : common_) add(key, label);
  for (const auto& [key, label] : labels) add(key, label);
  if (!bound.empty()) add("le", bound);
  if (separator == ',') text_ += '}';
  fmt::format_to(std::back_inserter(text_), " {}\n", value.text);
}

void MetricText::sample(std::string_view name, std::initializer_list<Label> labels,
                        const MetricValue& value) {
  write(name, "", {labels.begin(), labels.size()}, "", value);
}

void MetricText::histogram(std::string_view name, std::initializer_list<Label> labels,
                           const Histogram& values) {
  const Labels list{labels.begin(), labels.size()};
  std::int64_t below = 0;
  for (std::size_t i = 0; i < values.bounds().size(); ++i) {
    below += values.counts()[i];
    const double bound = values.bounds()[i];
    const bool is_whole = bound == static_cast<double>(static_cast<std::int64_t>(bound));
    write(name, "_bucket", list, is_whole ? fmt::format("{:.1f}", bound) : MetricValue(bound).text,
          below);
  }
  below += values.counts().back();
  write(name, "_bucket", list, "+Inf", below);
  write(name, "_sum", list, "", values.sum());
  write(name, "_count", list, "", below);
}

void MetricText::counter(std::string_view name, std::string_view help, const MetricValue& value) {
  family(name, "counter", help);
  sample(name, {}, value);
}

void MetricText::gauge(std::string_view name, std::string_view help, const MetricValue& value) {
  family(name, "gauge", help);
  sample(name, {}, value);
}

void MetricText::histogram(std::string_view name, std::string_view help, const Histogram& values) {
  family(name, "histogram", help);
  histogram(name, {}, values);
}

}  // namespace bitcpm
