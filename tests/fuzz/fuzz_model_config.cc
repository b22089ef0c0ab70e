#include <string_view>

#include "fuzzing.h"
#include "io/model_config.h"

namespace {

// What later code relies on without asking again.
void check_config(const bitcpm::ModelConfig& config) {
  BITCPM_CHECK(config.hidden_size > 0 && config.vocab_size > 0 && config.num_hidden_layers > 0);
  BITCPM_CHECK(config.num_attention_heads % config.num_key_value_heads == 0);
  BITCPM_CHECK(config.head_dim > 0 && config.head_dim % 2 == 0);
  const auto pairs = static_cast<std::size_t>(config.head_dim) / 2;
  BITCPM_CHECK(config.rope.short_factor.size() == pairs);
  BITCPM_CHECK(config.rope.long_factor.size() == pairs);
  BITCPM_CHECK(config.rope.attention_factor > 0 && config.rope.attention_factor < 1e4f);
  BITCPM_CHECK(config.logit_divisor > 0 && config.logit_divisor < 1e10f);
  for (const bitcpm::TokenId id : config.eos_token_ids) {
    BITCPM_CHECK(id >= 0 && id < config.vocab_size);
  }
}

}  // namespace

// config.json, and after a NUL generation_config.json.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t nul = text.find('\0');
  const std::string_view generation = nul == text.npos ? std::string_view() : text.substr(nul + 1);
  const auto config = bitcpm::parse_model_config(text.substr(0, nul), generation);
  if (config.ok()) {
    check_config(*config);
  } else {
    bitcpm::check_refusal(config.error());
  }
  return 0;
}
