#include "option_values.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

#include "base/quote.h"

namespace bitcpm {
namespace {

constexpr std::string_view kSuffixes = "kmgt";
constexpr std::size_t kMostCounts = 64;  // of one option

// 0 for no suffix, else the power of 1000 or 1024.
struct Suffix {
  int power = 0;
  bool binary = false;
};

Suffix read_suffix(std::string_view text) {
  if (text.empty()) return {};
  const char last = text.back();
  const bool binary = last >= 'A' && last <= 'Z';
  const char lower = binary ? static_cast<char>(last - 'A' + 'a') : last;
  const std::size_t index = kSuffixes.find(lower);
  if (index == std::string_view::npos) return {};
  return {static_cast<int>(index) + 1, binary};
}

Error bad_count(std::string_view text) {
  return {Errc::kInvalid, quote_name(text) + " is not a count (say 2048, 2k = 2000 or 2K = 2048)"};
}

}  // namespace

Result<std::int64_t> parse_count(std::string_view text) {
  const Suffix suffix = read_suffix(text);
  const std::string_view digits = text.substr(0, text.size() - (suffix.power > 0 ? 1 : 0));
  const char* const end = digits.data() + digits.size();
  std::int64_t factor = 1;
  for (int i = 0; i < suffix.power; ++i) factor *= suffix.binary ? 1024 : 1000;

  if (digits.find('.') == std::string_view::npos) {
    std::int64_t number = 0;
    const auto [stop, error] = std::from_chars(digits.data(), end, number);
    if (error == std::errc::result_out_of_range ||
        (error == std::errc() && stop == end && __builtin_mul_overflow(number, factor, &number))) {
      return Error{Errc::kInvalid, quote_name(text) + " is too large"};
    }
    if (error != std::errc() || stop != end) return bad_count(text);
    return number;
  }
  if (suffix.power == 0) return bad_count(text);
  if (suffix.binary) {
    return Error{
        Errc::kInvalid,
        quote_name(text) + ": a binary suffix takes no fraction; use the lower-case letter"};
  }
  double number = 0;
  const auto [stop, error] = std::from_chars(digits.data(), end, number, std::chars_format::fixed);
  if (error != std::errc() || stop != end || number < 0) return bad_count(text);
  const double product = number * static_cast<double>(factor);
  if (!(product < 0x1p63)) return Error{Errc::kInvalid, quote_name(text) + " is too large"};
  return static_cast<std::int64_t>(product);
}

Result<std::int64_t> parse_count_in(std::string_view text, std::int64_t least, std::int64_t most) {
  BITCPM_ASSIGN(const std::int64_t count, parse_count(text));
  if (count < least) {
    return Error{Errc::kInvalid, quote_name(text) + " is less than " + std::to_string(least)};
  }
  if (count > most) {
    return Error{Errc::kInvalid, quote_name(text) + " is more than " + std::to_string(most)};
  }
  return count;
}

Result<std::vector<std::int64_t>> parse_counts(std::string_view text, std::int64_t least,
                                               std::int64_t most) {
  std::vector<std::int64_t> counts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    BITCPM_ASSIGN(const std::int64_t count,
                  parse_count_in(text.substr(begin, comma - begin), least, most));
    counts.push_back(count);
    if (counts.size() > kMostCounts) {
      return Error{Errc::kInvalid, "more than " + std::to_string(kMostCounts) + " values"};
    }
    begin = comma + 1;
  }
  return counts;
}

CLI::Option* add_count(CLI::App& app, const std::string& flags, OptionalCount& target,
                       std::int64_t least, std::int64_t most, const std::string& help) {
  // The value is read where CLI11 lets a check explain itself, and stored at once.
  const auto read = [&target, least, most](const std::string& text) -> std::string {
    const auto count = parse_count_in(text, least, most);
    if (!count.ok()) return count.error().message;
    target = *count;
    return {};
  };
  return app
      .add_option(
          flags, [](const CLI::results_t&) { return true; }, help)
      ->check(read)
      ->type_name("N");
}

CLI::Option* add_counts(CLI::App& app, const std::string& flags, std::vector<std::int64_t>& target,
                        std::int64_t least, std::int64_t most, const std::string& help) {
  const auto read = [&target, least, most](const std::string& text) -> std::string {
    auto counts = parse_counts(text, least, most);
    if (!counts.ok()) return counts.error().message;
    target = std::move(counts).value();
    return {};
  };
  return app
      .add_option(
          flags, [](const CLI::results_t&) { return true; }, help)
      ->check(read)
      ->type_name("N,N,...");
}

CLI::Option* add_word(CLI::App& app, const std::string& flags, std::string& target,
                      const std::vector<std::string_view>& allowed,
                      const std::vector<RefusedValue>& refused, const std::string& help) {
  const std::string listed = fmt::format("{}", fmt::join(allowed, "|"));
  const auto check = [allowed, refused, listed](const std::string& text) -> std::string {
    if (std::find(allowed.begin(), allowed.end(), text) != allowed.end()) return {};
    const auto known = std::find_if(refused.begin(), refused.end(),
                                    [&](const RefusedValue& entry) { return text == entry.value; });
    const std::string verdict = quote_name(text) + " is not supported";
    if (known != refused.end()) return verdict + ": " + std::string(known->reason);
    return verdict + "; here it is " + listed;
  };
  return app.add_option(flags, target, help)->check(check)->type_name(listed);
}

CLI::Option* add_real(CLI::App& app, const std::string& flags, std::optional<float>& target,
                      float least, float most, const std::string& help) {
  const auto read = [&target, least, most](const std::string& text) -> std::string {
    float number = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc() || stop != end) return quote_name(text) + " is not a number";
    if (!(number >= least && number <= most)) {
      return fmt::format("{} is not in {} to {}", quote_name(text), least, most);
    }
    target = number;
    return {};
  };
  return app
      .add_option(
          flags, [](const CLI::results_t&) { return true; }, help)
      ->check(read)
      ->type_name("X");
}

}  // namespace bitcpm
