#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitcpm {

// Counts of values by size. One thread.
class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds)  // upper, ascending
      : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

  void observe(double value);
  void add(std::span<const std::int64_t> counts, double sum);  // [bounds + 1], of another counter

  const std::vector<double>& bounds() const { return bounds_; }
  const std::vector<std::int64_t>& counts() const { return counts_; }  // [bounds + 1]
  double sum() const { return sum_; }

 private:
  std::vector<double> bounds_;
  std::vector<std::int64_t> counts_;
  double sum_ = 0;
};

// A sample's value: a whole number exactly, another by the shortest decimal that names it.
struct MetricValue {
  MetricValue(double value);  // NOLINT(google-explicit-constructor): either kind of number
  template <std::integral Whole>
  MetricValue(Whole value) : text(std::to_string(value)) {}  // NOLINT: the same

  std::string text;
};

// Writes Prometheus' text format, version 0.0.4: a family is its head, then its samples.
class MetricText {
 public:
  using Label = std::pair<std::string_view, std::string_view>;
  using Labels = std::span<const Label>;

  // common: put before the labels of every sample.
  explicit MetricText(std::vector<std::pair<std::string, std::string>> common)
      : common_(std::move(common)) {}

  void family(std::string_view name, std::string_view type, std::string_view help);
  void sample(std::string_view name, std::initializer_list<Label> labels, const MetricValue& value);
  void histogram(std::string_view name, std::initializer_list<Label> labels,
                 const Histogram& values);

  // A family of one sample without labels of its own.
  void counter(std::string_view name, std::string_view help, const MetricValue& value);
  void gauge(std::string_view name, std::string_view help, const MetricValue& value);
  void histogram(std::string_view name, std::string_view help, const Histogram& values);

  std::string take() { return std::move(text_); }

 private:
  void write(std::string_view name, std::string_view suffix, Labels labels, std::string_view bound,
             const MetricValue& value);

  std::vector<std::pair<std::string, std::string>> common_;
  std::string text_;
};

}  // namespace bitcpm
