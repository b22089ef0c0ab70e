#include "io/rope_config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/quote.h"

namespace bitcpm {
namespace {

constexpr Range<float> kThetaRange = {1.0f, 1e12f};
// Published lists lie in [0.99, 127]; the bounds keep every angle a normal f32.
constexpr Range<float> kFactorRange = {1e-3f, 1e6f};
constexpr Range<float> kScaleRange = {1e-3f, 1e3f};
constexpr Range<std::int32_t> kOriginalRange = {2, kPositionRange.most};  // its logarithm divides

// LongRoPE's two factor lists are read only together with a type that says so.
bool names_a_scaling(const JsonFields& rope) {
  return std::ranges::any_of(rope.object(), [](const json::key_value_pair& item) {
    return item.key() != "rope_theta" && item.key() != "partial_rotary_factor" &&
           item.key() != "original_max_position_embeddings" && !item.value().is_null();
  });
}

// "default" or "longrope".
Result<std::string_view> rope_type(const JsonFields& rope) {
  std::optional<std::string_view> type;
  for (const std::string_view field : {"rope_type", "type"}) {
    BITCPM_ASSIGN(const std::optional<std::string_view> name, rope.find_text(field));
    if (!name) continue;
    const std::string_view known = *name == "su" ? "longrope" : *name;
    if (type && *type != known) return rope.corrupt("type", "contradicts rope_type");
    type = known;
  }
  if (!type) {
    if (names_a_scaling(rope)) return rope.unsupported("rope_type", "missing");
    return std::string_view("default");
  }
  if (*type != "default" && *type != "longrope") {
    return rope.unsupported("rope_type", quote_name(*type) + " is not supported");
  }
  return *type;
}

Result<std::vector<float>> factors(const JsonFields& rope, std::string_view field,
                                   std::size_t pairs) {
  const json::value* value = rope.find(field);
  if (value == nullptr || !value->is_array() || value->as_array().size() != pairs) {
    return rope.corrupt(field,
                        "expected a list of head_dim / 2 = " + std::to_string(pairs) + " numbers");
  }
  std::vector<float> result;
  for (const json::value& item : value->as_array()) {
    const std::optional<double> factor = number_in(item, kFactorRange);
    if (!factor) return rope.corrupt(field, "holds something else than numbers in 0.001 to 1e6");
    result.push_back(static_cast<float>(*factor));
  }
  return result;
}

Status reject_partial_rotation(const JsonFields& fields) {
  BITCPM_ASSIGN(const std::optional<float> part,
                fields.find_float("partial_rotary_factor", {0.0f, 1.0f}));
  if (!part || *part == 1.0f) return {};
  return fields.unsupported("partial_rotary_factor", "only 1 is supported");
}

// rope_scaling or rope_parameters, whichever the config has.
Result<std::optional<JsonFields>> rope_object(const JsonFields& config) {
  BITCPM_ASSIGN(const std::optional<JsonFields> scaling, config.find_object("rope_scaling"));
  BITCPM_ASSIGN(const std::optional<JsonFields> parameters, config.find_object("rope_parameters"));
  if (scaling && parameters) {
    return config.corrupt("rope_parameters", "given beside rope_scaling; which one holds?");
  }
  return scaling ? scaling : parameters;
}

// sqrt(1 + ln(s) / ln(original_max)). s < 1 (a published config says 32768 / 32786) counts as 1.
float factor_of_ratio(double s, std::int32_t original) {
  if (s <= 1) return 1.0f;
  return static_cast<float>(std::sqrt(1 + std::log(s) / std::log(original)));
}

// transformers' longrope: the checkpoint's own attention_factor; else that of s, the ratio of the
// two lengths, or `factor` if only one length is given.
Status read_attention_factor(const JsonFields& rope, bool has_original, std::int32_t max_position,
                             RopeConfig& result) {
  BITCPM_ASSIGN(const std::optional<float> given, rope.find_float("attention_factor", kScaleRange));
  result.factor_follows_length = !given;
  BITCPM_ASSIGN(const float factor, rope.float_or("factor", 1.0f, kScaleRange));
  const std::int32_t original = result.original_max_position;
  const double s = has_original ? static_cast<double>(max_position) / original : factor;
  result.attention_factor = given ? *given : factor_of_ratio(s, original);
  return {};
}

Status read_longrope(const JsonFields& config, const JsonFields& rope, std::int32_t max_position,
                     RopeConfig& result) {
  for (const std::string_view field : {"short_mscale", "long_mscale"}) {
    if (rope.find(field) != nullptr) return rope.unsupported(field, "not supported");
  }
  const std::size_t pairs = result.short_factor.size();
  BITCPM_ASSIGN(result.short_factor, factors(rope, "short_factor", pairs));
  BITCPM_ASSIGN(result.long_factor, factors(rope, "long_factor", pairs));
  constexpr std::string_view kOriginal = "original_max_position_embeddings";
  BITCPM_ASSIGN(std::optional<std::int32_t> original, rope.find_int(kOriginal, kOriginalRange));
  if (!original) {
    BITCPM_ASSIGN(original, config.find_int(kOriginal, kOriginalRange));
  }
  result.original_max_position = original.value_or(std::max(max_position, kOriginalRange.least));
  return read_attention_factor(rope, original.has_value(), max_position, result);
}

}  // namespace

Result<RopeConfig> parse_rope_config(const JsonFields& config, std::int32_t head_dim,
                                     std::int32_t max_position_embeddings) {
  RopeConfig result;
  const auto pairs = static_cast<std::size_t>(head_dim) / 2;
  result.short_factor.assign(pairs, 1.0f);
  result.long_factor.assign(pairs, 1.0f);
  result.original_max_position = max_position_embeddings;
  BITCPM_TRY(reject_partial_rotation(config));
  BITCPM_ASSIGN(result.theta, config.float_or("rope_theta", result.theta, kThetaRange));
  BITCPM_ASSIGN(const std::optional<JsonFields> rope, rope_object(config));
  if (!rope) return result;
  BITCPM_TRY(reject_partial_rotation(*rope));
  BITCPM_ASSIGN(result.theta, rope->float_or("rope_theta", result.theta, kThetaRange));
  BITCPM_ASSIGN(const std::string_view type, rope_type(*rope));
  if (type == "longrope") {
    BITCPM_TRY(read_longrope(config, *rope, max_position_embeddings, result));
  }
  return result;
}

RopeConfig rope_for_positions(RopeConfig rope, std::int32_t max_position_embeddings) {
  if (rope.factor_follows_length) {
    const double s = static_cast<double>(max_position_embeddings) / rope.original_max_position;
    rope.attention_factor = factor_of_ratio(s, rope.original_max_position);
  }
  return rope;
}

}  // namespace bitcpm
