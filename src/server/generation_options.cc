#include "server/generation_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "server/request_id.h"

namespace bitcpm {
namespace {

constexpr float kGreedyBelow = 1e-5f;       // vLLM's _SAMPLING_EPS
constexpr float kLeastTemperature = 0.01f;  // vLLM's _MAX_TEMP: below, logits overflow
constexpr std::int64_t kInt32Max = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kInt64Max = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kInt64Min = std::numeric_limits<std::int64_t>::min();

// Fields of OpenAI and vLLM that would change the answer and that nothing here implements.
constexpr std::string_view kRefusedFields[] = {"use_beam_search",
                                               "structured_outputs",
                                               "guided_json",
                                               "guided_regex",
                                               "guided_choice",
                                               "guided_grammar",
                                               "guided_decoding_backend",
                                               "guided_whitespace_pattern",
                                               "prompt_embeds",
                                               "logits_processors",
                                               "repetition_detection",
                                               "kv_transfer_params",
                                               "ec_transfer_params",
                                               "thinking_token_budget",
                                               "vllm_xargs",
                                               "watermarking",
                                               "stream_interval",
                                               "return_token_offsets",
                                               "return_prompt_text",
                                               "return_hidden_states"};

// Read by clients of other servers and without effect here.
constexpr std::string_view kIgnoredFields[] = {"user", "length_penalty", "early_stopping",
                                               "spaces_between_special_tokens", "session_id"};

void read_model(FieldReader& fields, const RequestLimits& limits, GenerationOptions& options) {
  options.model = limits.served_model_names.front();
  if (const auto name = fields.string("model")) options.model = *name;
}

void read_sampling(FieldReader& fields, const RequestLimits& limits, SamplingParams& sampling) {
  const GenerationDefaults& defaults = limits.generation;
  const auto real = [&](std::string_view name, double least, double most, float otherwise) {
    const std::optional<double> given = fields.number(name, least, most);
    return given ? static_cast<float>(*given) : otherwise;
  };
  sampling.temperature = real("temperature", 0, 2, defaults.temperature.value_or(1.0f));
  if (sampling.temperature > 0)
    sampling.temperature = std::max(sampling.temperature, kLeastTemperature);
  sampling.top_p = real("top_p", 0, 1, defaults.top_p.value_or(1.0f));
  sampling.min_p = real("min_p", 0, 1, defaults.min_p.value_or(0.0f));
  sampling.presence_penalty = real("presence_penalty", -2, 2, 0.0f);
  sampling.frequency_penalty = real("frequency_penalty", -2, 2, 0.0f);
  sampling.repetition_penalty =
      real("repetition_penalty", 0, 10, defaults.repetition_penalty.value_or(1.0f));
  if (!(sampling.top_p > 0)) fields.fail("'top_p' must be greater than 0", "top_p");
  if (!(sampling.repetition_penalty > 0)) {
    fields.fail("'repetition_penalty' must be greater than 0", "repetition_penalty");
  }
  const auto top_k = fields.integer("top_k", -1, kInt32Max);
  sampling.top_k = top_k ? static_cast<std::int32_t>(*top_k) : defaults.top_k.value_or(0);
  sampling.ignore_eos = fields.flag("ignore_eos", false);
  sampling.min_tokens =
      static_cast<std::int32_t>(fields.integer("min_tokens", 0, limits.max_model_len).value_or(0));
  sampling.stop_token_ids = fields.token_ids("stop_token_ids", kMaxStopTokenIds);
}

void read_logit_bias(FieldReader& fields, const RequestLimits& limits, SamplingParams& sampling) {
  const json::value* value = fields.find("logit_bias");
  if (value == nullptr) return;
  const json::object* biases = value->if_object();
  if (biases == nullptr || biases->size() > kMaxLogitBiases) {
    return fields.fail(
        fmt::format("'logit_bias' must be an object of at most {} entries", kMaxLogitBiases),
        "logit_bias");
  }
  for (const auto& entry : *biases) {
    const std::string_view key = entry.key();
    TokenId id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0 ||
        id >= limits.vocab_size) {
      return fields.fail("a key of 'logit_bias' is not a token id of this model", "logit_bias");
    }
    const double bias = entry.value().is_number() ? entry.value().to_number<double>() : 1.0 / 0.0;
    if (!(bias >= -1e6 && bias <= 1e6)) {
      return fields.fail("a value of 'logit_bias' is not a finite number", "logit_bias");
    }
    sampling.logit_bias.emplace_back(id, static_cast<float>(std::clamp(bias, -100.0, 100.0)));
  }
}

void read_stop(FieldReader& fields, GenerationOptions& options) {
  const auto complain = [&] {
    fields.fail(fmt::format("'stop' must be a string or a list of at most {} strings, each of 1 to "
                            "{} bytes",
                            kMaxStopStrings, kMaxStopStringBytes),
                "stop");
  };
  const auto add = [&](const json::value& value) {
    const json::string* stop = value.if_string();
    if (stop == nullptr || stop->empty() || stop->size() > kMaxStopStringBytes) return complain();
    options.stop.emplace_back(stop->data(), stop->size());
  };
  options.include_stop_str_in_output = fields.flag("include_stop_str_in_output", false);
  const json::value* value = fields.find("stop");
  if (value == nullptr) return;
  const json::array* list = value->if_array();
  if (list == nullptr) return add(*value);
  if (list->size() > kMaxStopStrings) return complain();
  for (const json::value& item : *list) add(item);
}

void read_stream(FieldReader& fields, GenerationOptions& options) {
  options.stream = fields.flag("stream", false);
  const json::value* value = fields.find("stream_options");
  if (value == nullptr) return;
  const json::object* object = value->if_object();
  if (object == nullptr) return fields.fail("'stream_options' must be an object", "stream_options");
  if (!options.stream) {
    return fields.fail("'stream_options' can only be given with 'stream': true", "stream_options");
  }
  FieldReader inner(*object);
  options.include_usage = inner.flag("include_usage", false);
  options.continuous_usage_stats =
      inner.flag("continuous_usage_stats", false) && options.include_usage;
  if (inner.failed()) fields.fail("'stream_options': " + inner.error().message, "stream_options");
}

void read_lengths(FieldReader& fields, const RequestLimits& limits, GenerationOptions& options) {
  const auto modern = fields.integer("max_completion_tokens", 0, kInt32Max);
  const auto classic = fields.integer("max_tokens", 0, kInt32Max);
  if (modern || classic) {
    options.max_tokens = static_cast<std::int32_t>(modern ? *modern : *classic);
  }
  const auto truncate = fields.integer("truncate_prompt_tokens", -1, limits.max_model_len);
  if (truncate && *truncate == 0) {
    fields.fail("'truncate_prompt_tokens' must be -1 or at least 1", "truncate_prompt_tokens");
  }
  if (truncate) options.truncate_prompt_tokens = static_cast<std::int32_t>(*truncate);
  const std::string_view side = fields.string("truncation_side").value_or("left");
  if (side != "left" && side != "right") {
    fields.fail("'truncation_side' must be \"left\" or \"right\"", "truncation_side");
  }
  options.truncate_right = side == "right";
}

// A list that must not be empty: "nothing is allowed" and "everything" would look the same.
std::vector<TokenId> read_some_ids(FieldReader& fields, std::string_view name,
                                   std::size_t max_count, const RequestLimits& limits) {
  std::vector<TokenId> ids = fields.token_ids(name, max_count);
  if (fields.failed() || fields.find(name) == nullptr) return ids;
  if (ids.empty()) fields.fail(fmt::format("'{}' must not be empty", name), name);
  for (const TokenId id : ids) {
    if (id < limits.vocab_size) continue;
    fields.fail(fmt::format("'{}' holds an id that is not of this model's vocabulary", name), name);
    break;
  }
  return ids;
}

void read_bad_words(FieldReader& fields, GenerationOptions& options) {
  const json::value* value = fields.find("bad_words");
  if (value == nullptr) return;
  const json::array* list = value->if_array();
  const auto is_word = [](const json::value& item) {
    const json::string* word = item.if_string();
    return word != nullptr && !word->empty() && word->size() <= kMaxBadWordBytes;
  };
  if (list == nullptr || list->size() > kMaxBadWords ||
      !std::all_of(list->begin(), list->end(), is_word)) {
    return fields.fail(fmt::format("'bad_words' must be a list of at most {} strings, each of 1 to "
                                   "{} bytes",
                                   kMaxBadWords, kMaxBadWordBytes),
                       "bad_words");
  }
  for (const json::value& item : *list) options.bad_words.emplace_back(item.get_string());
}

// vLLM's limits (CVE-2026-100647 is about a salt without them).
void read_cache_salt(FieldReader& fields, SamplingParams& sampling) {
  constexpr std::size_t kMaxSaltBytes = 128;
  const auto salt = fields.string("cache_salt");
  if (!salt) return;
  const bool is_good = !salt->empty() && salt->size() <= kMaxSaltBytes &&
                       salt->find_first_of(std::string_view("@/\\\0", 4)) == std::string_view::npos;
  if (!is_good) {
    return fields.fail(fmt::format("'cache_salt' must be a string of 1 to {} bytes without '@', "
                                   "'/', '\\' and NUL",
                                   kMaxSaltBytes),
                       "cache_salt");
  }
  sampling.cache_salt = *salt;
}

void read_identity(FieldReader& fields, GenerationOptions& options) {
  const auto id = fields.string("request_id");
  if (!id) return;
  if (!is_request_id(*id)) {
    return fields.fail("'request_id' must be 1 to 128 characters of A-Z a-z 0-9 . _ - : + / = @",
                       "request_id");
  }
  options.request_id = *id;
}

void read_refused(FieldReader& fields) {
  for (const std::string_view name : kRefusedFields) fields.refuse(name);
  for (const std::string_view name : kIgnoredFields) fields.find(name);
  const json::value* format = fields.find("response_format");
  if (format == nullptr) return;
  const json::object* object = format->if_object();
  const json::value* type = object == nullptr ? nullptr : object->if_contains("type");
  if (type == nullptr || !type->is_string()) {
    return fields.fail("'response_format' must be an object with a 'type'", "response_format");
  }
  if (type->get_string() != "text") {
    fields.fail("'response_format' of a type other than \"text\" is not supported",
                "response_format");
  }
}

}  // namespace

GenerationOptions read_generation_options(FieldReader& fields, const RequestLimits& limits) {
  GenerationOptions options;
  read_model(fields, limits, options);
  read_refused(fields);
  read_sampling(fields, limits, options.sampling);
  read_logit_bias(fields, limits, options.sampling);
  read_stop(fields, options);
  read_bad_words(fields, options);
  read_cache_salt(fields, options.sampling);
  read_identity(fields, options);
  read_stream(fields, options);
  if (options.stream && limits.force_include_usage) options.include_usage = true;
  read_lengths(fields, limits, options);
  SamplingParams& sampling = options.sampling;
  sampling.allowed_token_ids = read_some_ids(fields, "allowed_token_ids",
                                             static_cast<std::size_t>(limits.vocab_size), limits);
  sampling.logprob_token_ids =
      read_some_ids(fields, "logprob_token_ids", kMaxLogprobTokenIds, limits);
  sampling.priority = static_cast<std::int32_t>(
      fields.integer("priority", std::numeric_limits<std::int32_t>::min(), kInt32Max).value_or(0));
  options.n = static_cast<std::int32_t>(fields.integer("n", 1, kMaxChoicesPerPrompt).value_or(1));
  options.seed = fields.integer("seed", kInt64Min, kInt64Max);
  if (options.seed == -1) options.seed.reset();  // vLLM's way to ask for a random one
  options.skip_special_tokens = fields.flag("skip_special_tokens", true);
  options.add_special_tokens = fields.flag("add_special_tokens", true);
  options.return_token_ids = fields.flag("return_token_ids", false);
  options.return_tokens_as_token_ids =
      fields.flag("return_tokens_as_token_ids", limits.return_tokens_as_token_ids);
  if (options.sampling.temperature < kGreedyBelow && options.n > 1) {
    fields.fail(fmt::format("'n' must be 1 when using greedy sampling, got {}", options.n), "n");
  }
  return options;
}

std::optional<std::int32_t> read_logprobs_count(FieldReader& fields, std::string_view name,
                                                const RequestLimits& limits) {
  const bool takes_all = limits.max_logprobs < 0 || limits.max_logprobs >= limits.vocab_size;
  const std::optional<std::int64_t> count =
      fields.integer(name, takes_all ? -1 : 0, takes_all ? limits.vocab_size : limits.max_logprobs);
  if (!count) return std::nullopt;
  return static_cast<std::int32_t>(*count);
}

}  // namespace bitcpm
