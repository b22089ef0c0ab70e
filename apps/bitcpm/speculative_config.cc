#include "speculative_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>

#include "base/json.h"

namespace bitcpm {
namespace {

constexpr JsonLimits kLimits = {.max_bytes = 4096, .max_depth = 4};
constexpr std::int32_t kMaxBatchSize = 4096;

class Reader {
 public:
  explicit Reader(const json::object& fields) : fields_(fields) {}

  // The integer under `key`, nothing if it is absent.
  Result<std::optional<std::int32_t>> integer(std::string_view key, std::int32_t least,
                                              std::int32_t most) const {
    const json::value* value = fields_.if_contains(key);
    if (value == nullptr || value->is_null()) return std::optional<std::int32_t>();
    const std::int64_t* number = value->if_int64();
    if (number == nullptr || *number < least || *number > most) {
      return Error{Errc::kInvalid,
                   fmt::format("{} must be an integer in [{}, {}]", key, least, most)};
    }
    return std::optional(static_cast<std::int32_t>(*number));
  }

 private:
  const json::object& fields_;
};

Status check_method(const json::object& fields) {
  const json::value* method = fields.if_contains("method");
  if (method == nullptr) return Error{Errc::kInvalid, R"(method is missing: "ngram")"};
  if (!method->is_string()) return Error{Errc::kInvalid, "method must be a string"};
  if (method->get_string() == "ngram") return {};
  return Error{Errc::kUnsupported,
               fmt::format(R"(method {}: only "ngram" (prompt lookup) is supported)",
                           json::serialize(*method))};
}

Status check_keys(const json::object& fields) {
  constexpr std::string_view kKeys[] = {"method", "num_speculative_tokens", "prompt_lookup_max",
                                        "prompt_lookup_min", "disable_by_batch_size"};
  for (const auto& field : fields) {
    if (std::find(std::begin(kKeys), std::end(kKeys), std::string_view(field.key())) ==
        std::end(kKeys)) {
      return Error{Errc::kUnsupported,
                   fmt::format("{} is not supported", json::serialize(field.key()))};
    }
  }
  return {};
}

}  // namespace

Result<SpeculationConfig> parse_speculative_config(std::string_view text) {
  BITCPM_ASSIGN(const json::value document, parse_json(text, kLimits));
  const json::object* fields = document.if_object();
  if (fields == nullptr) return Error{Errc::kInvalid, "must be a JSON object"};
  BITCPM_TRY(check_keys(*fields));
  BITCPM_TRY(check_method(*fields));
  const Reader reader(*fields);
  constexpr std::int32_t kMaxLookup = SpeculationConfig::kMaxLookup;
  BITCPM_ASSIGN(const auto tokens,
                reader.integer("num_speculative_tokens", 1, SpeculationConfig::kMaxTokens));
  BITCPM_ASSIGN(const auto lookup_max, reader.integer("prompt_lookup_max", 1, kMaxLookup));
  BITCPM_ASSIGN(const auto lookup_min, reader.integer("prompt_lookup_min", 1, kMaxLookup));
  BITCPM_ASSIGN(const auto streams, reader.integer("disable_by_batch_size", 1, kMaxBatchSize));
  if (!tokens) return Error{Errc::kInvalid, "num_speculative_tokens is missing"};
  SpeculationConfig config;
  config.num_speculative_tokens = *tokens;
  if (lookup_max || lookup_min) {
    config.prompt_lookup_max = lookup_max ? *lookup_max : *lookup_min;
    config.prompt_lookup_min = lookup_min ? *lookup_min : *lookup_max;
  }
  if (config.prompt_lookup_min > config.prompt_lookup_max) {
    return Error{Errc::kInvalid, "prompt_lookup_min is above prompt_lookup_max"};
  }
  if (streams) config.disable_by_batch_size = *streams;
  return config;
}

CLI::Option* add_speculative_config(CLI::App& app, const std::string& flags,
                                    SpeculationConfig& target) {
  const auto read = [&target](const std::string& text) -> std::string {
    const Result<SpeculationConfig> config = parse_speculative_config(text);
    if (!config.ok()) return config.error().message;
    target = config.value();
    return {};
  };
  return app
      .add_option(
          flags, [](const CLI::results_t&) { return true; },
          "Guess tokens from earlier text and check several per step; the answer stays the same: "
          R"({"method":"ngram","num_speculative_tokens":4,"prompt_lookup_max":5,)"
          R"("prompt_lookup_min":3})")
      ->check(read)
      ->type_name("JSON");
}

}  // namespace bitcpm
