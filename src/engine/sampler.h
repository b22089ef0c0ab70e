#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/engine_config.h"
#include "engine/logits_processors.h"
#include "engine/sequence.h"
#include "engine/token_filter.h"

namespace bitcpm {

// A uniform draw from [0, 1) that depends on nothing but its arguments, so that batching never
// changes a token.
double uniform_draw(std::uint64_t seed, std::uint64_t position);

// How many of the largest logits decide the sequence's next token and what is reported of it; 0:
// the whole distribution does.
std::int32_t deciding_logits(const Sequence& sequence);

// Turns logits into tokens. Pure but for its scratch memory; one per thread.
class Sampler {
 public:
  struct Sample {
    TokenId token;
    std::optional<TokenLogprobs> logprobs;  // if the sequence wants some
  };

  // scan must outlive the sampler.
  Sampler(const LogitsScan& scan, std::int32_t vocab_size, std::vector<TokenId> eos_token_ids,
          LogprobsMode mode);

  // About what one sampler keeps allocated.
  static std::size_t scratch_bytes(std::int32_t vocab_size) {
    constexpr std::size_t kBytesPerToken = 4 * 5;  // logits_, weights_, ranked_; filter_'s two
    return kBytesPerToken * static_cast<std::size_t>(vocab_size);
  }

  // Draws the token after sequence.tokens. logits: [vocab], as the model gave them.
  // Order of operations as in vLLM: LogitsProcessors, temperature, min_p, top_k, top_p. Equal
  // logits rank by ascending id; a NaN counts as minus infinity.
  Sample sample(std::span<const float> logits, Sequence& sequence);

  // log-softmax of `logits` at `token` and at the `top` most likely tokens; -1: at all.
  TokenLogprobs score(std::span<const float> logits, TokenId token, std::int32_t top);

 private:
  struct Wanted {
    std::int32_t top;              // most likely tokens; -1: all
    std::span<const TokenId> ids;  // these instead
    bool as_logits;                // not as log-softmax
  };

  float scan(std::span<const float> logits);
  TokenId first_largest(std::span<const float> logits, float largest);
  void filter(std::span<const float> logits, const SamplingParams& params);
  TokenLogprobs report(std::span<const float> logits, float largest, TokenId token,
                       const Wanted& wanted);
  std::int32_t rank_of(std::span<const float> logits, TokenId token, float value) const;
  std::span<const TokenId> top_of(std::span<const float> logits, float largest, std::int32_t top);

  const LogitsScan& scan_;
  LogprobsMode mode_;
  LogitsProcessors processors_;
  TokenFilter filter_;
  std::vector<float> logits_;   // [vocab], after processors_
  std::vector<float> maxima_;   // [blocks], of the row that was scanned last
  std::vector<float> kept_;     // [vocab], what a processed mode reports
  std::vector<float> weights_;  // [padded vocab] and [blocks], for log-softmax
  std::vector<float> sums_;
  std::vector<TokenId> ranked_;
};

}  // namespace bitcpm
