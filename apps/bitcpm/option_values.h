#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bitcpm {

// A count as vLLM writes it: "2048", "2k" = 2000, "1.5k" = 1500, "2K" = 2048; k, m, g and t are
// powers of 1000, K, M, G and T of 1024 and take no fraction. Errors: kInvalid, saying what is
// wrong.
Result<std::int64_t> parse_count(std::string_view text);

// The same within [least, most], and a comma-separated list of up to 64 of them.
Result<std::int64_t> parse_count_in(std::string_view text, std::int64_t least, std::int64_t most);
Result<std::vector<std::int64_t>> parse_counts(std::string_view text, std::int64_t least,
                                               std::int64_t most);

// Where a count that may be left out ends up.
using OptionalCount = std::optional<std::int64_t>;

// An option whose value parse_count() reads and that must lie in [least, most].
CLI::Option* add_count(CLI::App& app, const std::string& flags, OptionalCount& target,
                       std::int64_t least, std::int64_t most, const std::string& help);

// An option that takes several such values, comma-separated: "1,10,2k".
CLI::Option* add_counts(CLI::App& app, const std::string& flags, std::vector<std::int64_t>& target,
                        std::int64_t least, std::int64_t most, const std::string& help);

// A value that somebody may well ask for and that this program does not honour.
struct RefusedValue {
  std::string_view value;
  std::string_view reason;
};

// An option that takes one of a few words; others are refused, some of them with a reason.
CLI::Option* add_word(CLI::App& app, const std::string& flags, std::string& target,
                      const std::vector<std::string_view>& allowed,
                      const std::vector<RefusedValue>& refused, const std::string& help);

// An option whose value is a number in [least, most]. NaN is in no range.
CLI::Option* add_real(CLI::App& app, const std::string& flags, std::optional<float>& target,
                      float least, float most, const std::string& help);

}  // namespace bitcpm
